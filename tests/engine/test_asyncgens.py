"""Async generators: the loop's hooks and shutdown_asyncgens."""

import asyncio
import gc
import sys
import weakref

import pytest
from helpers import HandlerCalls


def counter(log, name="generator"):
    async def generator():
        try:
            for i in range(10):
                yield i
        finally:
            await asyncio.sleep(0)
            log.append(name)

    return generator()


def test_the_hooks_are_those_of_before_when_the_loop_does_not_run(loop):
    before = sys.get_asyncgen_hooks()
    got = []

    async def main():
        got.append(sys.get_asyncgen_hooks())

    loop.run_until_complete(main())
    assert sys.get_asyncgen_hooks() == before
    assert got[0].firstiter is not None and got[0].finalizer is not None


def test_the_hooks_are_restored_after_an_exit(loop):
    before = sys.get_asyncgen_hooks()

    def leave():
        raise SystemExit

    loop.call_soon(leave)
    with pytest.raises(SystemExit):
        loop.run_forever()
    assert sys.get_asyncgen_hooks() == before


def test_the_users_own_hooks_are_restored(loop):
    hooks = (lambda agen: None, lambda agen: None)
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(*hooks)
    try:
        loop.run_until_complete(asyncio.sleep(0))
        assert sys.get_asyncgen_hooks() == hooks
    finally:
        sys.set_asyncgen_hooks(*before)


def test_a_dropped_generator_is_closed_by_the_loop(loop):
    log = []

    async def main():
        async for i in counter(log):
            if i == 2:
                break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        return list(log)

    assert loop.run_until_complete(main()) == ["generator"]


def test_a_generator_dropped_in_another_thread_is_closed_by_the_loop(loop):
    log = []

    async def main():
        holder = [counter(log)]
        await holder[0].__anext__()
        await asyncio.to_thread(holder.clear)
        while not log:
            await asyncio.sleep(0)
        await loop.shutdown_default_executor()

    loop.run_until_complete(main())
    assert log == ["generator"]


def test_shutdown_closes_the_generators_that_are_alive(loop):
    log, alive = [], []

    async def main():
        for name in ("a", "b", "c"):
            alive.append(counter(log, name))
            await alive[-1].__anext__()

    loop.run_until_complete(main())
    assert log == []
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert sorted(log) == ["a", "b", "c"]
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert len(log) == 3


def test_shutdown_without_generators_returns(loop):
    assert loop.run_until_complete(loop.shutdown_asyncgens()) is None


def test_shutdown_ignores_generators_that_have_ended(loop):
    log = []

    async def main():
        return [i async for i in counter(log)]

    assert loop.run_until_complete(main()) == list(range(10))
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert log == ["generator"]


def test_an_error_while_closing_is_reported(loop):
    calls = HandlerCalls.of(loop)

    async def failing():
        try:
            yield 1
        finally:
            raise ZeroDivisionError

    generator = failing()

    async def main():
        await generator.__anext__()

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    (context,) = calls
    assert context["message"].startswith(
        "an error occurred during closing of asynchronous generator"
    )
    assert context["asyncgen"] is generator
    assert isinstance(context["exception"], ZeroDivisionError)


def test_a_generator_started_after_shutdown_is_a_resource_warning(loop):
    log = []

    async def main():
        await loop.shutdown_asyncgens()
        generator = counter(log)
        with pytest.warns(ResourceWarning, match=r"was scheduled after loop.shutdown_asyncgens\("):
            await generator.__anext__()
        await generator.aclose()

    loop.run_until_complete(main())


def test_the_loop_keeps_no_generator_alive(loop):
    class Marker:
        pass

    async def main():
        marker = Marker()
        alive = weakref.ref(marker)

        async def generator(marker):
            yield 1

        async for _ in generator(marker):
            pass
        del marker
        gc.collect()
        return alive()

    assert loop.run_until_complete(main()) is None


def test_a_generator_dropped_after_the_loop_closed_does_no_harm(loop):
    log, alive = [], []

    async def main():
        async def generator():
            yield 1
            log.append("never")

        alive.append(generator())
        await alive[0].__anext__()

    loop.run_until_complete(main())
    loop.close()
    alive.clear()
    gc.collect()
    assert log == []
