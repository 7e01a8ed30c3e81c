"""Sockets that move their bytes by methods of their own, and loops with hooks of their own."""

import asyncio
import socket
import struct

import pytest
from datagram_peers import address_of, arrived, endpoint, plain
from peers import LOOPBACK, Accepting, Recorder, connection, finish, tcp_pair


class Counting(socket.socket):
    """Counts what passes through recv(), send() and accept()."""

    received = sent = accepted = 0

    def recv(self, *args):
        data = super().recv(*args)
        self.received += len(data)
        return data

    def send(self, data, *args):
        count = super().send(data, *args)
        self.sent += count
        return count

    def accept(self):
        self.accepted += 1
        return super().accept()


class Wrapper:
    """What only looks like a socket."""

    def __init__(self, sock):
        self.sock = sock
        self.reads = 0

    def recv(self, size):
        self.reads += 1
        return self.sock.recv(size)

    def __getattr__(self, name):
        return getattr(self.sock, name)


def counting(sock):
    return Counting(sock.family, sock.type, sock.proto, sock.detach())


async def echo_through(sock, peer):
    """Send and receive four bytes each way over a connection made of *sock*."""
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(Recorder, sock=sock)
    try:
        protocol.transport.write(b"ping")
        assert await loop.sock_recv(peer, 16) == b"ping"
        peer.send(b"pong")
        assert await protocol.received(4) == b"pong"
    finally:
        await finish(protocol)


def test_the_methods_of_a_subclass_are_called(run):
    async def main():
        ours, peer = tcp_pair()
        ours = counting(ours)
        ours.setblocking(False)
        with peer:
            await echo_through(ours, peer)
        assert (ours.received, ours.sent) == (4, 4)
        assert ours.fileno() == -1

    run(main)


def test_what_only_looks_like_a_socket_is_taken(run):
    async def main():
        ours, peer = tcp_pair()
        wrapper = Wrapper(ours)
        with peer:
            await echo_through(wrapper, peer)
        assert wrapper.reads >= 1
        assert ours.fileno() == -1

    run(main)


def test_a_replaced_accept_is_called(run):
    async def main():
        loop = asyncio.get_running_loop()
        listener = counting(socket.create_server((LOOPBACK, 0)))
        accepting = Accepting()
        async with await loop.create_server(accepting, sock=listener):
            _, near = await loop.create_connection(Recorder, *listener.getsockname())
            await finish(near, await accepting.connected())
        assert listener.accepted >= 1
        assert listener.fileno() == -1

    run(main)


def test_a_subclass_that_replaces_nothing_is_taken(run):
    class Plain(socket.socket):
        pass

    async def main():
        ours, peer = tcp_pair()
        ours = Plain(ours.family, ours.type, ours.proto, ours.detach())
        ours.setblocking(False)
        with peer:
            await echo_through(ours, peer)
        assert ours.fileno() == -1

    run(main)


@pytest.mark.parametrize("on", ["class", "instance"])
def test_a_replaced_make_socket_transport_makes_both_ends(loop_class, on):
    made = []

    def replacement(self, sock, protocol, *args, **kwargs):
        made.append(kwargs.get("server") is not None)
        return loop_class._make_socket_transport(self, sock, protocol, *args, **kwargs)

    subclass = type("Replaced", (loop_class,), {})
    if on == "class":
        subclass._make_socket_transport = replacement

    async def main():
        if on == "instance":
            loop = asyncio.get_running_loop()
            loop._make_socket_transport = replacement.__get__(loop)
        async with connection():
            pass

    with asyncio.Runner(loop_factory=subclass) as runner:
        runner.run(main())
        if on == "instance":
            del runner.get_loop()._make_socket_transport
    assert sorted(made) == [False, True]


def test_a_replaced_make_socket_transport_does_not_see_tls(loop_class, tls):
    """asyncio makes the transport below TLS by itself."""

    class Replaced(loop_class):
        def _make_socket_transport(self, *args, **kwargs):
            raise AssertionError("called")

    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, LOOPBACK, 0, ssl=tls.server)
        async with server:
            _, near = await loop.create_connection(
                Recorder,
                *server.sockets[0].getsockname(),
                ssl=tls.client,
                server_hostname="localhost",
            )
            await finish(near)

    with asyncio.Runner(loop_factory=Replaced) as runner:
        runner.run(main())


class CountingDatagrams(socket.socket):
    """Counts the packets that pass through recvfrom(), send() and sendto()."""

    received = sent = 0

    def recvfrom(self, *args):
        packet = super().recvfrom(*args)
        self.received += 1
        return packet

    def send(self, data, *args):
        count = super().send(data, *args)
        self.sent += 1
        return count

    def sendto(self, data, *args):
        count = super().sendto(data, *args)
        self.sent += 1
        return count


class DatagramWrapper(Wrapper):
    """The same for what only looks like a socket."""

    received = sent = 0

    def recvfrom(self, size):
        packet = self.sock.recvfrom(size)
        self.received += 1
        return packet

    def send(self, data):
        self.sent += 1
        return self.sock.send(data)

    def sendto(self, data, address):
        self.sent += 1
        return self.sock.sendto(data, address)


def counting_datagrams(sock):
    return CountingDatagrams(sock.family, sock.type, sock.proto, sock.detach())


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("make", [counting_datagrams, DatagramWrapper])
def test_the_methods_of_another_kind_of_datagram_socket_are_called(run, make, connected):
    async def main():
        loop = asyncio.get_running_loop()
        with plain() as (peer,):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((LOOPBACK, 0))
            if connected:
                sock.connect(peer.getsockname())
            ours = make(sock)
            async with endpoint(sock=ours) as protocol:
                protocol.transport.sendto(b"ping", None if connected else peer.getsockname())
                assert await loop.sock_recv(peer, 16) == b"ping"
                peer.sendto(b"pong", address_of(protocol))
                assert await arrived(protocol, 1) == [b"pong"]
        assert (ours.received, ours.sent) == (1, 1)
        assert ours.fileno() == -1

    run(main)


def test_a_family_of_other_addresses_is_taken(run):
    """A question to the kernel, whose address is (0, 0): which interfaces there are."""

    async def main():
        async with endpoint(sock=socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM)) as protocol:
            get_link, root_dump_request = 18, 0x301
            protocol.transport.sendto(
                struct.pack("=IHHIIBxHiII", 32, get_link, root_dump_request, 1, 0, 0, 0, 0, 0, 0),
                (0, 0),
            )
            await arrived(protocol, 1)
            assert {address for _, address in protocol.received} == {(0, 0)}

    run(main)


@pytest.mark.parametrize("on", ["class", "instance"])
def test_a_replaced_make_datagram_transport_makes_the_endpoint(loop_class, on):
    made = []

    def replacement(self, sock, protocol, *args, **kwargs):
        made.append(sock)
        return loop_class._make_datagram_transport(self, sock, protocol, *args, **kwargs)

    subclass = type("Replaced", (loop_class,), {})
    if on == "class":
        subclass._make_datagram_transport = replacement

    async def main():
        if on == "instance":
            loop = asyncio.get_running_loop()
            loop._make_datagram_transport = replacement.__get__(loop)
        async with endpoint() as protocol:
            assert made == [protocol.transport._sock]

    with asyncio.Runner(loop_factory=subclass) as runner:
        runner.run(main())
        if on == "instance":
            del runner.get_loop()._make_datagram_transport
