"""What the tests of pipes share: one end is a transport of the loop, the other a plain descriptor.

Imported by name: ``from pipe_ends import End, reading, writing``.
"""

import asyncio
import contextlib
import fcntl
import os
import re
import socket
import struct
from termios import FIONREAD

from peers import BaseRecorder, Recorder, ended


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


def socket_ends():
    """What os.pipe() returns, of sockets."""
    return tuple(sock.detach() for sock in socket.socketpair())


async def connected(end, factory, ends=os.pipe):
    """A transport of the *end* that is "read" or "write"; gives its protocol and the other End."""
    loop = asyncio.get_running_loop()
    if end == "read":
        (ours, theirs), connect, mode = ends(), loop.connect_read_pipe, "rb"
    else:
        (theirs, ours), connect, mode = ends(), loop.connect_write_pipe, "wb"
    other = End(theirs)
    try:
        _, protocol = await connect(factory, os.fdopen(ours, mode, 0))
    except BaseException:
        other.close()
        raise
    return protocol, other


@contextlib.asynccontextmanager
async def reading(factory=Recorder, ends=os.pipe):
    """A reading transport; gives its protocol and the End that writes."""
    protocol, other = await connected("read", factory, ends)
    try:
        yield protocol, other
        if not protocol.lost.done():
            protocol.transport.close()
        await ended(protocol.lost)
    finally:
        other.close()


@contextlib.asynccontextmanager
async def writing(factory=BaseRecorder, ends=os.pipe):
    """A writing transport; gives its protocol and the End that reads."""
    protocol, other = await connected("write", factory, ends)
    try:
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


def shown(transport):
    """The repr() without the class and the number of the descriptor."""
    return re.sub(r"^<\S+|fd=\d+", "", repr(transport))


def reported(loop):
    """Collect what the loop's exception handler gets, as (message, exception)."""
    calls = []
    loop.set_exception_handler(
        lambda loop, context: calls.append((context["message"], context.get("exception")))
    )
    return calls
