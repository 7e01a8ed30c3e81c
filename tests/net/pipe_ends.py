"""What the tests of pipes share: one end is a transport of the loop, the other a plain descriptor.

Imported by name: ``from pipe_ends import Writer, reading, writing``.
"""

import asyncio
import contextlib
import fcntl
import os
import struct
from termios import FIONREAD

from peers import Recorder, ended


class Writer(asyncio.BaseProtocol):
    """A protocol of the end that writes, which keeps the name of every callback in `events`."""

    def __init__(self):
        self.events = []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.events.append("made")
        self.transport = transport

    def pause_writing(self):
        self.events.append("pause")

    def resume_writing(self):
        self.events.append("resume")

    def connection_lost(self, exc):
        self.events.append("lost")
        self.lost.set_result(exc)


class End:
    """The plain end of a pipe: non-blocking, closed once."""

    def __init__(self, fd):
        self.fd = fd
        os.set_blocking(fd, False)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def read(self, count=1 << 20):
        """Return what is there, up to *count* bytes; b"" also at the end."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self.fd, count)
        return b""

    def write(self, data):
        return os.write(self.fd, data)

    @property
    def unread(self):
        """How many bytes are in the pipe."""
        return struct.unpack("i", fcntl.ioctl(self.fd, FIONREAD, b"\0" * 4))[0]


@contextlib.asynccontextmanager
async def reading(factory=Recorder, ends=os.pipe):
    """A reading transport; gives its protocol and the End that writes."""
    ours, theirs = ends()
    other = End(theirs)
    try:
        _, protocol = await asyncio.get_running_loop().connect_read_pipe(
            factory, os.fdopen(ours, "rb", 0)
        )
        yield protocol, other
        if not protocol.lost.done():
            protocol.transport.close()
        await ended(protocol.lost)
    finally:
        other.close()


@contextlib.asynccontextmanager
async def writing(factory=Writer, ends=os.pipe):
    """A writing transport; gives its protocol and the End that reads."""
    theirs, ours = ends()
    other = End(theirs)
    try:
        _, protocol = await asyncio.get_running_loop().connect_write_pipe(
            factory, os.fdopen(ours, "wb", 0)
        )
        yield protocol, other
        transport = protocol.transport
        if not transport.is_closing() or transport.get_write_buffer_size():
            transport.abort()  # asyncio takes it ill when the end has been scheduled
        await ended(protocol.lost)
    finally:
        other.close()


async def drained(end, count):
    """Let the loop write until *count* bytes have arrived at the End; return them."""
    data = bytearray()
    async with asyncio.timeout(10):
        while len(data) < count:
            data += end.read()
            await asyncio.sleep(0.0005)
    return bytes(data)
