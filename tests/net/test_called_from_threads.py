"""Transports, timers and servers of a loop are called from another thread."""

import asyncio
import contextlib
import gc
import struct
import threading

import pytest
from datagram_peers import Datagrams, address_of, endpoint
from helpers import HANG, PATIENCE, only_pyaio, open_fds, wait_until
from peers import (
    LOOPBACK,
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
from test_tls import secured
from thread_peers import (
    LOOPS,
    Echo,
    answer,
    beside,
    busy,
    hearing,
    in_clear_and_secure,
    payload,
    unclosed,
)
from threads_at_work import in_threads, running

pytestmark = pytest.mark.usefixtures("short_turns_of_threads")


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


@only_pyaio  # asyncio's watches the socket before the buffer has what is left
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
        return [wait.result(HANG) for wait in waits]

    ends = []
    served = hearing(ends, tls if secure else None)
    connect = loop.run_until_complete(served.__aenter__())
    with running(loop):
        sent = in_threads(LOOPS, work)
        wait_until(lambda: len(ends) == LOOPS * 10)  # the servers may end later than the clients
    loop.run_until_complete(served.__aexit__(None, None, None))
    assert sorted(ends) == sorted(data for each in sent for data in each)
