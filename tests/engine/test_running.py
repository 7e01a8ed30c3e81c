"""run_forever, run_until_complete and stop; a loop that runs already."""

import asyncio
import threading

import pytest
from helpers import HANG, drain


def test_stop_lets_the_entries_of_its_turn_run(loop):
    got = []
    loop.call_soon(loop.stop)
    loop.call_soon(got.append, "this turn")
    loop.run_forever()
    assert got == ["this turn"]


def test_stop_leaves_what_was_added_during_its_turn_for_the_next_run(loop):
    got = []

    def stop():
        loop.stop()
        loop.call_soon(got.append, "next run")

    loop.call_soon(stop)
    loop.run_forever()
    assert got == []
    drain(loop, 1)
    assert got == ["next run"]


def test_stop_before_run_forever_runs_one_turn(loop):
    got = []
    loop.call_soon(got.append, 1)
    loop.call_soon(lambda: loop.call_soon(got.append, 2))
    loop.stop()
    loop.run_forever()
    assert got == [1]
    drain(loop, 1)
    assert got == [1, 2]


def test_stop_before_run_forever_still_polls(loop):
    got = []
    loop.call_later(-1, got.append, "due")
    loop.stop()
    loop.run_forever()
    drain(loop, 1)
    assert got == ["due"]


def test_stop_twice_is_stop_once(loop):
    got = []
    loop.stop()
    loop.stop()
    loop.run_forever()
    loop.call_soon(got.append, 1)
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert got == [1]


def test_stop_from_a_thread_by_call_soon_threadsafe(loop):
    thread = threading.Timer(0.001, loop.call_soon_threadsafe, (loop.stop,))
    thread.start()
    loop.run_forever()
    thread.join()
    assert not loop.is_running()


def test_run_forever_returns_none_and_can_run_again(loop):
    for _ in range(3):
        loop.call_soon(loop.stop)
        assert loop.run_forever() is None


def test_the_loop_is_current_only_while_it_runs(loop):
    got = []
    loop.call_soon(lambda: got.append((asyncio.get_running_loop(), loop.is_running())))
    drain(loop, 1)
    assert got == [(loop, True)]
    assert not loop.is_running()
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def test_the_running_loop_is_reset_after_an_exception(loop):
    def interrupt():
        raise KeyboardInterrupt

    loop.call_soon(interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert not loop.is_running()
    assert asyncio._get_running_loop() is None
    assert loop.run_until_complete(asyncio.sleep(0, "again")) == "again"


# run_until_complete


def test_run_until_complete_returns_the_result(loop):
    async def main():
        await asyncio.sleep(0)
        return "result"

    assert loop.run_until_complete(main()) == "result"


def test_run_until_complete_raises_the_exception(loop):
    async def main():
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        loop.run_until_complete(main())


def test_run_until_complete_takes_a_future(loop):
    future = loop.create_future()
    loop.call_later(0.0001, future.set_result, "value")
    assert loop.run_until_complete(future) == "value"


def test_run_until_complete_of_a_done_future_runs_a_turn(loop):
    got = []
    future = loop.create_future()
    future.set_result("value")
    loop.call_soon(got.append, 1)
    assert loop.run_until_complete(future) == "value"
    assert got == [1]


def test_run_until_complete_takes_any_awaitable(loop):
    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "awaited"

    assert loop.run_until_complete(Awaitable()) == "awaited"


def test_run_until_complete_leaves_other_tasks_pending(loop):
    async def forever():
        await loop.create_future()

    other = loop.create_task(forever())
    loop.run_until_complete(asyncio.sleep(0))
    assert not other.done()
    other.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(other)


def test_run_until_complete_with_a_pending_stop(loop):
    async def main():
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop.stop()
    task = loop.create_task(main())
    with pytest.raises(RuntimeError, match=r"^Event loop stopped before Future completed.$"):
        loop.run_until_complete(task)
    assert not task.done()
    loop.run_until_complete(task)


def test_run_until_complete_stopped_by_a_callback(loop):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match="Event loop stopped before Future completed"):
        loop.run_until_complete(future)


def test_run_until_complete_of_a_future_of_another_loop(loop, loop_factory):
    other = loop_factory()
    future = other.create_future()
    with pytest.raises(ValueError, match="belongs to a different loop"):
        loop.run_until_complete(future)
    other.close()


@pytest.mark.parametrize("thing", [None, 1, print, lambda: None, [], asyncio.sleep])
def test_run_until_complete_of_something_else_is_a_type_error(loop, thing):
    with pytest.raises(TypeError):
        loop.run_until_complete(thing)


def test_run_until_complete_removes_its_done_callback(loop):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError):
        loop.run_until_complete(future)
    future.set_result(None)
    got = []
    loop.call_soon(lambda: loop.call_soon(got.append, "second turn"))
    loop.call_soon(lambda: loop.call_soon(lambda: loop.call_soon(loop.stop)))
    loop.run_forever()
    assert got == ["second turn"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_of_the_main_task_leaves_run_until_complete(loop, kind):
    async def main():
        raise kind("from main")

    with pytest.raises(kind, match="from main"):
        loop.run_until_complete(main())
    assert loop.run_until_complete(asyncio.sleep(0, 1)) == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_of_another_task_leaves_run_until_complete(loop, kind):
    async def other():
        raise kind

    async def main():
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "done"

    task = loop.create_task(main())
    leaver = loop.create_task(other())
    with pytest.raises(kind):
        loop.run_until_complete(task)
    assert loop.run_until_complete(task) == "done"
    assert isinstance(leaver.exception(), kind)


# A loop that runs already


def in_callback(loop, function):
    """Call *function* from a callback of the running loop; return what it raised."""
    raised = []

    def call():
        try:
            function()
        except Exception as error:
            raised.append(error)
        loop.stop()

    loop.call_soon(call)
    loop.run_forever()
    return raised[0] if raised else None


def test_a_second_run_forever_inside_the_first_is_refused(loop):
    error = in_callback(loop, loop.run_forever)
    assert isinstance(error, RuntimeError) and str(error) == "This event loop is already running"
    drain(loop)


def test_run_until_complete_inside_run_forever_is_refused(loop):
    future = loop.create_future()
    error = in_callback(loop, lambda: loop.run_until_complete(future))
    assert isinstance(error, RuntimeError) and str(error) == "This event loop is already running"


def test_running_another_loop_inside_a_running_one_is_refused(loop, loop_factory):
    other = loop_factory()
    error = in_callback(loop, other.run_forever)
    assert isinstance(error, RuntimeError)
    assert str(error) == "Cannot run the event loop while another loop is running"
    assert not other.is_running()
    drain(other)
    other.close()


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("run_forever", "This event loop is already running"),
        ("close", "Cannot close a running event loop"),
    ],
)
def test_running_and_closing_it_from_another_thread_is_refused(loop, method, message):
    errors = []

    def call():
        try:
            getattr(loop, method)()
        except RuntimeError as error:
            errors.append(str(error))
        loop.call_soon_threadsafe(loop.stop)

    loop.call_soon(threading.Thread(target=call).start)
    loop.run_forever()
    assert errors == [message]


def test_a_loop_may_run_in_different_threads_one_after_the_other(loop):
    got = []

    def run():
        got.append(loop.run_until_complete(asyncio.sleep(0.0001, threading.get_ident())))

    for _ in range(3):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    run()
    assert got[-1] == threading.get_ident() and len(got) == 4


def test_a_loop_made_in_a_thread_runs_in_another(loop_factory):
    made = []
    thread = threading.Thread(target=lambda: made.append(loop_factory()))
    thread.start()
    thread.join()
    (loop,) = made
    assert loop.run_until_complete(asyncio.sleep(0.0001, "value")) == "value"
    loop.close()


def test_loops_in_several_threads_run_at_once(loop_factory):
    barrier = threading.Barrier(5)
    got = []

    async def main(number):
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(barrier.wait, HANG)  # all five run now
        for _ in range(100):
            await asyncio.sleep(0)
            assert asyncio.get_running_loop() is loop
        got.append(number)

    def run(number):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(5))


# close


def test_close_while_running_is_refused(loop):
    error = in_callback(loop, loop.close)
    assert isinstance(error, RuntimeError) and str(error) == "Cannot close a running event loop"
    assert not loop.is_closed()
    drain(loop)


def test_close_twice_is_harmless(loop):
    assert not loop.is_closed()
    loop.close()
    assert loop.is_closed()
    loop.close()
    assert loop.is_closed()


def test_a_loop_that_never_ran_closes(loop_factory):
    loop = loop_factory()
    loop.call_soon(print)
    loop.call_later(1, print)
    loop.close()
    assert loop.is_closed() and not loop.is_running()


def test_close_drops_ready_entries_without_running_them(loop):
    got = []
    loop.call_soon(got.append, 1)
    loop.close()
    assert got == []


def test_a_finalizer_that_runs_in_close_may_use_the_loop(loop):
    # The argument of a dropped entry is finalized in the middle of close().
    seen = []

    class Argument:
        def __del__(self):
            seen.append(loop.is_closed())
            try:
                loop.call_soon(print)
            except RuntimeError as error:
                seen.append(str(error))

    loop.call_soon(print, Argument())
    loop.call_later(1, print, Argument())
    loop.close()
    assert seen == [True, "Event loop is closed"] * 2


async def coroutine():
    pass


CALLS_ON_CLOSED = {
    "run_forever": lambda loop: loop.run_forever(),
    "run_until_complete": lambda loop: loop.run_until_complete(loop.create_future()),
    "call_soon": lambda loop: loop.call_soon(print),
    "call_soon_threadsafe": lambda loop: loop.call_soon_threadsafe(print),
    "call_later": lambda loop: loop.call_later(1, print),
    "call_at": lambda loop: loop.call_at(1, print),
    "run_in_executor": lambda loop: loop.run_in_executor(None, print),
    "add_signal_handler": lambda loop: loop.add_signal_handler(10, print),
}


@pytest.mark.parametrize("name", CALLS_ON_CLOSED)
def test_a_closed_loop_refuses(loop, name):
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        CALLS_ON_CLOSED[name](loop)


def test_a_closed_loop_refuses_create_task(loop):
    loop.close()
    coro = coroutine()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.create_task(coro)
    coro.close()


def test_a_closed_loop_refuses_run_until_complete_of_a_coroutine(loop):
    loop.close()
    coro = coroutine()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.run_until_complete(coro)
    coro.close()


def test_a_closed_loop_still_answers(loop):
    loop.close()
    assert loop.is_closed() and not loop.is_running()
    assert isinstance(loop.time(), float)
    assert loop.get_debug() is False
    assert loop.get_exception_handler() is None
    assert "closed=True" in repr(loop)
    loop.stop()
    loop.create_future()
