"""Handle and TimerHandle: what call_soon and call_later return."""

import asyncio
import contextlib
import contextvars
import gc
import sys
import weakref

import pytest
from helpers import drain


def callback(*args):
    pass


def soon(loop, function=callback, *args, **kwargs):
    return loop.call_soon(function, *args, **kwargs)


def later(loop, function=callback, *args, **kwargs):
    return loop.call_later(0, function, *args, **kwargs)


def at(loop, function=callback, *args, **kwargs):
    return loop.call_at(loop.time(), function, *args, **kwargs)


def threadsafe(loop, function=callback, *args, **kwargs):
    return loop.call_soon_threadsafe(function, *args, **kwargs)


any_call = pytest.mark.parametrize("call", [soon, threadsafe, later, at])
any_soon = pytest.mark.parametrize("call", [soon, threadsafe])


def drain_timers(loop):
    """Run until what was due when this was called has run."""
    loop.call_later(0.001, loop.stop)
    loop.run_forever()


def test_call_soon_returns_a_handle(loop):
    handle = soon(loop)
    assert isinstance(handle, asyncio.Handle)
    assert not isinstance(handle, asyncio.TimerHandle)
    assert isinstance(threadsafe(loop), asyncio.Handle)


@pytest.mark.parametrize("delay", [1, 0, -1, 0.5, True])
def test_call_later_always_returns_a_timer_handle(loop, delay):
    before = loop.time()
    handle = loop.call_later(delay, callback)
    assert isinstance(handle, asyncio.TimerHandle)
    assert before + delay <= handle.when() <= loop.time() + delay


def test_call_at_returns_a_timer_handle_with_its_time(loop):
    when = loop.time() + 0.25
    handle = loop.call_at(when, callback)
    assert isinstance(handle, asyncio.TimerHandle)
    assert handle.when() == when


@any_call
def test_a_cancelled_handle_does_not_run(loop, call):
    got = []
    handle = call(loop, got.append, 1)
    assert not handle.cancelled()
    assert handle.cancel() is None
    assert handle.cancelled()
    handle.cancel()
    drain_timers(loop)
    assert got == []


@any_call
def test_cancel_after_the_call_is_harmless(loop, call):
    got = []
    handle = call(loop, got.append, 1)
    drain_timers(loop)
    assert not handle.cancelled()
    handle.cancel()
    assert handle.cancelled()
    drain_timers(loop)
    assert got == [1]


@any_call
def test_an_entry_can_cancel_a_later_one_of_its_turn(loop, call):
    got = []
    first = call(loop, lambda: second.cancel())
    second = call(loop, got.append, 1)
    if isinstance(first, asyncio.TimerHandle):
        assert first.when() <= second.when()
    drain_timers(loop)
    assert got == []


@any_call
def test_a_handle_may_be_cancelled_inside_its_own_callback(loop, call):
    got = []

    def run():
        handle.cancel()
        got.append(handle.cancelled())

    handle = call(loop, run)
    drain_timers(loop)
    assert got == [True]


@any_call
def test_a_handle_may_drop_its_own_last_reference(loop, call):
    got = []
    handles = []
    handles.append(call(loop, lambda: (handles.clear(), gc.collect(), got.append(1))))
    drain_timers(loop)
    assert got == [1]


@any_call
def test_a_callable_survives_losing_its_last_reference_while_it_runs(loop, call):
    got = []

    class Callee:
        def __init__(self):
            self.payload = list(range(1000))

        def __call__(self, argument):
            handles.pop().cancel()  # drops the callable and its argument
            gc.collect()
            got.append((len(self.payload), argument))

    handles = [call(loop, Callee(), "argument")]
    drain_timers(loop)
    assert got == [(1000, "argument")]


@any_call
def test_cancel_drops_callback_and_arguments_at_once(loop, call):
    class Argument:
        pass

    argument = Argument()
    alive = weakref.ref(argument)
    handle = call(loop, callback, argument)
    del argument
    handle.cancel()
    assert alive() is None


@any_soon
def test_what_was_called_is_dropped_before_the_next_callback(loop, call):
    class Argument:
        pass

    argument = Argument()
    alive = weakref.ref(argument)
    seen = []
    call(loop, callback, argument)
    call(loop, lambda: seen.append(alive()))
    del argument
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == [None]


@any_soon
def test_a_finalizer_of_what_was_called_may_schedule(loop, call):
    """The handle is on its way out then: the new one must be another."""
    seen = []

    class Argument:
        def __init__(self, number):
            self.number = number

        def __del__(self):
            if self.number:
                call(loop, seen.append, self.number)
                call(loop, callback, Argument(self.number - 1))
            else:
                loop.call_soon(loop.stop)

    call(loop, callback, Argument(100))
    loop.run_forever()
    assert seen == list(range(100, 0, -1))


@any_call
def test_handles_take_weak_references(loop, call):
    handle = call(loop)
    alive = weakref.ref(handle)
    assert alive() is handle
    del handle
    drain_timers(loop)
    gc.collect()
    assert alive() is None


@any_call
def test_repr_is_that_of_asyncios_handle(loop, call):
    handle = call(loop, callback, 1, "two")
    if isinstance(handle, asyncio.TimerHandle):
        stock = asyncio.TimerHandle(handle.when(), callback, (1, "two"), loop)
    else:
        stock = asyncio.Handle(callback, (1, "two"), loop)

    def shown():
        # asyncio's call_soon_threadsafe has a class of its own since 3.14.
        return repr(handle).replace("<_ThreadSafeHandle", "<Handle")

    assert shown() == repr(stock)
    handle.cancel()
    stock.cancel()
    assert "cancelled" in shown()
    assert shown() == repr(stock)


@any_call
def test_repr_in_debug_mode_says_where_it_was_created(loop, call):
    loop.set_debug(True)
    handle = call(loop, callback, 1)
    text = repr(handle)
    assert "created at" in text and __file__ in text
    handle.cancel()
    text = repr(handle)
    assert "cancelled" in text and "callback(1)" in text and "created at" in text


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Handle.get_context is new in 3.12")
@any_call
def test_get_context_returns_the_context_of_the_call(loop, call):
    context = contextvars.copy_context()
    assert call(loop, callback, context=context).get_context() is context
    default = call(loop).get_context()
    assert isinstance(default, contextvars.Context) and default is not context


def test_when_stays_after_firing_and_after_cancel(loop):
    handle = loop.call_later(0.001, callback)
    when = handle.when()
    loop.call_later(0.002, loop.stop)
    loop.run_forever()
    assert handle.when() == when
    handle.cancel()
    assert handle.when() == when


def test_timer_handles_compare_by_time(loop):
    early, late = loop.call_at(10.0, callback), loop.call_at(20.0, callback)
    assert early < late and early <= late and late > early and late >= early
    assert not (late < early or late <= early or early > late or early >= late)
    assert early != late
    assert sorted([late, early]) == [early, late]


def test_timer_handles_are_equal_when_they_would_do_the_same(loop):
    one = loop.call_at(10.0, callback, 1)
    same = loop.call_at(10.0, callback, 1)
    other = loop.call_at(10.0, callback, 2)
    assert one == same and one <= same and one >= same
    assert one != other
    assert hash(one) == hash(same) == hash(10.0)
    same.cancel()
    assert one != same


def test_timer_handles_do_not_compare_with_other_things(loop):
    timer = loop.call_at(10.0, callback)
    assert timer != 10.0
    assert timer != loop.call_soon(callback)
    for compare in ("__lt__", "__le__", "__gt__", "__ge__"):
        assert getattr(timer, compare)(10.0) is NotImplemented
    with pytest.raises(TypeError):
        sorted([timer, 10.0])


def test_handles_equal_only_themselves(loop):
    one, other = loop.call_soon(callback, 1), loop.call_soon(callback, 1)
    assert one == one and one != other
    assert len({one, other}) == 2


@any_call
def test_private_run_calls_the_callback(loop, call):
    got = []
    handle = call(loop, got.append, 1)
    handle._run()
    assert got == [1]
    handle.cancel()


@any_call
def test_private_run_reports_an_exception(loop, call, reports):
    handle = call(loop, lambda: 1 / 0)
    handle._run()
    (message,) = reports.take()
    assert message.startswith("Exception in callback test_private_run_reports")
    handle.cancel()


@any_call
def test_private_attributes_that_tools_read(loop, call):
    handle = call(loop, callback, 1, 2)
    assert handle._callback is callback
    assert tuple(handle._args) == (1, 2)
    assert handle._cancelled is False
    assert handle._source_traceback is None
    handle.cancel()
    assert handle._callback is None
    assert handle._args is None
    assert handle._cancelled is True


@any_call
def test_a_handle_in_a_cycle_is_collected(loop, call):
    class Node:
        pass

    node = Node()
    node.handle = call(loop, callback, node)
    alive = weakref.ref(node)
    node.handle.cancel()
    node.other = node
    del node
    drain_timers(loop)
    gc.collect()
    assert alive() is None


def test_a_half_built_handle_never_crashes(loop):
    for kind in (type(soon(loop)), type(later(loop))):
        try:
            handle = kind.__new__(kind)
        except TypeError:
            continue  # not instantiable: as good
        for use in (repr, hash, lambda h: h._run(), lambda h: h.cancel(), lambda h: h == h):
            with contextlib.suppress(Exception):  # any will do
                use(handle)
    drain(loop)
