"""asyncio's streams under TLS: readers that are fed in C, and those that are not."""

import asyncio
import contextlib
import random
import socket
import ssl

import pytest
from helpers import PATIENCE
from peers import (
    on_asyncio,
    outcome,
    tcp_pair,
    turns,
    until,
)
from test_tls_records import any_cut, connect, described, peer_of, streaming


class Reader(asyncio.StreamReader):
    """A reader of the program's, which notes what it is fed."""

    def __init__(self):
        super().__init__()
        self.fed = []

    def feed_data(self, data):
        self.fed.append(bytes(data))
        super().feed_data(data)


async def through(tls, protocol, reader, texts):
    """Send texts to the protocol; return what its reader gives, up to the end."""
    ours, theirs = tcp_pair()
    with theirs:
        peer = peer_of(tls, theirs)
        await asyncio.gather(connect(tls, lambda: protocol, ours), peer.shake_hands())
        await peer.send(*map(peer.seal, texts), peer.farewell())
        async with asyncio.timeout(PATIENCE):
            data = await reader.read()
            await protocol._get_close_waiter(None)
    return data


def test_a_reader_of_the_programs_is_fed(run, tls):
    texts = [b"one", b"two", b"x" * 50_000]

    async def main():
        reader = Reader()
        data = await through(tls, asyncio.StreamReaderProtocol(reader), reader, texts)
        assert data == b"".join(reader.fed) == b"".join(texts)

    run(main)


def test_a_replaced_data_received_is_called(run, tls):
    async def main():
        reader, pieces = asyncio.StreamReader(), []
        protocol = asyncio.StreamReaderProtocol(reader)
        own = protocol.data_received
        protocol.data_received = lambda data: (pieces.append(data), own(data))
        data = await through(tls, protocol, reader, [b"one", b"two"])
        assert data == b"".join(pieces) == b"onetwo"

    run(main)


def test_a_replaced_feed_data_is_called_once_for_what_came_at_once(run, tls):
    async def main():
        sizes = []

        class Noting(asyncio.StreamReader):
            def feed_data(self, data):
                sizes.append(len(data))
                super().feed_data(data)

        ours, theirs = tcp_pair()
        with theirs:
            peer, reader = peer_of(tls, theirs), Noting(limit=1 << 20)
            protocol = asyncio.StreamReaderProtocol(reader)
            await asyncio.gather(connect(tls, lambda: protocol, ours), peer.shake_hands())
            transport = protocol._transport
            transport.pause_reading()
            await peer.send(peer.seal(b"x" * 50_000))
            below = transport._ssl_protocol._get_read_buffer_size
            await until(lambda: below() > 50_000)
            transport.resume_reading()
            await until(lambda: sum(sizes) == 50_000)
            transport.abort()
        return sizes

    assert run(main) == on_asyncio(main) == [50_000]


def test_a_subclass_of_the_protocol_is_called(run, tls):
    class Noting(asyncio.StreamReaderProtocol):
        def data_received(self, data):
            pieces.append(data)
            super().data_received(data)

    async def main():
        reader = asyncio.StreamReader()
        data = await through(tls, Noting(reader), reader, [b"one", b"two"])
        assert data == b"".join(pieces) == b"onetwo"

    pieces = []
    run(main)


def test_a_data_received_that_is_replaced_later_is_called(run, tls):
    async def main():
        async with streaming(tls) as (reader, writer, peer):
            await peer.send(peer.seal(b"first"))
            assert await reader.readexactly(5) == b"first"
            protocol, pieces = writer.transport.get_protocol(), []
            protocol.data_received = pieces.append
            await peer.send(peer.seal(b"second"))
            await until(lambda: b"".join(pieces) == b"second")
            del protocol.data_received
            await peer.send(peer.seal(b"third"))
            assert await reader.readexactly(5) == b"third"

    run(main)


@any_cut
def test_a_stream_reads_across_records(run, tls, cut):
    async def main():
        async with streaming(tls) as (reader, _, peer):
            texts = [b"a line\nanother, ", b"cut\n", b"x" * 5000, b"end", b";rest"]
            records = [*map(peer.seal, texts), peer.farewell()]
            sending = asyncio.ensure_future(peer.send(*cut(records)))
            assert await reader.readline() == b"a line\n"
            assert await reader.readuntil(b",") == b"another,"
            assert await reader.readline() == b" cut\n"
            assert await reader.readexactly(4000) == b"x" * 4000
            assert await reader.readuntil(b";") == b"x" * 1000 + b"end;"
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await reader.readexactly(5)
            assert caught.value.partial == b"rest"
            assert await reader.read() == b""
            assert reader.at_eof()
            await sending

    run(main)


def test_a_full_reader_pauses_and_reads_on(run, tls):
    async def main():
        async with streaming(tls, limit=1000) as (reader, writer, peer):
            payload = random.Random(0).randbytes(500_000).replace(b"\n", b"_")
            sending = asyncio.ensure_future(peer.send(peer.seal(payload + b"\n")))
            with pytest.raises(asyncio.LimitOverrunError):
                await reader.readuntil()
            assert not writer.transport.is_reading()
            data = bytearray()
            while len(data) < len(payload):
                data += await reader.read(len(payload) - len(data))
            assert data == payload
            assert await reader.readline() == b"\n"
            assert writer.transport.is_reading()
            await sending

    run(main)


def test_a_stream_echoes_what_it_reads(run, tls):
    async def echo(reader, writer):
        while data := await reader.read(5000):
            writer.write(data)
            await writer.drain()

    async def main():
        async with streaming(tls) as (reader, writer, peer):
            echoing = asyncio.ensure_future(echo(reader, writer))
            payload = random.Random(0).randbytes(2_000_000)
            sending = asyncio.ensure_future(peer.send(peer.seal(payload)))
            assert await peer.opened(len(payload)) == payload
            await sending
            await peer.send(peer.farewell())
            async with asyncio.timeout(PATIENCE):
                await echoing

    run(main)


# ---- slow readers ----


async def read_slowly(reader, size):
    """All that the reader gets, in small steps with turns of the loop between; and its end."""
    total = 0
    try:
        async with asyncio.timeout(PATIENCE):
            while data := await reader.read(size):
                total += len(data)
                await asyncio.sleep(0)
    except ssl.SSLError as exc:
        return total, exc.reason
    return total, None


@pytest.mark.parametrize("says_goodbye", [True, False])
@pytest.mark.parametrize("limit", [1000, 1 << 16])
@pytest.mark.parametrize("step", [1000, 100_000])
def test_a_slow_reader_gets_all_that_came_before_the_end(run, tls, says_goodbye, limit, step):
    """The connection ends while the reader has paused it, with records that it has not read."""

    async def main():
        async with streaming(tls, limit=limit) as (reader, _, peer):
            wire = peer.seal(b"d" * 250_000) + (peer.farewell() if says_goodbye else b"")
            sending = asyncio.ensure_future(peer.send(wire))
            await until(lambda: len(reader._buffer) > 2 * limit)
            sending.add_done_callback(lambda _: peer.sock.shutdown(socket.SHUT_WR))
            assert await read_slowly(reader, step) == (250_000, None)
            await sending

    run(main)


async def closing_unread(tls):
    """The program closes a stream of which it has not read what has come."""
    async with streaming(tls, limit=1000) as (reader, writer, peer):
        await peer.send(peer.seal(b"d" * 60_000))
        await until(lambda: len(reader._buffer) > 2000)
        await turns(20)
        writer.close()
        with contextlib.suppress(ssl.SSLError):
            await peer.opened()
        await peer.send(peer.farewell())
        async with asyncio.timeout(PATIENCE):
            return described(await outcome(writer.wait_closed())), len(reader._buffer)


def test_closing_a_stream_that_is_not_read_is_clean(run, tls):
    assert run(closing_unread, tls) == on_asyncio(closing_unread, tls)
