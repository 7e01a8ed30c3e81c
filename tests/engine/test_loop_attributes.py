"""What programs and tools see of a loop, its handles, futures and tasks, beside asyncio's own.

Names, signatures, repr in each state, private attributes that libraries read: collected on both
loops and compared, with what is chance (addresses in memory, times) masked.
"""

import asyncio
import copy
import inspect
import pickle
import weakref

import pytest
from helpers import drain
from looks import attempt, parameters, public, shown

# The loop

METHODS = sorted(public(asyncio.SelectorEventLoop) - {"slow_callback_duration"})


@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_asyncios_parameters(on_both, name):
    got, expected = on_both(lambda loop: parameters(getattr(loop, name)))
    assert got == expected


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_of_asyncios_kind(on_both, name):
    def look(loop):
        method = getattr(loop, name)
        return [inspect.iscoroutinefunction(method), callable(method), method.__name__]

    got, expected = on_both(look)
    assert got == expected


@pytest.mark.parametrize("name", METHODS)
def test_a_method_that_asyncio_documents_is_documented(on_both, name):
    got, expected = on_both(lambda loop: bool(inspect.getdoc(getattr(type(loop), name))))
    assert got >= expected


ATTRIBUTES = [
    *["_closed", "_stopping", "_debug", "_thread_id", "_current_handle", "_task_factory"],
    *["_exception_handler", "_default_executor", "_executor_shutdown_called"],
    *["_signal_handlers", "_asyncgens", "_asyncgens_shutdown_called", "_transports"],
    *["_timer_cancelled_count", "_clock_resolution", "_scheduled", "slow_callback_duration"],
    *["_coroutine_origin_tracking_enabled", "_coroutine_origin_tracking_saved_depth"],
]


def kind_of(value):
    """The type; a view of a list is a list."""
    return list if isinstance(value, list) else type(value)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_that_tools_read_is_as_on_asyncio(on_both, name):
    def look(loop):
        found = [getattr(loop, name)]
        if name != "_current_handle":
            loop.call_soon(lambda: found.append(getattr(loop, name)))
            drain(loop)
        loop.close()
        found.append(getattr(loop, name))
        return [(kind_of(value), None if name == "_thread_id" else shown(value)) for value in found]

    got, expected = on_both(look)
    assert got == expected


@pytest.mark.parametrize("name", ["_ready", "_selector", "_csock", "_ssock", "_internal_fds"])
def test_what_asyncio_works_with_is_there_to_be_looked_at(loop, name):
    assert hasattr(loop, name)


def test_the_thread_id_is_that_of_the_thread_while_it_runs(loop):
    import threading

    seen = [loop._thread_id]
    loop.call_soon(lambda: seen.append(loop._thread_id))
    drain(loop)
    assert [*seen, loop._thread_id] == [None, threading.get_ident(), None]


def test_what_was_set_is_what_is_read(loop):
    def handler(loop, context):
        raise AssertionError

    def factory(loop, coro, **kwargs):
        return asyncio.Task(coro, loop=loop, **kwargs)

    loop.set_exception_handler(handler)
    loop.set_task_factory(factory)
    loop.set_debug(True)
    assert (loop._exception_handler, loop._task_factory) == (handler, factory)
    assert (loop.get_exception_handler(), loop.get_task_factory()) == (handler, factory)
    assert loop._debug is True
    loop.set_exception_handler(None)
    loop.set_task_factory(None)
    assert (loop._exception_handler, loop._task_factory) == (None, None)


def test_what_belongs_to_a_running_loop_is_registered(run):
    async def main():
        loop = asyncio.get_running_loop()

        async def generate():
            yield 1
            yield 2

        generator = generate()
        await anext(generator)
        assert generator in loop._asyncgens
        await generator.aclose()
        await loop.run_in_executor(None, int)
        assert loop._default_executor is not None
        loop.add_signal_handler(12, int)
        assert set(loop._signal_handlers) == {12}
        loop.remove_signal_handler(12)
        assert not loop._signal_handlers

    run(main)


def test_the_repr_of_a_loop_in_every_state(on_both):
    def look(loop):
        found = [shown(loop)]
        loop.call_soon(lambda: found.append(shown(loop)))
        drain(loop)
        loop.set_debug(True)
        found.append(shown(loop))
        loop.close()
        return [*found, shown(loop)]

    got, expected = on_both(look)
    assert got == expected


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_loop_cannot_be_copied(loop_kind, loop, copier):
    if loop_kind == "asyncio" and copier is not pickle.dumps:
        pytest.skip("asyncio makes one that shares the first one's selector, or half of one")
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        copier(loop)


def test_the_class_is_generic_and_called_as_asyncios(loop_class):
    with pytest.raises(TypeError):
        loop_class[int]
    assert issubclass(loop_class, asyncio.SelectorEventLoop)
    assert issubclass(loop_class, asyncio.BaseEventLoop)
    assert inspect.getdoc(loop_class)


# Handles


def callback(*args):
    pass


SCHEDULED = {
    "call_soon": lambda loop: loop.call_soon(callback, 1, "two"),
    "call_soon_threadsafe": lambda loop: loop.call_soon_threadsafe(callback),
    "call_later": lambda loop: loop.call_later(3600, callback, 1),
    "call_at": lambda loop: loop.call_at(loop.time() + 3600, callback),
    "lambda": lambda loop: loop.call_soon(lambda: None),
    "method": lambda loop: loop.call_soon([].append, 1),
    "many": lambda loop: loop.call_soon(callback, *range(10)),
}


@pytest.fixture(params=SCHEDULED)
def schedule(request):
    return SCHEDULED[request.param]


def handle_looks(handle):
    return {
        "types": [isinstance(handle, base) for base in (asyncio.Handle, asyncio.TimerHandle)],
        "repr": shown(handle),
        "cancelled": handle.cancelled(),
        "callback": shown(handle._callback),
        "args": handle._args,
        "traceback": handle._source_traceback is not None,
        "scheduled": getattr(handle, "_scheduled", None),
        "attribute": attempt(setattr, handle, "note", 1),
        "weak": weakref.ref(handle)() is handle,
        "equal": (handle == handle, handle != handle, handle == 1),
        "less": attempt(lambda: handle < 1),
        "pickle": attempt(pickle.dumps, handle) == "",
        "dict": hasattr(handle, "__dict__"),
        "generic": attempt(lambda: type(handle)[int]),
        "hash": attempt(hash, handle) == attempt(hash, handle),
    }


@pytest.mark.parametrize("debug", [False, True])
def test_a_handle_in_every_state(on_both, schedule, debug):
    def look(loop):
        loop.set_debug(debug)
        handle = schedule(loop)
        found = [handle_looks(handle)]
        drain(loop)
        found.append(handle_looks(handle))
        handle = schedule(loop)
        handle.cancel()
        return [*found, handle_looks(handle)]

    got, expected = on_both(look)
    assert got == expected


def test_a_handle_has_every_public_name_of_asyncios(on_both, schedule):
    got, expected = on_both(lambda loop: public(schedule(loop)))
    assert expected - got == set()


def test_the_methods_of_a_handle_take_asyncios_parameters(on_both, schedule):
    def look(loop):
        handle = schedule(loop)
        names = public(asyncio.TimerHandle) & public(handle)
        return {name: parameters(getattr(handle, name)) for name in sorted(names)}

    got, expected = on_both(look)
    assert got == expected


# Futures and tasks


def states_of_a_future(loop):
    future = loop.create_future()
    found = [future]
    future.add_done_callback(callback)
    found.append(shown(future))
    future.set_result([1, "two"])
    found.append(shown(future))
    for end in ("cancel", "fail"):
        future = loop.create_future()
        if end == "cancel":
            future.cancel("why")
        else:
            future.set_exception(LookupError("mine"))
            future.exception()
        found.append(shown(future))
    return isinstance(found[0], asyncio.Future), found[1:]


async def child():
    await asyncio.sleep(0)


def states_of_a_task(loop):
    task = loop.create_task(child(), name="the name")
    found = [shown(task), task.get_name()]
    loop.call_soon(lambda: found.append(shown(task)))
    loop.run_until_complete(task)
    found.append(shown(task))
    cancelled = loop.create_task(child(), name="cancelled")
    cancelled.cancel()
    found.append(shown(cancelled))
    drain(loop)
    return isinstance(task, asyncio.Task), [*found, shown(cancelled)]


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("states", [states_of_a_future, states_of_a_task])
def test_the_repr_of_futures_and_tasks_in_every_state(on_both, states, debug):
    def look(loop):
        loop.set_debug(debug)
        return states(loop)

    got, expected = on_both(look)
    assert got == expected


def test_the_origin_of_a_future_in_debug_mode_is_the_code_that_asked(loop):
    loop.set_debug(True)
    future = loop.create_future()
    future.cancel()
    assert any(frame.filename == __file__ for frame in future._source_traceback)
