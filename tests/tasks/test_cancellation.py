"""cancel, uncancel, cancelling, and what a task does with its CancelledError."""

import asyncio

import pytest
from coroutines import never, turns


def test_a_cancelled_task_raises_cancelled_error(run):
    async def main():
        task = asyncio.create_task(never())
        await turns(2)
        assert task.cancel("why") is True
        with pytest.raises(asyncio.CancelledError, match="why"):
            await task
        assert task.cancelled() and task.done()
        assert task.cancel() is False

    run(main)


def test_a_task_cancelled_before_its_first_step_does_not_run(run):
    async def main():
        ran = []

        async def body():
            ran.append(1)

        task = asyncio.create_task(body())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ran == []

    run(main)


def test_a_task_may_clean_up(run):
    async def main():
        log = []

        async def body():
            try:
                await never()
            finally:
                await turns(2)
                log.append("clean")

        task = asyncio.create_task(body())
        await turns(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return log

    assert run(main) == ["clean"]


def test_a_task_may_refuse_and_uncancel(run):
    async def main():
        async def body():
            try:
                await never()
            except asyncio.CancelledError:
                current = asyncio.current_task()
                assert current.cancelling() == 1
                assert current.uncancel() == 0
                return "refused"

        task = asyncio.create_task(body())
        await turns(2)
        task.cancel()
        assert await task == "refused"
        assert not task.cancelled()

    assert run(main) is None


def test_cancelling_counts_the_requests(run):
    async def main():
        task = asyncio.create_task(never())
        await turns(2)
        task.cancel()
        task.cancel()
        assert task.cancelling() == 2
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)


def test_a_task_may_cancel_itself(run):
    async def main():
        async def body():
            asyncio.current_task().cancel()
            await asyncio.sleep(0)
            raise AssertionError("not reached")

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(body())

    run(main)


def test_sleep_is_cancelled_with_its_timer(run):
    async def main():
        task = asyncio.create_task(asyncio.sleep(3600))
        await turns(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)


def test_a_runner_cancels_what_main_leaves_behind(loop_factory):
    left = []

    async def main():
        left.append(asyncio.create_task(never()))
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())
    assert left[0].cancelled()


def test_cancelling_tasks_that_await_each_other_is_a_recursion_error(loop):
    tasks = []

    async def body(other):
        await tasks[other]

    async def main():
        tasks.extend(asyncio.create_task(body(1 - i)) for i in range(2))
        await turns(2)
        with pytest.raises(RecursionError):
            tasks[0].cancel()

    loop.run_until_complete(main())
    for task in tasks:
        assert not task.done()
        task._log_destroy_pending = False
