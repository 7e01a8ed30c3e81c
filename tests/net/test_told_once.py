"""A TCP stream is told once of what has come to be read: nothing may be left behind."""

import asyncio
import select
import socket

import pytest
from helpers import HandlerCalls, cpu_while_idle, only_pyaio
from peers import (
    Buffered,
    Recorder,
    fill,
    take,
    tcp_pair,
    turns,
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


class Resumed:
    """Pauses the other connection with the first data, and resumes it `later` turns later."""

    other = None
    later = 0

    def pause_other(self):
        if self.other is not None:
            transport, self.other.other = self.other.transport, None
            transport.pause_reading()
            asyncio.get_running_loop().create_task(self.resume(transport))

    async def resume(self, transport):
        await turns(self.later)
        transport.resume_reading()


class ResumedProtocol(Resumed, Recorder):
    def data_received(self, data):
        super().data_received(data)
        self.pause_other()


class ResumedBuffered(Resumed, Buffered):
    def buffer_updated(self, nbytes):
        super().buffer_updated(nbytes)
        self.pause_other()


@pytest.mark.parametrize("kind", [ResumedProtocol, ResumedBuffered])
@pytest.mark.parametrize("later", [0, 1, 3])
@pytest.mark.parametrize("full", [False, True])
def test_paused_by_another_that_has_data_in_the_same_poll(run, kind, later, full):
    """Whoever runs first pauses the other, of whose data the kernel has told already."""

    async def main():
        async with with_peer(kind) as (left, a), with_peer(kind) as (right, b):
            await turns()
            left.other, right.other, left.later, right.later = right, left, later, later
            written = fill(right.transport) if full else 0
            a.send(b"left")
            b.send(b"right")
            await left.received(4)
            await right.received(5)
            assert len(await take(b, written)) == written
            b.send(b"more")
            return bytes(left.data), await right.received(9)

    assert run(main) == (b"left", b"rightmore")


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
