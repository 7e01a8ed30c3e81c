"""What the tests of connections beside other threads share: loops that run elsewhere, and what
keeps a loop at work meanwhile.

Imported by name: ``from thread_peers import busy``.
"""

import asyncio
import contextlib
import random
import warnings

import pytest
from peers import LOOPBACK, Recorder, closed, connection, until

#: How many run beside each other.
LOOPS = 4


def payload(seed, size):
    """Bytes that no other seed has."""
    return random.Random(str(seed)).randbytes(size)


class Echo(Recorder):
    def data_received(self, data):
        super().data_received(data)
        self.transport.write(data)


class Pinging(Recorder):
    """Sends a number, the next when it is back, and so on until `stopping`."""

    stopping = False

    def connection_made(self, transport):
        super().connection_made(transport)
        self.count = 0
        self.send()

    def send(self):
        self.expected = b"%08d" % self.count
        self.transport.write(self.expected)

    def data_received(self, data):
        self.data += data
        if len(self.data) == len(self.expected):
            assert self.data == self.expected
            self.data.clear()
            self.count += 1
            if not self.stopping:
                self.send()


@contextlib.asynccontextmanager
async def busy():
    """Inside, the loop is at work with a connection, and it still is at the end."""
    async with connection(Pinging, Echo) as (pinging, _):
        await until(lambda: pinging.count > 10)
        yield pinging
        before = pinging.count
        await until(lambda: pinging.count > before + 100)
        pinging.stopping = True


@contextlib.asynccontextmanager
async def idle():
    yield


beside = pytest.mark.parametrize("beside", [busy, idle])


async def answer(reader, writer):
    """A server: a line for a line, then all that follows, as it comes."""
    for _ in range(50):
        writer.write((await reader.readline()).swapcase())
    while data := await reader.read(10_000):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextlib.contextmanager
def unclosed(what="unclosed"):
    """Somebody warns of what is unclosed; a socket that is collected first warns, too."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    texts = [str(each.message) for each in caught]
    assert {each.category for each in caught} == {ResourceWarning}, texts
    assert any(text.startswith(what) for text in texts), texts
    assert all("unclosed" in text or text == "loop is closed" for text in texts), texts


@contextlib.asynccontextmanager
async def hearing(ends, tls=None, greeting=b"hello"):
    """A server that notes all ends that it hears; gives a function that connects to it."""

    async def serve(reader, writer):
        writer.write(greeting)
        end = await reader.read()
        await closed(writer)
        ends.append(end)

    async def connect():
        secure = {"ssl": tls.client, "server_hostname": "localhost"} if tls else {}
        reader, writer = await asyncio.open_connection(*address, **secure)
        assert await reader.readexactly(len(greeting)) == greeting
        return reader, writer

    async with await asyncio.start_server(serve, LOOPBACK, 0, ssl=tls and tls.server) as server:
        address = server.sockets[0].getsockname()
        yield connect


in_clear_and_secure = pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
