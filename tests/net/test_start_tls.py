"""loop.start_tls and StreamWriter.start_tls: a connection in clear text that becomes TLS."""

import asyncio
import contextlib
import inspect
import socket
import ssl

import pytest
from helpers import PATIENCE
from peers import (
    LOOPBACK,
    Buffered,
    Recorder,
    connection,
    ended,
    fill,
    on_asyncio,
    outcome,
    tcp_pair,
    turns,
    until,
    with_peer,
)


class Clear(Buffered):
    """Takes exactly `size` bytes of clear text, then stops reading: what follows is TLS."""

    size = 0

    def get_buffer(self, sizehint):
        self.buffer = bytearray(max(1, self.size - len(self.data)))
        return self.buffer

    def buffer_updated(self, nbytes):
        super().buffer_updated(nbytes)
        if len(self.data) == self.size:
            self.transport.pause_reading()


async def upgrade(near, far, tls, clear=None):
    """Put TLS on both ends of a connection; return the new protocols, made and ready.

    The client begins at once, the server when it has awaited *clear*, the end of the clear text.
    """
    loop = asyncio.get_running_loop()
    inner = Recorder(), Recorder()

    async def follow():
        if clear is not None:
            await clear
        return await loop.start_tls(far.transport, inner[1], tls.server, server_side=True)

    transports = await asyncio.gather(
        loop.start_tls(near.transport, inner[0], tls.client, server_hostname="localhost"),
        follow(),
    )
    for protocol, transport in zip(inner, transports, strict=True):
        assert not protocol.made.done()  # start_tls calls no connection_made
        protocol.connection_made(transport)
    return inner


@contextlib.asynccontextmanager
async def upgraded(near, far, tls, clear=None):
    """As upgrade(), and close both ends at last."""
    inner = await upgrade(near, far, tls, clear)
    try:
        yield inner
    finally:
        for protocol in inner:
            if not protocol.lost.done():
                protocol.transport.abort()
            await ended(protocol.lost)
        for protocol in (near, far):  # they were replaced and hear nothing more
            protocol.lost.set_result(None)


async def exchange(near, far, size=100_000):
    near.transport.write(b"n" * size)
    far.transport.write(b"f" * size)
    assert await far.received(size) == b"n" * size
    assert await near.received(size) == b"f" * size


def test_a_connection_becomes_tls(run, tls):
    async def main():
        async with connection() as (near, far):
            near.transport.write(b"clear")
            assert await far.received(5) == b"clear"
            async with upgraded(near, far, tls) as inner:
                await exchange(*inner)
                info = inner[0].transport.get_extra_info
                assert isinstance(info("ssl_object"), ssl.SSLObject)
                assert info("peername") == far.transport.get_extra_info("sockname")
                assert near.data == b""

    run(main)


def test_clear_text_directly_followed_by_tls(run, tls):
    """The client begins its handshake while its clear text is still under way."""

    class Server(Clear):
        size = 500_000

    async def main():
        async with connection(server=Server) as (near, far):
            near.transport.write(b"c" * Server.size)
            async with upgraded(near, far, tls, far.received(Server.size)) as inner:
                await exchange(*inner)

    run(main)


def test_while_writing_is_paused(run, tls, reports):
    class Server(Clear):
        size = 1 << 40

    async def main():
        async with connection(server=Server) as (near, far):
            far.transport.pause_reading()
            far.size = fill(near.transport)
            assert near.events[-1] == "pause"

            async def read_on():
                await turns()
                far.transport.resume_reading()
                await far.received(far.size)

            async with upgraded(near, far, tls, read_on()) as inner:
                await exchange(*inner)

    run(main)
    # sslproto was not there when writing was paused and minds being told to resume.
    assert {text.splitlines()[0] for text in reports.take()} <= {"protocol.resume_writing() failed"}


def test_closing_tls_closes_the_connection(run, tls):
    async def main():
        async with connection() as (near, far), upgraded(near, far, tls) as inner:
            inner[0].transport.close()
            assert await ended(inner[1].lost) is None
            assert await ended(inner[0].lost) is None
            assert near.transport.is_closing()
            assert far.transport.is_closing()

    run(main)


def test_tls_inside_tls(run, tls):
    async def main():
        async with (
            connection() as (near, far),
            upgraded(near, far, tls) as outer,
            upgraded(*outer, tls) as inner,
        ):
            await exchange(*inner)
            outer_object, inner_object = (
                ends[0].transport.get_extra_info("ssl_object") for ends in (outer, inner)
            )
            assert outer_object is not inner_object

    run(main)


@pytest.mark.parametrize("context", [None, True, "context"])
def test_what_is_no_context_is_a_type_error(run, context):
    async def main():
        async with with_peer() as (protocol, _):
            with pytest.raises(TypeError, match="sslcontext is expected to be an instance of"):
                await asyncio.get_running_loop().start_tls(protocol.transport, protocol, context)

    run(main)


def test_a_foreign_transport_is_a_type_error(run, tls):
    async def main():
        with pytest.raises(TypeError, match=r"is not supported by start_tls\(\)"):
            await asyncio.get_running_loop().start_tls(
                asyncio.Transport(), asyncio.Protocol(), tls.client
            )

    run(main)


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_timeout_that_is_not_positive_is_a_value_error(run, tls, timeout):
    async def main():
        async with with_peer() as (protocol, _):
            with pytest.raises(ValueError, match="should be a positive number"):
                await asyncio.get_running_loop().start_tls(
                    protocol.transport, protocol, tls.client, ssl_handshake_timeout=timeout
                )

    run(main)


async def failing(context, peer_does):
    """Start TLS towards a plain socket that does not shake hands; return how it ends."""
    ours, peer = tcp_pair()
    with peer:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        starting = asyncio.ensure_future(
            outcome(
                loop.start_tls(
                    transport,
                    asyncio.Protocol(),
                    context,
                    server_hostname="localhost",
                    ssl_handshake_timeout=60,
                )
            )
        )
        await turns()
        peer_does(peer, starting)
        (failure,) = await asyncio.gather(starting, return_exceptions=True)
        await until(lambda: ours.fileno() == -1)
        return failure if isinstance(failure, type) else type(failure)


@pytest.mark.parametrize(
    "peer_does",
    [
        lambda peer, task: peer.close(),
        lambda peer, task: peer.send(b"no TLS here\n"),
        lambda peer, task: task.cancel(),
    ],
    ids=["closes", "answers-in-clear", "cancelled"],
)
def test_a_failed_upgrade_closes_the_connection(run, tls, peer_does):
    assert run(failing, tls.client, peer_does) == on_asyncio(failing, tls.client, peer_does)


def test_streams_become_tls(run, tls):
    async def serve(reader, writer):
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"GO\n")
        await writer.drain()
        await writer.start_tls(tls.server)
        writer.write((await reader.readexactly(200_000))[::-1])
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        served.set()

    async def main():
        nonlocal served
        served = asyncio.Event()
        async with await asyncio.start_server(serve, LOOPBACK, 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"STARTTLS\n")
            assert await reader.readline() == b"GO\n"
            await writer.start_tls(tls.client, server_hostname="localhost")
            assert isinstance(writer.get_extra_info("ssl_object"), ssl.SSLObject)
            payload = bytes(range(200)) * 1000
            writer.write(payload)
            assert await reader.readexactly(200_000) == payload[::-1]
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            await served.wait()

    served = None
    run(main)


#: 3.15 and late versions before it give TLS what the reader holds. Where that is lost nobody waits
#: for long; where it is not, the machine may be slow.
READS_ON = "_incoming.write" in inspect.getsource(asyncio.base_events.BaseEventLoop.start_tls)
HELLO_TIMEOUT = PATIENCE if READS_ON else 0.3


async def answer_to_a_hello_that_came_with_the_command(tls):
    """A client that does not wait: what the server that has read on already answers to it."""

    async def serve(reader, writer):
        command = await reader.readline()
        try:
            await writer.start_tls(tls.server, ssl_handshake_timeout=HELLO_TIMEOUT)
        except Exception as exc:
            told.set_result((command, type(exc)))
        else:
            told.set_result((command, "started"))
        writer.transport.abort()

    async def shake_hands(sock):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = tls.client.wrap_bio(incoming, outgoing, server_hostname="localhost")
        command, loop = b"STARTTLS\n", asyncio.get_running_loop()
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                await loop.sock_sendall(sock, command + outgoing.read())
            command = b""
            data = await loop.sock_recv(sock, 1 << 16)
            if not data:
                return "closed"
            incoming.write(data)
        await loop.sock_sendall(sock, outgoing.read())
        return "secure"

    loop = asyncio.get_running_loop()
    told = loop.create_future()
    loop.set_exception_handler(lambda loop, context: None)
    async with await asyncio.start_server(serve, LOOPBACK, 0) as server:
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, server.sockets[0].getsockname())
            seen = await shake_hands(sock)
            return seen, await ended(told)


def test_a_hello_that_came_with_the_command_is_treated_as_on_asyncio(run, tls):
    """Older versions leave it in the reader, and the handshake never comes."""
    got = run(answer_to_a_hello_that_came_with_the_command, tls)
    assert got == on_asyncio(answer_to_a_hello_that_came_with_the_command, tls)


class Telling(Recorder):
    """A Recorder that notes the first data in a list of the test's."""

    def __init__(self, story):
        super().__init__()
        self.story = story

    def data_received(self, data):
        self.story.append(bytes(data))


async def order_of_the_first_data(tls):
    """The peer sends the end of its handshake and its first data in one piece."""
    loop = asyncio.get_running_loop()
    story = []
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls.server.maximum_version = ssl.TLSVersion.TLSv1_2  # here the server ends the handshake
    server = tls.server.wrap_bio(incoming, outgoing, server_side=True)
    async with with_peer() as (protocol, peer):
        inner = Telling(story)

        async def start():
            await loop.start_tls(protocol.transport, inner, tls.client, server_hostname="localhost")
            story.append("started")

        starting = asyncio.ensure_future(start())
        while True:
            incoming.write(await loop.sock_recv(peer, 1 << 16))
            try:
                server.do_handshake()
                break
            except ssl.SSLWantReadError:
                await loop.sock_sendall(peer, outgoing.read())
        server.write(b"first")
        await loop.sock_sendall(peer, outgoing.read())
        async with asyncio.timeout(PATIENCE):
            await starting
        await until(lambda: len(story) == 2)
        peer.close()
        await ended(inner.lost)
        protocol.lost.set_result(None)  # it was replaced and hears nothing more
    return story


def test_data_that_comes_with_the_end_of_the_handshake_is_not_lost(run, tls):
    story = run(order_of_the_first_data, tls)
    assert sorted(map(str, story)) == ["b'first'", "started"]
    assert story == on_asyncio(order_of_the_first_data, tls)
