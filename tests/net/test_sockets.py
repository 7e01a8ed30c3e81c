"""loop.sock_*, add_reader and add_writer on plain sockets, also on some that close meanwhile."""

import asyncio
import socket

import pytest
from helpers import PATIENCE
from peers import LOOPBACK, closed_port, tcp_pair, turns, until, with_peer


def test_sock_sendall_and_sock_recv(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        payload = bytes(range(256)) * 20_000
        sending = asyncio.ensure_future(loop.sock_sendall(pair[0], payload))
        received = bytearray()
        while len(received) < len(payload):
            received += await loop.sock_recv(pair[1], 1 << 16)
        await sending
        assert received == payload
        pair[0].close()
        assert await loop.sock_recv(pair[1], 10) == b""

    run(main)


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


def test_sock_connect_and_sock_accept(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server((LOOPBACK, 0)) as listener, socket.socket() as client:
            listener.setblocking(False)
            client.setblocking(False)
            accepting = asyncio.ensure_future(loop.sock_accept(listener))
            await turns()
            await loop.sock_connect(client, listener.getsockname())
            peer, address = await asyncio.wait_for(accepting, PATIENCE)
            with peer:
                assert address == client.getsockname()
                assert peer.gettimeout() == 0

    run(main)


def test_sock_connect_to_a_closed_port(run):
    async def main():
        with socket.socket() as client:
            client.setblocking(False)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.get_running_loop().sock_connect(client, (LOOPBACK, closed_port()))

    run(main)


def test_datagrams_by_sock_sendto_and_sock_recvfrom(run):
    async def main():
        loop = asyncio.get_running_loop()
        with (
            socket.socket(type=socket.SOCK_DGRAM) as one,
            socket.socket(type=socket.SOCK_DGRAM) as other,
        ):
            for sock in (one, other):
                sock.setblocking(False)
                sock.bind((LOOPBACK, 0))
            waiting = asyncio.ensure_future(loop.sock_recvfrom(other, 100))
            await turns()
            assert await loop.sock_sendto(one, b"hi", other.getsockname()) == 2
            assert await waiting == (b"hi", one.getsockname())

    run(main)


def test_a_blocking_socket_is_refused_in_debug_mode(run, pair):
    async def main():
        pair[0].setblocking(True)
        with pytest.raises(ValueError, match="must be non-blocking"):
            await asyncio.get_running_loop().sock_recv(pair[0], 1)

    run(main, debug=True)


def test_add_reader_calls_while_there_is_data(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        loop.add_reader(pair[0], lambda *args: seen.append((args, pair[0].recv(1))), "tag")
        pair[1].send(b"ab")
        await until(lambda: len(seen) == 2)
        assert seen == [(("tag",), b"a"), (("tag",), b"b")]
        assert loop.remove_reader(pair[0]) is True
        assert loop.remove_reader(pair[0]) is False
        pair[1].send(b"c")
        await turns(20)
        assert len(seen) == 2

    run(main)


def test_add_writer_calls_while_there_is_room(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        count = 0

        def writable():
            nonlocal count
            count += 1

        loop.add_writer(pair[0].fileno(), writable)
        await until(lambda: count >= 3)
        assert loop.remove_writer(pair[0].fileno()) is True
        assert loop.remove_writer(pair[0].fileno()) is False
        before = count
        await turns(20)
        assert count == before

    run(main)


def test_reader_and_writer_of_one_socket_are_apart(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        events = set()
        loop.add_reader(pair[0], events.add, "readable")
        loop.add_writer(pair[0], events.add, "writable")
        await until(lambda: events == {"writable"})
        loop.remove_writer(pair[0])
        pair[1].send(b"x")
        await until(lambda: events == {"writable", "readable"})
        loop.remove_reader(pair[0])

    run(main)


def test_a_second_add_reader_replaces_the_first(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        loop.add_reader(pair[0], seen.append, "first")
        loop.add_reader(pair[0], seen.append, "second")
        pair[1].send(b"x")
        await until(lambda: seen)
        loop.remove_reader(pair[0])
        assert set(seen) == {"second"}

    run(main)


@pytest.mark.parametrize("name", ["add_reader", "add_writer", "remove_reader", "remove_writer"])
def test_the_descriptor_of_a_transport_is_refused(run, name):
    async def main():
        async with with_peer() as (protocol, _):
            method = getattr(asyncio.get_running_loop(), name)
            number = protocol.transport.get_extra_info("socket").fileno()
            with pytest.raises(RuntimeError, match="is used by transport"):
                method(number, *([print] if name.startswith("add") else []))

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


WAITS = {
    "sock_recv": lambda loop, sock: loop.sock_recv(sock, 10),
    "sock_recv_into": lambda loop, sock: loop.sock_recv_into(sock, bytearray(10)),
    "sock_recvfrom": lambda loop, sock: loop.sock_recvfrom(sock, 10),
    "sock_accept": lambda loop, sock: loop.sock_accept(sock),
}


@pytest.mark.parametrize("reused", [False, True])
@pytest.mark.parametrize("name", WAITS)
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
        waiting = asyncio.ensure_future(WAITS[name](loop, sock))
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


def test_the_descriptor_of_a_datagram_transport_is_refused(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=(LOOPBACK, 0)
        )
        number = transport.get_extra_info("socket").fileno()
        for method in (loop.add_reader, loop.add_writer):
            with pytest.raises(RuntimeError, match="is used by transport"):
                method(number, print)
        transport.close()
        await turns()

    run(main)


class Finalized:
    """A callback whose finalizer runs *last*, with what dropped it still under way."""

    def __init__(self, last):
        self.last = last

    def __call__(self):
        pass

    def __del__(self):
        self.last()


@pytest.mark.parametrize("drop", ["replace", "remove", "close"])
def test_a_finalizer_of_a_reader_may_use_the_loop(loop, pair, drop):
    """The callback is dropped by add_reader(), remove_reader() or close() of the loop."""
    done = []

    def last():
        for method in (loop.remove_reader, loop.remove_writer):
            try:
                method(pair[0])
            except RuntimeError:  # closed
                done.append("closed")
        try:
            loop.call_later(0, print).cancel()
            loop.add_reader(pair[1], done.append, "readable")
            loop.remove_reader(pair[1])
        except RuntimeError:
            done.append("closed")
        done.append("done")

    loop.add_reader(pair[0], Finalized(last))
    loop.add_writer(pair[0], int)
    loop.call_soon(loop.stop)
    loop.run_forever()
    if drop == "replace":
        loop.add_reader(pair[0], done.append, "second")
    elif drop == "remove":
        assert loop.remove_reader(pair[0]) is True
    else:
        loop.close()
    assert done[-1:] == ["done"]
    if drop != "close":
        assert loop.remove_writer(pair[0]) is False
        loop.remove_reader(pair[0])


def test_a_reader_may_remove_itself_and_close_its_socket(run):
    async def main():
        loop = asyncio.get_running_loop()
        ours, peer = socket.socketpair()
        other, other_peer = socket.socketpair()
        with ours, peer, other, other_peer:
            seen = []

            def first():
                seen.append("first")
                loop.remove_reader(ours)
                ours.close()

            loop.add_reader(ours, first)
            loop.add_reader(other, lambda: (seen.append("other"), loop.remove_reader(other)))
            peer.send(b"x")
            other_peer.send(b"x")
            await until(lambda: len(seen) == 2)
            await turns()
            assert sorted(seen) == ["first", "other"]

    run(main)
