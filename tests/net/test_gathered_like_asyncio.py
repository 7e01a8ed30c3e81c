"""What is gathered for the end of a turn is seen as if each write had been sent at once."""

import asyncio
import contextvars
import gc
import socket
import sys
import threading
import time
import weakref

import pytest
from helpers import PATIENCE, HandlerCalls, asleep, only_pyaio, wait_until
from peers import (
    Buffered,
    Recorder,
    ended,
    finish,
    reset,
    take,
    tcp_pair,
    there_is,
    turns,
    unix_pair,
    until,
    with_peer,
)

#: Since 3.15 the loop calls a protocol in the context in which its transport was made.
OWN_CONTEXT = sys.version_info >= (3, 15)

MANY = 3000  # chunks: more than one event's worth of sendmsg() calls takes

variable = contextvars.ContextVar("variable", default=None)


async def while_others_wait(callback, context=None):
    """Run the callback in a turn in which another one is still to run; return its result."""
    loop = asyncio.get_running_loop()
    results, others = [], []
    loop.call_soon(lambda: results.append(callback()), context=context)
    loop.call_soon(others.append, None)
    await until(lambda: others)
    return results[0]


@pytest.mark.parametrize("end", ["abort", "close", "_force_close", "raise"])
def test_of_many_chunks_none_is_lost_at_the_end(run, end):
    async def main():
        class Writing(Recorder):
            def data_received(self, data):
                for _ in range(MANY):
                    self.transport.write(b"x")
                if end == "raise":
                    raise ZeroDivisionError("on purpose")
                getattr(self.transport, end)(*[None] * (end == "_force_close"))

        HandlerCalls.of(asyncio.get_running_loop())
        async with with_peer(Writing) as (_, peer):
            peer.send(b"-")
            return len(await take(peer, MANY + 1))

    assert run(main) == MANY


def test_many_chunks_do_not_pause_while_the_socket_takes_more(run):
    async def main():
        async with with_peer() as (protocol, peer):

            def write():
                for _ in range(MANY):
                    protocol.transport.write(b"x" * 100)

            sock = protocol.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            protocol.transport.set_write_buffer_limits(high=MANY * 50)
            await while_others_wait(write)
            assert protocol.transport.get_write_buffer_size() == 0
            await take(peer, MANY * 100)
            return protocol.events

    assert run(main) == ["made", "lost"]


def test_many_chunks_for_a_child_are_not_lost_by_abort(run):
    async def main():
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import sys; print(len(sys.stdin.read()))",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(MANY):
            child.stdin.write(b"x")
        child.stdin.transport.abort()
        out = await child.stdout.read()
        await child.wait()
        return int(out)

    assert run(main) == MANY


@pytest.mark.parametrize("where", ["data_received", "eof_received", "buffer_updated"])
def test_what_was_written_before_an_os_error_of_the_protocol_arrives(run, where):
    async def main():
        class Failing(Buffered if "buffer" in where else Recorder):
            pass

        def fail(self, *args):
            self.transport.write(b"first,")
            self.transport.write(b"second")
            raise FileNotFoundError("on purpose")

        setattr(Failing, where, fail)
        calls = HandlerCalls.of(asyncio.get_running_loop())
        async with with_peer(Failing) as (protocol, peer):
            if where == "eof_received":
                peer.shutdown(socket.SHUT_WR)
            else:
                peer.send(b"-")
            got = await take(peer, 100)
            lost = await ended(protocol.lost)
            return got, type(lost), calls.exceptions

    assert run(main) == (b"first,second", FileNotFoundError, [])


def test_connection_lost_after_a_failed_write_is_called_in_the_context_of_the_writer(run):
    class Noting(Recorder):
        def connection_lost(self, exc):
            self.events.append(variable.get())
            super().connection_lost(exc)

    async def main():
        async with with_peer(Noting) as (protocol, peer):
            protocol.transport.pause_reading()
            reset(peer)
            context = contextvars.copy_context()
            context.run(variable.set, "the writer")

            def write():
                protocol.transport.write(b"x")
                protocol.transport.write(b"y")

            await while_others_wait(write, context)
            assert isinstance(await ended(protocol.lost), ConnectionError)
            return protocol.events

    assert run(main) == ["made", None if OWN_CONTEXT else "the writer", "lost"]


class Value:
    """Of which weak references tell when it has gone."""


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_nothing_of_the_writer_is_kept_when_all_is_written(run, size):
    async def main():
        async with with_peer() as (protocol, peer):
            value = Value()
            gone = weakref.ref(value)
            context = contextvars.copy_context()
            context.run(variable.set, value)
            await while_others_wait(lambda: protocol.transport.write(b"x" * size), context)
            await take(peer, size)
            await until(lambda: not protocol.transport.get_write_buffer_size())
            await turns()
            del value, context
            gc.collect()
            return gone()

    assert run(main) is None


def test_resume_writing_is_called_in_the_context_of_who_wrote_what_is_queued(run):
    class Noting(Recorder):
        def resume_writing(self):
            self.events.append(variable.get())

    async def main():
        async with with_peer(Noting) as (protocol, peer):
            transport = protocol.transport
            size = 8 << 20

            def in_context(value, data):
                context = contextvars.copy_context()
                context.run(variable.set, value)
                context.run(transport.write, data)

            def write():
                in_context("first", b"x")
                assert transport.get_write_buffer_size() == 0
                in_context("second", bytes(size))

            await while_others_wait(write)
            await take(peer, size + 1)
            await until(lambda: len(protocol.events) > 2)
            return protocol.events[:]

    assert run(main) == ["made", "pause", None if OWN_CONTEXT else "second"]


@pytest.mark.parametrize("call", ["get_write_buffer_size", "close"])
def test_connection_lost_is_not_called_inside_of_what_resume_writing_calls(run, call):
    resume_writing_of_a_closing_stream(run, call)


# asyncio calls connection_lost() a second time, of a protocol that is None.
@only_pyaio
def test_connection_lost_is_not_called_inside_of_abort_in_resume_writing(run):
    resume_writing_of_a_closing_stream(run, "abort")


def resume_writing_of_a_closing_stream(run, call):
    """It writes, and calls that method."""

    class Closing(Recorder):
        def resume_writing(self):
            super().resume_writing()
            self.transport.write(b"end")
            getattr(self.transport, call)()
            self.events.append("resumed")

    async def main():
        async with with_peer(Closing) as (protocol, peer):
            size = 8 << 20
            protocol.transport.set_write_buffer_limits(high=1, low=0)
            protocol.transport.write(bytes(size))
            protocol.transport.close()
            got = await take(peer, size + 10)
            await ended(protocol.lost)
            assert got[size:] == b"end"
            return protocol.events

    assert run(main) == ["made", "pause", "resume", "resumed", "lost"]


# asyncio calls the transport again and again, which finds that it has nothing to send.
@only_pyaio
def test_a_closing_stream_ends_although_resume_writing_has_left_the_loop(loop):
    class Leaving(Recorder):
        def resume_writing(self):
            super().resume_writing()
            raise KeyboardInterrupt

    async def start():
        ours, peer = tcp_pair()
        _, protocol = await loop.create_connection(Leaving, sock=ours)
        protocol.transport.set_write_buffer_limits(high=0)
        protocol.transport.write(bytes(8 << 20))
        protocol.transport.close()
        return protocol, peer

    protocol, peer = loop.run_until_complete(start())
    reading = loop.create_task(take(peer, (8 << 20) + 1))
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(reading)
    assert loop.run_until_complete(ended(protocol.lost)) is None
    assert len(loop.run_until_complete(reading)) == 8 << 20
    peer.close()
    assert protocol.events == ["made", "pause", "resume", "lost"]


def test_what_was_written_leaves_while_others_compute(run):
    async def main():
        async with with_peer() as (protocol, peer):
            loop = asyncio.get_running_loop()
            seen = []

            def compute():
                time.sleep(0.02)
                seen.append(there_is(peer))

            loop.call_soon(protocol.transport.write, b"x")
            for _ in range(5):
                loop.call_soon(compute)
            await until(lambda: len(seen) == 5)
            return seen[:3]

    assert b"".join(run(main)) == b"x"


def test_the_protocol_that_wrote_much_is_the_one_that_is_paused(run):
    async def main():
        async with with_peer() as (protocol, peer):
            later = Recorder()

            def write():
                protocol.transport.write(b"-")
                for _ in range(7):
                    protocol.transport.write(bytes(100 * 1024))
                protocol.transport.set_protocol(later)

            sock = protocol.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            await while_others_wait(write)
            await take(peer, 700 * 1024 + 1)
            await until(lambda: later.events)
            protocol.transport.abort()
            await ended(later.lost)
            protocol.lost.set_result(None)
            return protocol.events, later.events

    assert run(main) == (["made", "pause"], ["resume", "lost"])


def test_another_thread_writes_while_a_turn_in_a_turn_waits(loop):
    ours, peer = tcp_pair()
    transport, _ = loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=ours))
    seen = []
    main_thread = threading.get_native_id()

    def waits():
        """Also who wants the GIL is asleep, but not while this thread sleeps."""
        for _ in range(20):
            time.sleep(0.001)
            if not asleep("self", main_thread):
                return False
        return True

    def write_twice():
        try:
            wait_until(waits, "the loop waits")
            for data in b"2", b"3":
                transport.write(data)
            seen.append(there_is(peer))
        finally:
            loop.call_soon_threadsafe(loop.stop)

    def turn():
        thread = threading.Thread(target=write_twice)
        thread.start()
        transport.write(b"1")
        loop._run_once()
        thread.join()

    loop.call_soon(turn)
    loop.run_forever()
    transport.close()
    peer.close()
    loop.run_until_complete(asyncio.sleep(0))
    assert seen == [b"123"]


def test_a_wait_inside_of_a_turn_does_not_hold_back_what_pause_writing_writes(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with with_peer() as (second, second_peer):
            seen = bytearray()

            class Telling(Recorder):
                def pause_writing(self):
                    super().pause_writing()
                    for data in b"1", b"2":
                        second.transport.write(data)

            def read():
                second_peer.settimeout(PATIENCE)
                while len(seen) < 2:
                    seen.extend(second_peer.recv(2))
                loop.call_soon_threadsafe(int)

            ours, full = unix_pair()  # which takes no more until somebody reads
            _, first = await loop.create_connection(Telling, sock=ours)

            def callback():
                thread = threading.Thread(target=read)
                thread.start()
                first.transport.write(bytes(600 * 1024))
                give_up = time.monotonic() + PATIENCE
                while len(seen) < 2 and time.monotonic() < give_up:
                    loop._selector.select(PATIENCE)
                hung = time.monotonic() >= give_up
                loop._selector.select(0)
                thread.join()
                return hung

            assert not await while_others_wait(callback)
            await finish(first)
            full.close()
        return bytes(seen)

    assert run(main) == b"12"


@pytest.mark.parametrize("size", [32768, 65536])
def test_a_large_block_leaves_at_once_while_others_wait(run, size):
    async def main():
        async with with_peer() as (protocol, peer):

            def writes():
                protocol.transport.write(bytes(size))
                return len(there_is(peer))

            assert await while_others_wait(writes) > 0

    run(main)
