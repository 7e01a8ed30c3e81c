"""What the tests of datagrams share: a protocol that keeps all calls, endpoints, plain sockets."""

import asyncio
import contextlib
import inspect
import socket
import sys
from asyncio import selector_events

import pytest
from peers import LOOPBACK, BaseRecorder, ended, until

#: What a queued datagram counts beside its bytes.
HEADER = 8 if sys.version_info >= (3, 13) else 0
#: Python 3.13.0 to 3.13.5 count it for each datagram in the queue and never take it off again.
HEADERS_STAY = HEADER > 0 and "header" not in inspect.getsource(
    selector_events._SelectorDatagramTransport._sendto_ready
)
drains = pytest.mark.skipif(HEADERS_STAY, reason="3.13.5 resumes nobody who was paused")
SENDS_EMPTY = sys.version_info >= (3, 13)


class Datagrams(BaseRecorder, asyncio.DatagramProtocol):
    """Keeps what is received in `received`, errors in `errors`, the order of all in `events`."""

    def __init__(self):
        super().__init__()
        self.received, self.errors = [], []

    def datagram_received(self, data, addr):
        self.received.append((data, addr))
        self.events.append("data")

    def error_received(self, exc):
        self.errors.append(exc)
        self.events.append(type(exc).__name__)

    @property
    def packets(self):
        """The data of what was received, without the addresses."""
        return [data for data, _ in self.received]


@contextlib.asynccontextmanager
async def endpoint(factory=Datagrams, **kwargs):
    """An endpoint, bound to a port of its own unless told else; gives its protocol."""
    if not kwargs:
        kwargs = {"local_addr": (LOOPBACK, 0)}
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(factory, **kwargs)
    try:
        yield protocol
    finally:
        if not protocol.lost.done():  # asyncio's abort() can fail after the end
            transport.abort()
        await ended(protocol.lost)


def address_of(protocol):
    return protocol.transport.get_extra_info("sockname")


@contextlib.contextmanager
def plain(count=1, host=LOOPBACK):
    """Plain non-blocking UDP sockets, each bound to a port of its own."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            sock.bind((host, 0))
            sock.setblocking(False)
            found.append(sock)
        yield found


@contextlib.asynccontextmanager
async def full(folder, factory=Datagrams, size=4):
    """A connected Unix endpoint with a queue: gives (protocol, its peer, how many were sent).

    The peer, a plain socket, has as many of them as it holds, the first in the queue is the last
    of those sent. Each has its number at the beginning.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.bind(str(folder / "peer"))
        peer.setblocking(False)
        async with endpoint(
            factory, family=socket.AF_UNIX, remote_addr=str(folder / "peer")
        ) as protocol:
            sent = 0
            while not protocol.transport.get_write_buffer_size():
                protocol.transport.sendto(numbered(sent, size))
                sent += 1
            yield protocol, peer, sent


def numbered(number, size=4):
    return b"%04d" % number + bytes(size - 4)


async def taken(peer, count):
    """Read *count* datagrams from a plain non-blocking socket."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        return [await loop.sock_recv(peer, 1 << 18) for _ in range(count)]


async def arrived(protocol, count):
    await until(lambda: len(protocol.received) >= count)
    return protocol.packets
