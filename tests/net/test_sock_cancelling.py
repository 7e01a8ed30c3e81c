"""Waits of loop.sock_*() that end early: cancelled, by their future, with their socket or loop."""

import asyncio
import select
import socket

import pytest
from peers import LOOPBACK, PATIENCE, turns
from sock_calls import RECEIVING, at_once, call


def test_a_cancelled_sock_recv_takes_no_data(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 100))
        await turns()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        pair[1].send(b"kept")
        assert await loop.sock_recv(pair[0], 100) == b"kept"

    run(main)


@pytest.mark.parametrize("name", [*RECEIVING, "sock_accept"])
def test_a_cancelled_wait_leaves_nothing_behind(run, pair, name):
    async def main():
        loop = asyncio.get_running_loop()
        sock = pair[0]
        with socket.create_server((LOOPBACK, 0)) as listener:
            if name == "sock_accept":
                sock = listener
                sock.setblocking(False)
            for _ in range(3):
                waiting = asyncio.ensure_future(call(loop, name, sock))
                await turns()
                waiting.cancel("enough")
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await turns()
                assert loop.remove_reader(sock) is False
            assert sock.fileno() not in loop._selector.get_map()

    run(main)


@pytest.mark.parametrize("cancelled", [False, True])
def test_the_future_of_a_wait_may_be_given_a_result(run, pair, cancelled):
    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 10))
        await turns()
        waiting._fut_waiter.set_result("from elsewhere")
        if cancelled:
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        else:
            assert await waiting == "from elsewhere"
        await turns()
        assert loop.remove_reader(pair[0]) is False
        pair[1].send(b"data")
        assert await loop.sock_recv(pair[0], 10) == b"data"

    run(main)


def test_the_future_of_a_wait_may_be_cancelled(run, pair):
    """As anyio does."""

    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 10))
        await turns()
        assert waiting._fut_waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        pair[1].send(b"data")
        assert await loop.sock_recv(pair[0], 10) == b"data"

    run(main)


@pytest.mark.parametrize("reused", [False, True])
@pytest.mark.parametrize("name", [*RECEIVING, "sock_accept"])
def test_a_socket_closed_while_it_is_waited_for_ends_nothing_but_the_wait(run, name, reused):
    """The number is that of another file then, or of none; the future can still be cancelled."""

    async def main():
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.bind((LOOPBACK, 0))
        sock.listen()
        peer = None
        if name != "sock_accept":
            peer = socket.create_connection(sock.getsockname())
            accepted, _ = sock.accept()
            sock.close()
            sock = accepted
        sock.setblocking(False)
        waiting = asyncio.ensure_future(call(loop, name, sock))
        await turns()
        sock.close()
        others = socket.socketpair() if reused else ()
        await turns()
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await turns()
        if reused:
            others[0].setblocking(False)
            others[1].send(b"x")
            async with asyncio.timeout(PATIENCE):
                assert await loop.sock_recv(others[0], 1) == b"x"
        for other in filter(None, (*others, peer)):
            other.close()

    run(main)


def test_closing_the_loop_ends_nothing_but_the_loop(loop_factory, pair):
    loop = loop_factory()
    coro = loop.sock_recv(pair[0], 10)
    coro.send(None)
    loop.close()
    pair[1].send(b"data")
    coro.close()
    select.select([pair[0]], [], [], PATIENCE)
    # Nobody has looked at the loop.
    assert at_once(loop.sock_recv(pair[0], 10)) == b"data"
    coro = loop.sock_recv(pair[0], 10)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        coro.send(None)
