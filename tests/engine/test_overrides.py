"""Methods that a subclass overrides, or a tracer replaces, are called as asyncio calls them."""

import asyncio
import contextlib
import sys
import threading
from unittest import mock

import pytest
from helpers import HANG, drain


def recording(loop_class, *names):
    """A subclass of *loop_class* whose methods *names* note their calls in `loop.calls`."""

    def override(name):
        def method(self, *args, **kwargs):
            self.calls.append((name, args, kwargs))
            return getattr(loop_class, name)(self, *args, **kwargs)

        return method

    def __init__(self):
        self.calls = []
        loop_class.__init__(self)

    body = {name: override(name) for name in names}
    return type("Recording", (loop_class,), {"__init__": __init__, **body})


@pytest.fixture
def make(loop_class):
    """`make(*names)`: a loop of a recording subclass; closed at the end."""
    loops = []

    def make(*names):
        loop = recording(loop_class, *names)()
        loops.append(loop)
        loop.calls.clear()
        return loop

    yield make
    for loop in loops:
        loop.close()


def names_of(loop):
    return [name for name, _, _ in loop.calls]


def test_call_later_goes_through_call_at(make):
    loop = make("call_at")
    loop.call_later(0, print, 1)
    ((name, args, kwargs),) = loop.calls
    assert name == "call_at"
    assert args[1:] == (print, 1)
    assert kwargs == {"context": None}


def test_call_later_reads_the_overridden_clock(make):
    loop = make("time")
    loop.call_later(1, print)
    assert names_of(loop) == ["time"]


def test_what_an_overridden_call_at_returns_is_what_call_later_returns(loop_class):
    class Subclass(loop_class):
        def call_at(self, when, callback, *args, context=None):
            handles.append(super().call_at(when + 1000, callback, *args, context=context))
            return handles[-1]

    handles = []
    loop = Subclass()
    assert loop.call_later(1, print) is handles[0]
    loop.close()


def test_a_done_callback_is_scheduled_through_call_soon(make):
    loop = make("call_soon")
    future = loop.create_future()
    future.add_done_callback(print)
    future.set_result(1)
    ((_, args, kwargs),) = loop.calls
    assert args == (print, future)
    assert set(kwargs) == {"context"}


def test_a_task_is_started_through_call_soon(make):
    loop = make("call_soon")

    async def main():
        return 1

    task = loop.create_task(main())
    assert names_of(loop) == ["call_soon"]
    drain(loop)
    assert task.result() == 1


def test_a_task_that_yields_is_resumed_through_call_soon(make):
    loop = make("call_soon")

    async def main():
        await asyncio.sleep(0)

    loop.create_task(main())
    before = len(loop.calls)
    loop.run_until_complete(asyncio.sleep(0))
    assert len(loop.calls) > before + 2


def test_call_soon_may_wrap_the_callback(loop_class):
    # What tracers do.
    got = []

    class Tracing(loop_class):
        def call_soon(self, callback, *args, context=None):
            def traced(*args):
                got.append("before")
                callback(*args)

            return super().call_soon(traced, *args, context=context)

    loop = Tracing()
    loop.call_soon(got.append, "it")
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert got == ["before", "it", "before"]
    loop.close()


def test_call_soon_replaced_on_the_class_is_used_by_tasks(loop, loop_class):
    original = loop_class.call_soon
    got = []

    def traced(self, callback, *args, context=None):
        got.append(callback)
        return original(self, callback, *args, context=context)

    with mock.patch.object(loop_class, "call_soon", traced):
        loop.run_until_complete(asyncio.sleep(0))
    assert len(got) >= 2
    drain(loop)


def test_call_soon_replaced_on_the_instance_is_used_by_futures(loop):
    got = []
    loop.call_soon = lambda callback, *args, **kwargs: got.append((callback, args))
    future = loop.create_future()
    future.add_done_callback(print)
    future.set_result(None)
    del loop.call_soon
    assert got == [(print, (future,))]


def test_call_soon_threadsafe_is_used_by_futures_of_other_threads(make):
    loop = make("call_soon_threadsafe")

    async def main():
        await asyncio.wait_for(loop.run_in_executor(None, int), HANG)
        await loop.shutdown_default_executor()

    loop.run_until_complete(main())
    assert "call_soon_threadsafe" in names_of(loop)


def test_a_failing_callback_is_reported_through_call_exception_handler(make, reports):
    loop = make("call_exception_handler")
    loop.call_soon(lambda: 1 / 0)
    loop.call_later(0, lambda: 1 / 0)
    drain(loop, 2)
    assert names_of(loop) == ["call_exception_handler"] * 2
    assert isinstance(loop.calls[0][1][0]["exception"], ZeroDivisionError)
    assert len(reports.take()) == 2


def test_the_default_exception_handler_may_be_overridden(loop_class):
    contexts = []

    class Subclass(loop_class):
        def default_exception_handler(self, context):
            contexts.append(context)

    loop = Subclass()
    loop.call_soon(lambda: 1 / 0)
    drain(loop, 1)
    assert isinstance(contexts[0]["exception"], ZeroDivisionError)
    loop.close()


def test_run_until_complete_creates_its_task_through_create_task(make):
    loop = make("create_task")

    async def main():
        pass

    loop.run_until_complete(main())
    assert names_of(loop) == ["create_task"]


def test_asyncio_create_task_goes_through_create_task(make):
    loop = make("create_task")

    async def main():
        loop.calls.clear()
        await asyncio.create_task(asyncio.sleep(0), name="mine")

    loop.run_until_complete(main())
    ((_, args, kwargs),) = loop.calls
    assert len(args) == 1
    assert kwargs.get("name", "mine") == "mine"


def test_sleep_makes_its_future_through_create_future(make):
    loop = make("create_future", "call_later")

    async def main():
        await asyncio.sleep(0.0001)

    loop.run_until_complete(main())
    assert names_of(loop) == ["create_future", "call_later"]


def test_run_until_complete_goes_through_run_forever(make):
    loop = make("run_forever")
    loop.run_until_complete(asyncio.sleep(0))
    assert names_of(loop) == ["run_forever"]


def test_run_until_complete_ends_through_stop(make):
    loop = make("stop")
    loop.run_until_complete(asyncio.sleep(0))
    assert names_of(loop) == ["stop"]


def test_run_in_executor_is_used_by_to_thread(make):
    loop = make("run_in_executor")

    async def main():
        assert await asyncio.to_thread(threading.get_ident) != threading.get_ident()
        await loop.shutdown_default_executor()

    loop.run_until_complete(main())
    assert names_of(loop) == ["run_in_executor"]


def test_an_overridden_close_may_call_super(loop_class):
    closed = []

    class Subclass(loop_class):
        def close(self):
            closed.append(self.is_closed())
            super().close()

    loop = Subclass()
    loop.close()
    assert closed == [False] and loop.is_closed()


def test_a_subclass_with_its_own_init_and_attributes(loop_class):
    class Subclass(loop_class):
        def __init__(self, name):
            super().__init__()
            self.name = name

    loop = Subclass("mine")
    assert loop.name == "mine"
    loop.other = 1
    assert loop.run_until_complete(asyncio.sleep(0, "value")) == "value"
    loop.close()


def test_a_mixin_before_the_loop_class_works(loop_class):
    class Mixin:
        def get_debug(self):
            return super().get_debug()

        def hello(self):
            return "hello"

    class Subclass(Mixin, loop_class):
        pass

    loop = Subclass()
    assert loop.hello() == "hello" and loop.get_debug() is False
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_get_debug_of_a_subclass_is_not_needed_for_set_debug(make):
    loop = make("get_debug")
    loop.set_debug(True)
    loop.slow_callback_duration = HANG
    assert loop.get_debug() is True
    handle = loop.call_soon(print)
    assert handle._source_traceback
    handle.cancel()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")
def test_an_eager_task_bypasses_call_soon(make):
    loop = make("call_soon")
    loop.set_task_factory(asyncio.eager_task_factory)

    async def main():
        loop.calls.clear()

        async def child():
            return 1

        task = asyncio.create_task(child())
        assert task.done()
        assert names_of(loop) == []

    loop.run_until_complete(main())


async def nothing():
    pass


async def refused():
    with contextlib.suppress(OSError):
        await asyncio.open_connection("127.0.0.1", 1)


async def refused_by_name():
    with contextlib.suppress(OSError):
        await asyncio.open_connection("localhost", 1)


async def served():
    (await asyncio.start_server(nothing, "127.0.0.1", 0)).close()


async def process():
    await (await asyncio.create_subprocess_exec("/bin/true")).wait()


async def failing_callback():
    asyncio.get_running_loop().call_soon(int, "x")
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def executed():
    await asyncio.to_thread(int)


#: What a tracer replaces on the class, with an ordinary program that has to come through it.
THROUGH = {
    "call_soon": nothing,
    "call_later": lambda: asyncio.sleep(0.001),
    "call_at": lambda: asyncio.sleep(0.001),
    "call_soon_threadsafe": executed,
    "create_future": lambda: asyncio.sleep(0.001),
    "create_task": nothing,
    "run_in_executor": executed,
    "call_exception_handler": failing_callback,
    "default_exception_handler": failing_callback,
    "create_connection": refused,
    "getaddrinfo": refused_by_name,
    "sock_connect": refused,
    "create_server": served,
    "subprocess_exec": process,
    "run_until_complete": nothing,
    "run_forever": nothing,
    "shutdown_asyncgens": nothing,
    "shutdown_default_executor": nothing,
    "get_debug": nothing,
    "time": lambda: asyncio.sleep(0.001),
    "stop": nothing,
    "close": nothing,
}


@pytest.mark.parametrize("name", THROUGH)
def test_what_a_tracer_replaces_on_the_class_sees_the_calls_of_a_loop_made_before(
    loop_class, loop_factory, name, reports, monkeypatch
):
    calls = []
    original = getattr(loop_class, name)

    def traced(self, *args, **kwargs):
        calls.append(self)
        return original(self, *args, **kwargs)

    async def main():
        await THROUGH[name]()

    loop = loop_factory()
    loop.run_until_complete(asyncio.sleep(0))
    monkeypatch.setattr(loop_class, name, traced)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    assert calls and set(calls) == {loop}
    seen = len(calls)
    monkeypatch.undo()
    loop = loop_factory()
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    assert len(calls) == seen
    reports.take()  # of the callback that fails
