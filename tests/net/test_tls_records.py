"""TLS on the wire: records however they are cut, broken records, endings, what OpenSSL notes.

The other side is a plain socket on which the test makes each record itself.
"""

import array
import asyncio
import contextlib
import itertools
import random
import socket
import ssl

import pytest
from helpers import PATIENCE, HandlerCalls
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import (
    Buffered,
    Recorder,
    ended,
    finish,
    on_asyncio,
    reset,
    take,
    tcp_pair,
    turns,
    unix_pair,
    until,
)

#: The most that a record holds.
RECORD_DATA = 16384
TEXTS = [b"a", b"bc" * 50, b"d" * 700, b"e", b"fgh" * 100]


class View(Buffered):
    """A Buffered that hands out a view: sslproto fills slices, and a bytearray's are copies."""

    def get_buffer(self, sizehint):
        return memoryview(self.buffer)


class Peer:
    """The other side of a TLS connection, on a plain socket: each byte it sends is the test's."""

    def __init__(self, sock, context, **options):
        self.sock = sock
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, **options)

    async def shake_hands(self, hold_tickets=False):
        """With *hold_tickets* what follows the handshake goes with the first record."""
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self.flush()
                await self.take_in()
        if not hold_tickets:
            await self.flush()

    async def flush(self):
        await asyncio.get_running_loop().sock_sendall(self.sock, self.outgoing.read())

    async def take_in(self):
        data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 18)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()

    def seal(self, data):
        """The records of *data*, as they are to be sent."""
        self.tls.write(data)
        return self.outgoing.read()

    def farewell(self):
        """The record of a close_notify."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self.outgoing.read()

    async def send(self, *pieces):
        """Send pieces; the loop can read each of them before the next follows."""
        for piece in pieces:
            await asyncio.get_running_loop().sock_sendall(self.sock, piece)
            await turns(2)

    async def opened(self, count=1 << 30):
        """Read *count* bytes of what was written on the other side, or up to its close_notify."""
        data = bytearray()
        async with asyncio.timeout(PATIENCE):
            while len(data) < count:
                try:
                    chunk = self.tls.read(count - len(data))
                except ssl.SSLWantReadError:
                    await self.take_in()
                    continue
                except ssl.SSLZeroReturnError:  # instead of b"" where it has sent its own
                    break
                if not chunk:
                    break
                data += chunk
        return bytes(data)


def peer_of(tls, sock, server_side=False):
    """A Peer of a client of the loop, or of a server with *server_side*."""
    if server_side:
        return Peer(sock, tls.client, server_hostname="localhost")
    return Peer(sock, tls.server, server_side=True)


async def connect(tls, kind, sock, server_side=False):
    """TLS of the loop on *sock*; return the protocol."""
    loop = asyncio.get_running_loop()
    if server_side:
        _, protocol = await loop.connect_accepted_socket(kind, sock, ssl=tls.server)
    else:
        _, protocol = await loop.create_connection(
            kind, sock=sock, ssl=tls.client, server_hostname="localhost"
        )
    return protocol


@contextlib.asynccontextmanager
async def facing(tls, kind=Recorder, server_side=False, sockets=tcp_pair, **handshake):
    """A TLS connection of the loop, and the other side of it: gives (protocol, Peer)."""
    ours, theirs = sockets()
    with theirs:
        peer = peer_of(tls, theirs, server_side)
        protocol, _ = await asyncio.gather(
            connect(tls, kind, ours, server_side), peer.shake_hands(**handshake)
        )
        try:
            yield protocol, peer
        finally:
            await finish(protocol)


def described(exc):
    """What is to be the same of an exception, or None."""
    if not isinstance(exc, ssl.SSLError):
        return exc and (type(exc), None, str(exc))
    reason, library = (getattr(exc, name, "missing") for name in ("reason", "library"))
    return type(exc), reason, str(exc), library, exc.errno


def told(calls):
    """What is to be the same of what an exception handler was told."""
    return [(said(c["message"]), described(c.get("exception")), sorted(c)) for c in calls]


def said(message):
    """A message without the name of a callback: asyncio's is a lambda on some versions."""
    return message.partition(" SSLProtocol.")[0]


# ---- records, however they come ----


def starts(records):
    """Where each of the records begins, when they are sent one after the other."""
    return [sum(map(len, records[:n])) for n in range(len(records))]


def cut_at(records, places):
    wire = b"".join(records)
    edges = [0, *places, len(wire)]
    return [wire[a:b] for a, b in itertools.pairwise(edges)]


CUTS = {
    "in-one-piece": lambda records: cut_at(records, []),
    "one-by-one": lambda records: records,
    "each-byte": lambda records: cut_at(records, range(1, len(b"".join(records)))),
    "in-headers": lambda records: cut_at(records, [n + 3 for n in starts(records)]),
    "behind-headers": lambda records: cut_at(records, [n + 5 for n in starts(records)]),
    "before-last-bytes": lambda records: cut_at(records, [n - 1 for n in starts(records)[1:]]),
    "behind-first-bytes": lambda records: cut_at(records, [n + 1 for n in starts(records)]),
    "two-and-a-half": lambda records: cut_at(records, [starts(records)[2] + 300]),
}
any_cut = pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
both_kinds = pytest.mark.parametrize("kind", [Recorder, View], ids=["protocol", "buffered"])
both_versions = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"]
)


@any_cut
@both_kinds
@both_versions
def test_records_cut_anywhere_give_the_data_in_order(run, tls, cut, kind, version):
    tls.client.minimum_version = tls.client.maximum_version = version

    async def main():
        async with facing(tls, kind) as (near, peer):
            await peer.send(*cut([peer.seal(text) for text in TEXTS]))
            assert await near.received(len(b"".join(TEXTS))) == b"".join(TEXTS)

    run(main)


@any_cut
@both_kinds
def test_records_and_a_close_notify_cut_anywhere(run, tls, cut, kind):
    async def main():
        async with facing(tls, kind) as (near, peer):
            records = [peer.seal(text) for text in TEXTS]
            await peer.send(*cut([*records, peer.farewell()]))
            assert await ended(near.lost) is None
            assert near.data == b"".join(TEXTS)
            assert near.events == ["made", "data", "eof", "lost"]
            assert await peer.opened() == b""  # a close_notify came back

    run(main)


@any_cut
def test_a_server_reads_records_cut_anywhere(run, tls, cut):
    async def main():
        async with facing(tls, server_side=True) as (near, peer):
            await peer.send(*cut([peer.seal(text) for text in TEXTS]))
            assert await near.received(len(b"".join(TEXTS))) == b"".join(TEXTS)

    run(main)


@both_kinds
@pytest.mark.parametrize("count", [1, 3, 60])
def test_records_as_large_as_they_may_be(run, tls, kind, count):
    payload = random.Random(count).randbytes(RECORD_DATA * count)

    async def main():
        async with facing(tls, kind) as (near, peer):
            wire = peer.seal(payload)
            assert len(wire) < len(payload) + count * 100
            await peer.send(wire)
            assert await near.received(len(payload)) == payload

    run(main)


@both_kinds
def test_many_records_in_one_piece(run, tls, kind):
    texts = [b"%d;" % n for n in range(1000)]

    async def main():
        async with facing(tls, kind) as (near, peer):
            await peer.send(b"".join([peer.seal(text) for text in texts]))
            assert await near.received(len(b"".join(texts))) == b"".join(texts)

    run(main)


@any_cut
@both_kinds
def test_session_tickets_before_the_data(run, tls, cut, kind):
    """They are records that hold nothing for the program."""
    tls.server.num_tickets = 5

    async def main():
        async with facing(tls, kind, hold_tickets=True) as (near, peer):
            session = near.transport.get_extra_info("ssl_object").session
            assert not session.has_ticket
            records = [peer.outgoing.read(), *(peer.seal(text) for text in TEXTS)]
            await peer.send(*cut(records))
            assert await near.received(len(b"".join(TEXTS))) == b"".join(TEXTS)
            assert near.transport.get_extra_info("ssl_object").session.has_ticket

    run(main)


def test_all_that_is_there_is_delivered_in_one_call(run, tls):
    pieces = []

    class Counting(Recorder):
        def data_received(self, data):
            super().data_received(data)
            pieces.append(data)

    async def main():
        async with facing(tls, Counting) as (near, peer):
            await peer.send(b"".join([peer.seal(text) for text in TEXTS]))
            await near.received(len(b"".join(TEXTS)))

    run(main)
    assert pieces == [b"".join(TEXTS)]
    assert type(pieces[0]) is bytes


def test_over_a_unix_socket(run, tls):
    payload = random.Random(0).randbytes(300_000)

    async def main():
        async with facing(tls, sockets=unix_pair) as (near, peer):
            near.transport.write(payload)
            assert await peer.opened(len(payload)) == payload
            sending = asyncio.ensure_future(peer.send(peer.seal(payload), peer.farewell()))
            assert await ended(near.lost) is None
            await sending
            assert near.data == payload
            assert near.events == ["made", "data", "eof", "lost"]

    run(main)


# ---- what is broken, and how it ends ----


async def wire_of(sock):
    """All that comes up to the end, and whether that is a reset."""
    try:
        return await take(sock, 1 << 20)
    except ConnectionResetError:
        return "reset"


async def ending(tls, kind, peer_does):
    """What there is to be seen when the peer does something that ends the connection."""
    calls = HandlerCalls.of(asyncio.get_running_loop())
    async with facing(tls, kind) as (near, peer):
        await peer.send(peer.seal(b"first"))
        await near.received(5)
        await peer_does(peer)
        lost = await ended(near.lost)
        sent = await wire_of(peer.sock) if peer.sock.fileno() >= 0 else None
    # A close_notify is a record of its own key: only its length can be the same.
    return near.events, bytes(near.data), described(lost), told(calls), sent and len(sent)


def flipped(record):
    """The record with another byte in the midst of its data."""
    broken = bytearray(record)
    broken[len(broken) // 2] ^= 1
    return bytes(broken)


async def sends_what_is_no_record(peer):
    await peer.send(b"\x99" * 50)


async def answers_in_clear(peer):
    await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def sends_a_record_that_nobody_sealed(peer):
    await peer.send(b"\x17\x03\x03\x00\x20" + b"x" * 32)


async def sends_a_record_that_is_too_long(peer):
    await peer.send(b"\x17\x03\x03\x7f\xff" + b"x" * 100)


async def flips_a_byte(peer):
    await peer.send(flipped(peer.seal(b"second")))


async def flips_a_byte_behind_a_good_record(peer):
    await peer.send(peer.seal(b"second") + flipped(peer.seal(b"third")))


async def flips_a_byte_behind_a_full_record(peer):
    await peer.send(peer.seal(b"s" * RECORD_DATA) + flipped(peer.seal(b"third")))


async def swaps_two_records(peer):
    second, third = peer.seal(b"second"), peer.seal(b"third")
    await peer.send(third + second)


async def ends_without_close_notify(peer):
    peer.sock.shutdown(socket.SHUT_WR)


async def ends_in_a_record(peer):
    await peer.send(peer.seal(b"second")[:-3])
    peer.sock.shutdown(socket.SHUT_WR)


async def ends_in_a_header(peer):
    await peer.send(peer.seal(b"second") + peer.seal(b"third")[:2])
    peer.sock.shutdown(socket.SHUT_WR)


async def resets(peer):
    reset(peer.sock)


async def resets_in_a_record(peer):
    await peer.send(peer.seal(b"second")[:10])
    reset(peer.sock)


async def goes_on_behind_its_close_notify(peer):
    second, third = peer.seal(b"second"), peer.seal(b"third")
    await peer.send(second + peer.farewell() + third)


async def sends_garbage_behind_its_close_notify(peer):
    await peer.send(peer.seal(b"second") + peer.farewell() + b"\x99" * 50)


ENDINGS = [
    sends_what_is_no_record,
    answers_in_clear,
    sends_a_record_that_nobody_sealed,
    sends_a_record_that_is_too_long,
    flips_a_byte,
    flips_a_byte_behind_a_good_record,
    flips_a_byte_behind_a_full_record,
    swaps_two_records,
    ends_without_close_notify,
    ends_in_a_record,
    ends_in_a_header,
    resets,
    resets_in_a_record,
    goes_on_behind_its_close_notify,
    sends_garbage_behind_its_close_notify,
]
any_ending = pytest.mark.parametrize("peer_does", ENDINGS, ids=lambda does: does.__name__)


@any_ending
@both_kinds
@both_versions
def test_an_ending_is_seen_as_on_asyncio(run, tls, kind, peer_does, version):
    tls.client.minimum_version = tls.client.maximum_version = version
    seen = run(ending, tls, kind, peer_does)
    assert seen[0][-1] == "lost"
    assert seen == on_asyncio(ending, tls, kind, peer_does)


def test_a_broken_record_is_told_as_an_ssl_error(run, tls):
    _, data, lost, calls, _ = run(ending, tls, Recorder, flips_a_byte)
    assert data == b"first"
    assert lost[0] is ssl.SSLError
    # The second by newer versions of OpenSSL.
    assert lost[1] in ("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "RECORD_LAYER_FAILURE")
    assert calls == []  # an OSError is only logged, and only in debug mode


async def read_to_the_end(tls, peer_does):
    """What a stream gives, and what it ends with, when the peer does something bad."""
    async with streaming(tls) as (reader, _, peer):
        await peer.send(peer.seal(b"first"))
        pieces = [await reader.readexactly(5)]
        reading = asyncio.ensure_future(reader.read(100))
        await turns()
        await peer_does(peer)
        try:
            while piece := await reading:
                pieces.append(piece)
                reading = asyncio.ensure_future(reader.read(100))
        except OSError as exc:
            pieces.append(described(exc))
        return pieces


@contextlib.asynccontextmanager
async def streaming(tls, **options):
    """A stream of the loop over TLS and the other side of it: gives (reader, writer, Peer)."""
    ours, theirs = tcp_pair()
    with theirs:
        peer = peer_of(tls, theirs)
        (reader, writer), _ = await asyncio.gather(
            asyncio.open_connection(
                sock=ours, ssl=tls.client, server_hostname="localhost", **options
            ),
            peer.shake_hands(),
        )
        try:
            yield reader, writer, peer
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                async with asyncio.timeout(PATIENCE):
                    await writer.wait_closed()


@any_ending
def test_an_ending_is_seen_by_a_stream_as_on_asyncio(run, tls, peer_does):
    assert run(read_to_the_end, tls, peer_does) == on_asyncio(read_to_the_end, tls, peer_does)


async def without_a_certificate(tls):
    """The client has shaken hands when the server refuses it."""
    calls = HandlerCalls.of(asyncio.get_running_loop())
    ours, theirs = tcp_pair()
    with theirs:
        peer = peer_of(tls, theirs)
        near, refused = await asyncio.gather(
            connect(tls, Recorder, ours), peer.shake_hands(), return_exceptions=True
        )
        assert isinstance(refused, ssl.SSLError)
        await peer.flush()  # the alert
        lost = await ended(near.lost)
    return near.events, described(lost), told(calls)


def test_an_alert_after_the_handshake_is_told_as_on_asyncio(run, tls, authority):
    tls.server.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls.server)
    tls.client.minimum_version = ssl.TLSVersion.TLSv1_3
    seen = run(without_a_certificate, tls)
    assert seen[0] == ["made", "lost"]
    assert seen[1][:2] == (ssl.SSLError, "TLSV13_ALERT_CERTIFICATE_REQUIRED")
    assert seen == on_asyncio(without_a_certificate, tls)


# ---- buffers of the program ----


async def into_buffers(tls, kind, cut):
    """What a BufferedProtocol sees of records and of the end."""
    async with facing(tls, kind) as (near, peer):
        records = [peer.seal(text) for text in TEXTS]
        await peer.send(*cut([*records, peer.farewell()]))
        lost = await ended(near.lost)
        updates = near.updates if cut is CUTS["in-one-piece"] else None  # or the kernel decides
        return near.events, bytes(near.data), updates, described(lost)


def view_of(room):
    """A class of BufferedProtocols with a view of so much room, which note each update."""

    class Noting(View):
        def __init__(self):
            super().__init__()
            self.updates = []

        def buffer_updated(self, nbytes):
            self.updates.append(nbytes)
            super().buffer_updated(nbytes)

    Noting.room = room
    return Noting


@any_cut
@pytest.mark.parametrize("room", [1, 99, 100, 101, 700, 1102, 1103, 1 << 20])
def test_a_view_of_any_size_is_filled_as_on_asyncio(run, tls, room, cut):
    kind = view_of(room)
    seen = run(into_buffers, tls, kind, cut)
    assert seen[:2] == (["made", "data", "eof", "lost"], b"".join(TEXTS))
    assert seen == on_asyncio(into_buffers, tls, kind, cut)


@pytest.mark.parametrize("room", [1, 99, 100, 101, 1 << 20])
def test_a_bytearray_takes_a_record(run, tls, room):
    """One at a time: asyncio loses what follows in the same piece."""

    class Bytearray(Buffered):
        pass

    Bytearray.room = room

    async def main():
        async with facing(tls, Bytearray) as (near, peer):
            for n in range(1, 4):
                await peer.send(peer.seal(b"x" * 100))
                await near.received(n * 100)
            return bytes(near.data), near.events[:]

    assert run(main) == (b"x" * 300, ["made", "data"])


def test_the_size_hint_is_that_of_the_records(run, tls):
    tls.client.maximum_version = ssl.TLSVersion.TLSv1_2  # no tickets come after the handshake
    hints = []

    class Hinted(View):
        def get_buffer(self, sizehint):
            hints.append(sizehint)
            return super().get_buffer(sizehint)

    async def main():
        async with facing(tls, Hinted) as (near, peer):
            hints.clear()
            wire = peer.seal(b"x" * 100) + peer.seal(b"y" * 200)
            await peer.send(wire)
            await near.received(300)
            return len(wire)

    size = run(main)
    assert hints == [size]


def raises(error):
    def method(*_):
        raise error("from the protocol")

    return method


BAD_BUFFERS = {
    "empty": lambda: bytearray(),
    "empty-view": lambda: memoryview(bytearray()),
    "read-only": lambda: bytes(100),
    "read-only-view": lambda: memoryview(bytes(100)),
    "with-gaps": lambda: memoryview(bytearray(100))[::2],
    "none": lambda: None,
    "text": lambda: "x" * 100,
    "number": lambda: 5,
    "list": lambda: [0] * 100,
    "of-words": lambda: array.array("I", bytes(400)),
    "raises": raises(ZeroDivisionError),
    "raises-os-error": raises(OSError),
    "raises-want-read": raises(ssl.SSLWantReadError),
    "raises-cancelled": raises(asyncio.CancelledError),
}


async def ending_in_the_protocol(tls, kind):
    """What there is to be seen when the protocol does something to the second record.

    Where that does not end the connection the peer does, in the end.
    """
    calls = HandlerCalls.of(asyncio.get_running_loop())
    async with facing(tls, kind) as (near, peer):
        await peer.send(peer.seal(b"first"))
        await near.received(5)
        near.armed = True
        await peer.send(peer.seal(b"second") + peer.seal(b"third"))
        with contextlib.suppress(OSError):
            peer.sock.shutdown(socket.SHUT_WR)
        lost = await ended(near.lost)
        await turns(10)
    return near.events, bytes(near.data), described(lost), told(calls)


@pytest.mark.parametrize("buffer", BAD_BUFFERS.values(), ids=BAD_BUFFERS)
def test_what_is_no_buffer_ends_the_connection_as_on_asyncio(run, tls, buffer):
    class Bad(View):
        armed = False

        def get_buffer(self, sizehint):
            return buffer() if self.armed else super().get_buffer(sizehint)

    seen = run(ending_in_the_protocol, tls, Bad)
    assert seen == on_asyncio(ending_in_the_protocol, tls, Bad)


@pytest.mark.parametrize("error", [ZeroDivisionError, OSError, ssl.SSLWantReadError])
def test_buffer_updated_that_raises_ends_the_connection_as_on_asyncio(run, tls, error):
    class Bad(View):
        armed = False

        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            if self.armed:
                raise error("from the protocol")

    seen = run(ending_in_the_protocol, tls, Bad)
    assert seen == on_asyncio(ending_in_the_protocol, tls, Bad)


@pytest.mark.parametrize("method", ["close", "abort"])
def test_get_buffer_that_ends_the_connection_ends_it_as_on_asyncio(run, tls, method):
    class Leaving(View):
        armed = False

        def get_buffer(self, sizehint):
            if self.armed:
                self.armed = False
                getattr(self.transport, method)()
            return super().get_buffer(sizehint)

    seen = run(ending_in_the_protocol, tls, Leaving)
    assert seen == on_asyncio(ending_in_the_protocol, tls, Leaving)


# ---- what OpenSSL tells on the way ----


def test_the_log_of_the_keys_is_written(run, tls, tmp_path):
    path = tmp_path / "keys"
    tls.client.keylog_filename = path

    async def main():
        async with facing(tls) as (near, peer):
            near.transport.write(b"x" * 1000)
            await peer.opened(1000)
            await peer.send(peer.seal(b"y" * 1000))
            await near.received(1000)

    run(main)
    tls.client.keylog_filename = None  # or the file stays open
    labels = {line.split()[0] for line in path.read_text().splitlines() if line[0] != "#"}
    assert {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"} <= labels


async def messages_seen(tls, error=None):
    """What a message callback is told of two records each way, when it raises *error* for one."""
    seen, armed = [], False
    calls = HandlerCalls.of(asyncio.get_running_loop())

    def callback(conn, direction, version, kind, message, data):
        if armed:
            seen.append((conn is sslobj, direction, version, kind, len(data)))
            if direction == error:
                raise ZeroDivisionError

    tls.client._msg_callback = callback
    async with facing(tls) as (near, peer):
        await peer.send(peer.seal(b"warm"))
        await near.received(4)
        sslobj = near.transport.get_extra_info("ssl_object")
        armed = True
        near.transport.write(b"one")
        near.transport.write(b"two")
        if error != "write":
            await peer.opened(6)
            await peer.send(peer.seal(b"three") + peer.seal(b"four"))
            await until(lambda: near.lost.done() or len(near.data) == 13)
        await turns(10)
    return near.events, bytes(near.data), described(near.lost.result()), told(calls), seen


def test_a_message_callback_sees_each_record_as_on_asyncio(run, tls):
    seen = run(messages_seen, tls)
    assert len(seen[-1]) >= 4
    assert seen == on_asyncio(messages_seen, tls)


@pytest.mark.parametrize("direction", ["read", "write"])
def test_a_message_callback_that_raises_is_treated_as_on_asyncio(run, tls, direction):
    assert run(messages_seen, tls, direction) == on_asyncio(messages_seen, tls, direction)


# ---- all of it at random ----


class Wire:
    """Carries bytes between two plain sockets, so many at a time as the test says."""

    def __init__(self, *socks):
        self.socks = socks
        self.held = bytearray(), bytearray()

    def carry(self, side, count=1 << 18):
        held = self.held[side]
        with contextlib.suppress(BlockingIOError):
            held += self.socks[side].recv(count)
        with contextlib.suppress(BlockingIOError):
            del held[: self.socks[1 - side].send(held[:count])]


@contextlib.asynccontextmanager
async def on_a_wire(tls, kinds):
    """Both ends of a TLS connection on this loop: gives (client, server), Wire."""
    (ours, left), (right, theirs) = tcp_pair(), tcp_pair()
    with left, right:
        wire = Wire(left, right)
        making = asyncio.gather(
            connect(tls, kinds[0], ours), connect(tls, kinds[1], theirs, server_side=True)
        )
        while not making.done():
            wire.carry(0)
            wire.carry(1)
            await turns(1)
        ends = await making
        try:
            yield ends, wire
        finally:
            await finish(*ends)


async def follow(tls, kinds, steps):
    """Take the steps; then let all that was written arrive."""
    stores = random.Random(0).randbytes(1 << 20), random.Random(1).randbytes(1 << 20)
    written = [0, 0]
    async with on_a_wire(tls, kinds) as (ends, wire):
        for step, side, size in steps:
            transport = ends[side].transport
            if step == "write":
                size = min(size, (1 << 20) - written[side])
                transport.write(stores[side][written[side] : written[side] + size])
                written[side] += size
            elif step == "carry":
                wire.carry(side, size)
            elif step == "turn":
                await turns(1)
            else:
                getattr(transport, step)()
        for end in ends:
            end.transport.resume_reading()
        async with asyncio.timeout(PATIENCE):
            while [len(end.data) for end in ends] != written[::-1]:
                wire.carry(0)
                wire.carry(1)
                await asyncio.sleep(0.0005)
        for side in (0, 1):
            assert ends[1 - side].data == stores[side][: written[side]]
            assert ends[side].transport.get_write_buffer_size() == 0


STEPS = st.tuples(
    st.sampled_from(
        ["write", "write", "carry", "carry", "turn", "turn", "pause_reading", "resume_reading"]
    ),
    st.sampled_from([0, 1]),
    st.one_of(st.integers(1, 50), st.integers(1, 60_000)),
)


@settings(max_examples=40)
@given(st.lists(STEPS, max_size=40), st.tuples(*[st.sampled_from([Recorder, View])] * 2))
def test_whatever_both_ends_do_all_data_arrives_in_order(run, tls, steps, kinds):
    run(follow, tls, kinds, steps)


def test_the_ends_of_a_wire_close(run, tls):
    async def main():
        async with on_a_wire(tls, (Recorder, Recorder)) as ((near, far), wire):
            near.transport.write(b"last")
            near.transport.close()
            while not (near.lost.done() and far.lost.done()):
                wire.carry(0, 7)
                wire.carry(1, 7)
                await turns(1)
            assert (near.lost.result(), far.lost.result()) == (None, None)
            assert far.events == ["made", "data", "eof", "lost"]

    run(main)
