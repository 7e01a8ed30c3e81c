"""Connections of loops in several threads. Builds without a GIL run them all at once."""

import asyncio
import contextlib
import os
import socket
import ssl
import struct
import threading
import time

import pytest
from datagram_peers import Datagrams, address_of, endpoint
from helpers import PATIENCE, HandlerCalls
from peers import LOOPBACK, Buffered, Recorder, closed, connection, ended, stream_and_peer, until
from test_tls import View, secured
from thread_peers import LOOPS, Echo, answer, payload
from threads_at_work import in_threads

pytestmark = pytest.mark.usefixtures("short_turns_of_threads")


@pytest.fixture
def run_each(loop_factory, nothing_left_alive):
    """`run_each(main, *args)`: main(number, *args), each on a loop and in a thread of its own."""

    def run_each(main, *args):
        def work(number):
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                return runner.run(main(number, *args))

        return in_threads(LOOPS, work)

    return run_each


class BufferedEcho(View):
    def buffer_updated(self, nbytes):
        super().buffer_updated(nbytes)
        self.transport.write(bytes(self.buffer[:nbytes]))


# ---- loops side by side ----


@pytest.mark.parametrize(("client", "server"), [(Recorder, Echo), (Buffered, BufferedEcho)])
def test_protocols_of_several_loops(run_each, client, server):
    async def main(number):
        async with connection(client, server) as (near, far):
            pieces = [payload((number, n), 1 + n * 7) for n in range(100)]
            total = 0
            for piece in pieces:
                near.transport.write(piece)
                total += len(piece)
                await near.received(total)
            pieces.append(payload(number, 1_000_000))
            near.transport.write(pieces[-1])
            total += len(pieces[-1])
            assert await near.received(total) == bytes(far.data) == b"".join(pieces)

    run_each(main)


async def ask(reader, writer, seed):
    """A client of answer()."""
    for n in range(50):
        line = b"Line %d of %d\n" % (n, seed)
        writer.write(line)
        assert await reader.readline() == line.swapcase()
    data = payload(seed, 500_000)
    reading = asyncio.ensure_future(reader.readexactly(len(data)))
    for start in range(0, len(data), 50_000):
        writer.write(data[start : start + 50_000])
        await writer.drain()
    async with asyncio.timeout(PATIENCE):
        assert await reading == data
    await closed(writer)


async def asked_by_several(server, connect, seed):
    """Three clients at once."""
    async with server:
        streams = [await connect() for _ in range(3)]
        await asyncio.gather(*(ask(*each, seed * 10 + n) for n, each in enumerate(streams)))


def test_streams_of_several_loops(run_each):
    async def main(number):
        server = await asyncio.start_server(answer, LOOPBACK, 0)
        address = server.sockets[0].getsockname()
        await asked_by_several(server, lambda: asyncio.open_connection(*address), number)

    run_each(main)


def test_unix_sockets_of_several_loops(run_each, tmp_path):
    async def main(number):
        path = tmp_path / str(number)
        server = await asyncio.start_unix_server(answer, path)
        await asked_by_several(server, lambda: asyncio.open_unix_connection(path), number)

    run_each(main)


def test_datagrams_of_several_loops(run_each):
    class Echoing(Datagrams):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            self.transport.sendto(data, addr)

    async def main(number):
        async with endpoint() as near, endpoint(Echoing) as far:
            sent = [payload((number, n), 1 + n * 11) for n in range(200)]
            for start in range(0, len(sent), 10):  # no more than the kernel keeps
                for packet in sent[start : start + 10]:
                    near.transport.sendto(packet, address_of(far))
                await until(lambda count=start + 10: len(near.received) >= count)
            assert near.packets == far.packets == sent
            assert {addr for _, addr in near.received} == {address_of(far)}

    run_each(main)


def test_pipes_of_several_loops(run_each):
    async def main(number):
        loop = asyncio.get_running_loop()
        read_end, write_end = os.pipe()
        reader = asyncio.StreamReader()
        source, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", 0)
        )
        sink, protocol = await loop.connect_write_pipe(Recorder, os.fdopen(write_end, "wb", 0))
        data = payload(number, 1_000_000)
        for start in range(0, len(data), 100_000):
            sink.write(data[start : start + 100_000])
        sink.close()
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == data
        await ended(protocol.lost)
        source.close()

    run_each(main)


def test_sock_calls_of_several_loops(run_each):
    async def echo(loop, listener):
        sock, _ = await loop.sock_accept(listener)
        with sock:
            while data := await loop.sock_recv(sock, 5000):
                await loop.sock_sendall(sock, data)

    async def main(number):
        loop = asyncio.get_running_loop()
        with socket.create_server((LOOPBACK, 0)) as listener, socket.socket() as sock:
            listener.setblocking(False)
            sock.setblocking(False)
            echoing = loop.create_task(echo(loop, listener))
            await loop.sock_connect(sock, listener.getsockname())
            for n in range(100):
                data = payload((number, n), 1 + n * 50)
                sending = loop.create_task(loop.sock_sendall(sock, data))
                back, part = bytearray(), bytearray(1000)
                while len(back) < len(data):
                    back += await loop.sock_recv(sock, 1000)
                    if len(back) < len(data):
                        back += part[: await loop.sock_recv_into(sock, part)]
                await sending
                assert back == data
            sock.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(PATIENCE):
                await echoing

    run_each(main)


@pytest.mark.filterwarnings("ignore:.get_child_watcher:DeprecationWarning")
def test_subprocesses_of_several_loops(run_each):
    async def main(number):
        data = payload(number, 300_000)
        for _ in range(2):
            process = await asyncio.create_subprocess_exec(
                "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            async with asyncio.timeout(PATIENCE):
                assert await process.communicate(data) == (data, None)
                assert await process.wait() == 0

    run_each(main)


# ---- TLS by one context ----


@pytest.mark.parametrize("server", [Echo, BufferedEcho])
def test_tls_of_several_loops_by_one_context(run_each, tls, server):
    async def main(number):
        async with secured(tls, server=server) as (near, _):
            pieces = [payload((number, n), 1 + n * 3) for n in range(100)]
            total = 0
            for piece in pieces:  # one message after the other …
                near.transport.write(piece)
                total += len(piece)
                await near.received(total)
            pieces += [payload((number, n), 1 + n) for n in range(100, 300)]
            pieces.append(payload(number, 400_000))  # … then many at once, and many records
            near.transport.writelines(pieces[100:])
            assert await near.received(sum(map(len, pieces))) == b"".join(pieces)

    run_each(main)


def test_tls_streams_of_several_loops_by_one_context(run_each, tls):
    async def main(number):
        server = await asyncio.start_server(answer, LOOPBACK, 0, ssl=tls.server)
        host, port = server.sockets[0].getsockname()
        await asked_by_several(
            server,
            lambda: asyncio.open_connection(
                host, port, ssl=tls.client, server_hostname="localhost"
            ),
            number,
        )

    run_each(main)


def test_start_tls_of_several_loops_by_one_context(run_each, tls):
    async def serve(reader, writer):
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"GO\n")
        await writer.start_tls(tls.server)
        await answer(reader, writer)

    async def main(number):
        async with await asyncio.start_server(serve, LOOPBACK, 0) as server:
            for n in range(5):
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(b"STARTTLS\n")
                assert await reader.readline() == b"GO\n"
                await writer.start_tls(tls.client, server_hostname="localhost")
                await ask(reader, writer, number * 10 + n)

    run_each(main)


def test_broken_connections_leave_other_loops_alone(run_each, tls):
    """Errors of OpenSSL are the thread's, the context is all loops'."""
    secure = {"ssl": tls.client, "server_hostname": "localhost"}

    async def broken(address, number):
        """A client that ends in the middle: by a reset, or with what is no record."""
        if number % 2:
            _, writer = await asyncio.open_connection(*address, **secure)
            writer.write(b"a line and a half\na ")
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"this is no record\n")
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
        await closed(writer)

    async def main(number):
        calls = HandlerCalls.of(asyncio.get_running_loop())
        server = await asyncio.start_server(answer, LOOPBACK, 0, ssl=tls.server)
        address = server.sockets[0].getsockname()
        async with server:
            for n in range(6):
                reader, writer = await asyncio.open_connection(*address, **secure)
                talking = asyncio.ensure_future(ask(reader, writer, number * 10 + n))
                await broken(address, n)
                await talking
                with pytest.raises(ssl.SSLCertVerificationError):
                    await asyncio.open_connection(*address, **secure | {"ssl": tls.stranger})
        assert {type(exc) for exc in calls.exceptions} <= {ConnectionResetError}

    run_each(main)


# ---- what is replaced on asyncio's classes ----


def test_feed_data_may_be_replaced_while_loops_read(loop_factory, monkeypatch):
    """… again and again; at last for good, and from then on all that comes goes through it."""
    original, fed = asyncio.StreamReader.feed_data, []
    counts, enough, for_good = [0] * LOOPS, [], threading.Event()

    def replaced(self, data):
        fed.append(bytes(data))
        original(self, data)

    async def main(number):
        async with stream_and_peer() as (reader, _, peer):
            while not enough:
                line = b"%d %d\n" % (number, counts[number])
                peer.send(line)
                assert await reader.readline() == line
                counts[number] += 1
            data = payload(number, 200_000)
            sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(peer, data))
            assert await reader.readexactly(len(data)) == data
            await sending
            assert for_good.wait(PATIENCE)
            last = b"last of %d" % number
            peer.send(last)
            assert await reader.readexactly(len(last)) == last
            assert last in fed

    def lines_are_read():
        before = sum(counts)
        while sum(counts) < before + LOOPS:
            time.sleep(0)

    def work(number):
        if number < LOOPS:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                runner.run(main(number))
            return
        for _ in range(100):  # a class has a thousand versions, and other tests take some
            asyncio.StreamReader.feed_data = replaced
            lines_are_read()
            asyncio.StreamReader.feed_data = original
            lines_are_read()
        enough.append(True)
        asyncio.StreamReader.feed_data = replaced
        for_good.set()

    monkeypatch.setattr(asyncio.StreamReader, "feed_data", original)  # put back at the end
    in_threads(LOOPS + 1, work)
