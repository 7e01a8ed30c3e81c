"""Arguments of loop.sock_*(), and sockets that they take or refuse."""

import array
import asyncio
import inspect
import select
import socket

import pytest
from peers import LOOPBACK, PATIENCE, on_each, tcp_pair, until
from sock_calls import CALLS, call


async def told(method, *args):
    """What the call gives, or the exception that it ends with."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await method(*args)
    except Exception as exc:
        return type(exc), str(exc)


#: Arguments that are wrong or unusual, by method; some for a connection with data in it.
UNUSUAL = {
    "sock_recv": [(), (0,), (-1,), ("x",), (1.5,), (True,), (1 << 70,), (1, 2), (1 << 20,)],
    "sock_recv_into": [
        (b"read-only",),
        (bytearray(),),
        (memoryview(b"read-only"),),
        (memoryview(bytearray(8))[::2],),
        (array.array("i", [0, 0]),),
        ("x",),
        (memoryview(bytearray(8)),),
    ],
    "sock_recvfrom": [(0,), (-1,), ("x",), (3,)],
    "sock_recvfrom_into": [
        (bytearray(4), 5),
        (bytearray(4), -1),
        (bytearray(4), 0),
        (bytearray(4), 2),
        (bytearray(4), "x"),
        (bytearray(),),
        (b"read-only", 3),
    ],
    "sock_sendall": [
        ("x",),
        (None,),
        (b"",),
        (bytearray(b"xy"),),
        (memoryview(b"xy"),),
        (memoryview(b"abcdef")[::2],),
        (array.array("b", b"ab"),),
        (5,),
    ],
    "sock_sendto": [("x", (LOOPBACK, 9)), (b"x", "nowhere"), (b"x", (LOOPBACK, 70000)), (b"x",)],
    "sock_connect": [
        (),
        ("x",),
        (None,),
        ((),),
        ((LOOPBACK,),),
        ((LOOPBACK, 9, 0),),
        ((LOOPBACK, "9"),),
        ((LOOPBACK, -1),),
        ((LOOPBACK, 70000),),
        (("::1", 9),),
        ((LOOPBACK + "\0", 9),),
        ((LOOPBACK, 9),),
        ([LOOPBACK, 9],),
    ],
    "sock_accept": [(1,), ()],
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_arguments_are_checked_as_by_asyncio(loop_factories, name):
    async def main():
        loop = asyncio.get_running_loop()
        found = []
        for args in UNUSUAL[name]:
            ours, theirs = tcp_pair()
            with ours, theirs:
                theirs.send(b"data that is there")
                await until(lambda: select.select([ours], [], [], 0)[0])  # noqa: B023
                found.append(await told(getattr(loop, name), ours, *args))
        return found

    seen = on_each(loop_factories, main)
    assert seen["pyaio"] == seen["asyncio"]
    assert len(seen["pyaio"]) == len(UNUSUAL[name])


def test_arguments_may_be_given_by_name(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        name = list(inspect.signature(loop.sock_recv).parameters)[1]
        await loop.sock_sendall(sock=pair[1], data=b"data")
        assert await loop.sock_recv(pair[0], **{name: 10}) == b"data"
        await loop.sock_sendall(pair[1], b"data")
        assert await loop.sock_recvfrom_into(pair[0], bytearray(4), nbytes=2) == (2, None)

    run(main)


@pytest.mark.parametrize("name", CALLS)
def test_a_closed_socket_is_an_error(run, name):
    async def main():
        sock = socket.socket()
        sock.setblocking(False)
        sock.close()
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError, match="Bad file descriptor"):
            await call(loop, name, sock)

    run(main)


def test_a_blocking_socket_is_refused_in_debug_mode(run, pair):
    async def main():
        pair[0].setblocking(True)
        with pytest.raises(ValueError, match="must be non-blocking"):
            await asyncio.get_running_loop().sock_recv(pair[0], 1)

    run(main, debug=True)


@pytest.mark.parametrize("name", CALLS)
def test_debug_mode_refuses_a_blocking_socket(run, pair, name):
    async def main():
        loop = asyncio.get_running_loop()
        for timeout in (None, 1.0):
            pair[0].settimeout(timeout)
            with pytest.raises(ValueError, match="the socket must be non-blocking"):
                await call(loop, name, pair[0])

    run(main, debug=True)


def test_a_blocking_socket_blocks(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        pair[0].settimeout(0.001)
        with pytest.raises(TimeoutError):
            await loop.sock_recv(pair[0], 10)
        pair[1].send(b"data")
        pair[0].setblocking(True)
        assert await loop.sock_recv(pair[0], 10) == b"data"

    run(main)


def test_an_ssl_socket_is_refused(run, tls):
    async def main():
        loop = asyncio.get_running_loop()
        with tls.client.wrap_socket(
            socket.socket(), server_hostname="x", do_handshake_on_connect=False
        ) as sock:
            sock.setblocking(False)
            for name in CALLS:
                with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
                    await call(loop, name, sock)

    run(main)


def test_sock_methods_refuse_the_socket_of_a_transport(run):
    async def main():
        ours, peer = tcp_pair()
        with peer:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
            with pytest.raises(RuntimeError, match="is used by transport"):
                await loop.sock_recv(ours, 1)
            transport.abort()
            await until(lambda: ours.fileno() == -1)

    run(main)
