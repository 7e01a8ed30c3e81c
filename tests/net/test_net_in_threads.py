"""Connections beside other threads: loops side by side, calls from outside, garbage of a loop
that is collected elsewhere. Builds without a GIL run all of it at once.
"""

import asyncio
import contextlib
import gc
import os
import random
import socket
import ssl
import struct
import sys
import threading
import time
import warnings

import pytest
from datagram_peers import Datagrams, address_of, endpoint
from helpers import HANG, PATIENCE, HandlerCalls, only_pyaio, open_fds, wait_until
from peers import (
    LOOPBACK,
    Accepting,
    Buffered,
    Recorder,
    closed,
    connection,
    ended,
    fill,
    finish,
    stream_and_peer,
    take,
    tcp_pair,
    there_is,
    turns,
    unix_pair,
    until,
    with_peer,
)
from pipe_ends import connected, reading, writing
from test_tls import View, secured
from threads_at_work import in_threads

pytestmark = pytest.mark.usefixtures("short_turns_of_threads")

#: How many run beside each other.
LOOPS = 4


@pytest.fixture
def run_each(loop_factory, nothing_left_alive):
    """`run_each(main, *args)`: main(number, *args), each on a loop and in a thread of its own."""

    def run_each(main, *args):
        def work(number):
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                return runner.run(main(number, *args))

        return in_threads(LOOPS, work)

    return run_each


@contextlib.contextmanager
def running(loop):
    """Inside, the loop runs in another thread; gives a function that returns once it sleeps."""
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def sleeps():
        with open(f"/proc/self/task/{thread.native_id}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "S"

    try:
        yield lambda: wait_until(sleeps, "the loop is about to wait")
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(HANG)
        assert not thread.is_alive()


def payload(seed, size):
    """Bytes that no other seed has."""
    return random.Random(str(seed)).randbytes(size)


class Echo(Recorder):
    def data_received(self, data):
        super().data_received(data)
        self.transport.write(data)


class BufferedEcho(View):
    def buffer_updated(self, nbytes):
        super().buffer_updated(nbytes)
        self.transport.write(bytes(self.buffer[:nbytes]))


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


async def answer(reader, writer):
    """A server: a line for a line, then all that follows, as it comes."""
    for _ in range(50):
        writer.write((await reader.readline()).swapcase())
    while data := await reader.read(10_000):
        writer.write(data)
        await writer.drain()
    writer.close()


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


# ---- garbage of a loop, collected in another thread ----


@pytest.fixture
def no_collections():
    """The collector runs when a test asks for it, and so in the thread that asks."""
    gc.disable()
    yield
    gc.enable()


#: What a test has to see: warnings, and who has died in which thread.
elsewhere = pytest.mark.usefixtures("no_collections")


class Fate:
    """In a cycle of garbage: notes the thread in which it is collected."""

    def __init__(self, notes):
        self.notes = notes

    def __del__(self):
        self.notes.append(threading.get_ident())


@contextlib.contextmanager
def collected_elsewhere(notes, count):
    """At the end *count* have died, none of them in this thread."""
    yield
    assert len(notes) == count
    assert threading.get_ident() not in notes


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


class Deaf(Recorder):
    """Never reads: the loop does not hold its transport."""

    def connection_made(self, transport):
        super().connection_made(transport)
        transport.pause_reading()


class DeafDatagrams(Deaf, Datagrams):
    pass


def drop(transport, protocol, notes):
    """Make garbage of a transport that does not read, in a cycle; return what file it has open."""
    protocol.fate = Fate(notes)
    protocol.cycle = (transport, protocol)
    file = transport.get_extra_info("socket") or transport.get_extra_info("pipe")
    return open_fds()[file.fileno()]


async def drop_stream(notes, pair=tcp_pair):
    ours, peer = pair()
    peer.close()
    return drop(*await asyncio.get_running_loop().create_connection(Deaf, sock=ours), notes)


async def drop_unix_stream(notes):
    return await drop_stream(notes, unix_pair)


async def drop_accepted(notes):
    accepting = Accepting(Deaf)
    server = await asyncio.get_running_loop().create_server(accepting, LOOPBACK, 0)
    socket.create_connection(server.sockets[0].getsockname()).close()
    await accepting.connected()
    server.close()
    await turns()  # the task that has accepted it ends
    protocol = accepting.pop()
    return drop(protocol.transport, protocol, notes)


async def drop_datagrams(notes):
    loop = asyncio.get_running_loop()
    made = await loop.create_datagram_endpoint(DeafDatagrams, local_addr=(LOOPBACK, 0))
    return drop(*made, notes)


async def drop_pipe(notes):
    protocol, other = await connected("read", Deaf)
    other.close()
    return drop(protocol.transport, protocol, notes)


KINDS = [drop_stream, drop_unix_stream, drop_accepted, drop_datagrams, drop_pipe]


async def drop_all(notes):
    """Drop transports of all kinds; return the files that they have open."""
    return {await drop(notes) for drop in KINDS}


@elsewhere
@beside
def test_transports_that_another_thread_collects_are_closed(run, beside):
    async def main():
        notes, files = [], set()
        async with beside():
            for _ in range(10):
                files |= await drop_all(notes)
            assert files <= set(open_fds().values())
            with collected_elsewhere(notes, len(files)):
                await asyncio.to_thread(gc.collect)
            await until(lambda: files.isdisjoint(open_fds().values()))
            assert len(files) == 10 * len(KINDS)

    with unclosed("unclosed transport"):
        run(main)


@elsewhere
def test_transports_of_a_closed_loop_are_collected_in_another_thread(loop_factory):
    notes = []
    with unclosed("unclosed transport"):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            files = runner.run(drop_all(notes))
        with collected_elsewhere(notes, len(KINDS)):
            in_threads(1, lambda _: gc.collect())
        assert files.isdisjoint(open_fds().values())


@elsewhere
@only_pyaio  # asyncio's repr() then finds no selector
def test_transports_are_collected_while_their_loop_is_closed(loop_factory):
    def work(number):
        if number:
            gc.collect()
        else:
            loop.close()

    notes = []
    with unclosed("unclosed transport"):
        for _ in range(10):
            loop = loop_factory()
            files = loop.run_until_complete(drop_all(notes))
            in_threads(2, work)
            assert files.isdisjoint(open_fds().values())
    assert len(notes) == 10 * len(KINDS)


@elsewhere
def test_the_server_of_a_collected_transport_hears_of_its_end(run, loop_kind):
    if loop_kind == "asyncio" and sys.version_info < (3, 13):
        pytest.skip("the finalizer of asyncio's transport tells its server since 3.13")

    async def main():
        notes, accepting = [], Accepting(Deaf)
        server = await asyncio.get_running_loop().create_server(accepting, LOOPBACK, 0)
        socket.create_connection(server.sockets[0].getsockname()).close()
        await accepting.connected()
        server.close()
        await turns()  # the task that has accepted it ends
        drop(accepting[0].transport, accepting.pop(), notes)
        with collected_elsewhere(notes, 1):
            await asyncio.to_thread(gc.collect)
        async with asyncio.timeout(PATIENCE):
            await server.wait_closed()

    with unclosed("unclosed transport"):
        run(main)


@elsewhere
def test_a_loop_that_waits_closes_what_another_thread_collects(loop):
    """Nothing else wakes it."""

    async def accept():
        accepting = Accepting(Deaf)
        server = await loop.create_server(accepting, LOOPBACK, 0)
        peer = socket.create_connection(server.sockets[0].getsockname(), PATIENCE)
        await accepting.connected()
        server.close()
        await turns()  # the task that has accepted it ends
        protocol = accepting.pop()
        protocol.cycle = (protocol.transport, protocol)
        return peer

    peer = loop.run_until_complete(accept())
    with unclosed("unclosed transport"), peer, running(loop) as until_it_sleeps:
        until_it_sleeps()
        gc.collect()
        assert peer.recv(1) == b""


def pair_with(number):
    """Two connected sockets, of which the first has this free number."""
    ours, peer = unix_pair()
    if peer.fileno() == number:
        return peer, ours
    if ours.fileno() != number:
        os.dup2(ours.fileno(), number)
        ours.close()
        ours = socket.socket(fileno=number)
    return ours, peer


@elsewhere
def test_the_number_of_a_collected_transport_may_be_used_at_once(run):
    """The collector closes the file itself, before the loop has heard of it."""

    async def drop_and_use(drop):
        notes = []
        file = await drop(notes)
        number = {what: number for number, what in open_fds().items()}[file]
        with collected_elsewhere(notes, 1):
            in_threads(1, lambda _: gc.collect())  # without a turn of the loop
        assert file not in open_fds().values()
        ours, peer = pair_with(number)
        with ours, peer:
            reader, writer = await asyncio.open_connection(sock=ours)
            peer.send(b"data")
            assert await reader.readexactly(4) == b"data"
            await closed(writer)

    async def main():
        for drop in KINDS:
            await drop_and_use(drop)

    with unclosed("unclosed transport"):
        run(main)


@only_pyaio  # asyncio's repr() finds no selector once the loop is closed
def test_collections_of_another_thread_leave_loops_alone(loop_factory):
    """All that loops make and drop, while the collector looks at all of it."""
    dropped, done = [], []

    async def main():
        async with busy():
            for _ in range(20):
                await drop_all([])
                dropped.append(True)

    def work(number):
        if number < LOOPS:
            try:
                with asyncio.Runner(loop_factory=loop_factory) as runner:
                    runner.run(main())
            finally:
                done.append(True)
            return
        while len(done) < LOOPS:
            count = len(dropped)
            gc.collect()
            # One after the other would leave the loops no time: all threads stop for it.
            while len(dropped) <= count and len(done) < LOOPS:
                time.sleep(0)

    with unclosed("unclosed transport"):
        in_threads(LOOPS + 1, work)
        gc.collect()


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


@elsewhere
@beside
@in_clear_and_secure
@only_pyaio  # asyncio: repr() of a transport that ends meanwhile
def test_a_writer_that_another_thread_collects_closes_the_connection(run, tls, beside, secure):
    async def drop_writer(connect, notes):
        reader, writer = await connect()
        writer.fate, writer.cycle = Fate(notes), writer
        return reader  # its end would abort the connection

    async def main():
        notes, ends, count = [], [], 5
        async with beside(), hearing(ends, tls if secure else None) as connect:
            readers = [await drop_writer(connect, notes) for _ in range(count)]
            with collected_elsewhere(notes, count):
                await asyncio.to_thread(gc.collect)
            async with asyncio.timeout(PATIENCE):
                assert [await reader.read() for reader in readers] == [b""] * count
            await until(lambda: ends == [b""] * count)

    with unclosed("unclosed <StreamWriter"):
        run(main)


async def use(writer, fate, waiting):
    """A coroutine of the program's that nobody awaits to its end."""
    try:
        await waiting
    finally:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            writer.close()


async def drop_user(connect, notes, as_task):
    """Leave a coroutine behind that uses a new stream; return that."""
    stream = await connect()
    loop = asyncio.get_running_loop()
    waiting = loop.create_future()
    user = use(stream[1], Fate(notes), waiting)
    if as_task:
        loop.create_task(user)  # noqa: RUF006
        await asyncio.sleep(0)
    else:
        user.send(None)
        waiting.add_done_callback(user.send)
    return stream


@elsewhere
@beside
@in_clear_and_secure
@only_pyaio  # asyncio: TLS is shut down in two threads at once
def test_a_coroutine_that_another_thread_collects_may_close_a_writer(run, tls, beside, secure):
    async def main():
        calls = HandlerCalls.of(asyncio.get_running_loop())
        notes, ends, count = [], [], 10
        async with beside(), hearing(ends, tls if secure else None) as connect:
            streams = [await drop_user(connect, notes, as_task=n % 2) for n in range(count)]
            with collected_elsewhere(notes, count):
                await asyncio.to_thread(gc.collect)
            async with asyncio.timeout(PATIENCE):
                assert [await reader.read() for reader, _ in streams] == [b""] * count
            await until(lambda: ends == [b""] * count)
        destroyed = [call["message"] for call in calls]
        assert destroyed == ["Task was destroyed but it is pending!"] * (count // 2)

    run(main)


async def wait_for_data(sock, fate):
    await asyncio.get_running_loop().sock_recv(sock, 10)


async def drop_wait(sock, notes):
    """Leave a task behind that waits for the socket, until somebody else does."""
    asyncio.get_running_loop().create_task(wait_for_data(sock, Fate(notes)))
    await asyncio.sleep(0)


@elsewhere
@beside
def test_waits_that_were_replaced_are_collected_in_another_thread(run, pair, beside):
    async def main():
        loop = asyncio.get_running_loop()
        calls, notes, count = HandlerCalls.of(loop), [], 10
        async with beside():
            for _ in range(count):
                await drop_wait(pair[0], notes)
            last = loop.create_task(loop.sock_recv(pair[0], 10))
            await asyncio.sleep(0)
            with collected_elsewhere(notes, count):
                await asyncio.to_thread(gc.collect)
            pair[1].send(b"data")
            async with asyncio.timeout(PATIENCE):
                assert await last == b"data"
        assert len(calls) == count

    run(main)


def test_a_wait_that_another_thread_closes_is_over(run, pair):
    """A coroutine that no task runs, which another thread lets go."""

    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(20):
            waits = [loop.sock_recv(sock, 10) for sock in pair]
            for wait in waits:
                wait.send(None)
            closing = [asyncio.to_thread(wait.close) for wait in waits]
            async with busy():
                await asyncio.gather(*closing)
            last = loop.create_task(loop.sock_recv(pair[0], 10))
            await asyncio.sleep(0)
            pair[1].send(b"data")
            async with asyncio.timeout(PATIENCE):
                assert await last == b"data"

    run(main)


async def stream_to_plain(tls=None):
    """A stream and the plain socket at its other end, which has shaken hands in another thread."""
    ours, peer = tcp_pair()
    if tls is None:
        return await asyncio.open_connection(sock=ours), peer
    peer.setblocking(True)
    shaking = asyncio.to_thread(tls.server.wrap_socket, peer, server_side=True)
    return await asyncio.gather(
        asyncio.open_connection(sock=ours, ssl=tls.client, server_hostname="localhost"), shaking
    )


@elsewhere
@in_clear_and_secure
@pytest.mark.parametrize("while_closing", [False, True])
@only_pyaio  # asyncio: close() takes the selector away in between
def test_what_waits_on_a_closed_loop_is_collected_in_another_thread(
    loop_factory, pair, tls, secure, while_closing
):
    """Coroutines, which close their streams, and waits, one of which is replaced."""

    async def connect():
        stream, peer = await stream_to_plain(tls if secure else None)
        streams.append(stream)
        peers.append(peer)
        return stream

    async def main():
        await drop_user(connect, notes, as_task=False)
        for _ in range(2):
            await drop_wait(pair[0], notes)
        await asyncio.get_running_loop().shutdown_default_executor()

    notes, streams, peers = [], [], []
    for _ in range(5):
        loop = loop_factory()
        calls = HandlerCalls.of(loop)
        loop.run_until_complete(main())
        if while_closing:
            in_threads(2, lambda number, loop=loop: gc.collect() if number else loop.close())
        else:
            loop.close()
        in_threads(1, lambda _: gc.collect())
        destroyed = [call["message"] for call in calls]
        assert destroyed == ["Task was destroyed but it is pending!"] * 2
    assert len(notes) == 5 * 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        streams.clear()
        gc.collect()
    for peer in peers:
        peer.close()


# ---- calls from another thread ----


@beside
@pytest.mark.usefixtures("epoll_backend")  # libuv lets go of a number when it has polled
@only_pyaio  # asyncio: what is cancelled while it is called is reported
def test_another_thread_may_add_and_remove_readers(run, beside):
    def take_one(sock, called):
        seen.append(sock.recv(1))
        called.set()

    def meddle(loop):
        for _ in range(20):
            ours, theirs = unix_pair()
            with ours, theirs:
                called = threading.Event()
                loop.add_reader(ours, take_one, ours, called)
                theirs.send(b"x")
                assert called.wait(PATIENCE)
                assert loop.remove_reader(ours) is True
                theirs.send(b"y")
                assert loop.remove_reader(ours) is False

    async def main():
        async with beside():
            await asyncio.to_thread(meddle, asyncio.get_running_loop())
            await turns()
            assert seen == [b"x"] * 20

    seen = []
    run(main)


def test_a_loop_that_waits_hears_of_what_another_thread_asks(loop, pair):
    """Nothing else wakes it: what is written and not taken at once leaves, what came is read."""
    ours, peer = pair
    peer.settimeout(PATIENCE)
    transport, protocol = loop.run_until_complete(loop.create_connection(Recorder, sock=ours))
    data = payload(0, 10_000_000)
    with running(loop) as until_it_sleeps:
        until_it_sleeps()
        transport.write(data)
        with peer.makefile("rb") as file:
            assert file.read(len(data)) == data
        until_it_sleeps()
        transport.pause_reading()
        peer.send(b"data")
        until_it_sleeps()
        transport.resume_reading()
        wait_until(lambda: protocol.data == b"data")
    loop.run_until_complete(finish(protocol))


@contextlib.asynccontextmanager
async def a_stream():
    async with with_peer() as (protocol, _):
        yield protocol


@contextlib.asynccontextmanager
async def a_sink():
    async with writing(Recorder) as (protocol, _):
        yield protocol


@contextlib.asynccontextmanager
async def a_source():
    async with reading() as (protocol, _):
        yield protocol


@beside
@only_pyaio  # asyncio's repr() and close() may meet in two threads
def test_another_thread_may_end_a_transport(run, beside):
    async def end(transport_of, method):
        async with transport_of() as protocol:
            await asyncio.to_thread(getattr(protocol.transport, method))
            assert await ended(protocol.lost) is None
            assert protocol.transport.is_closing()
            assert protocol.events.count("lost") == 1

    async def main():
        async with beside():
            for _ in range(3):
                for transport_of in (a_stream, endpoint, a_sink):
                    await end(transport_of, "close")
                    await end(transport_of, "abort")
                await end(a_source, "close")

    run(main)


@beside
@only_pyaio  # asyncio may lose the last of it: it stops to watch the socket meanwhile
def test_what_another_thread_writes_arrives(run, beside):
    pieces = [payload(n, 1 + n % 50) for n in range(200)]

    def write(transport):
        for piece in pieces:
            transport.write(piece)
        transport.writelines(pieces)

    async def main():
        async with beside(), with_peer() as (protocol, peer):
            await asyncio.to_thread(write, protocol.transport)
            expected = b"".join(pieces) * 2
            assert await take(peer, len(expected)) == expected

    run(main)


@only_pyaio  # asyncio's transport loses bytes where the loop empties its buffer meanwhile
def test_what_several_threads_write_arrives_whole(run):
    """A message of one is not cut by another's, and each thread's come in their order."""
    head = struct.Struct("!HHI")

    def messages(number):
        for n in range(200):
            data = payload((number, n), 1 + (n * 97) % 3000)
            yield head.pack(number, n, len(data)) + data

    def write(transport, number):
        for message in messages(number):
            transport.write(message)

    async def main():
        async with busy(), stream_and_peer() as (_, writer, peer):
            threads = [asyncio.to_thread(write, writer.transport, n) for n in range(3)]
            writing = asyncio.gather(*threads)
            for message in messages(3):
                writer.write(message)
                await asyncio.sleep(0)
            data = await take(peer, sum(len(m) for n in range(4) for m in messages(n)))
            await writing
        return data

    data, left = run(main), [list(messages(number)) for number in range(4)]
    while data:
        message = left[head.unpack_from(data)[0]].pop(0)
        assert data[: len(message)] == message
        data = data[len(message) :]
    assert left == [[]] * 4


@only_pyaio  # asyncio's SSLProtocol does not stand to be called by two threads
def test_what_another_thread_writes_to_tls_arrives(run, tls):
    """… while the loop reads and writes by the same connection of OpenSSL."""
    pieces = [payload(n, 1 + n * 10) for n in range(300)]

    def write(transport):
        for piece in pieces:
            transport.write(piece)

    async def main():
        async with secured(tls) as (near, far):
            writing = asyncio.ensure_future(asyncio.to_thread(write, near.transport))
            for piece in pieces:
                far.transport.write(piece)
                await asyncio.sleep(0)
            await writing
            expected = b"".join(pieces)
            assert await far.received(len(expected)) == expected
            assert await near.received(len(expected)) == expected

    run(main)


@contextlib.asynccontextmanager
async def meddling(function, *args):
    """Inside, another thread calls the function again and again."""

    def meddle():
        while not done:
            function(*args)

    done = []
    task = asyncio.ensure_future(asyncio.to_thread(meddle))
    try:
        yield
    finally:
        done.append(True)
        await task


@beside
@only_pyaio  # asyncio: the reader that is there twice, or never more
def test_another_thread_may_pause_and_resume(run, beside):
    def meddle(transport):
        transport.pause_reading()
        transport.resume_reading()

    async def main():
        data = payload(0, 2_000_000)
        async with beside(), with_peer() as (protocol, peer):
            async with meddling(meddle, protocol.transport):
                await asyncio.get_running_loop().sock_sendall(peer, data)
                assert await protocol.received(len(data)) == data
            assert protocol.transport.is_reading()

    run(main)


@beside
@only_pyaio  # asyncio's queue may be emptied by both at once
def test_what_another_thread_sends_by_datagrams_arrives(run, beside):
    def send(transport, address):
        for start in range(0, len(packets), 50):  # no more than the kernel keeps
            for packet in packets[start : start + 50]:
                transport.sendto(packet, address)
            wait_until(lambda count=start + 50: len(received) >= count)

    async def main():
        async with beside(), endpoint() as near, endpoint() as far:
            far.received = received
            await asyncio.to_thread(send, near.transport, address_of(far))
            assert far.packets == packets

    packets, received = [payload(n, 1 + n * 3) for n in range(200)], []
    run(main)


def test_another_thread_may_look_at_transports(run):
    """What is gathered in a turn leaves once, whoever asks how much there is."""

    def look(transport, peername):
        assert transport.get_extra_info("peername") == peername
        assert transport.get_extra_info("socket").fileno() > 0
        assert transport.get_extra_info("nothing", 1) == 1
        assert transport.get_write_buffer_limits() == (1 << 14, 1 << 16)
        assert transport.get_write_buffer_size() < 1 << 16
        assert not transport.is_closing() and transport.is_reading()
        assert "fd=" in repr(transport)

    async def main():
        async with with_peer() as (protocol, peer):
            parts, data = [b"%06d;" % n for n in range(1500)], bytearray()
            seen = protocol.transport, peer.getsockname()
            async with meddling(look, *seen), meddling(look, *seen):
                for n in range(0, len(parts), 3):
                    for part in parts[n : n + 3]:
                        protocol.transport.write(part)
                    await asyncio.sleep(0)
                    data += there_is(peer)
            data += await take(peer, 1500 * 7 - len(data))
            await turns()
            assert data + there_is(peer) == b"".join(parts)

    run(main)


def test_another_thread_may_ask_for_a_protocol_that_is_replaced(run):
    """What it gets is there, whatever the loop has set meanwhile."""

    class Short(asyncio.Protocol):
        def __init__(self):
            self.here = [True] * 50

    def ask(transport):
        for _ in range(1000):
            assert transport.get_protocol().here

    async def main():
        async with with_peer() as (protocol, _):
            transport = protocol.transport
            transport.set_protocol(Short())
            async with meddling(ask, transport), meddling(ask, transport):
                for _ in range(100):
                    for _ in range(500):
                        transport.set_protocol(Short())
                    await asyncio.sleep(0)
            transport.set_protocol(protocol)

    run(main)


@beside
@only_pyaio  # asyncio: its heap of timers is a list
def test_another_thread_may_set_and_cancel_timers(run, beside):
    def set_timers(loop):
        timers = [loop.call_later(0.02 + n / 1000, fired.append, n) for n in range(50)]
        for timer in timers[::2]:
            timer.cancel()

    async def main():
        async with beside():
            await asyncio.to_thread(set_timers, asyncio.get_running_loop())
            await until(lambda: set(fired) >= set(odd))
            assert [n for n in fired if n % 2] == odd  # others may have been due before that

    fired, odd = [], list(range(1, 50, 2))
    run(main)


@beside
def test_another_thread_may_have_a_server_closed(run, beside):
    async def main():
        loop = asyncio.get_running_loop()
        async with beside():
            server = await asyncio.start_server(answer, LOOPBACK, 0)
            address = server.sockets[0].getsockname()
            await asyncio.to_thread(loop.call_soon_threadsafe, server.close)
            await until(lambda: not server.is_serving())
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*address)

    run(main)


def test_another_thread_may_run_the_loop_and_another_close_it(loop_factory):
    """A connection goes on from thread to thread; each run is alone."""

    async def begin():
        stack = contextlib.AsyncExitStack()
        near, far = await stack.enter_async_context(connection(Recorder, Echo))
        return stack, near, far

    async def go_on(near, number):
        near.transport.write(payload(number, 10_000))
        await near.received(10_000 * (number + 1))

    def in_thread(function):
        return in_threads(1, lambda _: function())[0]

    loop = loop_factory()
    stack, near, far = in_thread(lambda: loop.run_until_complete(begin()))
    for number in range(5):
        in_thread(lambda number=number: loop.run_until_complete(go_on(near, number)))
    assert near.data == far.data == b"".join(payload(number, 10_000) for number in range(5))
    in_thread(lambda: loop.run_until_complete(stack.aclose()))
    in_thread(loop.close)
    assert loop.is_closed()


@pytest.mark.parametrize("write_more", [False, True])
def test_another_thread_may_close_a_loop_with_open_transports(loop_factory, write_more):
    """… and a third one collects them."""

    async def open_all():
        loop = asyncio.get_running_loop()
        ours, peer = tcp_pair()
        _, stream = await loop.create_connection(Recorder, sock=ours)
        _, datagrams = await loop.create_datagram_endpoint(Datagrams, local_addr=(LOOPBACK, 0))
        source, its_other = await connected("read", Recorder)
        sink, other = await connected("write", Recorder)
        if write_more:  # than goes at once: the loop waits for all of them
            fill(stream.transport)
            fill(sink.transport)
        return [stream, datagrams, source, sink], [peer, its_other, other]

    def finish():
        protocols.clear()
        gc.collect()

    loop, before = loop_factory(), open_fds()
    protocols, others = loop.run_until_complete(open_all())
    in_threads(1, lambda _: loop.close())
    assert loop.is_closed()
    assert not any(protocol.transport.is_closing() for protocol in protocols)
    with unclosed("unclosed transport"):
        in_threads(1, lambda _: finish())
    for other in others:
        other.close()
    assert set(open_fds().items()) <= set(before.items())


# ---- coroutines from other threads ----


@in_clear_and_secure
def test_several_threads_have_one_loop_open_connections(loop, tls, secure):
    async def talk(connect, number):
        reader, writer = await connect()
        data = payload(number, 5000)
        writer.write(data + b"\n")
        writer.write_eof() if writer.can_write_eof() else writer.close()
        assert await reader.read() == b""
        await closed(writer)
        return data + b"\n"

    def work(number):
        waits = [
            asyncio.run_coroutine_threadsafe(talk(connect, number * 10 + n), loop)
            for n in range(10)
        ]
        return [wait.result(PATIENCE) for wait in waits]

    ends = []
    served = hearing(ends, tls if secure else None)
    connect = loop.run_until_complete(served.__aenter__())
    with running(loop):
        sent = in_threads(LOOPS, work)
    loop.run_until_complete(served.__aexit__(None, None, None))
    assert sorted(ends) == sorted(data for each in sent for data in each)
