"""Whatever a program replaces or overrides of sockets and of the loop, loop.sock_*() call it."""

import asyncio
import socket
from unittest import mock

import pytest
from peers import tcp_pair, turns
from sock_calls import receive_late

# ---- of sockets ----


def test_a_function_in_the_place_of_the_class(run):
    """asyncssh's tests have one make what they want instead of a socket."""
    real = socket.socket

    def make(*args, **kwargs):
        return real(*args, **kwargs)

    async def main():
        loop = asyncio.get_running_loop()
        with real() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            listening.setblocking(False)
            with mock.patch("socket.socket", make):
                transport, _ = await loop.create_connection(
                    asyncio.Protocol, *listening.getsockname()
                )
                theirs, _ = await loop.sock_accept(listening)
                await loop.sock_sendall(theirs, b"x")
            theirs.close()
            transport.abort()
            await turns()

    run(main)


def test_methods_of_a_subclass_of_socket_are_called(run):
    seen = []

    class Socket(socket.socket):
        def recv(self, *args):
            seen.append("recv")
            return super().recv(*args)

        def send(self, *args):
            seen.append("send")
            return super().send(*args)

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = tcp_pair()
        with Socket(fileno=ours.detach()) as ours, theirs:
            ours.setblocking(False)
            waiting = asyncio.ensure_future(loop.sock_recv(ours, 10))
            await turns()
            theirs.send(b"data")
            assert await waiting == b"data"
            await loop.sock_sendall(ours, b"x")

    run(main)
    assert seen[-1] == "send"
    assert seen.count("recv") >= 2


def test_mocks_stand_in_for_sockets(run):
    async def main():
        loop = asyncio.get_running_loop()
        sock = mock.Mock(spec=socket.socket)
        sock.recv.return_value = b"data"
        sock.send.return_value = 4
        assert await loop.sock_recv(sock, 10) == b"data"
        assert await loop.sock_sendall(sock, b"data") is None
        sock.recv.assert_called_once_with(10)

    run(main)


def test_a_method_replaced_on_the_class_of_sockets_is_called(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(pair[1], b"data")
        with mock.patch.object(socket.socket, "recv", return_value=b"replaced"):
            assert await loop.sock_recv(pair[0], 10) == b"replaced"
        assert await loop.sock_recv(pair[0], 10) == b"data"

    run(main)


# ---- of the loop ----


#: What asyncio's sock_recv() calls on the loop while it waits, and when it has ended.
STEPS = ("create_future", "_ensure_fd_no_transport", "_add_reader", "_sock_recv", "_sock_read_done")


def recording(seen, method, name):
    def replaced(*args, **kwargs):
        seen.append(name)
        return method(*args, **kwargs)

    return replaced


@pytest.mark.parametrize("name", STEPS)
def test_a_subclass_may_override_what_a_wait_calls(loop_class, pair, name):
    seen = []
    method = getattr(loop_class, name)
    kind = type("Sub", (loop_class,), {name: recording(seen, method, name)})
    with asyncio.Runner(loop_factory=kind) as runner:
        runner.run(receive_late(pair))
    assert name in seen


@pytest.mark.parametrize("name", STEPS)
def test_what_a_wait_calls_may_be_replaced_on_the_loop(run, pair, name):
    async def main():
        loop = asyncio.get_running_loop()
        await receive_late(pair)
        seen = []
        setattr(loop, name, recording(seen, getattr(loop, name), name))
        await receive_late(pair)
        assert name in seen
        delattr(loop, name)
        seen.clear()
        await receive_late(pair)
        assert seen == []

    run(main)


@pytest.mark.parametrize("name", ["_sock_recv", "_sock_read_done"])
def test_what_a_wait_calls_may_be_replaced_on_asyncios_class(run, pair, name):
    owner = next(kind for kind in asyncio.SelectorEventLoop.__mro__ if name in vars(kind))

    async def main():
        await receive_late(pair)
        seen = []
        with mock.patch.object(owner, name, recording(seen, getattr(owner, name), name)):
            await receive_late(pair)
        assert name in seen

    run(main)


def test_a_subclass_may_override_a_call(loop_class, pair):
    class Sub(loop_class):
        async def sock_recv(self, sock, n):
            return b"<" + await super().sock_recv(sock, n) + b">"

    async def main():
        pair[1].send(b"data")
        return await asyncio.get_running_loop().sock_recv(pair[0], 10)

    with asyncio.Runner(loop_factory=Sub) as runner:
        assert runner.run(main()) == b"<data>"


def test_a_replaced_call_soon_sees_the_end_of_a_wait(loop_class, pair):
    seen = []

    class Traced(loop_class):
        def call_soon(self, callback, *args, context=None):
            seen.append(callback)
            return super().call_soon(callback, *args, context=context)

    with asyncio.Runner(loop_factory=Traced) as runner:
        runner.run(receive_late(pair))
    assert any("_sock_read_done" in repr(callback) for callback in seen)
