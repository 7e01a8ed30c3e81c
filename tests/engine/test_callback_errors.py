"""Exceptions of callbacks: reports, exits that leave run_forever, the exception handler API."""

import asyncio
import contextvars
import sys

import pytest
from helpers import HandlerCalls, drain


def fail(*args):
    raise LookupError("from the callback")


def leave(kind):
    raise kind("leaving")


exits = pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])


def test_a_report_has_the_keys_and_message_of_asyncio(loop):
    calls = HandlerCalls.of(loop)
    handle = loop.call_soon(fail, 1)
    drain(loop, 1)
    (context,) = calls
    assert set(context) == {"message", "exception", "handle"}
    assert context["handle"] is handle
    assert isinstance(context["exception"], LookupError)
    assert context["message"].startswith("Exception in callback fail(")
    assert __file__ in context["message"]


def test_a_report_in_debug_mode_has_the_source_traceback(loop):
    calls = HandlerCalls.of(loop)
    loop.set_debug(True)
    loop.call_soon(fail)
    drain(loop, 1)
    (context,) = calls
    assert set(context) == {"message", "exception", "handle", "source_traceback"}
    assert context["source_traceback"][-1].name == (
        "test_a_report_in_debug_mode_has_the_source_traceback"
    )


def test_the_traceback_of_a_report_ends_in_the_callback(loop):
    calls = HandlerCalls.of(loop)
    loop.call_soon(fail)
    drain(loop, 1)
    traceback = calls[0]["exception"].__traceback__
    while traceback.tb_next:
        traceback = traceback.tb_next
    assert traceback.tb_frame.f_code.co_name == "fail"


def test_other_entries_run_after_a_failing_one(loop):
    calls, got = HandlerCalls(), []
    loop.set_exception_handler(calls)
    for i in range(5):
        loop.call_soon(fail)
        loop.call_soon(got.append, i)
    drain(loop, 1)
    assert got == list(range(5)) and len(calls) == 5


def test_without_a_handler_the_report_goes_to_the_log(loop, caplog, reports):
    loop.call_soon(fail)
    drain(loop, 1)
    (message,) = reports.take()
    assert message.startswith("Exception in callback fail(")
    assert "\nhandle: <Handle fail(" in message
    (record,) = [r for r in caplog.records if r.name == "asyncio"]
    assert record.levelname == "ERROR" and record.exc_info[0] is LookupError


def test_a_base_exception_that_is_no_exit_is_reported(loop):
    class Odd(BaseException):
        pass

    calls, got = HandlerCalls(), []
    loop.set_exception_handler(calls)
    loop.call_soon(leave, Odd)
    loop.call_soon(got.append, 1)
    drain(loop, 1)
    assert [type(e) for e in calls.exceptions] == [Odd]
    assert got == [1]


def test_a_cancelled_error_of_a_callback_is_reported(loop):
    calls = HandlerCalls.of(loop)
    loop.call_soon(leave, asyncio.CancelledError)
    drain(loop, 1)
    assert [type(e) for e in calls.exceptions] == [asyncio.CancelledError]


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration, GeneratorExit, RecursionError])
def test_an_exception_of_any_kind_is_reported(loop, kind):
    calls = HandlerCalls.of(loop)
    loop.call_soon(leave, kind)
    drain(loop, 1)
    assert [type(e) for e in calls.exceptions] == [kind]


def test_endless_recursion_in_a_callback_is_reported(loop):
    def recurse():
        recurse()

    calls = HandlerCalls.of(loop)
    loop.call_soon(recurse)
    drain(loop, 1)
    assert [type(e) for e in calls.exceptions] == [RecursionError]


@exits
def test_an_exit_leaves_run_forever(loop, kind):
    loop.call_soon(leave, kind)
    with pytest.raises(kind, match="leaving"):
        loop.run_forever()
    drain(loop)


@exits
def test_an_exit_keeps_the_rest_of_the_ready_entries(loop, kind):
    got = []
    loop.call_soon(got.append, 1)
    loop.call_soon(leave, kind)
    loop.call_soon(got.append, 2)
    loop.call_soon(got.append, 3)
    with pytest.raises(kind):
        loop.run_forever()
    assert got == [1]
    loop.call_soon(got.append, 4)
    drain(loop, 1)
    assert got == [1, 2, 3, 4]


@exits
def test_an_exit_keeps_what_its_turn_has_added(loop, kind):
    got = []
    loop.call_soon(lambda: loop.call_soon(got.append, "added"))
    loop.call_soon(leave, kind)
    loop.call_soon(got.append, "rest")
    with pytest.raises(kind):
        loop.run_forever()
    drain(loop, 2)
    assert got == ["rest", "added"]


@exits
def test_an_exit_from_a_timer_keeps_the_other_timers(loop, kind):
    got = []
    start = loop.time()
    loop.call_at(start - 3, got.append, 1)
    loop.call_at(start - 2, leave, kind)
    loop.call_at(start - 1, got.append, 2)
    loop.call_at(start + 0.001, got.append, 3)
    with pytest.raises(kind):
        loop.run_forever()
    loop.call_at(start + 0.002, loop.stop)
    loop.run_forever()
    assert got == [1, 2, 3]


@exits
def test_two_exits_leave_one_after_the_other(loop, kind):
    loop.call_soon(leave, kind)
    loop.call_soon(leave, kind)
    for _ in range(2):
        with pytest.raises(kind):
            loop.run_forever()
    drain(loop)


@exits
def test_an_exit_of_a_threadsafe_entry_leaves_run_forever(loop, kind):
    got = []
    loop.call_soon_threadsafe(leave, kind)
    loop.call_soon_threadsafe(got.append, 1)
    with pytest.raises(kind):
        loop.run_forever()
    drain(loop, 2)
    assert got == [1]


@exits
def test_a_stop_before_an_exit_is_not_kept(loop, kind):
    got = []
    loop.call_soon(loop.stop)
    loop.call_soon(leave, kind)
    with pytest.raises(kind):
        loop.run_forever()
    loop.call_soon(lambda: loop.call_soon(lambda: (got.append("second turn"), loop.stop())))
    loop.run_forever()
    assert got == ["second turn"]


# The API of the exception handler


def test_the_handler_gets_loop_and_context(loop):
    got = []
    loop.set_exception_handler(lambda *args: got.append(args))
    context = {"message": "mine", "anything": 1}
    loop.call_exception_handler(context)
    assert got == [(loop, context)]
    assert got[0][1] is context


def test_get_returns_what_was_set(loop):
    assert loop.get_exception_handler() is None
    handler = HandlerCalls.of(loop)
    assert loop.get_exception_handler() is handler
    loop.set_exception_handler(None)
    assert loop.get_exception_handler() is None


@pytest.mark.parametrize("handler", [1, "handler", object()])
def test_a_handler_that_is_not_callable_is_refused(loop, handler):
    with pytest.raises(TypeError, match="A callable object or None is expected"):
        loop.set_exception_handler(handler)
    assert loop.get_exception_handler() is None


def test_a_handler_that_raises_is_reported(loop, reports):
    def handler(loop, context):
        raise ZeroDivisionError

    loop.set_exception_handler(handler)
    loop.call_soon(fail)
    drain(loop, 1)
    (message,) = reports.take()
    assert message.startswith("Unhandled error in exception handler")


@exits
def test_an_exit_of_the_handler_leaves_run_forever(loop, kind):
    loop.set_exception_handler(lambda loop, context: leave(kind))
    loop.call_soon(fail)
    with pytest.raises(kind):
        loop.run_forever()
    drain(loop)


def test_a_default_handler_that_raises_is_reported(loop, reports):
    loop.default_exception_handler = fail
    loop.call_soon(fail)
    drain(loop, 1)
    (message,) = reports.take()
    assert message == "Exception in default exception handler"


def test_the_handler_may_set_another_handler(loop):
    second = HandlerCalls()
    loop.set_exception_handler(lambda loop, context: loop.set_exception_handler(second))
    loop.call_soon(fail)
    loop.call_soon(fail)
    drain(loop, 1)
    assert len(second) == 1


def test_the_default_handler_sorts_the_keys_and_takes_any(loop, reports):
    loop.default_exception_handler({"message": "mine", "zebra": 1, "apple": [2]})
    loop.default_exception_handler({})
    assert reports.take() == [
        "mine\napple: [2]\nzebra: 1",
        "Unhandled exception in event loop",
    ]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="since 3.12 it runs in the handle's context")
def test_the_handler_runs_in_the_context_of_the_handle(loop):
    var = contextvars.ContextVar("var", default="unset")
    context = contextvars.copy_context()
    context.run(var.set, "of the handle")
    got = []
    loop.set_exception_handler(lambda loop, context: got.append(var.get()))
    loop.call_soon(fail, context=context)
    drain(loop, 1)
    assert got == ["of the handle"]


def test_a_task_exception_nobody_retrieved_is_reported(loop):
    calls = HandlerCalls.of(loop)

    async def failing():
        fail()

    task = loop.create_task(failing())
    drain(loop)
    del task
    (context,) = calls
    assert context["message"] == "Task exception was never retrieved"
    assert isinstance(context["exception"], LookupError)


def handled(loop):
    """Pairs of what is being handled while the exception handler runs, and what it is told."""
    found = []

    def handler(loop, context):
        found.append((sys.exc_info()[1], context["exception"]))

    loop.set_exception_handler(handler)
    return found


def test_an_exception_handler_runs_while_the_exception_is_handled(loop):
    found = handled(loop)
    loop.call_soon(fail)
    loop.call_later(0, fail)
    loop.create_future().add_done_callback(fail)
    drain(loop, 3)
    assert len(found) == 2
    assert all(seen is told for seen, told in found)
    assert sys.exc_info()[1] is None


def test_a_run_inside_of_an_except_clause_keeps_its_exception(loop):
    found = handled(loop)
    try:
        raise KeyError("outside")
    except KeyError as outside:
        loop.call_soon(fail)
        drain(loop, 1)
        assert sys.exc_info()[1] is outside
    ((seen, told),) = found
    assert seen is told


@exits
def test_what_leaves_an_exception_handler_has_the_exception_as_its_context(loop, kind):
    def handler(loop, context):
        raise kind("leaving")

    loop.set_exception_handler(handler)
    loop.call_soon(fail)
    with pytest.raises(kind) as left:
        drain(loop, 1)
    assert isinstance(left.value.__context__, LookupError)
    loop.set_exception_handler(None)


def test_a_handler_may_raise_the_exception_again(loop, reports):
    def handler(loop, context):
        raise  # what is being handled

    loop.set_exception_handler(handler)
    loop.call_soon(fail)
    drain(loop, 1)
    (record,) = reports.take()
    assert record.startswith("Unhandled error in exception handler")
    loop.set_exception_handler(None)
