"""What a loop holds goes with it, and a closed loop with the last reference to it."""

import asyncio
import gc
import signal
import weakref

import pytest


@pytest.mark.parametrize("name", ["_current_handle", "_task_factory"])
def test_an_attribute_goes_with_its_loop(loop_factory, name):
    class Kept:
        pass

    loop = loop_factory()
    setattr(loop, name, Kept())
    loop.close()
    del loop
    gc.collect()
    # No weak reference: the collector clears them also of what it then fails to free.
    assert [kept for kept in gc.get_objects() if type(kept) is Kept] == []


async def sleep():
    await asyncio.sleep(0.001)


async def leave_timers():
    loop = asyncio.get_running_loop()
    loop.call_later(100, int)
    loop.call_later(100, int).cancel()


async def use_an_executor():
    await asyncio.get_running_loop().run_in_executor(None, int)


async def leave_a_signal_handler():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, int)


async def look_inside():
    loop = asyncio.get_running_loop()
    assert repr(loop._selector)
    assert repr(loop._ready)
    loop._selector.get_map()


async def talk():
    async def answer(reader, writer):
        writer.write(await reader.read(10))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x")
        assert await reader.read() == b"x"
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "main",
    [
        sleep,
        leave_timers,
        use_an_executor,
        leave_a_signal_handler,
        look_inside,
        talk,
    ],
    ids=lambda main: main.__name__,
)
def test_a_closed_loop_needs_no_collector(loop_factory, main):
    """As asyncio's: it is in no cycle of its own."""
    gc.collect()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main())
            loop = weakref.ref(runner.get_loop())
        del runner
        assert loop() is None
    finally:
        gc.enable()
