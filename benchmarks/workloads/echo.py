"""Echo over TCP and Unix sockets: what a server does with a message, by each way to write one.

The server is a process of its own on one core; the load generator (`load/`) is on the other.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ..workload import EXTRA, PER_SECOND, QUICK, STANDARD, TIMES, Goal, Load, Run, workload
from .servers import (
    BUFFER,
    add_server,
    serve_buffered,
    serve_protocol,
    serve_read,
    serve_readexactly,
    serve_readline,
    serve_sockets,
)

SIZES = {"64B": 64, "1K": 1024, "64K": 64 * 1024}
SIZE_TITLES = {"64B": "64 B", "1K": "1 KiB", "64K": "64 KiB"}
CONNECTIONS = (1, 10, 100, 1000)
PAIRS = 10
"""Connections with both ends on one loop."""


def _add_kind(key: str, title: str, serve: Any, goals: dict[str, Goal], **options: Any) -> None:
    """Registers all sizes and numbers of connections of one kind of server."""
    standard = options.pop("standard")
    quick, headline = options.pop("quick", ()), options.pop("headline", ())
    load = options.pop("load", {})
    for size, length in SIZES.items():
        for connections in CONNECTIONS:
            row = f"{size}-{connections}"
            add_server(
                "echo",
                f"{key}-{row}",
                f"{title} {SIZE_TITLES[size]} {TIMES} {connections}",
                serve,
                Load(connections, length, **load),
                goal=goals.get(row),
                level=QUICK if row in quick else STANDARD if row in standard else EXTRA,
                headline=row in headline,
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
    headline=["1K-10", "64K-10"],
    floor="echo",
    tags=["recv"],
)
_add_kind(
    "buffered",
    "BufferedProtocol",
    serve_buffered,
    {"1K-10": Goal(rival=1.06)},
    standard=["1K-10", "64K-10"],
    headline=["1K-10"],
)
_add_kind(
    "read",
    "streams read",
    serve_read,
    {"1K-10": Goal(rival=1.1)},
    standard=["64B-10", "1K-1", "1K-10", "1K-100", "64K-10"],
    quick=["1K-10"],
    headline=["1K-10"],
    tags=["recv"],
    share=True,
)
_add_kind(
    "readline",
    "streams readline",
    serve_readline,
    {"1K-10": Goal(rival=1.06)},
    standard=["1K-10"],
    headline=["1K-10"],
    load={"mode": "line"},
    tags=["recv"],
    share=True,
)
_add_kind(
    "readexactly",
    "streams readexactly",
    serve_readexactly,
    {},
    standard=["1K-10"],
    tags=["recv"],
    share=True,
)
_add_kind(
    "sock",
    "sock_recv, sock_sendall",
    serve_sockets,
    {"1K-10": Goal(rival=1.15)},
    standard=["1K-10"],
    headline=["1K-10"],
)
_add_kind(
    "unix-protocol",
    "Protocol, Unix socket",
    serve_protocol,
    {},
    standard=["1K-10", "64K-10"],
    load={"unix": True},
    tags=["recv"],
)
_add_kind(
    "unix-read",
    "streams read, Unix socket",
    serve_read,
    {},
    standard=["1K-10"],
    load={"unix": True},
    tags=["recv"],
    share=True,
)


@workload(
    "echo",
    f"streams 1 KiB {TIMES} {PAIRS}, both ends on one loop",
    unit=PER_SECOND,
    goal=Goal(rival=1.15),
    grain=PAIRS,
    tags=["transports", "recv"],
    share=True,
)
async def streams_one_loop(run: Run) -> int:
    """Streams: 10 clients write 1 KiB and read its echo by readexactly() from a server here."""
    message = bytes(range(256)) * 4

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(BUFFER):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def ask(port: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        right = 0
        for _ in range(run.n // PAIRS):
            writer.write(message)
            right += await reader.readexactly(len(message)) == message
        writer.close()
        await writer.wait_closed()
        return right

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    done = await asyncio.gather(*[ask(port) for _ in range(PAIRS)])
    server.close()
    await server.wait_closed()
    return sum(done)
