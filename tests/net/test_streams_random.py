"""Random chunks, limits and reads: a StreamReader must do the same on both loops, byte by byte and
pause by pause."""

import asyncio
import socket
import struct
from fcntl import ioctl
from termios import FIONREAD

from helpers import PATIENCE
from hypothesis import given
from hypothesis import strategies as st
from peers import on_each, turns, until

#: Few and small enough to fit into the socket while the reader is paused.
CHUNKS = st.lists(
    st.sampled_from([b"a", b"bc", b"\n", b"\r\n", b"d" * 150, b"e" * 900]), max_size=4
)
SIZES = st.sampled_from([0, 1, 3, 100, 1000])

READS = st.one_of(
    st.tuples(st.just("read"), SIZES),
    st.tuples(st.just("readexactly"), SIZES),
    st.tuples(st.just("readuntil"), st.sampled_from([b"\n", b"\r\n", b"bc"])),
    st.tuples(st.sampled_from(["readline", "__anext__"])),
)
OPERATIONS = st.one_of(
    READS,
    st.tuples(st.just("peer sends"), CHUNKS.map(b"".join)),
    st.tuples(st.just("limit"), st.sampled_from([1, 100, 1000, 100_000])),
    st.tuples(st.just("cancel")),
)


class Transport:
    """The transport that the reader knows: counts what it is told."""

    def __init__(self, transport):
        self.transport, self.calls = transport, []

    def pause_reading(self):
        self.calls.append("pause")
        self.transport.pause_reading()

    def resume_reading(self):
        self.calls.append("resume")
        self.transport.resume_reading()


def unread(sock):
    """How many bytes the socket holds for its reader."""
    return struct.unpack("i", ioctl(sock, FIONREAD, b"\0" * 4))[0]


class Story:
    def __init__(self, reader, transport, ours, peer):
        self.reader, self.ours, self.peer = reader, ours, peer
        self.transport = reader._transport = Transport(transport)
        self.reading = None
        self.told = []

    def do(self, name, *args):
        if name == "peer sends":
            self.peer.send(*args)
        elif name == "limit":
            self.reader._limit = args[0]
        elif name == "cancel":
            if self.reading is not None:
                self.reading.cancel()
        elif self.reading is None:
            self.reading = asyncio.ensure_future(getattr(self.reader, name)(*args))

    async def settle(self):
        """Let all arrive that may, and note what has come of it."""
        is_reading = self.transport.transport.is_reading
        await until(lambda: not is_reading() or not unread(self.ours))
        await turns()
        await until(lambda: not is_reading() or not unread(self.ours))
        if self.reading is not None and self.reading.done():
            self.told.append(self.outcome())
            self.reading = None
        reader, calls = self.reader, self.transport.calls
        self.told.append((bytes(reader._buffer), reader._paused, reader._eof, list(calls)))

    def outcome(self):
        if self.reading.cancelled():
            return "cancelled"
        exc = self.reading.exception()
        return self.reading.result() if exc is None else (type(exc), exc.args)

    async def end(self):
        self.peer.close()
        if self.reading is not None:
            async with asyncio.timeout(PATIENCE):
                await asyncio.wait([self.reading])
            self.told.append(self.outcome())
        async with asyncio.timeout(PATIENCE):
            self.told.append(await self.reader.read())


async def played(limit, operations):
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=ours, limit=limit)
    try:
        story = Story(reader, writer.transport, ours, peer)
        for operation in operations:
            story.do(*operation)
            await story.settle()
        await story.end()
    finally:
        peer.close()
        writer.close()
        await writer.wait_closed()
    return story.told


@given(limit=st.sampled_from([1, 50, 1000, 1 << 16]), operations=st.lists(OPERATIONS, max_size=25))
def test_both_loops_tell_the_same(loop_factories, limit, operations):
    told = on_each(loop_factories, played, limit, operations)
    assert told["pyaio"] == told["asyncio"]
