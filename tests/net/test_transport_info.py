"""What a transport tells about itself: extra info, its socket, repr, its type, ResourceWarnings."""

import asyncio
import gc
import os
import socket
import warnings

import pytest
from peers import LOOPBACK, Recorder, connection, ended, fill, tcp_pair, with_peer

needs_socket = pytest.mark.parametrize("end", [0, 1], ids=["client", "server"])


@needs_socket
def test_addresses_are_those_of_the_socket(run, end):
    async def main():
        async with connection() as ends:
            here, there = ends[end].transport, ends[1 - end].transport
            sock = here.get_extra_info("socket")
            assert here.get_extra_info("sockname") == sock.getsockname()
            assert here.get_extra_info("peername") == sock.getpeername()
            assert here.get_extra_info("peername") == there.get_extra_info("sockname")
            assert here.get_extra_info("sockname")[0] == LOOPBACK

    run(main)


@needs_socket
def test_the_socket_is_a_transport_socket(run, end):
    async def main():
        async with connection() as ends:
            sock = ends[end].transport.get_extra_info("socket")
            assert isinstance(sock, asyncio.trsock.TransportSocket)
            assert sock.family == socket.AF_INET
            assert sock.type == socket.SOCK_STREAM
            assert sock.fileno() > 2
            assert sock.gettimeout() == 0
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            sock.setblocking(False)
            sock.settimeout(0)
            with pytest.raises(ValueError, match="setblocking"):
                sock.setblocking(True)
            with pytest.raises(ValueError, match="settimeout"):
                sock.settimeout(1)
            with sock.dup() as twin:
                assert twin.getsockname() == sock.getsockname()
            for name in ("send", "recv", "close", "accept", "connect"):
                assert not hasattr(sock, name)

    run(main)


@needs_socket
def test_small_writes_are_not_held_back_by_nagle(run, end):
    async def main():
        async with connection() as ends:
            sock = ends[end].transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0

    run(main)


@needs_socket
def test_a_descriptor_is_not_inherited(run, end):
    async def main():
        async with connection() as ends:
            sock = ends[end].transport.get_extra_info("socket")
            assert not os.get_inheritable(sock.fileno())

    run(main)


def test_the_socket_can_shut_the_connection_down(run):
    async def main():
        async with connection() as (near, far):
            near.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            await ended(near.lost)
            await ended(far.lost)

    run(main)


@pytest.mark.parametrize("name", ["sslcontext", "peercert", "cipher", "unknown", "pipe", ""])
def test_what_is_not_known_is_the_default(run, name):
    async def main():
        async with with_peer() as (protocol, _):
            assert protocol.transport.get_extra_info(name) is None
            assert protocol.transport.get_extra_info(name, "default") == "default"
            assert protocol.transport.get_extra_info(name, default=7) == 7

    run(main)


def test_what_is_known_is_not_replaced_by_the_default(run):
    async def main():
        async with with_peer() as (protocol, peer):
            assert protocol.transport.get_extra_info("sockname", 1) == peer.getpeername()

    run(main)


def test_the_addresses_stay_known_after_the_end(run):
    async def main():
        async with with_peer() as (protocol, peer):
            transport, here, there = protocol.transport, peer.getpeername(), peer.getsockname()
            assert transport.get_extra_info("sockname") == here  # asked for before the end too
            transport.close()
            await ended(protocol.lost)
            assert transport.get_extra_info("sockname") == here
            assert transport.get_extra_info("peername") == there
            assert transport.get_extra_info("socket").fileno() == -1

    run(main)


def test_the_addresses_are_known_inside_connection_lost(run):
    class Looking(Recorder):
        def connection_lost(self, exc):
            self.addresses = [
                self.transport.get_extra_info(name) for name in ("sockname", "peername")
            ]
            super().connection_lost(exc)

    async def main():
        async with with_peer(Looking) as (protocol, peer):
            expected = [peer.getpeername(), peer.getsockname()]
            peer.close()
            await ended(protocol.lost)
            assert protocol.addresses == expected

    run(main)


def test_the_end_of_the_peer_leaves_its_address_known(run):
    """getpeername() fails once the peer has reset the connection, the transport knows it."""

    async def main():
        async with with_peer() as (protocol, peer):
            expected = peer.getsockname()
            fill(protocol.transport)
            peer.close()
            await ended(protocol.lost)
            assert protocol.transport.get_extra_info("peername") == expected

    run(main)


def test_is_an_asyncio_transport(run):
    async def main():
        async with connection() as ends:
            for protocol in ends:
                assert isinstance(protocol.transport, asyncio.Transport)
                assert isinstance(protocol.transport, asyncio.ReadTransport)
                assert isinstance(protocol.transport, asyncio.WriteTransport)
                assert not isinstance(protocol.transport, asyncio.DatagramTransport)

    run(main)


def test_repr_tells_fd_and_state(run):
    async def main():
        async with with_peer() as (protocol, _):
            transport = protocol.transport
            number = transport.get_extra_info("socket").fileno()
            said = [repr(transport)]
            transport.pause_reading()
            said.append(repr(transport))
            transport.resume_reading()
            fill(transport)
            size = transport.get_write_buffer_size()
            said.append(repr(transport))
            transport.close()
            said.append(repr(transport))
            transport.abort()
            await ended(protocol.lost)
            said.append(repr(transport))
            return number, size, said

    number, size, (open_, paused, writing, closing, closed) = run(main)
    assert f"fd={number} read=polling write=<idle, bufsize=0>" in open_
    assert "read=idle" in paused
    assert f"write=<polling, bufsize={size}>" in writing
    assert "closing" in closing
    assert "closed" in closed
    for text in (open_, paused, writing, closing, closed):
        assert text.startswith("<") and text.endswith(">") and f"fd={number}" in text


def test_a_transport_takes_weak_references_and_attributes(run):
    import weakref

    async def main():
        async with with_peer() as (protocol, _):
            assert weakref.ref(protocol.transport)() is protocol.transport
            protocol.transport.note = "mine"
            assert protocol.transport.note == "mine"

    run(main)


def test_a_transport_is_hashable_and_equal_to_itself_only(run):
    async def main():
        async with connection() as (near, far):
            assert len({near.transport, far.transport, near.transport}) == 2
            assert near.transport == near.transport
            assert near.transport != far.transport

    run(main)


def abandoned(loop):
    """Return a transport that nobody closed and the socket at its other end; the loop is closed."""
    ours, peer = tcp_pair()
    transport, _ = loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=ours))
    loop.close()
    return transport, ours, peer


def test_an_unclosed_transport_warns_and_closes_its_socket(loop_factory):
    transport, ours, peer = abandoned(loop_factory())
    with peer:
        number = ours.fileno()
        with pytest.warns(ResourceWarning, match="unclosed transport .*fd=") as caught:
            del transport
            gc.collect()
        assert any(f"fd={number}" in str(warning.message) for warning in caught)
        assert ours.fileno() == -1
        peer.setblocking(True)
        assert peer.recv(1) == b""


def test_a_closed_transport_does_not_warn(loop_factory, recwarn):
    loop = loop_factory()
    ours, peer = tcp_pair()
    with peer:

        async def main():
            transport, protocol = await loop.create_connection(Recorder, sock=ours)
            transport.close()
            await protocol.lost

        loop.run_until_complete(main())
        loop.close()
        gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


def test_a_transport_without_further_references_lives_on(run):
    """The loop keeps what it watches: nobody else has to."""

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data)

    async def main():
        loop = asyncio.get_running_loop()
        async with await loop.create_server(Echo, LOOPBACK, 0) as server:
            _, near = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
            for n in range(1, 4):
                gc.collect()
                near.transport.write(b"x")
                await near.received(n)
            near.transport.close()
            await ended(near.lost)
            server.close()
            await server.wait_closed()

    run(main)


async def datagram(loop):
    return (
        await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(LOOPBACK, 0))
    )[0]


async def read_pipe(loop):
    read_end, write_end = os.pipe()
    os.close(write_end)
    file = os.fdopen(read_end, "rb", 0)
    transport, _ = await loop.connect_read_pipe(asyncio.Protocol, file)
    transport.pause_reading()
    return transport


async def write_pipe(loop):
    read_end, write_end = os.pipe()
    file = os.fdopen(write_end, "wb", 0)
    transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, file)
    os.close(read_end)
    return transport


async def stream(loop):
    ours, peer = tcp_pair()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    transport.pause_reading()  # and so it does not see the end
    peer.close()
    loop.kept = ours  # which would warn, too, if it went first
    return transport


kinds = pytest.mark.parametrize("make", [stream, datagram, read_pipe, write_pipe])


@kinds
def test_the_warning_comes_from_where_it_does_in_asyncio(loop_factories, make):
    """Filters go by its module, and what is shown with it by its line."""

    def origin(factory):
        loop = factory()
        transport = loop.run_until_complete(make(loop))
        number = id(transport)
        loop.close()
        with pytest.warns(ResourceWarning, match="unclosed transport") as caught:
            del transport
            gc.collect()
        (warning,) = [one for one in caught if "unclosed transport" in str(one.message)]
        assert id(warning.source) == number
        return warning.filename, warning.lineno

    assert origin(loop_factories["pyaio"]) == origin(loop_factories["asyncio"])


@kinds
def test_the_warning_is_filtered_by_the_module(loop_factory, make):
    loop = loop_factory()
    transport = loop.run_until_complete(make(loop))
    loop.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", module=r"asyncio\.(selector|unix)_events$")
        del transport
        gc.collect()
    assert [str(one.message)[:18] for one in caught] == ["unclosed transport"]


@kinds
def test_an_unclosed_transport_of_any_kind_warns_and_closes_its_descriptor(loop_factory, make):
    loop = loop_factory()
    transport = loop.run_until_complete(make(loop))
    loop.close()
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        del transport
        gc.collect()
    # That no descriptor is left, the fixture checks.
