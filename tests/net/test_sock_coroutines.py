"""What loop.sock_*() return: coroutines, whoever makes and drives them."""

import asyncio
import collections.abc
import gc
import inspect
import os
import select
import socket
import warnings
from unittest import mock

import pytest
from helpers import only_pyaio
from peers import PATIENCE, turns
from sock_calls import CALLS, at_once, call


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_a_coroutine(loop, pair, name):
    coro = call(loop, name, pair[0])
    assert asyncio.iscoroutine(coro)
    assert inspect.isawaitable(coro)
    assert isinstance(coro, collections.abc.Coroutine)
    assert coro.__name__ == name
    assert coro.__qualname__ == f"BaseSelectorEventLoop.{name}"
    assert repr(coro).startswith(f"<coroutine object BaseSelectorEventLoop.{name} at 0x")
    assert (coro.cr_running, coro.cr_suspended) == (False, False)
    coro.close()


@pytest.mark.parametrize("name", CALLS)
def test_a_method_is_a_coroutine_function(loop, name):
    stock = getattr(asyncio.SelectorEventLoop, name)
    for method in (getattr(loop, name), getattr(type(loop), name)):
        assert inspect.iscoroutinefunction(method)
        assert (method.__name__, method.__qualname__) == (name, stock.__qualname__)
        assert method.__module__ == "asyncio.selector_events"
        assert method.__doc__ == stock.__doc__
    assert inspect.signature(getattr(type(loop), name)) == inspect.signature(stock)
    assert inspect.ismethod(getattr(loop, name))
    assert getattr(loop, name).__self__ is loop
    with mock.patch.object(loop, name) as mocked:
        assert isinstance(mocked, mock.AsyncMock)


@pytest.mark.parametrize("how", ["await", "create_task", "ensure_future", "wait_for", "gather"])
def test_whatever_takes_a_coroutine_takes_a_call(run, pair, how):
    async def main():
        loop = asyncio.get_running_loop()
        coro = loop.sock_recv(pair[0], 10)
        loop.call_later(0.001, pair[1].send, b"data")
        if how == "await":
            assert await coro == b"data"
        elif how == "wait_for":
            assert await asyncio.wait_for(coro, PATIENCE) == b"data"
        elif how == "gather":
            assert await asyncio.gather(coro) == [b"data"]
        else:
            start = loop.create_task if how == "create_task" else asyncio.ensure_future
            assert await start(coro) == b"data"

    run(main)


def test_asyncio_run_and_task_groups_take_a_call(loop_factory, pair):
    pair[1].send(b"data")
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        loop = runner.get_loop()

        async def main():
            async with asyncio.TaskGroup() as group:
                task = group.create_task(loop.sock_recv(pair[0], 2))
            return task.result()

        assert runner.run(main()) == b"da"
        assert runner.run(loop.sock_recv(pair[0], 10)) == b"ta"
        assert loop.run_until_complete(loop.sock_sendall(pair[0], b"x")) is None


def test_another_thread_may_hand_in_a_call(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        future = await asyncio.to_thread(
            asyncio.run_coroutine_threadsafe, loop.sock_recv(pair[0], 10), loop
        )
        pair[1].send(b"data")
        assert await asyncio.wait_for(asyncio.wrap_future(future), PATIENCE) == b"data"

    run(main)


def test_a_task_of_a_call_can_be_looked_at(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.sock_recv(pair[0], 10))
        await turns()
        assert "sock_recv()" in repr(task)
        assert "wait_for=<" in repr(task)
        assert task.get_coro().cr_suspended
        task.print_stack(file=open(os.devnull, "w"))  # noqa: SIM115
        gc.collect()  # closes the file
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not task.get_coro().cr_suspended

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        run(main)


def test_nothing_happens_before_the_call_is_awaited(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        coro = loop.sock_recv(pair[0], 10)
        sending = loop.sock_sendall(pair[0], b"late")
        await turns()
        pair[1].send(b"data")
        assert pair[0].recv(4, socket.MSG_PEEK) == b"data"
        assert not select.select([pair[1]], [], [], 0)[0]
        await sending
        assert select.select([pair[1]], [], [], PATIENCE)[0]
        assert await coro == b"data"

    run(main)


def test_a_call_that_need_not_wait_ends_in_its_first_step(loop, pair):
    pair[1].send(b"data")
    select.select([pair[0]], [], [], PATIENCE)
    coro = loop.sock_recv(pair[0], 10)
    assert at_once(coro) == b"data"
    for again in (lambda: coro.send(None), lambda: coro.throw(ValueError())):
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            again()
    coro.close()
    assert at_once(loop.sock_sendall(pair[0], b"x")) is None


def test_the_first_value_sent_must_be_none(loop, pair):
    coro = loop.sock_recv(pair[0], 10)
    with pytest.raises(TypeError, match="can't send non-None value to a just-started coroutine"):
        coro.send(1)
    coro.close()


@pytest.mark.parametrize("suspended", [False, True])
def test_throw_and_close_end_a_call(loop, pair, suspended):
    for end in ("throw", "close"):
        coro = loop.sock_recv(pair[0], 10)
        if suspended:
            assert not coro.send(None).done()
        if end == "close":
            assert coro.close() is None
        else:
            with pytest.raises(ZeroDivisionError):
                coro.throw(ZeroDivisionError())
        with pytest.raises(RuntimeError, match="cannot reuse"):
            coro.send(None)
    loop.remove_reader(pair[0])  # asyncio's reader stays until data comes


def test_a_suspended_call_must_be_awaited_to_its_end(loop, pair):
    coro = loop.sock_recv(pair[0], 10)
    coro.send(None)
    with pytest.raises(RuntimeError, match="await wasn't used with future"):
        coro.send(None)
    loop.remove_reader(pair[0])


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_is_never_awaited_warns(loop, pair, name):
    coro = call(loop, name, pair[0])
    with pytest.warns(RuntimeWarning, match=f"coroutine '.*{name}' was never awaited"):
        del coro
        gc.collect()
    cycle = [call(loop, name, pair[0])]
    cycle.append(cycle)
    with pytest.warns(RuntimeWarning, match=f"coroutine '.*{name}' was never awaited"):
        del cycle
        gc.collect()


def test_a_call_that_dies_with_the_interpreter_warns(child):
    source = """
import socket
loop = new_event_loop()
ours, theirs = socket.socketpair()
ours.setblocking(False)
call = loop.sock_recv(ours, 10)
loop.close()
ours.close()
theirs.close()
"""
    with child(source) as process:
        code, out, errors = process.finish()
    assert (code, out) == (0, "")
    assert "sock_recv' was never awaited" in errors
    assert "Error" not in errors


@only_pyaio
def test_asyncios_own_coroutine_is_left_alone(loop, pair):
    """Debug mode and unusual calls are asyncio's own; only the ordinary ones are native."""
    native = loop.sock_recv(pair[0], 10)
    loop.set_debug(True)
    others = [loop.sock_recv(pair[0], 10)]
    loop.set_debug(False)
    others.append(loop.sock_recv(pair[0], 0))
    others.append(loop.sock_recv(sock=pair[0], n=1))
    for coro in others:
        assert inspect.iscoroutine(coro)
        coro.close()
    assert type(native).__module__ == "pyaio._core"
    for kind in (type(native), type(type(loop).__dict__["sock_recv"])):
        with pytest.raises(TypeError):
            kind()
    native.close()
