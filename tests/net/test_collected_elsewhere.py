"""What a loop has lost is collected in another thread, also while the loop is at work."""

import asyncio
import contextlib
import gc
import os
import socket
import sys
import threading
import time
import warnings

import pytest
from datagram_peers import Datagrams
from helpers import PATIENCE, HandlerCalls, only_pyaio, open_fds
from peers import LOOPBACK, Accepting, Recorder, closed, tcp_pair, turns, unix_pair, until
from pipe_ends import connected
from thread_peers import LOOPS, beside, busy, hearing, in_clear_and_secure, unclosed
from threads_at_work import in_threads, running

pytestmark = pytest.mark.usefixtures("short_turns_of_threads")


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
