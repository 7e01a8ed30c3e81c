"""Datagram endpoints: on IPv4, IPv6 and Unix sockets, connected and not, and what they refuse."""

import asyncio
import errno
import socket

import pytest
from datagram_peers import HEADERS_STAY, Datagrams
from helpers import HandlerCalls
from peers import LOOPBACK, both_families, ended, needs_ipv6, on_asyncio, turns, until


async def endpoint(**kwargs):
    loop = asyncio.get_running_loop()
    return (await loop.create_datagram_endpoint(Datagrams, **kwargs))[1]


async def closed(*protocols):
    for protocol in protocols:
        protocol.transport.close()
        assert await ended(protocol.lost) is None


@both_families
def test_question_and_answer(run, host):
    async def main():
        server = await endpoint(local_addr=(host, 0))
        address = server.transport.get_extra_info("sockname")
        client = await endpoint(remote_addr=address[:2])
        client.transport.sendto(b"question")
        await until(lambda: server.received)
        data, sender = server.received[0]
        assert data == b"question"
        assert sender == client.transport.get_extra_info("sockname")
        server.transport.sendto(b"answer", sender)
        await until(lambda: client.received)
        assert client.received == [(b"answer", address)]
        await closed(client, server)

    run(main)


def test_every_datagram_keeps_its_bounds(run):
    async def main():
        server = await endpoint(local_addr=(LOOPBACK, 0))
        client = await endpoint(remote_addr=server.transport.get_extra_info("sockname"))
        sent = [b"x" * size for size in (1, 0, 1000, 9000, 3)]
        for n, data in enumerate(sent, 1):
            client.transport.sendto(data)
            if data:  # versions differ in whether an empty one is sent
                await until(lambda n=n: len([d for d, _ in server.received if d]) >= n - (n > 2))
        assert [data for data, _ in server.received if data] == [data for data in sent if data]
        await closed(client, server)

    run(main)


def test_abort_and_close_end_it_once(run):
    async def main():
        protocol = await endpoint(local_addr=(LOOPBACK, 0))
        protocol.transport.abort()
        protocol.transport.close()
        assert await ended(protocol.lost) is None
        assert protocol.transport.is_closing()

    run(main)


def test_a_wrong_type_is_a_type_error(run):
    async def main():
        protocol = await endpoint(remote_addr=(LOOPBACK, 9))
        with pytest.raises(TypeError, match="data argument must be"):
            protocol.transport.sendto("text")
        await closed(protocol)

    run(main)


def test_a_connected_endpoint_goes_on_after_its_peer_was_unreachable(run):
    """An ICMP error sets POLLERR on the socket: it is told, once, and nothing ends."""

    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
            nobody.bind((LOOPBACK, 0))
            address = nobody.getsockname()
        protocol = await endpoint(remote_addr=address)
        protocol.transport.sendto(b"is anybody there?")
        await until(lambda: protocol.errors)
        assert [type(exc) for exc in protocol.errors] == [ConnectionRefusedError]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as somebody:
            somebody.bind(address)
            somebody.setblocking(False)
            protocol.transport.sendto(b"and now?")
            assert await asyncio.get_running_loop().sock_recv(somebody, 100) == b"and now?"
            somebody.sendto(b"yes", protocol.transport.get_extra_info("sockname"))
            await until(lambda: protocol.received)
        assert protocol.received == [(b"yes", address)]
        assert len(protocol.errors) == 1
        await closed(protocol)

    run(main)


def test_what_cannot_be_sent_is_told_to_error_received(run):
    async def main():
        other = await endpoint(local_addr=(LOOPBACK, 0))
        protocol = await endpoint(local_addr=(LOOPBACK, 0))
        address = other.transport.get_extra_info("sockname")
        protocol.transport.sendto(b"x" * 70_000, address)
        protocol.transport.sendto(b"small enough", address)
        await until(lambda: other.received)
        assert [exc.errno for exc in protocol.errors] == [errno.EMSGSIZE]
        assert [data for data, _ in other.received] == [b"small enough"]
        await closed(protocol, other)

    run(main)


async def end_after_sending_to(family, local, address):
    """Return what sendto() raises, what is reported, and what connection_lost() is called with."""
    calls = HandlerCalls.of(asyncio.get_running_loop())
    protocol = await endpoint(family=family, local_addr=local)
    raised = None
    try:
        protocol.transport.sendto(b"data", address)
    except Exception as exc:
        raised = type(exc)
    await turns()
    errors = [type(exc) for exc in protocol.errors]
    lost = type(protocol.lost.result()) if protocol.lost.done() else "open"
    protocol.transport.close()
    await ended(protocol.lost)
    return raised, [type(exc) for exc in calls.exceptions], errors, lost


@pytest.mark.parametrize(
    ("local", "address"),
    [
        ((LOOPBACK, 0), (LOOPBACK, 70_000)),
        ((LOOPBACK, 0), (LOOPBACK, -1)),
        ((LOOPBACK, 0), (LOOPBACK, 1 << 70)),
        ((LOOPBACK, 0), (LOOPBACK, "9")),
        ((LOOPBACK, 0), (LOOPBACK,)),
        ((LOOPBACK, 0), "address"),
        ((LOOPBACK, 0), None),
        pytest.param(("::1", 0), ("::1", 70_000), marks=needs_ipv6),
        pytest.param(("::1", 0), ("::1", 9, 1 << 20), marks=needs_ipv6),
        pytest.param(("::1", 0), ("::1", 9, -1), marks=needs_ipv6),
    ],
    ids=repr,
)
def test_an_address_that_is_out_of_range_or_no_address_fails_as_on_asyncio(run, local, address):
    family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
    raised, reported, errors, lost = run(end_after_sending_to, family, local, address)
    assert raised or reported or errors
    assert (raised, reported, errors, lost) == on_asyncio(
        end_after_sending_to, family, local, address
    )
    if address and address[1:2] == (70_000,):
        assert reported == [OverflowError]  # and never sent to port 4464


@pytest.mark.parametrize("which", ["local_addr", "remote_addr"])
@pytest.mark.parametrize("port", [70_000, 65_536, -1])
def test_an_endpoint_of_a_port_out_of_range_is_an_overflow(run, which, port):
    async def main():
        with pytest.raises(OverflowError):
            await endpoint(**{which: (LOOPBACK, port)})

    run(main)


def test_a_connected_endpoint_takes_the_address_of_its_peer_and_no_other(run):
    async def main():
        server = await endpoint(local_addr=(LOOPBACK, 0))
        address = server.transport.get_extra_info("sockname")
        client = await endpoint(remote_addr=address)
        assert client.transport.get_extra_info("peername") == address
        client.transport.sendto(b"one", address)
        client.transport.sendto(b"two", None)
        client.transport.sendto(b"three")
        with pytest.raises(ValueError, match="Invalid address"):
            client.transport.sendto(b"four", (LOOPBACK, address[1] - 1))
        await until(lambda: len(server.received) == 3)
        assert [data for data, _ in server.received] == [b"one", b"two", b"three"]
        await closed(client, server)

    run(main)


@pytest.mark.parametrize("method", ["close", "abort"])
def test_no_datagram_is_delivered_after_close(run, method):
    class Closing(Datagrams):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            getattr(self.transport, method)()

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(Closing, local_addr=(LOOPBACK, 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for n in range(10):
                sender.sendto(b"%d" % n, transport.get_extra_info("sockname"))
        assert await ended(protocol.lost) is None
        await turns()
        assert [data for data, _ in protocol.received] == [b"0"]

    run(main)


def test_an_exception_in_datagram_received_is_reported_and_nothing_ends(run):
    class Failing(Datagrams):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            raise ZeroDivisionError

    async def main():
        calls = HandlerCalls.of(asyncio.get_running_loop())
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            Failing, local_addr=(LOOPBACK, 0)
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for n in range(3):
                sender.sendto(b"%d" % n, transport.get_extra_info("sockname"))
        await until(lambda: len(protocol.received) == 3)
        await until(lambda: len(calls) == 3)
        assert {type(exc) for exc in calls.exceptions} == {ZeroDivisionError}
        assert not transport.is_closing()
        await closed(protocol)

    run(main)


def test_what_is_written_is_sent_as_it_was(run):
    async def main():
        server = await endpoint(local_addr=(LOOPBACK, 0))
        client = await endpoint(remote_addr=server.transport.get_extra_info("sockname"))
        data = bytearray(b"before")
        client.transport.sendto(data)
        data[:] = b"after!"
        client.transport.sendto(memoryview(b"view"))
        await until(lambda: len(server.received) == 2)
        assert [data for data, _ in server.received] == [b"before", b"view"]
        await closed(client, server)

    run(main)


def named_peer():
    """A plain non-blocking Unix datagram socket, bound to "peer" in the working directory."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    peer.bind("peer")
    peer.setblocking(False)
    return peer


def test_a_queue_of_datagrams_is_sent_in_order_and_flow_control_is_told(run, tmp_path, monkeypatch):
    """A Unix socket's receiver holds few datagrams: the sender has to queue."""

    class Counting(Datagrams):
        paused = resumed = 0

        def pause_writing(self):
            self.paused += 1

        def resume_writing(self):
            self.resumed += 1

    monkeypatch.chdir(tmp_path)

    async def main():
        loop = asyncio.get_running_loop()
        with named_peer() as peer:
            _, protocol = await loop.create_datagram_endpoint(
                Counting, family=socket.AF_UNIX, remote_addr="peer"
            )
            data = bytearray(1000)
            for n in range(1000):
                data[:4] = b"%04d" % n
                protocol.transport.sendto(data)
            assert protocol.transport.get_write_buffer_size() > 0
            assert (protocol.paused, protocol.resumed) == (1, 0)
            got = [(await loop.sock_recv(peer, 2000))[:4] for _ in range(1000)]
            assert got == [b"%04d" % n for n in range(1000)]
            await until(lambda: protocol.resumed or HEADERS_STAY)
            await closed(protocol)

    run(main)


@pytest.mark.parametrize("method", ["close", "abort"])
def test_close_sends_what_is_queued_and_abort_drops_it(run, method, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def main():
        loop = asyncio.get_running_loop()
        with named_peer() as peer:
            protocol = await endpoint(family=socket.AF_UNIX, remote_addr="peer")
            sent = 0
            while not protocol.transport.get_write_buffer_size():
                protocol.transport.sendto(b"%04d" % sent)
                sent += 1
            getattr(protocol.transport, method)()
            got = [await loop.sock_recv(peer, 100) for _ in range(sent - (method == "abort"))]
            assert got == [b"%04d" % n for n in range(len(got))]
            assert await ended(protocol.lost) is None

    run(main)


@pytest.mark.parametrize("kind", ["unnamed", "abstract", "path"])
def test_unix_sockets(run, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = {"unnamed": None, "abstract": f"\0{tmp_path.name}", "path": "socket"}[kind]

    async def main():
        server = await endpoint(family=socket.AF_UNIX, local_addr="server")
        client = await endpoint(family=socket.AF_UNIX, local_addr=name, remote_addr="server")
        client.transport.sendto(b"question")
        await until(lambda: server.received)
        ((data, sender),) = server.received
        assert data == b"question"
        if kind == "unnamed":
            assert not sender
        else:
            assert sender in (name, name.encode())
            server.transport.sendto(b"answer", sender)
            await until(lambda: client.received)
            assert client.received == [(b"answer", "server")]
        await closed(client, server)

    run(main)


def test_a_socket_handed_over_is_closed_once(run):
    async def main():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((LOOPBACK, 0))
        number = sock.fileno()
        protocol = await endpoint(sock=sock)
        protocol.transport.close()
        await ended(protocol.lost)
        assert sock.fileno() == -1
        one, other = socket.socketpair()
        with one, other:
            assert number in (one.fileno(), other.fileno())
            await turns()
            one.send(b"mine")
            assert other.recv(10) == b"mine"

    run(main)
