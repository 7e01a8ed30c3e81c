"""A TCP stream is told once of what has come to be read, also while it is paused."""

import asyncio
import random
import socket
from functools import partial

import pytest
from helpers import PATIENCE, cpu_while_idle
from peers import (
    Buffered,
    Open,
    Recorder,
    fill,
    stream_and_peer,
    take,
    tcp_pair,
    turns,
    until,
    with_peer,
)

# ---- by another connection ----


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


# ---- the connection pauses itself ----


class PausingProtocol(Recorder):
    def data_received(self, data):
        super().data_received(data)
        self.transport.pause_reading()


class PausingBuffered(Buffered):
    def buffer_updated(self, nbytes):
        super().buffer_updated(nbytes)
        self.transport.pause_reading()


pausing = pytest.mark.parametrize("kind", [PausingProtocol, PausingBuffered])


@pausing
@pytest.mark.parametrize("later", [0, 1, 5])
def test_pausing_before_the_end(run, kind, later):
    async def main():
        async with with_peer(kind) as (protocol, peer):
            await turns()
            peer.sendall(b"data")
            peer.shutdown(socket.SHUT_WR)
            await protocol.received(4)
            await turns(later)
            protocol.transport.resume_reading()
            await until(protocol.lost.done)
            return protocol.events

    assert run(main) == ["made", "data", "eof", "lost"]


@pausing
def test_pausing_before_a_reset(run, kind):
    async def main():
        async with with_peer(kind) as (protocol, peer):
            protocol.transport.write(b"never read, so that close() is a reset")
            await turns()
            peer.sendall(b"data")
            peer.close()
            await turns(10)
            protocol.transport.resume_reading()
            await until(protocol.lost.done)

    run(main)


@pausing
def test_pausing_before_the_end_while_the_socket_is_full(run, kind):
    async def main():
        async with with_peer(kind) as (protocol, peer):
            await turns()
            written = fill(protocol.transport)
            peer.send(b"data")
            peer.shutdown(socket.SHUT_WR)
            await protocol.received(4)
            assert len(await take(peer, written)) == written
            await turns()
            protocol.transport.resume_reading()
            await until(protocol.lost.done)
            return protocol.events[-2:]

    assert run(main) == ["eof", "lost"]


@pytest.mark.parametrize("size", [10, 30])
def test_a_reader_that_pauses_above_its_limit_gets_the_end(run, size):
    async def main():
        async with stream_and_peer(limit=4) as (reader, _, peer):
            await turns()
            peer.sendall(bytes(size))
            peer.shutdown(socket.SHUT_WR)
            await turns(10)
            async with asyncio.timeout(PATIENCE):
                return len(await reader.read(-1))

    assert run(main) == size


def test_the_end_is_told_again_to_who_resumes(run):
    class Counting(Open):
        def eof_received(self):
            self.events.append("eof")
            return True

    async def main():
        async with with_peer(Counting) as (protocol, peer):
            await turns()
            peer.shutdown(socket.SHUT_WR)
            for count in range(1, 4):
                await until(lambda count=count: protocol.events.count("eof") == count)
                await turns()
                protocol.transport.pause_reading()
                protocol.transport.resume_reading()

    run(main)


def test_a_paused_end_keeps_nobody_busy(loop):
    ours, peer = tcp_pair()

    async def main():
        _, protocol = await loop.create_connection(PausingProtocol, sock=ours)
        peer.send(b"x")
        peer.shutdown(socket.SHUT_WR)
        await protocol.received(1)
        return protocol

    protocol = loop.run_until_complete(main())
    with peer:
        assert cpu_while_idle(loop) < 0.05
        protocol.transport.resume_reading()
        loop.run_until_complete(until(protocol.lost.done))


@pytest.mark.parametrize("buffered", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_random_pauses(run, buffered, seed):
    """Whoever pauses, resumes and writes as he likes gets every byte, and the end."""
    chance = random.Random(seed)

    class Random(Buffered if buffered else Recorder):
        room = chance.choice([64, 1000, 4096])

        def act(self):
            transport = self.transport
            acts = transport.pause_reading, transport.resume_reading, partial(transport.write, b"x")
            for _ in range(chance.randrange(3)):
                chance.choice(acts)()

    if buffered:
        Random.buffer_updated = lambda self, nbytes: (
            Buffered.buffer_updated(self, nbytes),
            self.act(),
        )
    else:
        Random.data_received = lambda self, data: (Recorder.data_received(self, data), self.act())

    async def main():
        async with with_peer(Random) as (protocol, peer):
            sent = 0
            for _ in range(30):
                choice = chance.randrange(3)
                if choice == 0:
                    protocol.act()
                elif choice == 1:
                    sent += peer.send(b"a" * chance.choice([1, 4, 100, 5000]))
                else:
                    await turns(chance.randrange(3))
            peer.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(PATIENCE):
                while not protocol.lost.done():
                    protocol.transport.resume_reading()
                    await asyncio.sleep(0.0005)
            return len(protocol.data) == sent

    assert run(main)
