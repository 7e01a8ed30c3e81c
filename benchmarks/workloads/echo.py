"""TCP echo: what a server does with a message, by each of asyncio's ways to write one.

The server is a process of its own on one core; the load generator (`load/`) is on the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, cast

from ..workload import (
    EXTRA,
    PER_SECOND,
    QUICK,
    STANDARD,
    TIMES,
    Goal,
    Load,
    Run,
    Workload,
    register,
)

Serve = Callable[[Run], Coroutine[Any, Any, asyncio.Server]]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]

BUFFER = 64 * 1024
SIZES = {"64B": 64, "1K": 1024, "64K": 64 * 1024}
SIZE_TITLES = {"64B": "64 B", "1K": "1 KiB", "64K": "64 KiB"}
CONNECTIONS = (1, 10, 100)


class EchoProtocol(asyncio.Protocol):
    """Writes back what it is handed."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once, with the connection."""
        self.transport = cast(asyncio.Transport, transport)  # not an instance of it everywhere

    def data_received(self, data: bytes) -> None:
        """Called with what has come."""
        self.transport.write(data)


class EchoBufferedProtocol(asyncio.BufferedProtocol):
    """Writes back what was put into its own buffer."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once, with the connection."""
        self.transport = cast(asyncio.Transport, transport)  # not an instance of it everywhere
        self.view = memoryview(bytearray(BUFFER))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self.view

    def buffer_updated(self, nbytes: int) -> None:
        """Called when they are there. A copy is written: the buffer is filled again soon."""
        self.transport.write(bytes(self.view[:nbytes]))


async def serve_protocol(run: Run) -> asyncio.Server:
    """A Protocol that writes back what it is handed."""
    return await asyncio.get_running_loop().create_server(EchoProtocol, "127.0.0.1", 0)


async def serve_buffered(run: Run) -> asyncio.Server:
    """A BufferedProtocol that writes back a copy of what is in its buffer."""
    return await asyncio.get_running_loop().create_server(EchoBufferedProtocol, "127.0.0.1", 0)


async def _serve_streams(run: Run, handler: Handler) -> asyncio.Server:
    assert run.load is not None
    limit = max(BUFFER, 2 * run.load.size)  # a whole line has to fit
    return await asyncio.start_server(handler, "127.0.0.1", 0, limit=limit)


async def _answer(
    read: Callable[[], Coroutine[Any, Any, bytes]], writer: asyncio.StreamWriter
) -> None:
    """Writes back what `read` gives, until it gives nothing."""
    try:
        while data := await read():
            writer.write(data)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # the load generator closes its connections in the middle of messages
    finally:
        writer.close()


async def serve_read(run: Run) -> asyncio.Server:
    """Streams: read(65536), write, drain."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _answer(partial(reader.read, BUFFER), writer)

    return await _serve_streams(run, handle)


async def serve_readline(run: Run) -> asyncio.Server:
    """Streams: readline(), write, drain."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _answer(reader.readline, writer)

    return await _serve_streams(run, handle)


async def serve_readexactly(run: Run) -> asyncio.Server:
    """Streams: readexactly(size of a message), write, drain."""
    load = run.load
    assert load is not None

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _answer(partial(reader.readexactly, load.size), writer)

    return await _serve_streams(run, handle)


def add_echo(key: str, title: str, serve: Serve, load: Load, **options: Any) -> None:
    """Registers one row of the echo group."""
    tags = frozenset({"transports", *options.pop("tags", ())})
    options.setdefault("group", "echo")
    entry = Workload(
        key=key, title=title, body=serve, unit=PER_SECOND, load=load, tags=tags, **options
    )
    register(entry)


def _add_kind(key: str, title: str, serve: Serve, goals: dict[str, Goal], **options: Any) -> None:
    """Registers all sizes and numbers of connections of one kind of server."""
    standard = options.pop("standard")
    quick = options.pop("quick", ())
    mode = options.pop("mode", "echo")
    for size, length in SIZES.items():
        for connections in CONNECTIONS:
            row = f"{size}-{connections}"
            add_echo(
                f"{key}-{row}",
                f"{title} {SIZE_TITLES[size]} {TIMES} {connections}",
                serve,
                Load(connections, length, mode),
                goal=goals.get(row),
                level=QUICK if row in quick else STANDARD if row in standard else EXTRA,
                headline=row in quick,
                **options,
            )


_EVERY = [f"{size}-{connections}" for size in SIZES for connections in CONNECTIONS]
_add_kind(
    "protocol",
    "Protocol",
    serve_protocol,
    {"1K-10": Goal(floor=0.99, asyncio=3), "64K-10": Goal(floor=1.0)},
    standard=_EVERY,
    quick=["1K-10", "64K-10"],
    floor="echo",
    tags=["recv"],
)
_add_kind(
    "buffered",
    "BufferedProtocol",
    serve_buffered,
    {"1K-10": Goal(rival=1.06)},
    standard=["1K-10", "64K-10"],
    quick=["1K-10"],
)
_add_kind(
    "read",
    "streams read",
    serve_read,
    {"1K-10": Goal(rival=1.1)},
    standard=["64B-10", "1K-1", "1K-10", "1K-100", "64K-10"],
    quick=["1K-10"],
    tags=["recv"],
)
_add_kind(
    "readline",
    "streams readline",
    serve_readline,
    {"1K-10": Goal(rival=1.06)},
    standard=["1K-10"],
    quick=["1K-10"],
    mode="line",
    tags=["recv"],
)
_add_kind(
    "readexactly",
    "streams readexactly",
    serve_readexactly,
    {},
    standard=["1K-10"],
    tags=["recv"],
)
