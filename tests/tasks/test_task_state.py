"""current_task, all_tasks, contexts, names, and the private state that libraries read."""

import asyncio
import contextvars
import inspect

import helpers
import pytest
from coroutines import turns, wait_for_it

VAR = contextvars.ContextVar("VAR", default="unset")


def test_current_task_is_the_task_that_runs(run):
    async def main():
        async def body():
            before = asyncio.current_task()
            await turns(2)
            return before, asyncio.current_task()

        tasks = [asyncio.create_task(body()) for _ in range(3)]
        results = await asyncio.gather(*tasks)
        assert results == [(task, task) for task in tasks]

    run(main)


def test_no_task_is_current_in_a_callback(run):
    async def main():
        got = []
        asyncio.get_running_loop().call_soon(lambda: got.append(asyncio.current_task()))
        await turns(2)
        return got

    assert run(main) == [None]


def test_no_task_is_current_when_the_next_one_cannot_enter_its_context(loop, reports):
    # Its context is entered already, around the whole run.
    seen = []
    entered = contextvars.copy_context()

    async def main():
        coro = turns(1)
        task = asyncio.create_task(coro, context=entered)
        asyncio.get_running_loop().call_soon(lambda: seen.append(asyncio.current_task()))
        await turns(2)
        task._log_destroy_pending = False
        coro.close()

    entered.run(loop.run_until_complete, loop.create_task(main(), context=contextvars.Context()))
    assert seen == [None]
    (report,) = reports.take()
    assert "is already entered" in report or "Exception in callback" in report


def test_current_task_of_a_loop_that_does_not_run(loop):
    assert asyncio.current_task(loop) is None


def test_all_tasks_are_those_of_the_loop_that_are_not_done(run, loop_factory):
    async def main():
        assert asyncio.all_tasks() == {asyncio.current_task()}
        task = asyncio.create_task(turns(3))
        assert asyncio.all_tasks() == {asyncio.current_task(), task}
        await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main)


def test_a_task_may_be_taken_out_of_all_tasks_and_put_back(run):
    # By the functions that asyncio has for other implementations of tasks.
    def names():
        return {task.get_name() for task in asyncio.all_tasks()}

    async def main():
        asyncio.current_task().set_name("main")
        out = asyncio.create_task(turns(1), name="out")
        asyncio.tasks._unregister_task(out)
        back = asyncio.create_task(turns(1), name="back")
        asyncio.tasks._unregister_task(back)
        asyncio.tasks._register_task(back)
        assert names() == {"main", "back"}
        await asyncio.wait([out, back])
        asyncio.tasks._register_task(out)  # done: not shown
        del out, back
        helpers.collect()
        assert names() == {"main"}

    run(main)


def test_each_task_has_its_own_context(run):
    async def main():
        async def body(value):
            before = VAR.get()
            VAR.set(value)
            await turns(3)
            return before, VAR.get()

        VAR.set("main")
        results = await asyncio.gather(*(body(i) for i in range(3)))
        assert results == [("main", i) for i in range(3)]
        assert VAR.get() == "main"

    run(main)


def test_a_callback_of_a_task_runs_in_the_context_of_its_registration(run):
    async def main():
        got = []
        task = asyncio.create_task(turns(1))
        VAR.set("registration")
        task.add_done_callback(lambda task: got.append(VAR.get()))
        VAR.set("later")
        await task
        await turns(1)
        return got

    assert run(main) == ["registration"]


def test_done_callbacks_run_in_order_and_once(run):
    async def main():
        got = []
        future = asyncio.get_running_loop().create_future()
        for i in range(5):
            future.add_done_callback(lambda f, i=i: got.append(i))
        future.set_result(None)
        assert got == []
        await turns(1)
        return got

    assert run(main) == list(range(5))


def test_a_removed_done_callback_does_not_run(run):
    async def main():
        got = []
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(got.append)
        assert future.remove_done_callback(got.append) == 1
        future.set_result(None)
        await turns(2)
        return got

    assert run(main) == []


def test_the_name_of_a_task_can_change(run):
    async def main():
        task = asyncio.current_task()
        task.set_name("mine")
        assert task.get_name() == "mine" and "name='mine'" in repr(task)

    run(main)


def test_a_task_shows_its_coroutine_and_stack(run):
    async def main():
        coro = turns(2)
        task = asyncio.create_task(coro)
        await asyncio.sleep(0)
        assert task.get_coro() is coro
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["turns"]
        assert "turns()" in repr(task) and "pending" in repr(task)
        await task
        assert "finished" in repr(task)

    run(main)


def test_the_private_state_that_libraries_read(run):
    async def main():
        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(wait_for_it(future))
        await turns(2)
        assert task._fut_waiter is future
        assert task._must_cancel is False
        assert task._state == "PENDING" and task._log_destroy_pending is True
        ((callback, context),) = future._callbacks
        assert callable(callback) and isinstance(context, contextvars.Context)
        future.set_result(None)
        await task
        assert task._fut_waiter is None and task._state == "FINISHED"

    run(main)


def test_the_main_task_shows_the_callback_of_run_until_complete(run):
    # anyio finds the root task of a loop by it.
    async def main():
        callbacks = [callback for callback, _ in asyncio.current_task()._callbacks]
        return [(c.__module__, c.__name__) for c in callbacks]

    assert run(main) == [("asyncio.base_events", "_run_until_complete_cb")]


def test_a_future_may_be_awaited_by_many(run):
    async def main():
        future = asyncio.get_running_loop().create_future()
        tasks = [asyncio.create_task(wait_for_it(future)) for _ in range(5)]
        await turns(2)
        future.set_result("value")
        return await asyncio.gather(*tasks)

    assert run(main) == ["value"] * 5


def test_a_future_refuses_a_second_result(run):
    async def main():
        future = asyncio.get_running_loop().create_future()
        with pytest.raises(asyncio.InvalidStateError):
            future.result()
        future.set_result(1)
        with pytest.raises(asyncio.InvalidStateError):
            future.set_result(2)
        with pytest.raises(asyncio.InvalidStateError):
            future.set_exception(ValueError())

    run(main)


def test_a_task_that_awaits_itself_is_an_error(run):
    async def main():
        async def body():
            await task

        task = asyncio.create_task(body())
        with pytest.raises(RuntimeError, match="await on itself"):
            await task

    run(main)


def test_a_task_that_awaits_a_future_of_another_loop_is_an_error(run, loop_factory):
    async def main():
        other = loop_factory()
        try:
            with pytest.raises(RuntimeError, match="attached to a different loop"):
                await other.create_future()
        finally:
            other.close()

    run(main)


def test_a_task_that_yields_something_odd_is_an_error(run):
    class Odd:
        def __await__(self):
            yield "odd"

    async def main():
        with pytest.raises(RuntimeError, match="Task got bad yield: 'odd'"):
            await Odd()

    run(main)


def test_a_coroutine_that_is_awaited_twice_is_an_error(run):
    async def main():
        coro = turns(1)
        await coro
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await coro
        assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED

    run(main)
