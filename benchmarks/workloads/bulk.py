"""One connection at full speed: the server repeats 64 KiB blocks, which the load compares."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import cast

from ..workload import Goal, Load, Run, Unit
from .servers import Service, add_server, folder, listen, listen_streams

BLOCK = 64 * 1024
BLOCKS = 8
"""The load generator sends so many different blocks, to be repeated in their order."""
AT_ONCE = 16
"""Blocks written before the loop has its turn, as a server would that has others to serve."""
FILE_ROUNDS = 16
"""How often a file has all the blocks: 8 MiB."""
GIB_PER_SECOND = Unit("GiB/s", per=2**30 // BLOCK)


def _cut(pattern: bytes) -> Iterator[bytes]:
    """The blocks in their order, again and again."""
    return itertools.cycle([pattern[i : i + BLOCK] for i in range(0, len(pattern), BLOCK)])


class Repeater(asyncio.Protocol):
    """Writes whenever flow control lets it, as soon as it has all blocks."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.pattern = bytearray()
        self.paused = False
        self.scheduled = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once, with the connection."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Called with a part of the blocks."""
        self.pattern += data
        if len(self.pattern) == BLOCK * BLOCKS:
            self.blocks = _cut(bytes(self.pattern))
            self.write()

    def write(self) -> None:
        """Writes until the transport has enough, or others are to have a turn."""
        self.scheduled = False
        for _ in range(AT_ONCE):
            if self.paused or self.transport.is_closing():
                return
            self.transport.write(next(self.blocks))
        self.scheduled = True
        asyncio.get_running_loop().call_soon(self.write)

    def pause_writing(self) -> None:
        """Called when the transport holds too much."""
        self.paused = True

    def resume_writing(self) -> None:
        """Called when it has sent it."""
        self.paused = False
        if not self.scheduled:
            self.write()


async def serve_protocol(run: Run) -> asyncio.Server:
    """Protocol: write() of 64 KiB until pause_writing(), on again at resume_writing()."""
    return await listen(run, Repeater)


async def serve_streams(run: Run) -> asyncio.Server:
    """Streams: write() of 64 KiB, drain()."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        blocks = _cut(await reader.readexactly(BLOCK * BLOCKS))
        try:
            while True:
                writer.write(next(blocks))
                await writer.drain()
        except ConnectionError:
            writer.close()

    return await listen_streams(run, handle)


async def serve_file(run: Run) -> Service:
    """loop.sendfile() of a file of 8 MiB, again and again; an operation is 64 KiB of it."""
    path = folder(run) / "file"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path.write_bytes(await reader.readexactly(BLOCK * BLOCKS) * FILE_ROUNDS)
        loop = asyncio.get_running_loop()
        try:
            with path.open("rb") as file:
                while True:
                    await loop.sendfile(writer.transport, file)
        except ConnectionError:
            writer.close()
        except BaseException:
            writer.transport.abort()
            raise

    server = await listen_streams(run, handle)
    return Service(list(server.sockets), server.close)


_LOAD = Load(connections=1, size=BLOCK, mode="bulk")
_TLS = Load(connections=1, size=BLOCK, mode="bulk", tls=True)
add_server(
    "bulk",
    "protocol",
    "Protocol, 64 KiB writes",
    serve_protocol,
    _LOAD,
    unit=GIB_PER_SECOND,
    goal=Goal(rival=1.05),
    headline=True,
)
add_server(
    "bulk", "streams", "streams, 64 KiB writes, drain", serve_streams, _LOAD, unit=GIB_PER_SECOND
)
add_server("bulk", "sendfile", "sendfile", serve_file, _LOAD, unit=GIB_PER_SECOND)
add_server("bulk", "tls-protocol", "TLS, 64 KiB writes", serve_protocol, _TLS, unit=GIB_PER_SECOND)
add_server("bulk", "tls-sendfile", "TLS, sendfile", serve_file, _TLS, unit=GIB_PER_SECOND)
