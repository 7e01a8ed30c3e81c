"""TaskGroup, gather, wait, wait_for, timeout, shield, as_completed: a sanity check of each."""

import asyncio
import contextlib
import gc

import pytest
from coroutines import never, turns
from helpers import HANG, HandlerCalls


async def value(result, after=1):
    await turns(after)
    return result


async def fail(after=1):
    await turns(after)
    raise LookupError("failed")


@contextlib.asynccontextmanager
async def cancelled_at_end(*tasks):
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_a_group_waits_for_its_tasks(run):
    async def main():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(value(i, i)) for i in range(10)]
        return [task.result() for task in tasks]

    assert run(main) == list(range(10))


def test_a_failing_task_cancels_its_group(run):
    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(never())
                group.create_task(fail())
        assert waiting.cancelled()
        assert [type(e) for e in caught.value.exceptions] == [LookupError]

    run(main)


def test_a_cancelled_group_cancels_its_tasks(run):
    async def main():
        tasks = []

        async def parent():
            async with asyncio.TaskGroup() as group:
                tasks.extend(group.create_task(never()) for _ in range(3))

        task = asyncio.create_task(parent())
        await value(None, 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert all(t.cancelled() for t in tasks) and len(tasks) == 3

    run(main)


def test_gather_keeps_the_order(run):
    async def main():
        return await asyncio.gather(*(value(i, 10 - i) for i in range(10)))

    assert run(main) == list(range(10))


def test_gather_raises_the_first_exception_or_returns_them_all(run):
    async def main():
        with pytest.raises(LookupError):
            await asyncio.gather(value(1), fail())
        one, error = await asyncio.gather(value(1), fail(), return_exceptions=True)
        assert one == 1 and isinstance(error, LookupError)
        assert await asyncio.gather() == []

    run(main)


def test_cancelling_a_gather_cancels_its_children(run):
    async def main():
        children = [asyncio.create_task(never()) for _ in range(3)]
        gathered = asyncio.gather(*children)
        await asyncio.sleep(0)
        gathered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathered
        assert all(child.cancelled() for child in children)

    run(main)


def test_wait_for_all(run):
    async def main():
        tasks = {asyncio.create_task(value(i, i)) for i in range(5)}
        done, pending = await asyncio.wait(tasks)
        assert done == tasks and pending == set()

    run(main)


def test_wait_for_the_first(run):
    async def main():
        quick, slow = asyncio.create_task(value(1)), asyncio.create_task(never())
        async with cancelled_at_end(slow):
            done, pending = await asyncio.wait({quick, slow}, return_when=asyncio.FIRST_COMPLETED)
            assert done == {quick} and pending == {slow}

    run(main)


def test_wait_for_the_first_exception(run):
    async def main():
        good, bad, slow = map(asyncio.create_task, (value(1), fail(5), never()))
        async with cancelled_at_end(slow):
            done, pending = await asyncio.wait(
                {good, bad, slow}, return_when=asyncio.FIRST_EXCEPTION
            )
            assert done == {good, bad} and pending == {slow}
            assert isinstance(bad.exception(), LookupError)

    run(main)


def test_wait_with_a_timeout_leaves_the_rest_pending(run):
    async def main():
        quick, slow = asyncio.create_task(value(1)), asyncio.create_task(never())
        async with cancelled_at_end(slow):
            done, pending = await asyncio.wait({quick, slow}, timeout=0.001)
            assert (done, pending) == ({quick}, {slow})

    run(main)


def test_wait_for_returns_raises_or_times_out(run):
    async def main():
        assert await asyncio.wait_for(value(1), HANG) == 1
        assert await asyncio.wait_for(value(1), None) == 1
        with pytest.raises(LookupError):
            await asyncio.wait_for(fail(), HANG)
        task = asyncio.create_task(never())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(task, 0.001)
        assert task.cancelled()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(never(), 0)

    run(main)


def test_a_timeout_turns_its_cancellation_into_timeout_error(run):
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001) as scope:
                await never()
        assert scope.expired() and asyncio.current_task().cancelling() == 0
        async with asyncio.timeout(HANG) as scope:
            await value(1)
        assert not scope.expired()

    run(main)


def test_a_timeout_may_be_moved(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as scope:
                assert scope.when() is None
                scope.reschedule(loop.time() + 0.001)
                await never()
        async with asyncio.timeout_at(loop.time() + 0.0005) as scope:
            scope.reschedule(None)
            await asyncio.sleep(0.001)
        assert not scope.expired()

    run(main)


def test_an_inner_timeout_leaves_the_outer_one_alone(run):
    async def main():
        async with asyncio.timeout(HANG) as outer:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await never()
            await value(1)
        assert not outer.expired()

    run(main)


def test_shield_keeps_the_inner_task_running(run):
    async def main():
        inner = asyncio.create_task(value(1, 5))
        outer = asyncio.shield(inner)
        await asyncio.sleep(0)
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert await inner == 1

    run(main)


def test_as_completed_yields_in_the_order_of_completion(run):
    async def main():
        coros = [value(turns, turns) for turns in (7, 1, 4)]
        return [await future for future in asyncio.as_completed(coros)]

    assert run(main) == [1, 4, 7]


def test_run_coroutine_threadsafe_passes_an_exception(run):
    async def main():
        loop = asyncio.get_running_loop()

        def ask():
            return asyncio.run_coroutine_threadsafe(fail(), loop).exception(HANG)

        return await asyncio.to_thread(ask)

    assert isinstance(run(main), LookupError)


def test_an_exception_that_nobody_retrieves_is_reported(run):
    async def main():
        calls = HandlerCalls.of(asyncio.get_running_loop())
        task = asyncio.create_task(fail())
        await value(None, 5)
        del task
        return calls

    (context,) = run(main)
    assert context["message"] == "Task exception was never retrieved"


def test_a_pending_task_that_is_dropped_is_reported(loop, reports):
    calls = HandlerCalls.of(loop)

    async def wait():
        await loop.create_future()

    task = loop.create_task(wait())
    loop.run_until_complete(value(None, 2))
    del task
    gc.collect()
    (context,) = calls
    assert context["message"] == "Task was destroyed but it is pending!"
