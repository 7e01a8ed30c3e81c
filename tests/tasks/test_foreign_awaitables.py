"""Tasks and futures of ours with those of others: stock ones, Python ones, subclasses, threads'."""

import asyncio
import concurrent.futures
import types
import weakref

import helpers
import pytest
from coroutines import turns, wait_for_it

import pyaio

FUTURES = {
    "pyaio": pyaio.Future,
    "asyncio": asyncio.Future,
    "python": asyncio.futures._PyFuture,
    "subclass of pyaio": type("Sub", (pyaio.Future,), {"__slots__": ("more",)}),
    "subclass of asyncio": type("Sub", (asyncio.Future,), {}),
}
TASKS = {
    "pyaio": pyaio.Task,
    "asyncio": asyncio.Task,
    "python": asyncio.tasks._PyTask,
    "subclass of pyaio": type("Sub", (pyaio.Task,), {"__del__": lambda self: None}),
}


async def outcome(awaitable):
    try:
        return await awaitable
    except BaseException as exc:
        return type(exc), exc.args


@pytest.fixture(params=FUTURES)
def make_future(request):
    return lambda: FUTURES[request.param](loop=asyncio.get_running_loop())


@pytest.fixture(params=TASKS)
def make_task(request):
    return lambda coro: TASKS[request.param](coro, loop=asyncio.get_running_loop())


@pytest.fixture
def make_chain(make_future, make_task):
    """`await make_chain(length=1)`: a future and tasks, each waiting for the one before it."""

    async def make_chain(length=1):
        chain = [make_future()]
        for _ in range(length):
            chain.append(make_task(wait_for_it(chain[-1])))
        await turns(length)
        return chain

    return make_chain


def test_any_task_waits_for_any_future(run, make_chain):
    async def main():
        future, inner, outer = await make_chain(2)
        assert inner._fut_waiter is future and outer._fut_waiter is inner
        for awaited, waiting in (future, inner), (inner, outer):
            ((callback, context),) = awaited._callbacks
            assert callback.__self__ is waiting and context is not None
        future.set_result("result")
        assert await outer == "result"
        assert inner._fut_waiter is None and not inner._callbacks

    run(main)


def test_any_task_gets_the_exception_of_any_future(run, make_chain):
    async def main():
        future, task = await make_chain()
        future.set_exception(KeyError("key"))
        assert await outcome(task) == (KeyError, ("key",))

    run(main)


def test_cancelling_reaches_any_future_through_any_tasks(run, make_chain):
    async def main():
        future, inner, outer = await make_chain(2)
        assert outer.cancel("message") is True
        assert future.cancelled() and not inner.done()
        assert await outcome(outer) == (asyncio.CancelledError, ("message",))
        assert inner.cancelled() and outer.cancelled()
        assert (outer.cancelling(), inner.cancelling()) == (1, 1)

    run(main)


def test_cancelling_a_task_whose_future_is_done(run, make_chain):
    async def main():
        future, task = await make_chain()
        future.set_result(1)
        assert task.cancel("late") is True
        assert await outcome(task) == (asyncio.CancelledError, ("late",))
        future, task = await make_chain()
        future.cancel("the future")
        assert await outcome(task) == (asyncio.CancelledError, ("the future",))
        assert task.cancelled()

    run(main)


def test_a_future_of_a_thread_pool(run):
    async def main():
        for act, expected in (
            (lambda future: future.set_result(3), 3),
            (lambda future: future.set_exception(KeyError(4)), (KeyError, (4,))),
        ):
            future = concurrent.futures.Future()
            task = asyncio.create_task(wait_for_it(asyncio.wrap_future(future)))
            await asyncio.sleep(0)
            act(future)
            assert await outcome(task) == expected
        future = concurrent.futures.Future()
        task = asyncio.create_task(wait_for_it(asyncio.wrap_future(future)))
        await asyncio.sleep(0)
        task.cancel()
        assert await outcome(task) == (asyncio.CancelledError, ())
        assert future.cancelled()

    run(main)


class Steps:
    """A coroutine of another kind, as compilers of Python make them: its answers are given."""

    def __init__(self, *answers):
        self.answers, self.seen = list(answers), []

    def __await__(self):
        return self

    def _next(self, what):
        self.seen.append(what)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer() if callable(answer) else answer

    def send(self, value):
        return self._next(value)

    def throw(self, *args):
        return self._next(repr(args[-1]))

    def close(self):
        self.seen.append("close")


def ready_soon():
    future = asyncio.get_running_loop().create_future()
    next(iter(future))
    asyncio.get_running_loop().call_soon(future.set_result, "not passed on")
    return future


@pytest.mark.parametrize(
    ("answers", "expected", "seen"),
    [
        ([StopIteration(4)], 4, [None]),
        ([StopIteration((1, 2))], (1, 2), [None]),
        ([StopIteration(1, 2)], 1, [None]),
        ([type("Sub", (StopIteration,), {})(8)], 8, [None]),
        ([None, None, StopIteration()], None, [None] * 3),
        ([ready_soon, StopIteration("end")], "end", [None, None]),
        ([5, StopIteration("on")], "on", [None, "RuntimeError('Task got bad yield: 5')"]),
        (
            [5, None, StopIteration("on")],
            "on",
            [None, "RuntimeError('Task got bad yield: 5')", None],
        ),
        ([ValueError("v")], (ValueError, ("v",)), [None]),
        ([StopAsyncIteration("s")], (StopAsyncIteration, ("s",)), [None]),
        ([asyncio.CancelledError("c")], (asyncio.CancelledError, ("c",)), [None]),
    ],
)
def test_a_coroutine_of_another_kind(run, answers, expected, seen):
    async def main():
        coro = Steps(*answers)
        assert await outcome(asyncio.create_task(coro)) == expected
        assert coro.seen == seen

    run(main)


def test_a_coroutine_of_another_kind_is_cancelled(run):
    async def main():
        coro = Steps(None, None, StopIteration("swallowed"))
        task = asyncio.create_task(coro)
        await asyncio.sleep(0)
        task.cancel("message")
        assert await outcome(task) == "swallowed"
        assert coro.seen[1] == "CancelledError('message')"

    run(main)


def test_generators_as_coroutines(run):
    @types.coroutine
    def body():
        nothing = yield
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, 7)
        return nothing, (yield from future), (yield from asyncio.sleep(0, "slept").__await__())

    async def main():
        return await asyncio.create_task(wait_for_it(body()))

    assert run(main) == (None, 7, "slept")


@pytest.mark.parametrize("kind", ["pyaio", "asyncio"])
def test_subclasses_of_futures_and_tasks(run, kind):
    module = {"pyaio": pyaio, "asyncio": asyncio}[kind]
    events = []

    def subclass(base):
        class Sub(base):
            __slots__ = ("slot",)

            def cancel(self, msg=None):
                events.append("cancel")
                return super().cancel(msg)

            def add_done_callback(self, *args, **kwargs):
                events.append("add_done_callback")
                return super().add_done_callback(*args, **kwargs)

            def result(self):
                events.append("result")
                return super().result()

            def __await__(self):
                events.append("await")
                return super().__await__()

            def __del__(self):
                events.append("del")

        return Sub

    async def main():
        future = subclass(module.Future)()
        task = subclass(module.Task)(wait_for_it(future))
        for thing in future, task:
            thing.slot = thing.attribute = thing
        references = weakref.ref(future), weakref.ref(task)
        waiting = asyncio.create_task(wait_for_it(task))
        await turns(2)
        waiting.cancel()
        assert await outcome(waiting) == (asyncio.CancelledError, ())
        assert task.cancelled() and future.cancelled()
        return references

    references = run(main)
    helpers.collect()
    assert [reference() for reference in references] == [None, None]
    assert sorted(events) == sorted(2 * ["cancel", "add_done_callback", "result", "await", "del"])


def test_an_exception_out_of_a_foreign_future_is_thrown_in(run):
    class Future:
        _asyncio_future_blocking = True

        def get_loop(self):
            return asyncio.get_running_loop()

        def add_done_callback(self, callback, *, context):
            asyncio.get_running_loop().call_soon(callback, self, context=context)

        def result(self):
            assert asyncio.current_task() is None
            raise LookupError("foreign")

        def __await__(self):
            yield self

    async def main():
        with pytest.raises(LookupError, match="foreign"):
            await Future()

    run(main)
