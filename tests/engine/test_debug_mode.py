"""Debug mode: thread checks, slow callbacks, tracebacks, and how it is switched on."""

import asyncio
import gc
import sys
import threading
import time
import warnings

import pytest
from helpers import HANG, drain


@pytest.fixture
def debug_loop(loop):
    """A loop in debug mode that finds no callback slow."""
    loop.set_debug(True)
    loop.slow_callback_duration = HANG
    return loop


def test_debug_is_off_by_default(loop):
    assert loop.get_debug() is False


def test_set_debug_is_seen_by_get_debug_and_repr(loop):
    loop.set_debug(True)
    assert loop.get_debug() is True and "debug=True" in repr(loop)
    loop.set_debug(False)
    assert loop.get_debug() is False and "debug=False" in repr(loop)


def test_slow_callback_duration_is_an_attribute(loop):
    assert loop.slow_callback_duration == 0.1
    loop.slow_callback_duration = 7
    assert loop.slow_callback_duration == 7


# The thread check


def from_a_thread(function):
    """Call *function* in a thread; return what it raised."""
    raised = []

    def call():
        try:
            function()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return raised[0] if raised else None


NOT_THREADSAFE = {
    "call_soon": lambda loop: loop.call_soon(print),
    "call_later": lambda loop: loop.call_later(1, print),
    "call_at": lambda loop: loop.call_at(1, print),
}


@pytest.mark.parametrize("name", NOT_THREADSAFE)
def test_a_call_from_another_thread_is_refused(debug_loop, name):
    errors = []
    debug_loop.call_soon(
        lambda: errors.append(from_a_thread(lambda: NOT_THREADSAFE[name](debug_loop)))
    )
    drain(debug_loop)
    (error,) = errors
    assert isinstance(error, RuntimeError)
    assert str(error) == (
        "Non-thread-safe operation invoked on an event loop other than the current one"
    )


@pytest.mark.parametrize("name", NOT_THREADSAFE)
def test_without_debug_mode_no_thread_is_checked(loop, name):
    assert from_a_thread(lambda: NOT_THREADSAFE[name](loop)) is None


@pytest.mark.parametrize("name", NOT_THREADSAFE)
def test_a_loop_that_does_not_run_takes_calls_from_any_thread(debug_loop, name):
    assert from_a_thread(lambda: NOT_THREADSAFE[name](debug_loop)) is None


def test_call_soon_threadsafe_is_not_checked(debug_loop):
    errors = []
    debug_loop.call_soon(
        lambda: errors.append(from_a_thread(lambda: debug_loop.call_soon_threadsafe(int)))
    )
    drain(debug_loop)
    assert errors == [None]


def test_a_call_from_a_callback_of_another_loop_is_refused(debug_loop, loop_factory):
    # Both loops run, in two threads.
    started, done = threading.Event(), threading.Event()
    errors = []

    def run():
        debug_loop.call_soon(started.set)
        debug_loop.run_forever()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(HANG)
    other = loop_factory()

    async def main():
        try:
            debug_loop.call_soon(print)
        except RuntimeError as error:
            errors.append(str(error))

    other.run_until_complete(main())
    other.close()
    done.set()
    debug_loop.call_soon_threadsafe(debug_loop.stop)
    thread.join()
    assert len(errors) == 1 and errors[0].startswith("Non-thread-safe operation")


# Callables are checked


async def coroutine_function():
    pass


# call_later says call_at, as it does in asyncio, which passes it on.
CALLS = {
    "call_soon": lambda loop, callback: loop.call_soon(callback),
    "call_soon_threadsafe": lambda loop, callback: loop.call_soon_threadsafe(callback),
    "call_later": lambda loop, callback: loop.call_later(1, callback),
    "call_at": lambda loop, callback: loop.call_at(1, callback),
    "run_in_executor": lambda loop, callback: loop.run_in_executor(None, callback),
}


def refusal(text, name):
    return rf"{text} {name.replace('call_later', 'call_at')}\(\)"


@pytest.mark.parametrize("name", CALLS)
def test_a_coroutine_function_as_callback_is_refused(debug_loop, name):
    with pytest.raises(TypeError, match=refusal("coroutines cannot be used with", name)):
        CALLS[name](debug_loop, coroutine_function)


@pytest.mark.parametrize("name", CALLS)
def test_a_coroutine_as_callback_is_refused(debug_loop, name):
    coro = coroutine_function()
    with pytest.raises(TypeError, match=refusal("coroutines cannot be used with", name)):
        CALLS[name](debug_loop, coro)
    coro.close()


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("callback", [None, 1, "callback", object()])
def test_a_callback_that_is_not_callable_is_refused(debug_loop, name, callback):
    with pytest.raises(TypeError, match=refusal("a callable object was expected by", name)):
        CALLS[name](debug_loop, callback)


# Slow callbacks


def test_a_slow_callback_is_reported(loop, reports):
    loop.set_debug(True)
    loop.slow_callback_duration = 0.001

    def slow():
        time.sleep(0.002)

    loop.call_soon(slow)
    drain(loop, 1)
    messages = [r.getMessage() for r in reports.slow]
    assert any(m.startswith("Executing <Handle ") and "slow" in m for m in messages)
    assert all(m.endswith(" seconds") for m in messages)


def test_a_slow_step_of_a_task_is_reported_with_the_task(loop, reports):
    loop.set_debug(True)
    loop.slow_callback_duration = 0.001

    async def slow():
        time.sleep(0.002)

    loop.run_until_complete(slow())
    messages = [r.getMessage() for r in reports.slow]
    assert any("Executing <Task " in m and "slow()" in m for m in messages)


def test_no_callback_is_slow_without_debug_mode(loop, reports):
    loop.slow_callback_duration = 0
    loop.call_soon(time.sleep, 0.001)
    drain(loop, 1)
    assert reports.slow == []


def test_a_callback_below_the_threshold_is_not_reported(debug_loop, reports):
    debug_loop.call_soon(time.sleep, 0.001)
    drain(debug_loop, 1)
    assert reports.slow == []


# Tracebacks


def test_handles_know_where_they_were_created(debug_loop):
    for handle in (
        debug_loop.call_soon(print),
        debug_loop.call_later(1, print),
        debug_loop.call_at(1, print),
        debug_loop.call_soon_threadsafe(print),
    ):
        last = handle._source_traceback[-1]
        assert last.filename == __file__
        assert last.name == "test_handles_know_where_they_were_created"
        handle.cancel()


def test_futures_and_tasks_know_where_they_were_created(debug_loop):
    future = debug_loop.create_future()
    task = debug_loop.create_task(coroutine_function())
    for thing in (future, task):
        names = [frame.name for frame in thing._source_traceback]
        assert "test_futures_and_tasks_know_where_they_were_created" in names
    debug_loop.run_until_complete(task)


def test_coroutines_know_where_they_were_created_while_a_debug_loop_runs(debug_loop):
    async def main():
        coro = coroutine_function()
        origin = coro.cr_origin
        coro.close()
        return origin

    assert debug_loop.run_until_complete(main()) is not None
    coro = coroutine_function()
    assert coro.cr_origin is None
    coro.close()
    assert sys.get_coroutine_origin_tracking_depth() == 0


def test_debug_mode_may_be_switched_while_the_loop_runs(loop):
    async def main(debug):
        loop.set_debug(debug)
        await asyncio.sleep(0)
        coro = coroutine_function()
        tracked = coro.cr_origin is not None
        coro.close()
        return tracked

    loop.slow_callback_duration = HANG
    assert loop.run_until_complete(main(True)) is True
    assert loop.run_until_complete(main(False)) is False
    assert sys.get_coroutine_origin_tracking_depth() == 0


def test_the_order_of_callbacks_is_that_of_the_fast_path(debug_loop):
    got = []

    def first():
        got.append(1)
        debug_loop.call_soon(got.append, 4)
        debug_loop.stop()

    debug_loop.call_soon(first)
    debug_loop.call_soon(got.append, 2)
    handle = debug_loop.call_soon(got.append, "cancelled")
    handle.cancel()
    debug_loop.call_soon(got.append, 3)
    debug_loop.run_forever()
    assert got == [1, 2, 3]
    drain(debug_loop, 1)
    assert got == [1, 2, 3, 4]


def test_timers_fire_in_debug_mode(debug_loop):
    got = []
    start = debug_loop.time()
    for ms in (3, 1, 2):
        debug_loop.call_at(start + ms / 1000, got.append, ms)
    debug_loop.call_at(start + 0.004, debug_loop.stop)
    debug_loop.run_forever()
    assert got == [1, 2, 3]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_keeps_the_ready_entries_in_debug_mode(debug_loop, kind):
    def leave():
        raise kind

    got = []
    debug_loop.call_soon(leave)
    debug_loop.call_soon(got.append, 1)
    with pytest.raises(kind):
        debug_loop.run_forever()
    drain(debug_loop, 1)
    assert got == [1]


def test_an_async_generator_dropped_in_debug_mode(debug_loop):
    # Finalized while its frame is being torn down.
    got = []

    async def generator():
        try:
            yield 1
        finally:
            got.append("finalized")

    async def main():
        async for _ in generator():
            break
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    debug_loop.run_until_complete(main())
    debug_loop.run_until_complete(debug_loop.shutdown_asyncgens())
    assert got == ["finalized"]


# How it is switched on

SHOW = "loop = new_event_loop(); print(loop.get_debug()); loop.close()"


@pytest.mark.parametrize(
    ("flags", "env", "debug"),
    [
        ((), {}, False),
        ((), {"PYTHONASYNCIODEBUG": "1"}, True),
        ((), {"PYTHONASYNCIODEBUG": ""}, False),
        (("-X", "dev"), {}, True),
        ((), {"PYTHONDEVMODE": "1"}, True),
    ],
    ids=["plain", "variable", "empty variable", "-X dev", "dev variable"],
)
def test_debug_mode_comes_from_the_interpreter(child, flags, env, debug):
    with child(SHOW, *flags, env=env) as process:
        assert process.finish() == (0, f"{debug}\n", "")


def test_a_runner_switches_debug_mode(loop_factory):
    for debug in (True, False):
        with asyncio.Runner(loop_factory=loop_factory, debug=debug) as runner:
            assert runner.get_loop().get_debug() is debug


def test_a_program_runs_clean_in_dev_mode(child):
    source = """
        import asyncio, logging
        logging.getLogger("asyncio").setLevel(logging.ERROR)  # whatever took its time
        async def main():
            loop = asyncio.get_running_loop()
            assert loop.get_debug()
            async with asyncio.TaskGroup() as group:
                for _ in range(10):
                    group.create_task(asyncio.sleep(0.001))
            await asyncio.to_thread(int)
            print("done")
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(main())
    """
    with child(source, "-X", "dev", "-W", "error") as process:
        assert process.finish() == (0, "done\n", "")


# Loops that are dropped, in and out of debug mode


@pytest.mark.parametrize("debug", [False, True])
def test_a_dropped_loop_is_a_resource_warning_and_is_closed(loop_factory, debug):
    loop = loop_factory()
    loop.set_debug(debug)
    loop.call_later(1, print)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del loop
        gc.collect()
    (warning,) = caught
    assert warning.category is ResourceWarning
    text = str(warning.message)
    assert text.startswith("unclosed event loop <")
    assert f"running=False closed=False debug={debug}>" in text


def test_a_closed_loop_is_dropped_without_a_warning(loop_factory):
    loop = loop_factory()
    loop.call_soon(print)
    loop.close()
    del loop
    gc.collect()
