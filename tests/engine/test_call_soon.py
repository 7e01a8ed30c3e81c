"""call_soon: order, turns, arguments and contexts."""

import contextvars
import functools
import os
import weakref

import pytest
from helpers import drain

VAR = contextvars.ContextVar("VAR", default="unset")


def test_callbacks_run_in_the_order_of_scheduling(loop):
    got = []
    for i in range(1000):
        loop.call_soon(got.append, i)
    drain(loop, 1)
    assert got == list(range(1000))


def test_entries_added_during_a_turn_run_in_the_next(loop):
    got = []

    def first():
        got.append("first")
        loop.call_soon(got.append, "added")
        loop.stop()

    loop.call_soon(first)
    loop.call_soon(got.append, "second")
    loop.run_forever()
    assert got == ["first", "second"]
    drain(loop, 1)
    assert got == ["first", "second", "added"]


def test_two_chains_take_turns(loop):
    got = []

    def step(name, left):
        got.append(name)
        if left:
            loop.call_soon(step, name, left - 1)

    loop.call_soon(step, "a", 99)
    loop.call_soon(step, "b", 99)
    drain(loop, 100)
    assert got == ["a", "b"] * 100


@pytest.mark.parametrize("count", range(8))
def test_any_number_of_arguments(loop, count):
    got = []
    given = [object() for _ in range(count)]
    loop.call_soon(lambda *args: got.append(args), *given)
    drain(loop, 1)
    assert got == [tuple(given)]


def test_no_argument_is_confused_with_none(loop):
    got = []
    loop.call_soon(lambda *args: got.append(args), None)
    loop.call_soon(lambda *args: got.append(args), None, None)
    drain(loop, 1)
    assert got == [(None,), (None, None)]


class Callee:
    def __init__(self, got):
        self.got = got

    def __call__(self, *args):
        self.got.append(args)

    method = __call__


@pytest.mark.parametrize("kind", ["object", "method", "lambda", "partial", "class", "builtin"])
def test_any_callable_is_called(loop, kind):
    got = []
    callee = Callee(got)

    class Class:
        def __init__(self, *args):
            got.append(args)

    callables = {
        "object": callee,
        "method": callee.method,
        "lambda": lambda *args: got.append(args),
        "partial": functools.partial(callee, 1),
        "class": Class,
        "builtin": got.append,
    }
    loop.call_soon(callables[kind], 1 if kind != "partial" else 2)
    drain(loop, 1)
    assert got == [{"partial": (1, 2), "builtin": 1}.get(kind, (1,))]


def test_the_same_callback_may_be_scheduled_twice(loop):
    got = []
    loop.call_soon(got.append, 1)
    loop.call_soon(got.append, 1)
    drain(loop, 1)
    assert got == [1, 1]


def test_arguments_are_dropped_after_the_call(loop):
    class Argument:
        pass

    argument = Argument()
    alive = weakref.ref(argument)
    loop.call_soon(lambda a: None, argument)
    del argument
    assert alive() is not None
    drain(loop, 1)
    assert alive() is None


def test_the_callback_runs_in_the_given_context_itself(loop):
    context = contextvars.copy_context()
    got = []

    def callback():
        got.append(VAR.get())
        VAR.set("by the callback")

    context.run(VAR.set, "given")
    loop.call_soon(callback, context=context)
    drain(loop, 1)
    assert got == ["given"]
    assert context[VAR] == "by the callback"
    assert VAR.get() == "unset"


@pytest.mark.parametrize("kwargs", [{}, {"context": None}], ids=["absent", "none"])
def test_the_default_context_is_a_copy_of_the_callers(loop, kwargs):
    got = []

    def callback():
        got.append(VAR.get())
        VAR.set("by the callback")

    def caller():
        VAR.set("at the call")
        loop.call_soon(callback, **kwargs)
        VAR.set("afterwards")
        loop.call_soon(lambda: got.append(VAR.get()))

    contextvars.copy_context().run(caller)
    drain(loop, 1)
    assert got == ["at the call", "afterwards"]


def test_callbacks_of_one_turn_do_not_share_the_default_context(loop):
    got = []
    loop.call_soon(VAR.set, "by the first")
    loop.call_soon(lambda: got.append(VAR.get()))
    drain(loop, 1)
    assert got == ["unset"]


def test_a_context_may_serve_many_callbacks(loop):
    context = contextvars.copy_context()
    got = []
    for i in range(3):
        loop.call_soon(lambda i=i: (got.append(VAR.get()), VAR.set(i)), context=context)
    drain(loop, 1)
    assert got == ["unset", 0, 1]


def test_a_context_that_is_entered_already_is_an_error_of_the_callback(loop, reports):
    context = contextvars.copy_context()
    context.run(lambda: (loop.call_soon(print, context=context), drain(loop, 1)))
    (message,) = reports.take()
    assert message.startswith("Exception in callback print")


def endless(loop):
    """Keep the ready queue from ever being empty."""
    loop.call_soon(endless, loop)


def test_an_endless_chain_does_not_starve_timers(loop):
    endless(loop)
    loop.call_later(0.002, loop.stop)
    loop.run_forever()


def test_an_endless_chain_does_not_starve_readers(loop):
    r, w = os.pipe()
    endless(loop)
    loop.add_reader(r, loop.stop)
    loop.call_later(0.002, os.write, w, b"x")
    loop.run_forever()
    loop.remove_reader(r)
    os.close(r)
    os.close(w)


def test_a_large_turn_runs_to_its_end(loop):
    got = []

    def add(i):
        got.append(i)
        if i < 50_000:
            loop.call_soon(add, i + 50_000)

    for i in range(50_000):
        loop.call_soon(add, i)
    drain(loop, 2)
    assert got == list(range(100_000))
