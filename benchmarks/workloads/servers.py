"""The servers that the rows of several groups share: by each of asyncio's ways to write one.

A server listens where its row's load wants it: TCP, a Unix socket, with TLS.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from ..workload import PER_SECOND, Load, Run, Workload, register

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]

BUFFER = 64 * 1024
BACKLOG = 1024


@dataclass(frozen=True)
class Service:
    """What serves and is no asyncio.Server; the worker asks for no more than this."""

    sockets: list[Any]
    close: Callable[[], object]


def server_context(run: Run) -> ssl.SSLContext | None:
    """TLS 1.3 with the run's certificate; None where the load comes without TLS."""
    if not run.identity:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(run.identity)
    return context


def socket_path(run: Run) -> str:
    """Where a Unix socket can be made. A str, as not every loop takes a Path."""
    return str(folder(run) / "socket")


def folder(run: Run) -> Path:
    """A folder that is gone when the process ends."""
    run.background = made = tempfile.TemporaryDirectory(prefix="pyaio-bench-")
    return Path(made.name)


async def listen(run: Run, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.Server:
    """A server of protocols."""
    loop, load = asyncio.get_running_loop(), run.load
    assert load is not None
    if load.unix:
        return await loop.create_unix_server(factory, socket_path(run))
    context = server_context(run)
    return await loop.create_server(factory, "127.0.0.1", 0, backlog=BACKLOG, ssl=context)


async def listen_streams(run: Run, handler: Handler) -> asyncio.Server:
    """A server of streams."""
    load = run.load
    assert load is not None
    limit = max(BUFFER, 2 * load.size)  # a whole line has to fit
    if load.unix:
        return await asyncio.start_unix_server(handler, socket_path(run), limit=limit)
    context = server_context(run)
    return await asyncio.start_server(
        handler, "127.0.0.1", 0, limit=limit, backlog=BACKLOG, ssl=context
    )


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
    return await listen(run, EchoProtocol)


async def serve_buffered(run: Run) -> asyncio.Server:
    """A BufferedProtocol that writes back a copy of what is in its buffer."""
    return await listen(run, EchoBufferedProtocol)


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

    return await listen_streams(run, handle)


async def serve_readline(run: Run) -> asyncio.Server:
    """Streams: readline(), write, drain."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _answer(reader.readline, writer)

    return await listen_streams(run, handle)


async def serve_readexactly(run: Run) -> asyncio.Server:
    """Streams: readexactly(size of a message), write, drain."""
    load = run.load
    assert load is not None

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _answer(partial(reader.readexactly, load.size), writer)

    return await listen_streams(run, handle)


async def serve_sockets(run: Run) -> Service:
    """sock_accept, then sock_recv(65536) and sock_sendall in a task for each connection."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    listener.setblocking(False)

    async def answer(connection: socket.socket) -> None:
        with connection:
            while data := await loop.sock_recv(connection, BUFFER):
                await loop.sock_sendall(connection, data)

    async def accept() -> None:
        tasks = set()
        while True:
            connection, _ = await loop.sock_accept(listener)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tasks.add(loop.create_task(answer(connection)))

    run.background = loop.create_task(accept())
    return Service([listener], listener.close)


def add_server(group: str, key: str, title: str, serve: Any, load: Load, **options: Any) -> None:
    """Registers a row in which a server is loaded from outside."""
    tags = frozenset({"transports", *options.pop("tags", ())})
    options.setdefault("unit", PER_SECOND)
    register(Workload(group, key, title, serve, load=load, tags=tags, **options))
