"""BufferedProtocol: buffers of every size and kind that get_buffer may return."""

import array
import asyncio
import mmap

import pytest
from helpers import HandlerCalls
from peers import Buffered, Recorder, connection, ended, on_asyncio, until, with_peer


class Choosing(Buffered):
    """Returns from get_buffer what the class attribute `choose` gives."""

    def get_buffer(self, sizehint):
        self.sizehint = sizehint
        self.buffer = type(self).choose()
        return self.buffer

    def buffer_updated(self, nbytes):
        Recorder.data_received(self, memoryview(self.buffer).cast("B")[:nbytes])


def choosing(make):
    return type("Chooses", (Choosing,), {"choose": staticmethod(make)})


@pytest.mark.parametrize(
    "make",
    [
        lambda: bytearray(1),
        lambda: bytearray(7),
        lambda: bytearray(1 << 20),
        lambda: memoryview(bytearray(100)),
        lambda: memoryview(bytearray(100))[10:20],
        lambda: array.array("B", bytes(64)),
    ],
    ids=["1", "7", "large", "view", "slice", "array"],
)
def test_data_fills_the_buffer_again_and_again(run, make):
    payload = bytes(range(256)) * 4

    async def main():
        async with with_peer(choosing(make)) as (protocol, peer):
            peer.send(payload)
            assert await protocol.received(len(payload)) == payload
            assert protocol.sizehint == -1
            peer.close()
            await ended(protocol.lost)
            return protocol.events

    assert run(main) == ["made", "data", "eof", "lost"]


def test_an_mmap_serves_as_buffer(run):
    with mmap.mmap(-1, 4096) as memory:

        async def main():
            async with with_peer(choosing(lambda: memory)) as (protocol, peer):
                peer.send(b"mapped")
                assert await protocol.received(6) == b"mapped"

        run(main)
        assert memory[:6] == b"mapped"


def test_the_buffer_is_released_after_every_read(run):
    """A bytearray cannot be resized while anybody holds a view of it."""

    class Growing(Buffered):
        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            self.buffer += b"more"

    async def main():
        async with with_peer(Growing) as (protocol, peer):
            for n in range(1, 4):
                peer.send(b"x")
                await protocol.received(n)
            protocol.buffer += b"outside"
            assert len(protocol.buffer) == Buffered.room + 3 * 4 + 7

    run(main)


def test_the_buffer_may_be_replaced_and_dropped_between_calls(run):
    class Dropping(Buffered):
        def get_buffer(self, sizehint):
            self.buffer = bytearray(10)
            return memoryview(self.buffer)

        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            del self.buffer

    async def main():
        async with connection(server=Dropping) as (near, far):
            near.transport.write(b"0123456789" * 1000)
            assert await far.received(10_000) == b"0123456789" * 1000

    run(main)


def released():
    view = memoryview(bytearray(10))
    view.release()
    return view


UNUSABLE = {
    "read-only": lambda: b"read only",
    "read-only-view": lambda: memoryview(b"read only"),
    "empty": lambda: bytearray(),
    "no-buffer": lambda: "text",
    "none": lambda: None,
    "number": lambda: 100,
    "released": released,
    "list": lambda: [1, 2, 3],
    "gaps": lambda: memoryview(bytearray(20))[::2],
}


async def report_of(make):
    """Return what is reported for a buffer that cannot be used, and how the connection ends."""
    calls = HandlerCalls.of(asyncio.get_running_loop())
    async with with_peer(choosing(make)) as (protocol, peer):
        peer.send(b"data")
        await until(lambda: protocol.lost.done())
        lost = protocol.lost.result()
        return [(c["message"], type(c["exception"])) for c in calls], type(lost), protocol.events


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_buffer_ends_the_connection_as_on_asyncio(run, name):
    reports, lost, events = run(report_of, UNUSABLE[name])
    assert len(reports) == 1
    assert lost is reports[0][1]
    assert issubclass(lost, Exception)
    assert events == ["made", "lost"]
    assert (reports, lost, events) == on_asyncio(report_of, UNUSABLE[name])


def test_pausing_inside_buffer_updated_holds_the_rest_back(run):
    class Pausing(Buffered):
        room = 10

        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            self.transport.pause_reading()

    async def main():
        async with with_peer(Pausing) as (protocol, peer):
            peer.send(b"x" * 35)
            for expected in (10, 20, 30, 35):
                await until(lambda expected=expected: len(protocol.data) == expected)
                protocol.transport.resume_reading()

    run(main)


def test_closing_inside_get_buffer_reads_no_further(run):
    class Closing(Buffered):
        def get_buffer(self, sizehint):
            self.transport.close()
            return super().get_buffer(sizehint)

    async def main():
        async with with_peer(Closing) as (protocol, peer):
            peer.send(b"x")
            assert await ended(protocol.lost) is None
            return protocol.events[0], protocol.events[-1]

    assert run(main) == ("made", "lost")


def test_large_data_arrives_whole_in_a_buffered_protocol(run):
    class Roomy(Buffered):
        room = 1 << 18

    async def main():
        async with connection(server=Roomy) as (near, far):
            payload = b"".join(n.to_bytes(4, "big") for n in range(500_000))
            near.transport.write(payload)
            assert await far.received(len(payload)) == payload

    run(main)
