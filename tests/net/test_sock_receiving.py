"""loop.sock_recv() and its like: waits one after the other, data between them, ends of data."""

import asyncio
import socket

import pytest
from datagram_peers import plain
from peers import PATIENCE, reset, turns, unix_pair
from sock_calls import RECEIVING, at_once, receive_late


@pytest.fixture
def udp():
    """Two plain UDP sockets, each bound to a port of its own."""
    with plain(2) as pair:
        yield pair


def test_sock_recv_waits_for_data(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 100))
        await turns()
        assert not waiting.done()
        pair[1].send(b"now")
        assert await waiting == b"now"

    run(main)


def test_sock_recv_into(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        buffer = bytearray(10)
        waiting = asyncio.ensure_future(loop.sock_recv_into(pair[0], buffer))
        await turns()
        pair[1].send(b"data")
        assert await waiting == 4
        assert buffer[:4] == b"data"

    run(main)


def test_datagrams_by_sock_sendto_and_sock_recvfrom(run, udp):
    one, other = udp

    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recvfrom(other, 100))
        await turns()
        assert await loop.sock_sendto(one, b"hi", other.getsockname()) == 2
        assert await waiting == (b"hi", one.getsockname())

    run(main)


@pytest.mark.parametrize("name", RECEIVING)
def test_many_waits_on_one_socket(run, udp, name):
    one, other = udp

    async def main():
        loop = asyncio.get_running_loop()
        address = one.getsockname()
        for i in range(20):
            data = b"%d" % i
            args = RECEIVING[name]()
            waiting = asyncio.ensure_future(getattr(loop, name)(other, *args))
            await turns(1 + i % 3)
            assert not waiting.done()
            await loop.sock_sendto(one, data, other.getsockname())
            got = await asyncio.wait_for(waiting, PATIENCE)
            if name.endswith("_into"):
                assert args[0][: len(data)] == data
                assert got == ((len(data), address) if "from" in name else len(data))
            else:
                assert got == ((data, address) if "from" in name else data)

    run(main)


def test_ping_pong_of_two_tasks(run, stream_pair):
    async def main():
        loop = asyncio.get_running_loop()

        async def echo(sock):
            while data := await loop.sock_recv(sock, 100):
                await loop.sock_sendall(sock, data)

        echoing = asyncio.ensure_future(echo(stream_pair[1]))
        for i in range(200):
            await loop.sock_sendall(stream_pair[0], b"%d" % i)
            assert await loop.sock_recv(stream_pair[0], 100) == b"%d" % i
        stream_pair[0].shutdown(socket.SHUT_WR)
        await asyncio.wait_for(echoing, PATIENCE)

    run(main)


def test_what_arrives_while_nobody_waits_is_there_at_once(run, stream_pair):
    ours, theirs = stream_pair

    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(ours, 2))
        await turns()
        theirs.send(b"ab")
        assert await waiting == b"ab"
        for _ in range(5):
            theirs.send(b"cdef")
            await turns()  # the loop is told, and nobody waits
            assert at_once(loop.sock_recv(ours, 3)) == b"cde"
            assert at_once(loop.sock_recv(ours, 3)) == b"f"
            waiting = asyncio.ensure_future(loop.sock_recv(ours, 2))
            await turns()
            theirs.send(b"gh")
            assert await asyncio.wait_for(waiting, PATIENCE) == b"gh"

    run(main)


def test_what_comes_before_the_next_call_is_received(run, stream_pair):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = stream_pair
        async with asyncio.timeout(PATIENCE):
            await receive_late(stream_pair)
            theirs.send(b"at once")
            assert await loop.sock_recv(ours, 10) == b"at once"
            await receive_late(stream_pair)
            theirs.shutdown(socket.SHUT_WR)
            assert await loop.sock_recv(ours, 10) == b""

    run(main)


async def received_late(sock, send):
    """What a task gets that waits to read before send(), and in its next call."""
    loop = asyncio.get_running_loop()

    async def receive():
        return [await loop.sock_recv(sock, 100), await loop.sock_recv(sock, 100)]

    waiting = asyncio.ensure_future(receive())
    await turns()
    send()
    return await asyncio.wait_for(waiting, PATIENCE)


def test_what_a_read_stops_at_is_not_all_that_there_is(run, pair):
    """Neither urgent data nor passed descriptors come with what is before them."""

    def send_urgent():
        pair[1].send(b"before")
        pair[1].send(b"!", socket.MSG_OOB)
        pair[1].send(b"behind")

    async def main():
        assert await received_late(pair[0], send_urgent) == [b"before", b"behind"]
        ours, theirs = unix_pair()
        with ours, theirs:

            def send_descriptors():
                for data in (b"one", b"other"):
                    socket.send_fds(theirs, [data], [0])

            assert await received_late(ours, send_descriptors) == [b"one", b"other"]

    run(main)


def test_eof_is_told_again_and_again(run, stream_pair):
    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(stream_pair[0], 10))
        await turns()
        stream_pair[1].shutdown(socket.SHUT_WR)
        assert await asyncio.wait_for(waiting, PATIENCE) == b""
        for _ in range(3):
            await turns()
            assert await loop.sock_recv(stream_pair[0], 10) == b""

    run(main)


def test_a_reset_ends_a_wait_with_an_error(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 10))
        await turns()
        reset(pair[1])
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(waiting, PATIENCE)
        with pytest.raises(BrokenPipeError):
            await loop.sock_sendall(pair[0], b"x")

    run(main)
