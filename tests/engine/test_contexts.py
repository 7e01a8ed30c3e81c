"""Context variables of callbacks and tasks: each has its own, and keeps no more than asyncio."""

import asyncio
import contextvars
import gc
import sys
import weakref

import pytest

var = contextvars.ContextVar("var", default="default")


class Value:
    """What a weak reference can be made to."""


def turn(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_a_value_set_in_a_callback_is_seen_by_no_other(loop):
    seen = []

    def callback(number):
        seen.append(var.get())
        var.set(number)

    for number in range(5):
        loop.call_soon(callback, number)
    turn(loop)
    loop.call_soon(callback, None)
    turn(loop)
    assert seen == ["default"] * 6
    assert var.get() == "default"


def test_callbacks_see_what_was_set_when_they_were_scheduled(loop):
    def scheduling():
        seen = []
        for number in range(3):
            var.set(number)
            loop.call_soon(lambda: seen.append(var.get()))
        var.set("later")
        return seen

    seen = contextvars.copy_context().run(scheduling)
    turn(loop)
    assert seen == [0, 1, 2]


def test_a_chain_of_callbacks_hands_its_values_on(loop):
    seen = []

    def callback():
        seen.append(var.get())
        var.set(len(seen))
        if len(seen) < 4:
            loop.call_soon(callback)

    loop.call_soon(callback)
    for _ in range(4):
        turn(loop)
    assert seen == ["default", 1, 2, 3]


def test_the_context_of_a_handle_is_one_object_and_shows_what_its_callback_sets(loop):
    handle = loop.call_soon(var.set, "set")
    other = loop.call_soon(lambda: None)
    context = handle._context
    assert type(context) is contextvars.Context
    assert context is not other._context
    turn(loop)
    assert handle._context is context
    assert context[var] == "set"
    assert var not in other._context


def test_a_context_taken_from_the_handle_while_it_runs_is_the_one_it_runs_in(loop):
    contexts = []

    def callback():
        contexts.append(handles[0]._context)
        var.set("set")

    handles = [loop.call_soon(callback)]
    turn(loop)
    assert contexts[0][var] == "set"
    assert handles[0]._context is contexts[0]


def test_a_handle_that_runs_itself_enters_its_context_twice(loop, reports):
    handles = []
    handles.append(loop.call_soon(lambda: handles[0]._run()))
    turn(loop)
    (message,) = reports.take()
    assert message.startswith("Exception in callback")


def test_a_token_is_good_in_all_steps_of_a_task(loop):
    async def main():
        token = var.set("first")
        await asyncio.sleep(0)
        second = var.set("second")
        await asyncio.sleep(0)
        var.reset(second)
        assert var.get() == "first"
        await asyncio.sleep(0)
        var.reset(token)
        return var.get()

    assert loop.run_until_complete(main()) == "default"


def test_a_token_of_another_task_is_refused(loop):
    async def setting():
        return var.set("theirs")

    async def main():
        token = await loop.create_task(setting())
        with pytest.raises(ValueError, match="different Context"):
            var.reset(token)

    loop.run_until_complete(main())


def test_values_of_a_task_stay_from_step_to_step(loop):
    async def counting(first):
        var.set(first)
        for number in range(first, first + 5):
            assert var.get() == number
            var.set(number + 1)
            await asyncio.sleep(0)
        return var.get()

    async def main():
        return await asyncio.gather(*(counting(first) for first in range(0, 50, 10)))

    assert loop.run_until_complete(main()) == [5, 15, 25, 35, 45]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Task.get_context() came with 3.12")
def test_the_context_of_a_task_is_live(loop):
    async def main():
        task = asyncio.current_task()
        context = task.get_context()
        var.set("one")
        assert context[var] == "one"
        await asyncio.sleep(0)
        var.set("two")
        assert context[var] == "two"
        assert task.get_context() is context

    loop.run_until_complete(main())


def test_what_a_callback_has_set_goes_with_it(loop):
    values = []

    def callback():
        value = Value()
        values.append(weakref.ref(value))
        var.set(value)

    loop.call_soon(callback)
    loop.call_soon(lambda: values.append(values[0]()))
    turn(loop)
    assert values[1] is None


def test_what_was_set_around_a_callback_goes_with_it(loop):
    def scheduling():
        value = Value()
        var.set(value)
        loop.call_soon(lambda: None)
        return weakref.ref(value)

    reference = contextvars.copy_context().run(scheduling)
    assert reference() is not None
    turn(loop)
    gc.collect()
    assert reference() is None


def test_what_a_task_has_set_goes_with_it(loop):
    async def setting():
        value = Value()
        var.set(value)
        await asyncio.sleep(0)
        return weakref.ref(value)

    reference = loop.run_until_complete(setting())
    gc.collect()
    assert reference() is None


def test_copies_that_a_callback_makes_keep_its_values(loop):
    copies = []

    def callback(number):
        var.set(number)
        copies.append(contextvars.copy_context())

    for number in range(3):
        loop.call_soon(callback, number)
    turn(loop)
    assert [copy[var] for copy in copies] == [0, 1, 2]


def test_a_callback_of_a_future_runs_with_the_values_of_who_added_it(loop):
    def adding():
        seen = []
        for number in range(3):
            var.set(number)
            future.add_done_callback(lambda future: seen.append(var.get()))
        return seen

    future = loop.create_future()
    seen = contextvars.copy_context().run(adding)
    contexts = [context for _, context in future._callbacks]
    assert [context[var] for context in contexts] == [0, 1, 2]
    future.set_result(None)
    turn(loop)
    assert seen == [0, 1, 2]


def test_contexts_within_contexts(loop):
    def inner():
        assert var.get() == "outer"
        var.set("inner")

    def callback():
        var.set("outer")
        contextvars.copy_context().run(inner)
        seen.append(var.get())

    seen = []
    loop.call_soon(callback)
    turn(loop)
    assert seen == ["outer"]
