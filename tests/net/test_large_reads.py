"""Blocks of tens of KiB: each chunk is a bytes object of its own, exact and never changed."""

import asyncio
import contextlib
import random
import sys

import pytest
from peers import Buffered, Recorder, ended, reset, turns, until, with_peer

KIB = 1024

#: Around the sizes at which reading or memory takes another way, large and small in turns.
SIZES = [64 * KIB, 1, 64 * KIB, 32 * KIB, 32 * KIB - 1, 48 * KIB, 100 * KIB, 5, 150 * KIB]
SIZES += [256 * KIB, 256 * KIB + 1, 96 * KIB, 96 * KIB + 1, 700 * KIB, 33, 40 * KIB, 40 * KIB]


class Keeping(Recorder):
    """Keeps the chunks as they were handed over."""

    def __init__(self):
        super().__init__()
        self.chunks = []

    def data_received(self, data):
        super().data_received(data)
        self.chunks.append(data)


def block(size, seed=0):
    return random.Random(f"{size} {seed}").randbytes(size)


async def send(peer, data):
    """Everything, through a plain non-blocking socket, while the loop runs."""
    view = memoryview(data)
    while view:
        with contextlib.suppress(BlockingIOError):
            view = view[peer.send(view) :]
        await asyncio.sleep(0)


async def large_before(protocol, peer):
    """Have the stream know that large blocks come; return what they were."""
    sent = b""
    for number in range(2):
        sent += block(64 * KIB, number)
        await send(peer, block(64 * KIB, number))
        await protocol.received(len(sent))
    return sent


def test_blocks_of_all_sizes_arrive_one_by_one(run):
    async def main():
        async with with_peer(Keeping) as (protocol, peer):
            sent = b""
            for number, size in enumerate(SIZES):
                sent += block(size, number)
                await send(peer, block(size, number))
                assert await protocol.received(len(sent)) == sent
            return protocol.chunks

    for chunk in run(main):
        assert type(chunk) is bytes
        # No more memory than bytes of this length have.
        assert sys.getsizeof(chunk) == sys.getsizeof(bytes(len(chunk)))


def test_chunks_that_are_kept_stay_as_they_were(run):
    async def main():
        async with with_peer(Keeping) as (protocol, peer):
            data = block(4 * KIB * KIB)
            sending = asyncio.ensure_future(send(peer, data))
            hashes = []
            while len(protocol.data) < len(data):
                hashes += [hash(bytes(chunk)) for chunk in protocol.chunks[len(hashes) :]]
                await asyncio.sleep(0)
            await sending
            assert b"".join(protocol.chunks) == protocol.data == data
            kept = [hash(chunk) for chunk in protocol.chunks]
            assert kept[: len(hashes)] == hashes

    run(main)


def test_the_end_comes_behind_large_blocks(run):
    async def main():
        async with with_peer() as (protocol, peer):
            sent = await large_before(protocol, peer)
            await send(peer, block(64 * KIB, 9))
            peer.close()
            await ended(protocol.lost)
            assert protocol.data == sent + block(64 * KIB, 9)
            return protocol.events

    assert run(main) == ["made", "data", "eof", "lost"]


def test_a_reset_comes_behind_large_blocks(run):
    async def main():
        async with with_peer() as (protocol, peer):
            await large_before(protocol, peer)
            reset(peer)
            assert isinstance(await ended(protocol.lost), ConnectionResetError)
            return protocol.events

    assert run(main) == ["made", "data", "lost"]


@pytest.mark.parametrize("how", ["close", "abort", "pause_reading"])
def test_a_callback_of_a_large_block_may_end_it(run, how):
    async def main():
        class Ending(Keeping):
            armed = False

            def data_received(self, data):
                super().data_received(data)
                if self.armed:
                    getattr(self.transport, how)()

        async with with_peer(Ending) as (protocol, peer):
            sent = await large_before(protocol, peer)
            protocol.armed = True
            await send(peer, block(32 * KIB))
            await until(lambda: len(protocol.data) > len(sent))
            seen = len(protocol.chunks)
            with contextlib.suppress(OSError):
                peer.send(b"more")
            await turns(20)
            assert len(protocol.chunks) == seen

    run(main)


def test_what_a_callback_of_a_large_block_raises_ends_the_connection(run, reports):
    async def main():
        class Raising(Recorder):
            def data_received(self, data):
                super().data_received(data)
                if len(self.data) > 128 * KIB:
                    raise ZeroDivisionError("on purpose")

        async with with_peer(Raising) as (protocol, peer):
            await large_before(protocol, peer)
            peer.send(b"x")
            assert isinstance(await ended(protocol.lost), ZeroDivisionError)

    run(main)
    assert "data_received() call failed" in reports.take()[0]


def test_after_large_blocks_the_protocol_may_change_its_kind(run):
    async def main():
        async with with_peer() as (protocol, peer):
            await large_before(protocol, peer)
            transport = protocol.transport

            buffered = Buffered()
            buffered.transport = transport
            transport.set_protocol(buffered)
            await send(peer, block(100 * KIB))
            assert await buffered.received(100 * KIB) == block(100 * KIB)

            reader = asyncio.StreamReader()
            transport.set_protocol(asyncio.StreamReaderProtocol(reader))
            await send(peer, block(50 * KIB))
            assert await reader.readexactly(50 * KIB) == block(50 * KIB)

            transport.set_protocol(protocol)
            before = len(protocol.data)
            await send(peer, block(70 * KIB))
            assert (await protocol.received(before + 70 * KIB))[before:] == block(70 * KIB)

    run(main)
