"""What the network tests share: recording protocols, pairs of endpoints, comparison with asyncio.

Imported by name from the tests of this folder: ``from peers import Recorder, connection``.
"""

import asyncio
import contextlib
import itertools
import os
import socket
import weakref

import pytest
from helpers import PATIENCE, waits

LOOPBACK = "127.0.0.1"


def _ipv6_trouble():
    """Return why ::1 cannot be used on this machine, or None."""
    if not socket.has_ipv6:
        return "this Python has no IPv6"
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError as exc:
        return f"no ::1 on this machine: {exc}"
    return None


_IPV6_TROUBLE = _ipv6_trouble()
needs_ipv6 = pytest.mark.skipif(_IPV6_TROUBLE is not None, reason=str(_IPV6_TROUBLE))
#: A test of the same on both loopback addresses, its argument `host`.
both_families = pytest.mark.parametrize(
    "host", [LOOPBACK, pytest.param("::1", marks=needs_ipv6)], ids=["ipv4", "ipv6"]
)


class BaseRecorder(asyncio.BaseProtocol):
    """Keeps the name of every callback in `events`; of any kind of transport, also of pipes.

    `lost` is a future that ends with connection_lost's argument.
    """

    def __init__(self):
        self.transport = None
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


class Recorder(BaseRecorder, asyncio.Protocol):
    """Keeps what arrived in `data`, too; `made` and `ended` (EOF) are futures, as `lost` is."""

    #: What eof_received() returns.
    keep_open = None

    def __init__(self):
        super().__init__()
        loop = asyncio.get_running_loop()
        self.data = bytearray()
        self.made = loop.create_future()
        self.ended = loop.create_future()

    def connection_made(self, transport):
        super().connection_made(transport)
        self.made.set_result(transport)

    def data_received(self, data):
        if self.events[-1:] != ["data"]:  # how the bytes were cut is up to the kernel
            self.events.append("data")
        self.data += data

    def eof_received(self):
        self.events.append("eof")
        self.ended.set_result(None)
        return self.keep_open

    async def received(self, count):
        """Wait until *count* bytes arrived; return all that is there."""
        await until(lambda: len(self.data) >= count)
        return bytes(self.data)


class Buffered(Recorder, asyncio.BufferedProtocol):
    """A Recorder that reads into a buffer of its own, of `room` bytes."""

    room = 4096

    def __init__(self):
        super().__init__()
        self.buffer = bytearray(self.room)

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, nbytes):
        Recorder.data_received(self, self.buffer[:nbytes])

    # A BufferedProtocol has no such method: nobody may call it.
    data_received = None


class Open(Recorder):
    """A Recorder that keeps its own direction open when the peer has closed the other."""

    keep_open = True


class Accepting(list):
    """A factory of protocols that keeps what it made."""

    def __init__(self, kind=Recorder):
        super().__init__()
        self.kind = kind

    def __call__(self):
        self.append(self.kind())
        return self[-1]

    async def connected(self, count=1):
        """Wait until *count* were made and have their connection; return the last of them."""
        await until(lambda: len(self) >= count and all(each.made.done() for each in self))
        return self[-1]


async def until(condition):
    """Let the loop run until *condition()* is true; a hang ends in TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.0005)


async def ended(future):
    """Wait for *future*, at most PATIENCE seconds, without cancelling it; return its result."""
    async with asyncio.timeout(PATIENCE):
        return await asyncio.shield(future)


async def turns(count=5):
    """Let the loop go through some turns, and look for I/O in each of them.

    pyaio does not look in every turn while tasks take turns; a timer that is due brings it to.
    """
    loop = asyncio.get_running_loop()
    for _ in range(count):
        loop.call_later(0, int)
        await asyncio.sleep(0)


async def waited():
    """What the loop opens when it first waits is open now: looked after once for each loop."""
    loop = asyncio.get_running_loop()
    if loop not in _WAITED:
        await waits()
        _WAITED.add(loop)


_WAITED = weakref.WeakSet()


def tcp_pair(host=LOOPBACK):
    """Return two plain non-blocking sockets, connected over TCP."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        ours = socket.create_connection(listener.getsockname()[:2])
        theirs, _ = listener.accept()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def unix_pair():
    """Return two plain non-blocking Unix sockets, connected to each other."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def reset(sock):
    """Close *sock* so that the peer gets a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def _ports_of_ours(host, count=4):
    """Ports that sockets have which do not listen: the kernel gives them to nobody else."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = []
    for _ in range(count):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server may listen there
        sock.bind((host, 0))
        found.append(sock.getsockname()[1])
        sock.detach()  # it stays open as long as the process lives
    return itertools.cycle(found)


_PORTS_OF_OURS = {LOOPBACK: _ports_of_ours(LOOPBACK)}
if _IPV6_TROUBLE is None:
    _PORTS_OF_OURS["::1"] = _ports_of_ours("::1")


def closed_port(host=LOOPBACK):
    """Return a port of *host* where nobody listens, nor will unless the test does so itself.

    Four calls in a row give four ports.
    """
    return next(_PORTS_OF_OURS[host])


async def take(sock, count):
    """Read *count* bytes from a plain non-blocking socket, or up to EOF."""
    data = bytearray()
    async with asyncio.timeout(PATIENCE):
        while len(data) < count:
            try:
                chunk = sock.recv(min(1 << 20, count - len(data)))
            except BlockingIOError:
                await asyncio.sleep(0.0005)
                continue
            if not chunk:
                break
            data += chunk
    return bytes(data)


def there_is(sock):
    """What has come so far to a plain non-blocking socket."""
    data = bytearray()
    with contextlib.suppress(BlockingIOError):
        while chunk := sock.recv(1 << 20):
            data += chunk
    return bytes(data)


def watched_by_epoll(number):
    """The events, as epoll(7) counts them, that this process's epoll sets watch a fd for."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            with open(f"/proc/self/fdinfo/{fd}") as info:
                lines = [line.split() for line in info if line.startswith("tfd:")]
        except FileNotFoundError:
            continue
        found += [int(words[3], 16) for words in lines if int(words[1]) == number]
    return found


def fill(transport, chunk=b"\xaa" * (1 << 18)):
    """Write until more is queued than the high-water mark; return how much was written in all."""
    written = 0
    while transport.get_write_buffer_size() <= transport.get_write_buffer_limits()[1]:
        transport.write(chunk)
        written += len(chunk)
    return written


async def finish(*protocols):
    """Abort what is still open of these Recorders and wait for connection_lost."""
    for protocol in protocols:
        if protocol.transport is not None:
            if not protocol.lost.done():
                protocol.transport.abort()
            await ended(protocol.lost)


@contextlib.asynccontextmanager
async def connection(client=Recorder, server=Recorder, host=LOOPBACK, **server_options):
    """A connection with both ends on this loop; gives the two protocols, both made."""
    loop = asyncio.get_running_loop()
    accepting = Accepting(server)
    listener = await loop.create_server(accepting, host, 0, **server_options)
    protocols = []
    try:
        _, near = await loop.create_connection(client, *listener.sockets[0].getsockname()[:2])
        protocols.append(near)
        yield near, await accepting.connected()
    finally:
        listener.close()
        await finish(*protocols, *accepting)
        await listener.wait_closed()


@contextlib.asynccontextmanager
async def with_peer(factory=Recorder, host=LOOPBACK):
    """A transport of the loop whose peer is a plain socket; gives (protocol, socket)."""
    ours, peer = tcp_pair(host)
    with peer:
        _, protocol = await asyncio.get_running_loop().create_connection(factory, sock=ours)
        try:
            yield protocol, peer
        finally:
            await finish(protocol)


async def closed(writer):
    """Close a StreamWriter and wait for it, whatever it ends with."""
    writer.close()
    with contextlib.suppress(OSError):
        async with asyncio.timeout(PATIENCE):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def stream_and_peer(**options):
    """A stream whose other end is a plain socket: gives (reader, writer, socket)."""
    ours, peer = tcp_pair()
    with peer:
        reader, writer = await asyncio.open_connection(sock=ours, **options)
        try:
            yield reader, writer, peer
        finally:
            peer.close()
            await closed(writer)


def on_asyncio(scenario, *args):
    """Run the coroutine function on a stock loop of this Python version; return its result."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(scenario(*args))


def on_each(loop_factories, scenario, *args):
    """Run the coroutine function on a loop of each kind; return {kind: result}."""
    found = {}
    for kind, factory in loop_factories.items():
        with asyncio.Runner(loop_factory=factory) as runner:
            found[kind] = runner.run(scenario(*args))
    return found


async def outcome(awaitable):
    """Return what *awaitable* gives, or the type of the exception it ends with."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await awaitable
    except Exception as exc:
        return type(exc)
