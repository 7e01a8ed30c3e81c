"""sendto(): where to, what is queued, what fails and who hears of it."""

import asyncio
import contextlib
import contextvars
import os
import socket
import sys
from pathlib import Path

import pytest
from datagram_peers import (
    HEADER,
    HEADERS_STAY,
    SENDS_EMPTY,
    Datagrams,
    address_of,
    arrived,
    endpoint,
    full,
    numbered,
    plain,
    taken,
)
from helpers import HandlerCalls
from peers import LOOPBACK, ended, needs_ipv6, on_asyncio, turns, until

drains = pytest.mark.skipif(HEADERS_STAY, reason="3.13.0 resumes nobody who was paused")


class Text(str):
    """A str that is not exactly one."""

    __slots__ = ()


class Number(int):
    """An int that is not exactly one."""


class Pair(tuple):
    """A tuple that is not exactly one."""

    __slots__ = ()


# Where to


async def sent_to(make_address, host, local, options):
    """What becomes of a packet for an address made of a socket's port; and of one behind it."""
    calls = HandlerCalls()
    asyncio.get_running_loop().set_exception_handler(calls)
    with plain(1, host) as (peer,):
        port = peer.getsockname()[1]
        async with endpoint(local_addr=(local, 0), **options) as protocol:
            address = make_address(port)
            for data in (b"one", b"two"):
                protocol.transport.sendto(data, address)
            protocol.transport.sendto(b"end", peer.getsockname())
            await turns()
            got = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    got.append(peer.recv(100))
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
        pytest.param(
            "::1",
            "::1",
            make,
            {},
            id=f"v6-{name}",
            marks=needs_ipv6,
        )
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
    calls = HandlerCalls()
    asyncio.get_running_loop().set_exception_handler(calls)
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


def test_the_arguments_have_asyncios_names(run):
    async def main():
        with plain() as (peer,):
            async with endpoint() as protocol:
                send, address = protocol.transport.sendto, peer.getsockname()
                send(data=b"1", addr=address)
                send(addr=address, data=b"2")
                send(b"3", addr=address)
                send(b"4", address)
                wrong = [
                    lambda: send(),
                    lambda: send(addr=address),
                    lambda: send(b"", data=b""),
                    lambda: send(b"", address, addr=address),
                    lambda: send(b"", address, 0),
                    lambda: send(b"", address=address),
                ]
                for call in wrong:
                    with pytest.raises(TypeError):
                        call()
                assert await taken(peer, 4) == [b"1", b"2", b"3", b"4"]

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
        calls = HandlerCalls()
        asyncio.get_running_loop().set_exception_handler(calls)
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


@pytest.mark.parametrize("loop_kind", ["pyaio", "asyncio"], indirect=True)
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


# What


@pytest.mark.parametrize(
    "data",
    [b"", bytearray(), memoryview(b""), memoryview(b"abc")[3:]],
    ids=["bytes", "bytearray", "view", "end"],
)
def test_an_empty_packet_is_sent_since_3_13(run, data):
    async def main():
        with plain() as (peer,):
            async with endpoint(remote_addr=peer.getsockname()) as protocol:
                protocol.transport.sendto(data)
                protocol.transport.sendto(b"behind it")
                expected = [b"", b"behind it"] if SENDS_EMPTY else [b"behind it"]
                assert await taken(peer, len(expected)) == expected

    run(main)


@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize(
    ("data", "bytes_of"),
    [
        (bytearray(b"abcd"), b"abcd"),
        (memoryview(b"abcd"), b"abcd"),
        (memoryview(bytearray(b"abcd"))[1:3], b"bc"),
        (memoryview(b"abcdefgh").cast("I"), b"abcdefgh"),
        (memoryview(b"abcdefgh").cast("B", (2, 4)), b"abcdefgh"),
        (type("Bytes", (bytes,), {})(b"abcd"), b"abcd"),
    ],
    ids=["bytearray", "view", "part", "numbers", "matrix", "kind"],
)
def test_all_kinds_of_bytes(run, tmp_path, data, bytes_of, queued):
    async def main():
        if not queued:
            with plain() as (peer,):
                async with endpoint(remote_addr=peer.getsockname()) as protocol:
                    protocol.transport.sendto(data)
                    assert await taken(peer, 1) == [bytes_of]
            return
        async with full(tmp_path) as (protocol, peer, sent):
            protocol.transport.sendto(data)
            assert (await taken(peer, sent + 1))[-1] == bytes_of

    run(main)


@pytest.mark.parametrize("queued", [False, True])
def test_a_view_with_gaps_can_be_queued_and_not_sent(run, tmp_path, queued):
    async def main():
        calls = HandlerCalls()
        asyncio.get_running_loop().set_exception_handler(calls)
        gaps = memoryview(b"a-b-c-")[::2]
        if queued:
            async with full(tmp_path) as (protocol, peer, sent):
                protocol.transport.sendto(gaps)
                assert (await taken(peer, sent + 1))[-1] == b"abc"
            return
        with plain() as (peer,):
            async with endpoint(remote_addr=peer.getsockname()) as protocol:
                protocol.transport.sendto(gaps)
                assert isinstance(await ended(protocol.lost), BufferError)
        assert [context["message"] for context in calls] == [
            "Fatal write error on datagram transport"
        ]

    run(main)


def test_what_is_no_bytes_is_refused_before_anything_else(run):
    async def main():
        with plain() as (peer,):
            async with endpoint(remote_addr=peer.getsockname()) as protocol:
                for data in ("text", None, 1, [b"x"], object()):
                    with pytest.raises(TypeError) as e:
                        protocol.transport.sendto(data, "an invalid address")
                    assert str(e.value) == (
                        f"data argument must be a bytes-like object, not {type(data).__name__!r}"
                    )
                protocol.transport.close()
                with pytest.raises(TypeError):
                    protocol.transport.sendto("text")
                await ended(protocol.lost)

    run(main)


# The queue


def test_what_is_queued_arrives_in_order_as_it_was(run, tmp_path):
    async def main():
        async with full(tmp_path, size=1000) as (protocol, peer, sent):
            data = bytearray(1000)
            for n in range(sent, sent + 200):
                data[:4] = b"%04d" % n
                protocol.transport.sendto(data)
            data[:4] = b"late"
            got = await taken(peer, sent + 200)
            assert got == [numbered(n, 1000) for n in range(sent + 200)]
            await until(lambda: HEADERS_STAY or not protocol.transport.get_write_buffer_size())

    run(main)


def test_bytes_are_queued_without_a_copy(run, tmp_path):
    async def main():
        async with full(tmp_path) as (protocol, _, _):
            data = os.urandom(1000)
            before = sys.getrefcount(data)
            protocol.transport.sendto(data)
            assert sys.getrefcount(data) == before + 1
            protocol.transport.abort()
            assert sys.getrefcount(data) == before

    run(main)


def test_the_queue_counts_bytes_and_headers(run, tmp_path):
    async def main():
        async with full(tmp_path) as (protocol, _, _):
            sizes = [protocol.transport.get_write_buffer_size()]
            for data in (b"x" * 10, bytearray(20), memoryview(bytes(30))):
                protocol.transport.sendto(data)
                sizes.append(protocol.transport.get_write_buffer_size())
            expected = [4, 14, 34, 64]
            assert sizes == [size + HEADER * n for n, size in enumerate(expected, 1)]
            assert f"bufsize={sizes[-1]}" in repr(protocol.transport)
            assert "write=<polling" in repr(protocol.transport)

    run(main)


@drains
def test_flow_control_is_told_once_at_each_limit(run, tmp_path):
    async def main():
        async with full(tmp_path) as (protocol, peer, sent):
            transport = protocol.transport
            size = 4 + HEADER
            transport.set_write_buffer_limits(high=3 * size, low=size)
            assert transport.get_write_buffer_limits() == (size, 3 * size)
            for n in range(sent, sent + 5):
                transport.sendto(numbered(n))
                expected = ["made"] + ["pause"] * (transport.get_write_buffer_size() > 3 * size)
                assert protocol.events == expected
            assert transport.get_write_buffer_size() == 6 * size
            got = await taken(peer, sent + 5)
            assert got == [numbered(n) for n in range(sent + 5)]
            await until(lambda: protocol.events[-1] == "resume")
            await turns()
            assert protocol.events == ["made", "pause", "resume"]
            assert transport.get_write_buffer_size() == 0
            assert "write=<idle" in repr(transport)

    run(main)


def test_new_limits_pause_at_once(run, tmp_path):
    async def main():
        async with full(tmp_path) as (protocol, _, _):
            protocol.transport.set_write_buffer_limits(high=0)
            assert protocol.events == ["made", "pause"]
            for wrong in ({"high": 1, "low": 2}, {"high": -1}, {"low": -1}):
                with pytest.raises(ValueError, match="must be >="):
                    protocol.transport.set_write_buffer_limits(**wrong)

    run(main)


@drains
@pytest.mark.parametrize("name", ["pause_writing", "resume_writing"])
def test_flow_control_that_raises_is_reported_and_nothing_ends(run, tmp_path, name):
    class Failing(Datagrams):
        pass

    def failing(self):
        raise ZeroDivisionError

    setattr(Failing, name, failing)

    async def main():
        calls = HandlerCalls()
        asyncio.get_running_loop().set_exception_handler(calls)
        async with full(tmp_path, Failing) as (protocol, peer, sent):
            protocol.transport.set_write_buffer_limits(high=0)
            assert await taken(peer, sent) == [numbered(n) for n in range(sent)]
            await until(lambda: calls)
            protocol.transport.sendto(b"more")
            assert await taken(peer, 1) == [b"more"]
        (context,) = calls
        assert context["message"] == f"protocol.{name}() failed"
        assert type(context["exception"]) is ZeroDivisionError
        assert (context["transport"], context["protocol"]) == (protocol.transport, protocol)

    run(main)


def test_abort_in_pause_writing_resumes_nothing(run, tmp_path):
    class Aborting(Datagrams):
        def pause_writing(self):
            super().pause_writing()
            self.transport.abort()

    async def main():
        async with full(tmp_path, Aborting) as (protocol, peer, sent):
            protocol.transport.set_write_buffer_limits(high=0)
            assert await ended(protocol.lost) is None
            assert await taken(peer, sent - 1) == [numbered(n) for n in range(sent - 1)]
            assert protocol.events == ["made", "pause", "lost"]

    run(main)


@drains
def test_what_is_sent_in_resume_writing_goes_behind_the_queue(run, tmp_path):
    class More(Datagrams):
        def resume_writing(self):
            super().resume_writing()
            self.transport.sendto(b"more")

    async def main():
        async with full(tmp_path, More) as (protocol, peer, sent):
            protocol.transport.set_write_buffer_limits(high=0)
            got = await taken(peer, sent + 1)
            assert got == [*(numbered(n) for n in range(sent)), b"more"]

    run(main)


@drains
@pytest.mark.parametrize("method", ["close", "abort"])
def test_an_end_in_resume_writing_comes_once(run, loop_kind, tmp_path, method):
    if loop_kind == "asyncio":
        pytest.skip("asyncio then calls connection_lost twice and reports the second")

    class Ending(Datagrams):
        def resume_writing(self):
            super().resume_writing()
            getattr(self.transport, method)()

    async def main():
        async with full(tmp_path, Ending) as (protocol, peer, sent):
            protocol.transport.set_write_buffer_limits(high=0)
            assert await taken(peer, sent) == [numbered(n) for n in range(sent)]
            assert await ended(protocol.lost) is None
            assert protocol.events == ["made", "pause", "resume", "lost"]

    run(main)


@drains
def test_flow_control_runs_in_the_context_of_who_sent_too_much(run, tmp_path):
    who = contextvars.ContextVar("who", default="nobody")

    class Noting(Datagrams):
        def resume_writing(self):
            super().resume_writing()
            self.events.append(who.get())

    async def main():
        who.set("maker")
        async with full(tmp_path, Noting) as (protocol, peer, sent):
            await taken(peer, sent)
            await until(lambda: not protocol.transport.get_write_buffer_size())
            who.set("sender")
            protocol.transport.set_write_buffer_limits(high=0)
            more = 0
            while not protocol.transport.get_write_buffer_size():
                protocol.transport.sendto(b"more")
                more += 1
            who.set("somebody else")
            await taken(peer, more)
            await until(lambda: "resume" in protocol.events)
            assert protocol.events[-1] == "sender"

    run(main)


# Errors


async def errors_of_a_queue(folder):
    """What is told when the peer of a transport with five packets in its queue goes away."""
    async with full(folder) as (protocol, peer, _):
        for _ in range(4):
            protocol.transport.sendto(b"more")
        peer.close()
        await until(lambda: len(protocol.errors) == 5)
        await turns()
        size = protocol.transport.get_write_buffer_size()
        protocol.transport.close()
        assert await ended(protocol.lost) is None
    (folder / "peer").unlink()
    return protocol.events, [exc.args for exc in protocol.errors], HEADERS_STAY or size


def test_each_packet_of_a_queue_has_its_own_error(run, tmp_path):
    found = run(errors_of_a_queue, tmp_path)
    assert found == on_asyncio(errors_of_a_queue, tmp_path)
    assert found[2] in (0, True)


def test_an_error_received_that_raises_is_reported_for_the_queue_and_raised_by_sendto(
    run, tmp_path
):
    class Failing(Datagrams):
        def error_received(self, exc):
            super().error_received(exc)
            raise ZeroDivisionError

    async def main():
        calls = HandlerCalls()
        asyncio.get_running_loop().set_exception_handler(calls)
        async with full(tmp_path, Failing) as (protocol, peer, _):
            protocol.transport.sendto(b"more")
            peer.close()
            await until(lambda: len(calls) == 2)
            with pytest.raises(ZeroDivisionError):
                protocol.transport.sendto(b"and more")
            assert not protocol.transport.is_closing()
        assert len(protocol.errors) == 3
        for context in calls:
            assert type(context["exception"]) is ZeroDivisionError
            assert context["message"].startswith("Exception in callback ")
            assert context["message"].endswith("DatagramTransport._sendto_ready()")

    run(main)


@pytest.mark.parametrize("method", ["close", "abort"])
def test_an_end_in_error_received_is_the_end(run, tmp_path, method):
    class Ending(Datagrams):
        def error_received(self, exc):
            super().error_received(exc)
            if len(self.errors) == 2:
                getattr(self.transport, method)()

    async def main():
        async with full(tmp_path, Ending) as (protocol, peer, _):
            for _ in range(4):
                protocol.transport.sendto(b"more")
            peer.close()
            assert await ended(protocol.lost) is None
            assert len(protocol.errors) == (2 if method == "abort" else 5)

    run(main)


# The end


def test_close_sends_what_is_queued_then_connection_is_lost(run, tmp_path):
    async def main():
        async with full(tmp_path) as (protocol, peer, sent):
            protocol.transport.close()
            assert protocol.transport.is_closing()
            assert repr(protocol.transport).split()[1] == "closing"
            protocol.transport.sendto(b"last")
            await turns()
            assert not protocol.lost.done()
            got = await taken(peer, sent + 1)
            assert got == [*(numbered(n) for n in range(sent)), b"last"]
            assert await ended(protocol.lost) is None
            assert repr(protocol.transport).split()[1] == "closed"

    run(main)


async def lost_sends(method):
    with plain() as (peer,):
        async with endpoint(remote_addr=peer.getsockname()) as protocol:
            getattr(protocol.transport, method)()
            for _ in range(10):
                protocol.transport.sendto(b"lost")
            await ended(protocol.lost)
            protocol.transport.sendto(b"lost")
            with pytest.raises(ValueError, match="Invalid address"):
                protocol.transport.sendto(b"lost", ("127.0.0.1", 1))
        with pytest.raises(BlockingIOError):
            peer.recv(100)


@pytest.mark.parametrize("method", ["close", "abort"])
def test_what_is_sent_to_a_remote_address_after_the_end_is_counted_and_warned_of(
    run, reports, method
):
    run(lost_sends, method)
    assert reports.take() == ["socket.send() raised exception."] * 7


def test_without_a_remote_address_sending_goes_on_until_the_connection_is_lost(run, reports):
    async def main():
        with plain() as (peer,):
            async with endpoint() as protocol:
                protocol.transport.close()
                for _ in range(10):
                    protocol.transport.sendto(b"not lost", peer.getsockname())
                await ended(protocol.lost)
                await turns()
                assert await taken(peer, 10) == [b"not lost"] * 10
                for address in (peer.getsockname(), None):
                    with pytest.raises(AttributeError, match="call_exception_handler"):
                        protocol.transport.sendto(b"lost", address)

    run(main)
    assert reports.take() == []


def test_sending_in_connection_lost_still_works(run):
    class Last(Datagrams):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            self.transport.sendto(b"goodbye", self.peer)
            self.transport.close()
            self.transport.abort()

    async def main():
        with plain() as (peer,):
            async with endpoint(Last) as protocol:
                protocol.peer = peer.getsockname()
                protocol.transport.close()
                assert await taken(peer, 1) == [b"goodbye"]
                await turns()
                assert protocol.events == ["made", "lost"]

    run(main)


def test_a_connection_lost_that_raises_is_reported_and_the_socket_closed(run):
    class Failing(Datagrams):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise ZeroDivisionError

    async def main():
        calls = HandlerCalls()
        asyncio.get_running_loop().set_exception_handler(calls)
        async with endpoint(Failing) as protocol:
            sock = protocol.transport._sock
            protocol.transport.close()
            await ended(protocol.lost)
            await turns()
            assert sock.fileno() == -1
            assert protocol.transport._sock is None
        assert [type(exc) for exc in calls.exceptions] == [ZeroDivisionError]
        assert "_call_connection_lost" in calls[0]["message"]

    run(main)


def test_a_failing_connection_made_does_not_keep_the_endpoint_from_working(run):
    class Failing(Datagrams):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise ZeroDivisionError

    async def main():
        calls = HandlerCalls()
        asyncio.get_running_loop().set_exception_handler(calls)
        with plain() as (peer,):
            async with endpoint(Failing) as protocol:
                peer.sendto(b"hello", address_of(protocol))
                assert await arrived(protocol, 1) == [b"hello"]
        assert [type(exc) for exc in calls.exceptions] == [ZeroDivisionError]

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


def test_an_address_in_a_queue_that_does_something_when_it_is_dropped(run, tmp_path):
    gone = []

    class Address:
        def __del__(self):
            self.transport.close()
            self.transport.abort()
            gone.append(self.transport.get_write_buffer_size())

    async def main():
        calls = HandlerCalls()  # asyncio then calls connection_lost() twice and reports the second
        asyncio.get_running_loop().set_exception_handler(calls)
        path = str(tmp_path / "peer")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.bind(path)
            async with endpoint(family=socket.AF_UNIX) as protocol:
                while not protocol.transport.get_write_buffer_size():
                    protocol.transport.sendto(b"data", path)
                address = Address()
                address.transport = protocol.transport
                protocol.transport.sendto(b"data", address)
                del address
                protocol.transport.abort()
                assert len(gone) == 1
                assert await ended(protocol.lost) is None
                await turns()

    run(main)
