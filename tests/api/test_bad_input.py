"""Bad calls raise what asyncio raises, and the loop goes on.

Each call is made on both loops; what it raises at once, and what is reported when the loop
then runs, must be of the same types.
"""

import asyncio
import signal
from concurrent.futures import Executor

import pytest
from helpers import HANG, HandlerCalls, drain, only_pyaio

BAD_CALLS = {
    # Wrong number and names of arguments
    "call_soon()": lambda loop: loop.call_soon(),
    "call_soon(f, unknown=1)": lambda loop: loop.call_soon(print, unknown=1),
    "call_soon(context=None)": lambda loop: loop.call_soon(context=None),
    "call_soon_threadsafe()": lambda loop: loop.call_soon_threadsafe(),
    "call_later()": lambda loop: loop.call_later(),
    "call_later(1)": lambda loop: loop.call_later(1),
    "call_later(1, f, unknown=1)": lambda loop: loop.call_later(1, print, unknown=1),
    "call_at()": lambda loop: loop.call_at(),
    "call_at(1)": lambda loop: loop.call_at(1),
    "time(1)": lambda loop: loop.time(1),
    "stop(1)": lambda loop: loop.stop(1),
    "close(1)": lambda loop: loop.close(1),
    "is_running(1)": lambda loop: loop.is_running(1),
    "is_closed(1)": lambda loop: loop.is_closed(1),
    "get_debug(1)": lambda loop: loop.get_debug(1),
    "set_debug()": lambda loop: loop.set_debug(),
    "run_forever(1)": lambda loop: loop.run_forever(1),
    "run_until_complete()": lambda loop: loop.run_until_complete(),
    "create_future(1)": lambda loop: loop.create_future(1),
    "create_task()": lambda loop: loop.create_task(),
    "run_in_executor()": lambda loop: loop.run_in_executor(),
    "run_in_executor(None)": lambda loop: loop.run_in_executor(None),
    "set_exception_handler()": lambda loop: loop.set_exception_handler(),
    "call_exception_handler()": lambda loop: loop.call_exception_handler(),
    # Callbacks that cannot be called: an error now, or a report when their turn comes
    "call_soon(None)": lambda loop: loop.call_soon(None),
    "call_soon(1)": lambda loop: loop.call_soon(1),
    "call_soon('text', 1)": lambda loop: loop.call_soon("text", 1),
    "call_soon_threadsafe(None)": lambda loop: loop.call_soon_threadsafe(None),
    "call_later(0, None)": lambda loop: loop.call_later(0, None),
    "call_at(0, None)": lambda loop: loop.call_at(0, None),
    "call_soon(f, too, many)": lambda loop: loop.call_soon(int, 1, 2, 3),
    "call_soon(f, too few)": lambda loop: loop.call_soon(divmod),
    # Delays
    "call_later(None, f)": lambda loop: loop.call_later(None, print),
    "call_later('1', f)": lambda loop: loop.call_later("1", print),
    "call_later(b'1', f)": lambda loop: loop.call_later(b"1", print),
    "call_later([], f)": lambda loop: loop.call_later([], print),
    "call_later(f, 1)": lambda loop: loop.call_later(print, 1),
    "call_later(10**400, f)": lambda loop: loop.call_later(10**400, print),
    "call_at(None, f)": lambda loop: loop.call_at(None, print),
    # Handlers and factories
    "set_exception_handler(1)": lambda loop: loop.set_exception_handler(1),
    "set_task_factory(1)": lambda loop: loop.set_task_factory(1),
    "set_default_executor(1)": lambda loop: loop.set_default_executor(1),
    "set_default_executor(None)": lambda loop: loop.set_default_executor(None),
    "set_default_executor(abstract)": lambda loop: loop.set_default_executor(Executor()),
    # Tasks
    "create_task(None)": lambda loop: loop.create_task(None),
    "create_task(1)": lambda loop: loop.create_task(1),
    "create_task(function)": lambda loop: loop.create_task(coroutine_function),
    "create_task(future)": lambda loop: loop.create_task(loop.create_future()),
    "run_until_complete(None)": lambda loop: loop.run_until_complete(None),
    "run_until_complete(1)": lambda loop: loop.run_until_complete(1),
    "run_until_complete(function)": lambda loop: loop.run_until_complete(coroutine_function),
    # Executors
    "run_in_executor(1, f)": lambda loop: loop.run_in_executor(1, print),
    "run_in_executor(None, None)": lambda loop: finish(loop, loop.run_in_executor(None, None)),
    # Signals
    "add_signal_handler()": lambda loop: loop.add_signal_handler(),
    "add_signal_handler(10)": lambda loop: loop.add_signal_handler(10),
    "add_signal_handler('USR1', f)": lambda loop: loop.add_signal_handler("USR1", print),
    "add_signal_handler(None, f)": lambda loop: loop.add_signal_handler(None, print),
    "add_signal_handler(-1, f)": lambda loop: loop.add_signal_handler(-1, print),
    "add_signal_handler(0, f)": lambda loop: loop.add_signal_handler(0, print),
    "add_signal_handler(999, f)": lambda loop: loop.add_signal_handler(999, print),
    "add_signal_handler(2**70, f)": lambda loop: loop.add_signal_handler(2**70, print),
    "add_signal_handler(KILL, f)": lambda loop: loop.add_signal_handler(signal.SIGKILL, print),
    "add_signal_handler(USR1, coroutine)": lambda loop: loop.add_signal_handler(
        signal.SIGUSR1, coroutine_function
    ),
    "remove_signal_handler('USR1')": lambda loop: loop.remove_signal_handler("USR1"),
    "remove_signal_handler(999)": lambda loop: loop.remove_signal_handler(999),
    # Watchers
    "add_reader('fd', f)": lambda loop: loop.add_reader("fd", print),
    "add_reader(None, f)": lambda loop: loop.add_reader(None, print),
    "add_reader(-1, f)": lambda loop: loop.add_reader(-1, print),
    "add_reader(unopened, f)": lambda loop: loop.add_reader(10**6, print),
    "add_reader(2**70, f)": lambda loop: loop.add_reader(2**70, print),
    "add_reader(0)": lambda loop: loop.add_reader(0),
    "add_writer(-1, f)": lambda loop: loop.add_writer(-1, print),
    "remove_reader('fd')": lambda loop: loop.remove_reader("fd"),
    "remove_reader(-1)": lambda loop: loop.remove_reader(-1),
    "remove_writer(unopened)": lambda loop: loop.remove_writer(10**6),
}


async def coroutine_function():
    pass


def finish(loop, future):
    async def main():
        await asyncio.wait_for(future, HANG)

    try:
        loop.run_until_complete(main())
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())


def outcome(factory, call, debug):
    """Make *call* on a new loop; return the types of what it raises and reports."""
    loop = factory()
    loop.set_debug(debug)
    loop.slow_callback_duration = HANG
    reported = HandlerCalls.of(loop)
    try:
        raised = None
        try:
            call(loop)
        except Exception as error:
            raised = type(error)
        drain(loop, 4)
        assert loop.run_until_complete(asyncio.sleep(0.0001, "goes on")) == "goes on"
        return raised, [type(error) for error in reported.exceptions]
    finally:
        loop.close()


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
@pytest.mark.parametrize("call", BAD_CALLS.values(), ids=BAD_CALLS)
def test_a_bad_call_raises_what_asyncio_raises(loop_factories, call, debug):
    expected = outcome(loop_factories["asyncio"], call, debug)
    assert outcome(loop_factories["pyaio"], call, debug) == expected


@pytest.mark.parametrize("call", BAD_CALLS.values(), ids=BAD_CALLS)
def test_the_table_holds_bad_calls_only(call):
    # Guards the test above: a call that asyncio does not mind would compare nothing.
    harmless = {BAD_CALLS["remove_writer(unopened)"]}
    raised, reported = outcome(asyncio.SelectorEventLoop, call, False)
    assert raised or reported or call in harmless


@pytest.mark.parametrize("context", [1, "context", object()])
def test_a_context_that_is_none_is_an_error_now_or_a_report(loop, context):
    calls, got = HandlerCalls(), []
    loop.set_exception_handler(calls)
    raised = []
    try:
        loop.call_soon(got.append, 1, context=context)
    except TypeError as error:
        raised.append(error)
    drain(loop, 2)
    assert got == [] and len(raised) + len(calls) == 1


@only_pyaio
@pytest.mark.parametrize("when", ["1", b"1", [], object()])
def test_a_time_that_is_no_number_is_refused_at_once(loop, when):
    # pyaio only: asyncio takes it, and fails in the middle of a later turn.
    with pytest.raises(TypeError):
        loop.call_at(when, print)
    drain(loop)


@only_pyaio
@pytest.mark.parametrize("name", ["call_later", "call_at"])
def test_nan_is_refused(loop, name):
    # pyaio only: in asyncio a NaN fires at once, and disorders the heap of timers.
    with pytest.raises(ValueError):
        getattr(loop, name)(float("nan"), print)
    drain(loop)
