"""The garbage collector at every allocation: nothing is freed that is still in use."""

import asyncio
import contextvars
import gc

import pytest
from helpers import HandlerCalls, drain


@pytest.fixture
def eager_collector():
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    yield
    gc.set_threshold(*before)


def test_callbacks_and_timers_survive(loop, eager_collector):
    got = []

    def add(i):
        got.append(i)
        loop.call_soon(got.append, i + 100)
        loop.call_later(0, got.append, i + 200)
        loop.call_later(3600, got.append, "never").cancel()

    for i in range(50):
        loop.call_soon(add, i, context=contextvars.copy_context())
        loop.call_soon_threadsafe(got.append, i + 300)
    drain(loop, 5)
    assert sorted(got) == sorted([i + base for i in range(50) for base in (0, 100, 200, 300)])


def test_tasks_survive(run, eager_collector):
    async def main():
        async def work(i):
            await asyncio.sleep(0)
            await asyncio.sleep(0.0001)
            return i

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(i)) for i in range(30)]
        return [task.result() for task in tasks]

    assert run(main) == list(range(30))


def test_errors_and_cancellations_survive(loop, eager_collector):
    calls = HandlerCalls.of(loop)
    for _ in range(30):
        loop.call_soon(lambda: 1 / 0)
        loop.call_soon(print).cancel()
    drain(loop, 2)
    assert len(calls) == 30


def test_a_cancelled_task_survives(run, eager_collector):
    async def main():
        tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return {type(result) for result in results}

    assert run(main) == {asyncio.CancelledError}
