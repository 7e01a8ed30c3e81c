"""The loop as a Python object: its class, weak references, cycles, attributes."""

import asyncio
import contextlib
import contextvars
import gc
import pickle
import warnings
import weakref

import pytest
from helpers import FREE_THREADED, drain


def test_a_loop_is_an_abstract_event_loop(loop):
    assert isinstance(loop, asyncio.AbstractEventLoop)


def test_the_class_makes_loops(loop_class):
    loop = loop_class()
    assert type(loop) is loop_class or isinstance(loop, loop_class)
    assert loop.run_until_complete(asyncio.sleep(0, 1)) == 1
    loop.close()


def test_every_public_name_of_asyncios_loop_is_there(loop):
    stock = {name for name in dir(asyncio.SelectorEventLoop) if not name.startswith("_")}
    assert stock - set(dir(loop)) == set()


def test_repr_shows_the_state(loop):
    assert "running=False closed=False debug=False" in repr(loop)
    got = []
    loop.call_soon(lambda: got.append(repr(loop)))
    drain(loop, 1)
    assert "running=True" in got[0]
    loop.close()
    assert "running=False closed=True" in repr(loop)


def test_a_loop_takes_weak_references(loop_factory):
    loop = loop_factory()
    alive = weakref.ref(loop)
    keyed = weakref.WeakKeyDictionary({loop: 1})
    assert alive() is loop and keyed[loop] == 1
    loop.close()
    del loop
    gc.collect()
    assert alive() is None and not keyed


def test_a_loop_is_hashable_and_equal_only_to_itself(loop, loop_factory):
    other = loop_factory()
    assert loop == loop and loop != other and len({loop, other}) == 2
    other.close()


def test_a_loop_takes_attributes(loop):
    loop.mine = 1
    assert loop.mine == 1
    del loop.mine
    with pytest.raises(AttributeError):
        loop.mine  # noqa: B018


def test_a_loop_cannot_be_pickled(loop):
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(loop)


def test_a_closed_loop_in_a_cycle_with_its_entries_is_collected(loop_factory):
    loop = loop_factory()
    alive = weakref.ref(loop)
    loop.handle = loop.call_soon(lambda loop: None, loop)
    loop.timer = loop.call_later(1, lambda loop: None, loop)
    loop.future = loop.create_future()
    loop.future.add_done_callback(lambda f, loop=loop: None)
    loop.set_exception_handler(lambda *args, loop=loop: None)
    loop.set_task_factory(lambda *args, loop=loop, **kwargs: None)
    loop.close()
    del loop
    gc.collect()
    assert alive() is None


def test_a_running_loop_survives_losing_its_last_reference(loop_factory, loop_kind):
    if loop_kind == "asyncio" and FREE_THREADED:
        pytest.skip("the collector may finalize the sockets of asyncio's loop before the loop")
    holder = [loop_factory()]
    alive = weakref.ref(holder[0])
    got = []

    def callback():
        holder.clear()
        gc.collect()
        got.append(asyncio.get_running_loop() is alive())
        asyncio.get_running_loop().stop()

    holder[0].call_soon(callback)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it is dropped unclosed
        holder[0].run_forever()
        gc.collect()
    assert got == [True] and alive() is None


def test_entries_are_collected_with_a_cycle_through_their_context(loop):
    class Node:
        pass

    var = contextvars.ContextVar("var")
    node = Node()
    alive = weakref.ref(node)
    context = contextvars.copy_context()
    context.run(var.set, node)
    node.handle = loop.call_soon(lambda: None, context=context)
    node.timer = loop.call_later(0.0001, lambda: None, context=context)
    del node, context
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    gc.collect()
    assert alive() is None


def test_wait_for_leaves_no_cycle_behind(run):
    class Marker:
        pass

    async def main():
        marker = Marker()
        alive = weakref.ref(marker)

        async def inner(marker):
            await asyncio.sleep(0)

        gc.collect()
        gc.disable()
        try:
            await asyncio.wait_for(inner(marker), 3600)
            del marker
            await asyncio.sleep(0)
            return alive()
        finally:
            gc.enable()

    assert run(main) is None


def test_many_loops_may_be_open_at_once(loop_factory):
    loops = [loop_factory() for _ in range(20)]
    for _ in range(2):
        for i, loop in enumerate(loops):
            assert loop.run_until_complete(asyncio.sleep(0, i)) == i
    for loop in loops:
        loop.close()


def test_a_half_built_loop_never_crashes(loop_class):
    loop = loop_class.__new__(loop_class)
    uses = [
        repr,
        lambda loop: loop.call_soon(print),
        lambda loop: loop.call_later(0, print),
        lambda loop: loop.call_soon_threadsafe(print),
        lambda loop: loop.time(),
        lambda loop: loop.stop(),
        lambda loop: loop.is_running(),
        lambda loop: loop.is_closed(),
        lambda loop: loop.get_debug(),
        lambda loop: loop.close(),
    ]
    for use in uses:
        with contextlib.suppress(Exception):  # any will do
            use(loop)
    loop.__class__ = type("NoFinalizer", (loop_class,), {"__del__": lambda self: None})
    del loop
    gc.collect()
