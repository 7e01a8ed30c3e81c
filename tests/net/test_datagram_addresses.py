"""sendto(): where a packet goes, by every kind of address, as on asyncio."""

import asyncio
import contextlib
import os
import socket
from pathlib import Path

import pytest
from datagram_peers import (
    arrived,
    endpoint,
    plain,
    taken,
)
from helpers import HandlerCalls
from peers import LOOPBACK, ended, needs_ipv6, on_asyncio, turns, until


class Text(str):
    """A str that is not exactly one."""

    __slots__ = ()


class Number(int):
    """An int that is not exactly one."""


class Pair(tuple):
    """A tuple that is not exactly one."""

    __slots__ = ()


async def sent_to(make_address, host, local, options):
    """What becomes of a packet for an address made of a socket's port; and of one behind it."""
    calls = HandlerCalls.of(asyncio.get_running_loop())
    with plain(1, host) as (peer,):
        port = peer.getsockname()[1]
        async with endpoint(local_addr=(local, 0), **options) as protocol:
            address = make_address(port)
            for data in (b"one", b"two"):
                protocol.transport.sendto(data, address)
            protocol.transport.sendto(b"end", peer.getsockname())
            got = []

            def has_come():
                with contextlib.suppress(BlockingIOError):
                    while True:
                        got.append(peer.recv(100))
                return b"end" in got or protocol.lost.done()

            await until(has_come)
            await turns()
            lost = type(protocol.lost.result()) if protocol.lost.done() else "open"
        errors = [(type(exc).__name__, exc.args) for exc in protocol.errors]
    reported = [(type(exc).__name__, str(exc)) for exc in calls.exceptions]
    return got, errors, reported, lost


V4 = {
    "digits": lambda port: (LOOPBACK, port),
    "a name": lambda port: ("localhost", port),
    "a short form": lambda port: ("127.1", port),
    "one number": lambda port: ("2130706433", port),
    "full-width digits": lambda port: ("\uff11\uff12\uff17.0.0.1", port),
    "bytes": lambda port: (b"127.0.0.1", port),
    "a bytearray": lambda port: (bytearray(b"127.0.0.1"), port),
    "a kind of str": lambda port: (Text(LOOPBACK), port),
    "a kind of int": lambda port: (LOOPBACK, Number(port)),
    "a kind of tuple": lambda port: Pair((LOOPBACK, port)),
    "the broadcast address": lambda port: ("<broadcast>", port),
    "the broadcast address in digits": lambda port: ("255.255.255.255", port),
    "the empty name": lambda port: ("", port),
    "any address": lambda port: ("0.0.0.0", port),
    "a name with NUL": lambda port: (LOOPBACK + "\0", port),
    "a name that nobody has": lambda port: ("256.256.256.256", port),
    "surrogates": lambda port: ("\udcff", port),
    "an IPv6 address": lambda port: ("::1", port),
    "port 0": lambda port: (LOOPBACK, 0),
    "port True": lambda port: (LOOPBACK, True),
    "port 65536": lambda port: (LOOPBACK, 65_536),
    "a negative port": lambda port: (LOOPBACK, -port),
    "a huge port": lambda port: (LOOPBACK, port + (1 << 64)),
    "a port as text": lambda port: (LOOPBACK, str(port)),
    "a port as float": lambda port: (LOOPBACK, float(port)),
    "no port": lambda port: (LOOPBACK,),
    "too many": lambda port: (LOOPBACK, port, 0, 0),
    "nothing": lambda port: (),
    "a list": lambda port: [LOOPBACK, port],
    "text": lambda port: LOOPBACK,
    "none": lambda port: None,
}


V6 = {
    "digits": lambda port: ("::1", port),
    "digits and zeros": lambda port: ("::1", port, 0, 0),
    "a long form": lambda port: ("0:0:0:0:0:0:0:1", port, 0),
    "a flow": lambda port: ("::1", port, 0xFFFFF),
    "a flow out of range": lambda port: ("::1", port, 1 << 20),
    "a negative flow": lambda port: ("::1", port, -1),
    "a scope": lambda port: ("::1", port, 0, 1),
    "a scope that nobody has": lambda port: ("::1", port, 0, 0xFFFFFFFF),
    "a scope out of range": lambda port: ("::1", port, 0, 1 << 32),
    "a negative scope": lambda port: ("::1", port, 0, -1),
    "a zone": lambda port: ("::1%lo", port),
    "an IPv4 address": lambda port: (LOOPBACK, port),
    "a mapped address": lambda port: ("::ffff:127.0.0.1", port),
    "too many": lambda port: ("::1", port, 0, 0, 0),
}


INTERNET = [
    *(pytest.param(LOOPBACK, LOOPBACK, make, {}, id=f"v4-{name}") for name, make in V4.items()),
    *(
        pytest.param(LOOPBACK, "0.0.0.0", V4[name], {"allow_broadcast": True}, id=f"v4-any-{name}")
        for name in V4
        if "address" in name
    ),
    *(
        pytest.param("::1", "::1", make, {}, id=f"v6-{name}", marks=needs_ipv6)
        for name, make in V6.items()
    ),
]


@pytest.mark.parametrize(("host", "local", "make_address", "options"), INTERNET)
def test_an_address_goes_where_it_goes_on_asyncio(run, host, local, make_address, options):
    found = run(sent_to, make_address, host, local, options)
    assert found == on_asyncio(sent_to, make_address, host, local, options)
    got, errors, reported, _ = found
    # One way or another each packet is heard of, unless it goes to nobody who would say so.
    assert got[:1] == [b"one"] or errors or reported or got == [b"end"]


UNIX = {
    "a path": str,
    "a path as bytes": os.fsencode,
    "a path object": lambda path: path,
    "a bytearray": lambda path: bytearray(os.fsencode(path)),
    "a kind of str": lambda path: Text(path),
    "an abstract name": lambda path: f"\0{path}",
    "an abstract name as bytes": lambda path: b"\0" + os.fsencode(path),
    "a path with NUL": lambda path: f"{path}\0more",
    "nobody's path": lambda path: f"{path}.nobody",
    "nobody's abstract name": lambda path: f"\0{path}.nobody",
    "a long path": lambda path: str(path) + "x" * 200,
    "the longest path": lambda path: "/tmp/" + "x" * 102,
    "the longest abstract name": lambda path: "\0" + "x" * 107,
    "an empty path": lambda path: "",
    "surrogates": lambda path: "\ud800",
    "a tuple": lambda path: (str(path), 1),
    "none": lambda path: None,
}


async def sent_to_path(make_address, folder):
    calls = HandlerCalls.of(asyncio.get_running_loop())
    path = folder / "peer"
    with contextlib.ExitStack() as stack:
        peers = []
        for name in (str(path), f"\0{path}"):
            peer = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            peer.bind(name)
            peer.setblocking(False)
            peers.append(peer)
        async with endpoint(family=socket.AF_UNIX, local_addr=f"\0{path}.sender") as protocol:
            for _ in range(2):
                protocol.transport.sendto(b"data", make_address(path))
            await turns()
            got = []
            for peer in peers:
                try:
                    got.append(peer.recv(100))
                except BlockingIOError:
                    got.append(None)
            lost = type(protocol.lost.result()) if protocol.lost.done() else "open"
    path.unlink()
    errors = [exc.args for exc in protocol.errors]
    return got, errors, [(type(exc), str(exc)) for exc in calls.exceptions], lost


@pytest.mark.parametrize("name", UNIX)
def test_a_path_goes_where_it_goes_on_asyncio(run, tmp_path, name):
    found = run(sent_to_path, UNIX[name], tmp_path)
    assert found == on_asyncio(sent_to_path, UNIX[name], tmp_path)
    got, errors, reported, _ = found
    assert got != [None, None] or errors or reported


def test_each_of_many_new_tuples_goes_where_it_says(run):
    """A tuple may well have the place in memory of the one before."""

    async def main():
        with plain(2) as peers:
            async with endpoint() as protocol:
                for n in range(100):
                    address = (LOOPBACK, peers[n % 2].getsockname()[1])
                    protocol.transport.sendto(b"%d" % n, address)
                    del address
                for first, peer in enumerate(peers):
                    assert await taken(peer, 50) == [b"%d" % n for n in range(first, 100, 2)]

    run(main)


def test_paths_are_given_back_as_they_were(run, tmp_path):
    """Answers go by the address that came with the question, whatever stands in it."""

    async def main():
        server_path = str(tmp_path / "server")
        async with endpoint(family=socket.AF_UNIX, local_addr=server_path) as server:
            for name in ("plain", "\N{LATIN SMALL LETTER E WITH ACUTE}", "\udcff", "x" * 20):
                path = os.fsencode(Path(tmp_path, name))
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
                    peer.bind(path)
                    peer.setblocking(False)
                    peer.sendto(b"question", server_path)
                    await until(lambda: server.received)
                    ((_, address),) = server.received
                    server.received.clear()
                    assert address == os.fsdecode(path)
                    server.transport.sendto(b"answer", address)
                    assert await taken(peer, 1) == [b"answer"]

    run(main)


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        (lambda address: address, True),
        (lambda address: (address[0], address[1]), True),
        (lambda address: Pair(address), True),
        (lambda address: None, True),
        (lambda address: list(address), False),
        (lambda address: (address[0],), False),
        (lambda address: "", False),
        (lambda address: (), False),
    ],
)
def test_what_equals_the_one_remote_address_is_allowed(run, given, allowed):
    async def main():
        with plain() as (peer,):
            address = peer.getsockname()
            async with endpoint(remote_addr=address) as protocol:
                if allowed:
                    protocol.transport.sendto(b"x", given(address))
                    assert await taken(peer, 1) == [b"x"]
                else:
                    with pytest.raises(ValueError, match="Invalid address: must be None or") as e:
                        protocol.transport.sendto(b"x", given(address))
                    assert str(e.value).endswith(str(address))

    run(main)


def test_a_remote_address_that_is_not_connected_to_is_where_all_goes(run):
    """allow_broadcast=True keeps asyncio from connecting."""

    async def main():
        with plain(2) as (peer, stranger):
            address = peer.getsockname()
            async with endpoint(remote_addr=address, allow_broadcast=True) as protocol:
                assert protocol.transport.get_extra_info("peername") is None
                protocol.transport.sendto(b"1")
                protocol.transport.sendto(b"2", None)
                protocol.transport.sendto(b"3", address)
                assert await taken(peer, 3) == [b"1", b"2", b"3"]
                stranger.sendto(b"hello", (LOOPBACK, port_of(protocol)))
                assert await arrived(protocol, 1) == [b"hello"]

    def port_of(protocol):
        return protocol.transport.get_extra_info("socket").getsockname()[1]

    run(main)


def test_a_connected_socket_without_a_remote_address_sends_to_its_peer_only(run):
    async def main():
        with plain(2) as (peer, stranger):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.connect(peer.getsockname())
            async with endpoint(sock=sock) as protocol:
                assert protocol.transport.get_extra_info("peername") == peer.getsockname()
                protocol.transport.sendto(b"1")
                protocol.transport.sendto(b"2", stranger.getsockname())
                assert await taken(peer, 2) == [b"1", b"2"]

    run(main)


def test_an_unnamed_peer_of_a_pair_is_no_address_to_send_to(run):
    """Its name is empty, so asyncio takes the socket for one without a peer."""

    async def main():
        calls = HandlerCalls.of(asyncio.get_running_loop())
        ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with peer:
            async with endpoint(sock=ours) as protocol:
                peer.send(b"hello")
                await arrived(protocol, 1)
                assert protocol.received == [(b"hello", None)]
                protocol.transport.sendto(b"x")
                assert isinstance(await ended(protocol.lost), TypeError)
        (context,) = calls
        assert context["message"] == "Fatal write error on datagram transport"
        assert (context["transport"], context["protocol"]) == (protocol.transport, protocol)

    run(main)


@pytest.mark.parametrize("method", ["close", "abort"])
def test_an_address_that_ends_the_transport_when_it_is_compared(run, method):
    class Ending(tuple):
        __slots__ = ()
        __hash__ = None

        def __eq__(self, other):
            getattr(transports[0], method)()
            return tuple(self) == other

    transports = []

    async def main():
        with plain() as (peer,):
            async with endpoint(remote_addr=peer.getsockname()) as protocol:
                transports.append(protocol.transport)
                protocol.transport.sendto(b"lost", Ending(peer.getsockname()))
                assert await ended(protocol.lost) is None
                with pytest.raises(BlockingIOError):
                    peer.recv(100)

    run(main)


def test_audit_hooks_see_where_packets_go(child):
    source = """
    import asyncio, socket, sys
    seen = []
    sys.addaudithook(lambda name, args: name == "socket.sendto" and seen.append(args[1]))

    async def main(loop):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            transport, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
            )
            transport.sendto(b"x", peer.getsockname())
            transport.sendto(b"x", ("localhost", peer.getsockname()[1]))
            transport.abort()
            return [("127.0.0.1", peer.getsockname()[1]), ("localhost", peer.getsockname()[1])]

    loop = new_event_loop()
    assert loop.run_until_complete(main(loop)) == seen, seen
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    """
    with child(source) as process:
        assert process.finish() == (0, "", "")
