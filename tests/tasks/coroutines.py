"""Small coroutines that the tests of this folder share: ``from coroutines import never, turns``."""

import asyncio


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def never():
    await asyncio.get_running_loop().create_future()


async def wait_for_it(awaitable):
    return await awaitable
