"""asyncio's streams on the transports: opening, serving, reading, draining, closing."""

import asyncio
import contextlib
import inspect
import sys

import pytest
from helpers import PATIENCE
from peers import (
    LOOPBACK,
    closed,
    closed_port,
    ended,
    reset,
    stream_and_peer,
    take,
    tcp_pair,
    until,
)


@contextlib.asynccontextmanager
async def served(handler, **options):
    """Serve with *handler*; give a function that opens a connection."""
    handling, writers = set(), []

    async def tracked(reader, writer):
        handling.add(asyncio.current_task())
        await handler(reader, writer)

    wrapped = tracked if inspect.iscoroutinefunction(handler) else handler
    server = await asyncio.start_server(wrapped, LOOPBACK, 0, **options)

    async def opened(**options):
        address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address, **options)
        writers.append(writer)
        return reader, writer

    try:
        yield opened
    finally:
        for writer in writers:
            await closed(writer)
        server.close()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*handling, return_exceptions=True)
            await server.wait_closed()


async def echo(reader, writer):
    """Send back what arrives, until EOF."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    await closed(writer)


@pytest.mark.parametrize("size", [1, 1000, 65536, 3_000_000])
def test_echo(run, size):
    async def main():
        async with served(echo) as opened:
            reader, writer = await opened()
            payload = bytes(n % 251 for n in range(1000)) * (size // 1000 + 1)
            payload = payload[:size]
            sending = asyncio.ensure_future(send(writer, payload))
            assert await reader.readexactly(size) == payload
            await sending

    async def send(writer, payload):
        writer.write(payload)
        await writer.drain()

    run(main)


def test_request_and_response_many_times(run):
    async def main():
        async with served(echo) as opened:
            reader, writer = await opened()
            for n in range(500):
                writer.write(b"%d\n" % n)
                assert await reader.readline() == b"%d\n" % n

    run(main)


def test_a_refused_port(run):
    async def main():
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(LOOPBACK, closed_port())

    run(main)


def test_read_gives_what_is_there_and_then_nothing(run):
    async def main():
        async with stream_and_peer() as (reader, _, peer):
            peer.send(b"abcdef")
            assert await reader.read(4) == b"abcd"
            assert await reader.read(0) == b""
            assert await reader.read(100) == b"ef"
            peer.send(b"rest")
            peer.close()
            assert await reader.read() == b"rest"
            assert await reader.read(1) == b""
            assert reader.at_eof()

    run(main)


def test_lines(run):
    async def main():
        async with stream_and_peer() as (reader, _, peer):
            peer.send(b"one\ntwo\n")
            assert await reader.readline() == b"one\n"
            waiting = asyncio.ensure_future(reader.readline())
            assert await waiting == b"two\n"
            peer.send(b"unfinished")
            peer.close()
            assert await reader.readline() == b"unfinished"
            assert await reader.readline() == b""

    run(main)


def test_iteration_over_lines(run):
    async def main():
        async with stream_and_peer() as (reader, _, peer):
            peer.send(b"a\nb\n\nlast")
            peer.close()
            return [line async for line in reader]

    assert run(main) == [b"a\n", b"b\n", b"\n", b"last"]


def test_readuntil(run):
    async def main():
        async with stream_and_peer() as (reader, _, peer):
            peer.send(b"head\r\n\r\nbody")
            assert await reader.readuntil(b"\r\n\r\n") == b"head\r\n\r\n"
            peer.close()
            with pytest.raises(asyncio.IncompleteReadError) as info:
                await reader.readuntil(b"!")
            assert info.value.partial == b"body"

    run(main)


def test_readexactly(run):
    async def main():
        async with stream_and_peer() as (reader, _, peer):
            waiting = asyncio.ensure_future(reader.readexactly(6))
            for piece in (b"ab", b"cd", b"ef", b"gh"):
                peer.send(piece)
                await asyncio.sleep(0)
            assert await waiting == b"abcdef"
            peer.close()
            with pytest.raises(asyncio.IncompleteReadError) as info:
                await reader.readexactly(100)
            assert (info.value.partial, info.value.expected) == (b"gh", 100)
            with pytest.raises(ValueError, match="less than zero"):
                await reader.readexactly(-1)

    run(main)


def test_a_line_longer_than_the_limit(run):
    async def main():
        async with stream_and_peer(limit=64) as (reader, _, peer):
            peer.send(b"x" * 200 + b"\n")
            await until(lambda: len(reader._buffer) >= 201)
            with pytest.raises(ValueError, match="limit"):
                await reader.readline()
            peer.send(b"y" * 200)
            with pytest.raises(asyncio.LimitOverrunError):
                await reader.readuntil(b"!")

    run(main)


def test_the_reader_pauses_the_transport_at_its_limit_and_resumes_it(run):
    async def main():
        async with stream_and_peer(limit=1000) as (reader, writer, peer):
            peer.send(b"x" * 100_000)
            await until(lambda: not writer.transport.is_reading())
            assert len(await reader.readexactly(100_000)) == 100_000
            await until(writer.transport.is_reading)

    run(main)


def test_two_readers_at_once_are_a_runtime_error(run):
    async def main():
        async with stream_and_peer() as (reader, _, peer):
            first = asyncio.ensure_future(reader.read(1))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="already waiting for incoming data"):
                await reader.read(1)
            peer.send(b"x")
            assert await first == b"x"

    run(main)


def test_a_cancelled_read_loses_no_data(run):
    async def main():
        async with stream_and_peer() as (reader, _, peer):
            waiting = asyncio.ensure_future(reader.readexactly(4))
            peer.send(b"ab")
            await until(lambda: len(reader._buffer) == 2)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            peer.send(b"cd")
            assert await reader.readexactly(4) == b"abcd"

    run(main)


def test_drain_waits_for_a_slow_peer(run):
    async def main():
        async with stream_and_peer() as (_, writer, peer):
            written = 0
            while not writer.transport.get_write_buffer_size() > 1 << 17:
                writer.write(b"x" * (1 << 18))
                written += 1 << 18
            draining = asyncio.ensure_future(writer.drain())
            for _ in range(20):
                await asyncio.sleep(0)
            assert not draining.done()
            assert len(await take(peer, written)) == written
            await ended(draining)

    run(main)


def test_several_drains_end_together(run):
    async def main():
        async with stream_and_peer() as (_, writer, peer):
            writer.write(b"x" * (16 << 20))
            draining = [asyncio.ensure_future(writer.drain()) for _ in range(5)]
            assert len(await take(peer, 16 << 20)) == 16 << 20
            for waiting in draining:
                await ended(waiting)

    run(main)


def test_drain_after_the_connection_is_lost_fails(run):
    async def main():
        async with stream_and_peer() as (reader, writer, peer):
            reset(peer)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            with pytest.raises(ConnectionResetError):
                await writer.drain()

    run(main)


def test_a_reset_wakes_reader_and_drain(run):
    async def main():
        async with stream_and_peer() as (reader, writer, peer):
            writer.write(b"x" * (16 << 20))
            tasks = [asyncio.ensure_future(reader.read(1)), asyncio.ensure_future(writer.drain())]
            await asyncio.sleep(0)
            reset(peer)
            failures = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(failure, ConnectionError) for failure in failures)

    run(main)


def test_writer_methods(run):
    async def main():
        async with stream_and_peer() as (reader, writer, peer):
            assert writer.can_write_eof()
            assert writer.get_extra_info("peername") == peer.getsockname()
            assert not writer.is_closing()
            writer.write(b"a")
            writer.writelines([b"b", b"c"])
            writer.write_eof()
            assert await take(peer, 10) == b"abc"
            peer.send(b"answer")
            assert await reader.readexactly(6) == b"answer"
            writer.close()
            assert writer.is_closing()
            await writer.wait_closed()
            await writer.wait_closed()

    run(main)


def test_wait_closed_waits_for_what_is_queued(run):
    async def main():
        async with stream_and_peer() as (_, writer, peer):
            writer.write(b"x" * (8 << 20))
            writer.close()
            waiting = asyncio.ensure_future(writer.wait_closed())
            await asyncio.sleep(0)
            assert not waiting.done()
            assert len(await take(peer, 9 << 20)) == 8 << 20
            await ended(waiting)

    run(main)


def test_the_handler_may_be_a_function(run):
    async def main():
        def handler(reader, writer):
            writer.write(b"from a function")
            writer.close()

        async with served(handler) as opened:
            reader, _ = await opened()
            assert await reader.read() == b"from a function"

    run(main)


@pytest.mark.skipif(sys.version_info < (3, 11, 7), reason="early 3.11 says nothing")
def test_a_handler_that_raises_is_reported(run, reports):
    async def main():
        async def handler(reader, writer):
            try:
                raise ZeroDivisionError
            finally:
                writer.close()

        async with served(handler) as opened:
            reader, _ = await opened()
            assert await reader.read() == b""

    run(main)
    (said,) = reports.take()
    assert "Unhandled exception in client_connected_cb" in said


def test_eof_without_a_reader_waiting_is_not_lost(run):
    async def main():
        async with stream_and_peer() as (reader, _, peer):
            peer.send(b"bye")
            peer.close()
            await until(lambda: reader._eof)
            assert await reader.read() == b"bye"

    run(main)


def test_a_hundred_clients_at_once(run):
    async def main():
        async with served(echo, backlog=200) as opened:

            async def client(n):
                reader, writer = await opened()
                for turn in range(5):
                    message = b"%d/%d\n" % (n, turn)
                    writer.write(message)
                    assert await reader.readline() == message
                writer.write_eof()
                assert await reader.read() == b""
                return n

            return await asyncio.gather(*(client(n) for n in range(100)))

    assert run(main) == list(range(100))


def test_many_small_pieces_arrive_in_order(run):
    async def main():
        async with served(echo) as opened:
            reader, writer = await opened()
            pieces = [bytes([n % 256]) * (n % 13 + 1) for n in range(4000)]
            for piece in pieces:
                writer.write(piece)
            expected = b"".join(pieces)
            assert await reader.readexactly(len(expected)) == expected

    run(main)


def test_a_subclass_of_the_protocol_sees_every_call(run):
    """A loop that feeds a StreamReader directly must notice what a subclass replaces."""

    class Counting(asyncio.StreamReaderProtocol):
        count = 0

        def data_received(self, data):
            Counting.count += len(data)
            super().data_received(data.upper())

    async def main():
        loop = asyncio.get_running_loop()
        ours, peer = tcp_pair()
        with peer:
            reader = asyncio.StreamReader()
            transport, _ = await loop.create_connection(lambda: Counting(reader), sock=ours)
            peer.send(b"hello")
            assert await reader.readexactly(5) == b"HELLO"
            assert Counting.count == 5
            peer.close()
            assert await reader.read() == b""
            transport.close()

    run(main)


def test_a_replaced_feed_data_sees_every_call(run):
    async def main():
        async with stream_and_peer() as (reader, _, peer):
            seen = []
            original = reader.feed_data

            def feed_data(data):
                seen.append(bytes(data))
                original(data)

            reader.feed_data = feed_data
            peer.send(b"watched")
            assert await reader.readexactly(7) == b"watched"
            assert b"".join(seen) == b"watched"

    run(main)


def test_the_private_state_that_libraries_read(run):
    """anyio looks whether a stream's protocol is paused, to give up the turn only then."""

    async def main():
        async with stream_and_peer() as (reader, writer, peer):
            assert isinstance(writer.transport, asyncio.Transport)
            assert writer._protocol is writer.transport.get_protocol()
            assert writer._protocol._paused is False
            assert reader._transport is writer.transport
            sent = 0
            while not writer._protocol._paused:
                writer.write(b"x" * 100_000)
                sent += 100_000
            assert writer.transport.get_write_buffer_size() > 0
            draining = asyncio.ensure_future(writer.drain())
            await take(peer, sent)
            await draining
            assert writer._protocol._paused is False
            assert reader._exception is None and not reader._buffer

    run(main)
