"""Rounds of tasks and futures, ended in every way, leave nothing behind."""

import sys

import pytest

PRELUDE = """
import asyncio, gc, sys, weakref
import measure

# A sanitizer makes everything some ten times slower.
COUNT = 2_000 if measure.sanitizers_count is not None else 20_000

async def nothing():
    pass

async def turn():
    await asyncio.sleep(0)

async def never():
    await asyncio.get_running_loop().create_future()

async def fail():
    raise ValueError("nobody looks")

def quiet(loop, context):
    reported.append(context["message"])

reported = []
"""

ENDING = """
def steady(main, *, every=1, **options):
    loop = new_event_loop()
    loop.slow_callback_duration = 3600  # the machine may be busy
    measure.wait_once(loop)
    loop.set_exception_handler(quiet)
    def round_():
        loop.run_until_complete(main())
        reported.clear()
    measure.check_steady(round_, things=COUNT // every, **options)
    loop.close()
    print("steady")
"""

MAINS = {
    "awaited": """
    for _ in range(COUNT // 10):
        await asyncio.gather(*(asyncio.create_task(turn()) for _ in range(10)))
    """,
    "one after the other": """
    for _ in range(COUNT):
        await asyncio.create_task(nothing())
    """,
    "cancelled before the first step": """
    for _ in range(COUNT // 10):
        tasks = [asyncio.create_task(never()) for _ in range(10)]
        for task in tasks:
            task.cancel("early")
        await asyncio.wait(tasks)
    """,
    "cancelled while they wait": """
    for _ in range(COUNT // 10):
        tasks = [asyncio.create_task(never()) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel("waiting")
        await asyncio.wait(tasks)
        for task in tasks:
            assert task.cancelled()
    """,
    "dropped": """
    for _ in range(COUNT):
        asyncio.create_task(nothing())
    await asyncio.sleep(0)
    """,
    "failed, never retrieved": """
    for _ in range(COUNT // 10):
        for _ in range(10):
            asyncio.create_task(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    """,
    "pending, dropped in cycles": """
    for _ in range(COUNT // 200):
        for _ in range(10):
            task = asyncio.create_task(never())
            task.itself = task
        del task
        await asyncio.sleep(0)
        gc.collect()
    assert len(asyncio.all_tasks()) == 1
    """,
    "futures with callbacks": """
    loop = asyncio.get_running_loop()
    for _ in range(COUNT // 10):
        for count in range(10):
            future = loop.create_future()
            for _ in range(count):
                future.add_done_callback(future.remove_done_callback)
            if count % 2:
                future.set_result(future)
            future.remove_done_callback(print)
        await asyncio.sleep(0)
    """,
    "futures of many waiters": """
    loop = asyncio.get_running_loop()
    async def body():
        return await future
    for _ in range(COUNT // 10):
        future = loop.create_future()
        tasks = [asyncio.create_task(body()) for _ in range(10)]
        await asyncio.sleep(0)
        future._callbacks
        future.set_result(tasks)
        await asyncio.wait(tasks)
    """,
    "attributes and weak references": """
    loop = asyncio.get_running_loop()
    for number in range(COUNT):
        for thing in loop.create_future(), asyncio.create_task(nothing()):
            assert not hasattr(thing, "mine")
            thing.mine = str(number)
            reference = weakref.ref(thing)
        if not number % 100:
            await asyncio.sleep(0)
    """,
    "odd yields": """
    class Odd:
        def __await__(self):
            yield self
    async def odd():
        await Odd()
    for _ in range(COUNT // 10):
        await asyncio.gather(*(odd() for _ in range(10)), return_exceptions=True)
    """,
    "debug mode": """
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    for _ in range(COUNT // 200):
        await asyncio.gather(*(turn() for _ in range(10)))
        asyncio.create_task(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    loop.set_debug(False)
    """,
}

EAGER = {
    "done at once": """
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    for _ in range(COUNT):
        await asyncio.create_task(nothing())
    """,
    "with a second step": """
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    for _ in range(COUNT):
        await asyncio.create_task(turn())
    """,
    "failed": """
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    for _ in range(COUNT):
        asyncio.create_task(fail())
    """,
    "of our own class": """
    loop = asyncio.get_running_loop()
    Task = type(asyncio.current_task())
    for _ in range(COUNT // 10):
        tasks = [Task(make(), loop=loop, eager_start=True) for make in [nothing, turn] * 5]
        await asyncio.wait(tasks)
    """,
}


def check(measured, main, options="", prelude=PRELUDE):
    source = f"{prelude}\nasync def main():{main}\n{ENDING}\nsteady(main, {options})"
    assert measured(source) == ["steady"]


def every(main):
    """Those that do costly things make fewer of them; steady() is told."""
    return "every=20" if "COUNT // 200" in main else ""


@pytest.mark.parametrize("how", MAINS)
def test_rounds_of_tasks_and_futures_leave_nothing(measured, how):
    check(measured, MAINS[how], every(MAINS[how]))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio starts tasks eagerly since 3.12")
@pytest.mark.parametrize("how", EAGER)
def test_rounds_of_eager_tasks_leave_nothing(measured, how):
    check(measured, EAGER[how])


# asyncio is here to show that the test itself keeps nothing: a tenth will do.
MILLION = """
if measure.sanitizers_count is None:
    COUNT = 110_000 if "pyaio" in sys.modules else 11_000
"""

BURSTS = """
    tasks = [asyncio.create_task(nothing()) for _ in range(COUNT // 2)]
    await asyncio.wait(tasks)
    del tasks
    for _ in range(COUNT // 2):
        asyncio.create_task(nothing())
        await asyncio.sleep(0)
"""


def test_a_million_tasks_leave_nothing(measured):
    # Nine rounds: one long burst and many short ones.
    check(measured, BURSTS, "blocks=0.01, size=8", PRELUDE + MILLION)


def test_tasks_of_closed_loops_leave_nothing(measured):
    # In the ready queue, waiting, and woken up when their loop is closed.
    out = measured(
        PRELUDE
        + """
def round_():
    for _ in range(50):
        loop = new_event_loop()
        loop.set_exception_handler(quiet)
        futures = [loop.create_future() for _ in range(3)]
        async def wait(future):
            await future
        tasks = [loop.create_task(wait(future)) for future in futures for _ in range(2)]
        loop.run_until_complete(asyncio.sleep(0))
        futures[0].set_result(None)
        tasks[2].cancel()
        coro = never()
        tasks.append(loop.create_task(coro))
        loop.close()
        try:
            futures[2].set_result(None)
        except RuntimeError as exc:
            assert str(exc) == "Event loop is closed"
        else:
            raise AssertionError("woken up in a closed loop")
        late = never()
        try:
            loop.create_task(late)
        except RuntimeError:
            pass
        late.close()
        references = [weakref.ref(task) for task in tasks]
        del tasks, futures, loop, wait, coro, late
        gc.collect()
        assert [reference() for reference in references] == [None] * 7
    reported.clear()

import warnings
warnings.simplefilter("ignore", RuntimeWarning)  # one never began
measure.check_steady(round_, things=350, rounds=4, warm=2)
print("steady")
"""
    )
    assert out == ["steady"]
