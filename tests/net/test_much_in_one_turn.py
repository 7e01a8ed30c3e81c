"""Much written in one turn: it is gathered, leaves when it is enough, and pauses who writes."""

import asyncio
import contextvars
import socket
import sys
import time

import pytest
from helpers import HandlerCalls
from peers import Recorder, ended, stream_and_peer, take, there_is, turns, until, with_peer

KIB = 1024
CHUNK = b"x" * (100 * KIB)
MUCH = 20  # chunks: more than is gathered
SOME = 7  # chunks: more than the high-water mark, and than a small socket takes

writer = contextvars.ContextVar("writer", default="nobody")


def write_first(transport):
    """A write that goes out at once: what follows in this turn is gathered."""
    transport.write(b"-")


def make_small(transport):
    """Let the socket take little."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * KIB)


def write_some(transport):
    """More than the socket takes, in chunks; returns what the peer gets."""
    write_first(transport)
    for _ in range(SOME):
        if not transport.is_closing():
            transport.write(CHUNK)
    return b"-" + CHUNK * SOME


async def write_some_soon(protocol):
    """write_some() in a turn of its own; returns what the peer gets."""
    make_small(protocol.transport)
    written = []
    asyncio.get_running_loop().call_soon(lambda: written.append(write_some(protocol.transport)))
    await turns()
    return written[0]


def test_chunks_of_all_kinds_and_sizes_arrive_in_order(run):
    async def main():
        async with with_peer() as (protocol, peer):
            expected = bytearray()
            for i in range(200):
                chunk = bytes([i]) * (i * i * 7 % (64 * KIB) + 1)
                kind = (bytes, bytearray, lambda chunk: memoryview(bytearray(chunk)))[i % 3]
                protocol.transport.write(kind(chunk))
                expected += chunk
            assert len(expected) > 2 << 20
            return await take(peer, len(expected)) == expected

    assert run(main)


@pytest.mark.parametrize("lines", [False, True])
def test_some_leaves_before_the_turn_ends(run, lines):
    async def main():
        async with with_peer() as (protocol, peer):
            write_first(protocol.transport)
            for _ in range(MUCH):
                if lines:
                    protocol.transport.writelines([CHUNK[:KIB]] * 100)
                else:
                    protocol.transport.write(CHUNK)
            assert len(there_is(peer)) > 1
            protocol.transport.abort()

    run(main)


def test_it_leaves_before_the_turn_ends_when_the_program_takes_its_time(run):
    async def main():
        async with with_peer() as (protocol, peer):
            write_first(protocol.transport)
            protocol.transport.write(CHUNK)
            time.sleep(0.01)
            protocol.transport.write(CHUNK)
            assert len(there_is(peer)) > 1
            protocol.transport.abort()

    run(main)


def test_with_high_zero_each_write_leaves_at_once(run):
    async def main():
        async with with_peer() as (protocol, peer):
            protocol.transport.set_write_buffer_limits(high=0)
            for i in range(1, 5):
                protocol.transport.write(b"x")
                assert there_is(peer) == b"x", i

    run(main)


def test_what_the_socket_does_not_take_pauses_once_and_resumes_once(run):
    async def main():
        async with with_peer() as (protocol, peer):
            expected = await write_some_soon(protocol)
            assert protocol.events == ["made", "pause"]
            assert protocol.transport.get_write_buffer_size() > 64 * KIB
            same = await take(peer, len(expected)) == expected
            assert same  # and no comparison of the two in the report
            await until(lambda: protocol.events[-1] == "resume")
            await turns(10)
            return protocol.events[:]

    assert run(main) == ["made", "pause", "resume"]


def test_flow_control_calls_in_the_context_of_the_writer(run):
    class Noting(Recorder):
        def pause_writing(self):
            self.events.append(f"pause for {writer.get()}")

        def resume_writing(self):
            self.events.append(f"resume for {writer.get()}")

    async def main():
        async with with_peer(Noting) as (protocol, peer):
            context = contextvars.copy_context()
            context.run(writer.set, "me")
            expected = await asyncio.get_running_loop().create_task(
                write_some_soon(protocol), context=context
            )
            same = await take(peer, len(expected)) == expected
            assert same  # and no comparison of the two in the report
            await until(lambda: protocol.events[-1].startswith("resume"))
            return protocol.events[:]

    resume = "resume for nobody" if sys.version_info >= (3, 15) else "resume for me"
    assert run(main) == ["made", "pause for me", resume]


@pytest.mark.parametrize("size", ["get_write_buffer_size", "none"])
def test_writing_much_again_and_again_from_resume_writing(run, size):
    class Endless(Recorder):
        written = 0

        def write(self):
            write_first(self.transport)
            self.written += 1
            while self.events[-1] != "pause" and self.written < 2 << 20:
                self.transport.write(CHUNK)
                self.written += len(CHUNK)
                if size != "none":
                    getattr(self.transport, size)()

        def resume_writing(self):
            super().resume_writing()
            if self.written < 2 << 20:
                self.write()

    async def main():
        async with with_peer(Endless) as (protocol, peer):
            make_small(protocol.transport)
            asyncio.get_running_loop().call_soon(protocol.write)
            await until(lambda: protocol.written)
            got = 0
            while got < protocol.written:
                got += len(await take(peer, min(1 << 18, protocol.written - got)))
            await until(lambda: protocol.events[-1] != "pause")
            events = protocol.events[1:]
            assert events == ["pause", "resume"] * (len(events) // 2)
            assert protocol.written >= 2 << 20

    run(main)


def test_abort_inside_pause_writing(run):
    class Aborting(Recorder):
        def pause_writing(self):
            super().pause_writing()
            self.transport.abort()

    async def main():
        async with with_peer(Aborting) as (protocol, peer):
            expected = await write_some_soon(protocol)
            assert expected.startswith(await take(peer, len(expected) + 1))
            assert await ended(protocol.lost) is None
            await turns()
            return protocol.events[:]

    assert run(main) == ["made", "pause", "lost"]


def test_close_inside_pause_writing(run):
    class Closing(Recorder):
        def pause_writing(self):
            super().pause_writing()
            self.transport.close()

    async def main():
        async with with_peer(Closing) as (protocol, peer):
            expected = await write_some_soon(protocol)
            got = await take(peer, len(expected) + 1)
            assert len(got) > 64 * KIB and expected.startswith(got)
            assert await ended(protocol.lost) is None
            await turns()
            return protocol.events[:]

    assert run(main) == ["made", "pause", "resume", "lost"]


def test_pause_writing_that_raises_is_reported(run):
    class Failing(Recorder):
        def pause_writing(self):
            super().pause_writing()
            raise ZeroDivisionError("on purpose")

    async def main():
        calls = HandlerCalls()
        asyncio.get_running_loop().set_exception_handler(calls)
        async with with_peer(Failing) as (protocol, peer):
            expected = await write_some_soon(protocol)
            same = await take(peer, len(expected)) == expected
            assert same  # and no comparison of the two in the report
        return [call["message"] for call in calls], [type(e) for e in calls.exceptions]

    assert run(main) == (["protocol.pause_writing() failed"], [ZeroDivisionError])


def test_drain_waits_where_the_peer_does_not_read(run):
    async def main():
        async with stream_and_peer() as (_, stream, peer):
            make_small(stream.transport)
            written = 0

            async def write():
                nonlocal written
                for _ in range(30):
                    stream.write(CHUNK)
                    written += 1
                    await stream.drain()

            task = asyncio.create_task(write())
            await turns(10)
            assert not task.done() and written < 25
            assert await take(peer, 30 * len(CHUNK)) == CHUNK * 30
            await task

    run(main)
