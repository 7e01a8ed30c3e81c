"""A TCP stream is told once of what has come to be read: nothing may be left behind."""

import asyncio
import contextlib
import os
import select
import socket
import sys

import pytest
from helpers import HandlerCalls, cpu_while_idle, only_pyaio
from peers import (
    Buffered,
    Recorder,
    finish,
    tcp_pair,
    turns,
    unix_pair,
    until,
    watched_by_epoll,
    with_peer,
)

#: What one read of a stream takes at most.
READ = 256 * 1024


class Tight(Buffered):
    """Each message of four bytes fills the buffer: whether there is more is not known."""

    room = 4


kinds = pytest.mark.parametrize("kind", [Recorder, Buffered, Tight])


@kinds
def test_the_end_right_behind_the_data(run, kind):
    async def main():
        async with with_peer(kind) as (protocol, peer):
            await turns()
            peer.sendall(b"data")
            peer.shutdown(socket.SHUT_WR)
            await until(protocol.lost.done)
            return protocol.events, bytes(protocol.data)

    assert run(main) == (["made", "data", "eof", "lost"], b"data")


@kinds
def test_a_reset_behind_the_data(run, kind):
    async def main():
        async with with_peer(kind) as (protocol, peer):
            protocol.transport.write(b"never read, so that close() is a reset")
            await turns()
            peer.sendall(b"data")
            await protocol.received(4)
            peer.close()
            await until(protocol.lost.done)
            return type(protocol.lost.result())

    assert run(main) is ConnectionResetError


@kinds
def test_what_comes_behind_bytes_out_of_band(run, kind):
    """recv() stops there: a read that does not fill its buffer has not emptied the socket."""

    async def main():
        async with with_peer(kind) as (protocol, peer):
            await turns()
            peer.send(b"before")
            peer.send(b"!", socket.MSG_OOB)
            peer.send(b"behind")
            first = await protocol.received(12)
            peer.send(b"later")
            return first, await protocol.received(17)

    assert run(main) == (b"beforebehind", b"beforebehindlater")


def test_bytes_out_of_band_alone_keep_nobody_busy(loop):
    ours, peer = tcp_pair()

    async def main():
        _, protocol = await loop.create_connection(Recorder, sock=ours)
        peer.send(b"!", socket.MSG_OOB)
        return protocol

    async def end():
        peer.send(b"data")
        await protocol.received(4)
        peer.close()
        await until(protocol.lost.done)
        return bytes(protocol.data)

    protocol = loop.run_until_complete(main())
    assert cpu_while_idle(loop) < 0.05
    assert loop.run_until_complete(end()) == b"data"


@pytest.mark.parametrize("size", [READ - 1, READ, READ + 1, 3 * READ])
def test_reads_that_fill_the_buffer(run, size):
    async def main():
        async with with_peer() as (protocol, peer):
            loop = asyncio.get_running_loop()
            await turns()
            peer.setblocking(True)
            protocol.transport.pause_reading()
            sending = asyncio.to_thread(peer.sendall, bytes(size))
            loop.call_later(0.01, protocol.transport.resume_reading)
            await sending
            first = len(await protocol.received(size))
            peer.send(b"more")
            return first, len(await protocol.received(size + 4))

    assert run(main) == (size, size + 4)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit])
def test_a_get_buffer_that_stops_the_program_leaves_the_data(loop, failure):
    loop.set_exception_handler(HandlerCalls())
    ours, peer = tcp_pair()

    class Stopping(Buffered):
        asked = 0

        def get_buffer(self, sizehint):
            self.asked += 1
            if self.asked == 1:
                raise failure
            return self.buffer

    async def main():
        return (await loop.create_connection(Stopping, sock=ours))[1]

    async def end():
        data = await protocol.received(4)
        peer.close()
        await until(protocol.lost.done)
        return data

    protocol = loop.run_until_complete(main())
    peer.send(b"data")
    ending = loop.create_task(end())
    with pytest.raises(failure):
        loop.run_until_complete(ending)
    assert loop.run_until_complete(ending) == b"data"


nested_turns = pytest.mark.skipif(
    sys.version_info >= (3, 15),
    reason="asyncio's own callbacks of a transport share a context, which is entered already",
)


def turn_by_hand(loop, condition):
    """Turns inside of a callback, each of which looks for I/O, until *condition()* is true."""
    for _ in range(10_000):
        if condition():
            break
        loop.call_later(0, int)
        loop._run_once()


@nested_turns
def test_turns_inside_of_the_callback_deliver_the_rest(run):
    class Nesting(Tight):
        nested = None

        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            if len(self.data) == self.room:
                self.transport.pause_reading()
                self.transport.resume_reading()
                turn_by_hand(asyncio.get_running_loop(), lambda: len(self.data) == 8)
                self.nested = bytes(self.data)

    async def main():
        async with with_peer(Nesting) as (protocol, peer):
            await turns()
            peer.send(b"12345678")
            await until(lambda: protocol.nested is not None)
            return protocol.nested

    assert run(main) == b"12345678"


@nested_turns
def test_turns_inside_of_the_callback_deliver_the_end(run):
    class Nesting(Recorder):
        nested = None

        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()
            self.transport.resume_reading()
            turn_by_hand(asyncio.get_running_loop(), self.lost.done)
            self.nested = list(self.events)

    async def main():
        async with with_peer(Nesting) as (protocol, peer):
            await turns()
            peer.send(b"data")
            peer.shutdown(socket.SHUT_WR)
            await until(lambda: protocol.nested is not None)
            return protocol.nested

    assert run(main) == ["made", "data", "eof", "lost"]


@pytest.mark.parametrize("at", range(2, 8))
def test_an_event_whose_turn_fails_is_told_again(loop_class, at):
    """In debug mode a turn asks for the time around each callback, which may fail."""

    class Failing(loop_class):
        asked = None

        def time(self):
            if self.asked is not None:
                self.asked += 1
                if self.asked == at:
                    raise ZeroDivisionError
            return super().time()

    async def main():
        return (await loop.create_connection(Recorder, sock=ours))[1]

    async def end():
        data = await protocol.received(4)
        peer.close()
        await until(protocol.lost.done)
        return data

    ours, peer = tcp_pair()
    loop = Failing()
    try:
        loop.set_debug(True)
        protocol = loop.run_until_complete(main())
        loop.run_until_complete(turns())
        peer.send(b"data")
        loop.asked = 0
        with contextlib.suppress(ZeroDivisionError):
            loop._run_once()
        loop.asked = None
        assert loop.run_until_complete(end()) == b"data"
    finally:
        loop.close()


def test_a_unix_socket_that_is_called_a_tcp_socket(run):
    """Its recv() stops where a message with descriptors ends."""

    async def main():
        ours, peer = unix_pair()
        named = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=ours.detach())
        with peer, open(os.devnull) as file:
            _, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=named)
            await turns()
            for _ in range(3):
                socket.send_fds(peer, [b"data"], [file.fileno()])
            data = await protocol.received(12)
            await finish(protocol)
            return data

    assert run(main) == b"data" * 3


def test_the_least_that_is_told_of_may_change(run):
    async def main():
        async with with_peer() as (protocol, peer):
            sock = protocol.transport.get_extra_info("socket")
            await turns()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 10)
            peer.send(b"12345")
            await turns(10)
            first = bytes(protocol.data)
            peer.send(b"67890")
            await protocol.received(10)
            peer.send(b"abc")
            await turns(10)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            return first, await protocol.received(13)

    assert run(main) == (b"", b"1234567890abc")


@only_pyaio
@pytest.mark.parametrize("kind, once", [(Recorder, True), (Tight, False)])
def test_who_empties_the_socket_is_told_once(epoll_backend, run, kind, once):
    async def main():
        async with with_peer(kind) as (protocol, peer):
            peer.send(b"data")
            await protocol.received(4)
            await turns()
            (events,) = watched_by_epoll(protocol.transport.get_extra_info("socket").fileno())
            return bool(events & select.EPOLLET)

    assert run(main) is once
