"""What a future's exception brings along when it is asked for: context and traceback."""

import asyncio
import contextlib
import traceback
import weakref

import pytest
from helpers import only_pyaio


class Thing:
    """Something whose end can be seen."""


async def fails():
    raise ValueError("of the task")


async def ended():
    """A task that has failed, its exception not asked for."""
    task = asyncio.ensure_future(fails())
    await asyncio.wait([task])
    return task


async def awaits(future):
    return await future


async def asks(future):
    return future.result()


async def raised(coro):
    """What awaiting *coro* raises while a KeyError is handled, and that KeyError."""
    try:
        raise KeyError("first")
    except KeyError as first:
        try:
            await coro
        except BaseException as second:
            return second, first


def frames(exception):
    return [frame.name for frame in traceback.extract_tb(exception.__traceback__)]


retrievals = pytest.mark.parametrize("retrieve", [awaits, asks])


@retrievals
def test_it_has_what_is_handled_as_its_context(run, retrieve):
    async def main():
        exception, handled = await raised(retrieve(await ended()))
        assert isinstance(exception, ValueError)
        assert exception.__context__ is handled

    run(main)


@retrievals
def test_a_cancellation_has_what_is_handled_as_its_context(run, retrieve):
    async def main():
        future = asyncio.get_running_loop().create_future()
        future.cancel("message")
        exception, handled = await raised(retrieve(future))
        assert isinstance(exception, asyncio.CancelledError)
        assert exception.__context__ is handled

    run(main)


def test_an_exception_that_comes_while_it_is_awaited_has_it_too(run):
    async def main():
        exception, handled = await raised(awaits(asyncio.ensure_future(fails())))
        assert exception.__context__ is handled

    run(main)


def test_what_is_handled_around_the_run_is_no_context_of_it(loop):
    """It is thrown into the task, not raised in it."""
    found = []

    async def main():
        try:
            await asyncio.ensure_future(fails())
        except ValueError as exception:
            found.append(exception)

    async def sets():
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, ValueError("set"))
        try:
            await future
        except ValueError as exception:
            found.append(exception)

    try:
        raise KeyError("around")
    except KeyError:
        loop.run_until_complete(main())
        loop.run_until_complete(sets())
    assert isinstance(found[0].__context__, KeyError)  # raised in the task, as anything there
    assert found[1].__context__ is None


@retrievals
def test_the_traceback_is_told_once(run, retrieve):
    """The future gives it up, and with it the frames that it holds."""

    async def main():
        task = await ended()
        seen = []
        for _ in range(3):
            with pytest.raises(ValueError, match="of the task") as caught:
                await retrieve(task)
            seen.append(frames(caught.value))
        assert [names.count("fails") for names in seen] == [1, 0, 0]

    run(main)


def test_frames_of_a_failed_task_live_no_longer_than_its_traceback(run):
    things = []

    async def holds():
        thing = Thing()
        things.append(weakref.ref(thing))
        raise ValueError

    async def main():
        task = asyncio.ensure_future(holds())
        try:
            await task
        except ValueError as exception:
            exception.__traceback__ = None
        assert things[0]() is None
        assert task.done()

    run(main)


@only_pyaio
def test_a_frame_that_goes_with_the_traceback_may_begin_the_future_anew(loop):
    """asyncio's future in C crashes."""
    future = loop.create_future()
    future.set_exception(ValueError("of the future"))

    class Restarting:
        def __del__(self):
            with contextlib.suppress(RuntimeError):  # since 3.15
                future.__init__(loop=loop)

    def retrieve():
        local = Restarting()
        assert local
        future.result()

    with contextlib.suppress(ValueError):
        retrieve()
    with pytest.raises(ValueError, match="of the future"):
        future.result()
