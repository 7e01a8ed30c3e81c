"""create_future, create_task and the task factory."""

import asyncio
import concurrent.futures
import contextvars
import sys

import pytest

VAR = contextvars.ContextVar("VAR", default="unset")


async def coroutine(value=None):
    await asyncio.sleep(0)
    return value


def test_create_future_returns_a_future_of_the_loop(loop):
    future = loop.create_future()
    assert isinstance(future, asyncio.Future) and asyncio.isfuture(future)
    assert future.get_loop() is loop
    assert not future.done()


def test_create_task_returns_a_task_of_the_loop(loop):
    task = loop.create_task(coroutine(1))
    assert isinstance(task, asyncio.Task)
    assert task.get_loop() is loop
    assert asyncio.all_tasks(loop) == {task}
    assert loop.run_until_complete(task) == 1


def test_a_task_has_its_name(loop):
    task = loop.create_task(coroutine(), name="mine")
    assert task.get_name() == "mine"
    loop.run_until_complete(task)


def test_a_name_that_is_no_string_becomes_one(loop):
    task = loop.create_task(coroutine(), name=7)
    assert task.get_name() == "7"
    loop.run_until_complete(task)


def test_a_task_without_a_name_gets_one(loop):
    task = loop.create_task(coroutine())
    assert task.get_name().startswith("Task-")
    loop.run_until_complete(task)


def test_a_task_runs_in_the_given_context(loop):
    context = contextvars.copy_context()
    context.run(VAR.set, "given")

    async def main():
        before = VAR.get()
        VAR.set("by main")
        return before

    assert loop.run_until_complete(loop.create_task(main(), context=context)) == "given"
    assert context[VAR] == "by main"


def test_a_task_runs_in_a_copy_of_the_callers_context_by_default(loop):
    async def main():
        before = VAR.get()
        VAR.set("by main")
        return before

    def caller():
        VAR.set("caller")
        result = loop.run_until_complete(loop.create_task(main()))
        return result, VAR.get()

    assert contextvars.copy_context().run(caller) == ("caller", "caller")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="create_task takes any keyword since 3.14")
def test_create_task_passes_every_keyword_on(loop):
    async def main():
        task = asyncio.get_running_loop().create_task(coroutine(1), eager_start=True, name="x")
        return await task

    assert loop.run_until_complete(main()) == 1
    with pytest.raises(TypeError):
        coro = coroutine()
        try:
            loop.create_task(coro, no_such_keyword=1)
        finally:
            coro.close()


@pytest.mark.parametrize("thing", [None, 1, coroutine, [], "coroutine"])
def test_a_task_of_something_else_is_a_type_error(loop, thing):
    with pytest.raises(TypeError):
        loop.create_task(thing)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 still takes generators")
def test_a_generator_is_no_coroutine(loop):
    with pytest.raises(TypeError):
        loop.create_task(i for i in range(3))


# The factory


def recorder(calls):
    def factory(loop, coro, **kwargs):
        calls.append((loop, coro, kwargs))
        return asyncio.Task(coro, loop=loop, **kwargs)

    return factory


def test_there_is_no_factory_by_default(loop):
    assert loop.get_task_factory() is None


def test_the_factory_makes_the_tasks(loop):
    calls = []
    factory = recorder(calls)
    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    coro = coroutine(1)
    task = loop.create_task(coro)
    assert calls[0][:2] == (loop, coro)
    assert loop.run_until_complete(task) == 1
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None
    assert loop.run_until_complete(coroutine(2)) == 2
    assert len(calls) == 1


CREATIONS = {
    "nothing": {},
    "name": {"name": "mine"},
    "context": {"context": contextvars.copy_context()},
    "both": {"name": "mine", "context": contextvars.copy_context()},
    "none": {"name": None, "context": None},
}


@pytest.mark.parametrize("kwargs", CREATIONS.values(), ids=CREATIONS)
def test_the_factory_gets_what_asyncio_of_this_version_passes(loop, kwargs):
    def passed_on(loop):
        calls = []
        loop.set_task_factory(recorder(calls))
        loop.run_until_complete(loop.create_task(coroutine(), **kwargs))
        ((_, _, passed),) = calls
        return passed

    oracle = asyncio.SelectorEventLoop()
    expected = passed_on(oracle)
    oracle.close()
    assert passed_on(loop) == expected


def test_a_task_of_the_factory_gets_its_name(loop):
    loop.set_task_factory(recorder([]))
    task = loop.create_task(coroutine(), name="mine")
    assert task.get_name() == "mine"
    loop.run_until_complete(task)


def test_what_the_factory_returns_is_returned(loop):
    class Subclass(asyncio.Task):
        pass

    loop.set_task_factory(lambda loop, coro, **kwargs: Subclass(coro, loop=loop, **kwargs))
    task = loop.create_task(coroutine(1))
    assert type(task) is Subclass
    assert loop.run_until_complete(task) == 1


def test_an_error_of_the_factory_is_raised(loop):
    def factory(loop, coro, **kwargs):
        coro.close()
        raise LookupError("factory")

    loop.set_task_factory(factory)
    with pytest.raises(LookupError, match="factory"):
        loop.create_task(coroutine())


@pytest.mark.parametrize("factory", [1, "factory", object()])
def test_a_factory_that_is_not_callable_is_refused(loop, factory):
    with pytest.raises(TypeError, match="task factory must be a callable or None"):
        loop.set_task_factory(factory)
    assert loop.get_task_factory() is None


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")
def test_the_eager_factory_runs_a_task_at_once(loop):
    loop.set_task_factory(asyncio.eager_task_factory)

    async def at_once():
        got.append(asyncio.current_task())
        return 1

    async def main():
        task = asyncio.create_task(at_once())
        assert task.done() and task.result() == 1
        assert got[0] is task
        assert asyncio.current_task() is not task
        blocked = asyncio.create_task(coroutine(2))
        assert not blocked.done()
        return await blocked

    got = []
    assert loop.run_until_complete(main()) == 2


def test_ensure_future_uses_the_loop(loop):
    future = loop.create_future()
    assert asyncio.ensure_future(future, loop=loop) is future
    task = asyncio.ensure_future(coroutine(1), loop=loop)
    assert task.get_loop() is loop
    assert loop.run_until_complete(task) == 1


def test_wrap_future_uses_the_loop(loop):
    source = concurrent.futures.Future()
    wrapped = asyncio.wrap_future(source, loop=loop)
    source.set_result(1)
    assert loop.run_until_complete(wrapped) == 1
