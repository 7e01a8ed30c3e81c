"""Callbacks, timers, futures and tasks by the hundred thousand leave no memory behind."""

import pytest

PRELUDE = """
import asyncio, sys, threading
import measure

# asyncio is here to show that the test itself keeps nothing: a tenth will do.
COUNT = 100_000 if "pyaio" in sys.modules else 10_000
loop = new_event_loop()

def nothing(*args):
    pass

def turn():
    loop.call_soon(loop.stop)
    loop.run_forever()
"""

ROUNDS = {
    "call_soon": """
def round_():
    for n in range(COUNT):
        loop.call_soon(nothing, n, n, n)
    turn()
""",
    "call_soon-cancelled": """
def round_():
    for n in range(COUNT):
        loop.call_soon(nothing, n).cancel()
    turn()
""",
    "call_soon-with-many-arguments": """
def round_():
    for n in range(COUNT):
        loop.call_soon(nothing, *range(8))
    turn()
""",
    "timers-cancelled": """
def round_():
    for n in range(COUNT):
        loop.call_later(1000 + n % 97, nothing, n).cancel()
    turn()
""",
    "timers-cancelled-later": """
def round_():
    handles = [loop.call_later(1000 + n % 97, nothing, n) for n in range(COUNT)]
    turn()
    for handle in handles:
        handle.cancel()
    turn()
""",
    "timers-run": """
def round_():
    for n in range(COUNT):
        loop.call_later(-1, nothing, n)
    turn()
    turn()
""",
    "call_soon_threadsafe": """
def round_():
    def push():
        for n in range(COUNT):
            loop.call_soon_threadsafe(nothing, n)
        loop.call_soon_threadsafe(loop.stop)
    thread = threading.Thread(target=push)
    thread.start()
    loop.run_forever()
    thread.join()
""",
    "callbacks-that-raise": """
loop.set_exception_handler(nothing)
def fail():
    raise ZeroDivisionError

def round_():
    for n in range(COUNT // 10):
        loop.call_soon(fail)
    turn()
""",
    "futures": """
def round_():
    for n in range(COUNT // 10):
        future = loop.create_future()
        future.add_done_callback(nothing)
        future.set_result(n)
    turn()
""",
    "tasks": """
async def main():
    for _ in range(COUNT // 5000):
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(500)))

def round_():
    loop.run_until_complete(main())
""",
    "timeouts": """
async def main():
    for n in range(COUNT // 50):
        async with asyncio.timeout(1000):
            await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.sleep(0), 1000)

def round_():
    loop.run_until_complete(main())
""",
    "runs": """
async def main():
    pass

def round_():
    for n in range(COUNT // 50):
        loop.run_until_complete(main())
""",
}


@pytest.mark.parametrize("name", ROUNDS)
def test_a_million_of(measured, name):
    """Two warm rounds and eight measured ones; a tenth as many of what takes its time."""
    source = """
measure.wait_once(loop)
measure.check_steady(round_, things=COUNT, warm=2, rounds=8, blocks=0.001, size=8)
loop.close()
print("steady")
"""
    assert measured(PRELUDE + ROUNDS[name] + source) == ["steady"]
