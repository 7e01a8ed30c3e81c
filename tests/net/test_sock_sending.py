"""loop.sock_sendall() and sock_sendto(): buffers, waits for room, failures."""

import asyncio
import gc
import itertools
import socket
import sys

import pytest
from peers import PATIENCE, reset, turns
from sock_calls import fill


async def drained(sock, count):
    """Read *count* bytes, as they come."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE):
        while count:
            count -= len(await loop.sock_recv(sock, min(count, 1 << 16)))


def test_sock_sendall_and_sock_recv(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        payload = bytes(range(256)) * 20_000
        sending = asyncio.ensure_future(loop.sock_sendall(pair[0], payload))
        received = bytearray()
        while len(received) < len(payload):
            received += await loop.sock_recv(pair[1], 1 << 16)
        await sending
        assert received == payload
        pair[0].close()
        assert await loop.sock_recv(pair[1], 10) == b""

    run(main)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_sock_sendall_of_any_buffer(run, stream_pair, kind, size):
    async def main():
        loop = asyncio.get_running_loop()
        data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        sending = asyncio.ensure_future(loop.sock_sendall(stream_pair[0], kind(data)))
        received = bytearray()
        async with asyncio.timeout(PATIENCE):
            while len(received) < size:
                received += await loop.sock_recv(stream_pair[1], 1 << 20)
            assert await sending is None
        assert received == data

    run(main)


def test_a_buffer_is_locked_while_it_is_sent(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        data = bytearray(20_000_000)
        sending = asyncio.ensure_future(loop.sock_sendall(pair[0], data))
        await turns()
        assert not sending.done()
        with pytest.raises(BufferError):
            data.append(1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await turns()
        del sending
        gc.collect()
        data.append(1)

    run(main)


def test_both_directions_at_once(run, stream_pair):
    async def main():
        loop = asyncio.get_running_loop()
        size = 3_000_000
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(
                *(loop.sock_sendall(sock, bytes(size)) for sock in stream_pair),
                *(drained(sock, size) for sock in stream_pair),
            )

    run(main)


def filled(send, *address):
    """Send datagrams until no more fits into the queue; return how many do."""
    for count in itertools.count():
        try:
            send(b"x", *address)
        except BlockingIOError:
            return count


def test_datagrams_wait_for_room(run):
    """The peer's queue is full: there is room again when it has read."""
    ours, theirs = socket.socketpair(type=socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)

        async def main():
            loop = asyncio.get_running_loop()
            count = filled(ours.send)
            sending = asyncio.ensure_future(loop.sock_sendall(ours, b"last"))
            await turns()
            assert not sending.done()
            for _ in range(count):
                await loop.sock_recv(theirs, 10)
            await asyncio.wait_for(sending, PATIENCE)
            assert await loop.sock_recv(theirs, 10) == b"last"

        run(main)


def test_datagrams_to_a_full_queue_of_a_path(run, tmp_path):
    """The sender is not connected: the kernel calls it writable all the time."""
    path = str(tmp_path / "queue")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(path)
        sender.setblocking(False)
        receiver.setblocking(False)

        async def main():
            loop = asyncio.get_running_loop()
            count = filled(sender.sendto, path)
            sending = asyncio.ensure_future(loop.sock_sendto(sender, b"last", path))
            await turns()
            assert not sending.done()
            for _ in range(count):
                assert await loop.sock_recvfrom(receiver, 10) == (b"x", None)
            assert await asyncio.wait_for(sending, PATIENCE) == 4
            assert await loop.sock_recv(receiver, 10) == b"last"

        run(main)


def test_a_failed_send_ends_a_wait(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        fill(pair[0])
        sending = asyncio.ensure_future(loop.sock_sendall(pair[0], bytes(1000)))
        await turns()
        assert not sending.done()
        reset(pair[1])
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(sending, PATIENCE)

    run(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ is new in 3.12 (PEP 688)")
def test_what_a_call_sends_may_close_the_call(loop, tmp_path):
    class Data:
        asked = 0

        def __buffer__(self, flags):
            self.asked += 1
            if self.asked == 2:
                sending.close()
            return memoryview(b"data")

    path = str(tmp_path / "full")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as theirs,
    ):
        ours.setblocking(False)
        theirs.bind(path)
        ours.connect(path)  # so that it waits for room
        fill(ours)
        sending = loop.sock_sendto(ours, data := Data(), path)
        future = sending.send(None)
        while data.asked < 2:
            theirs.recv(1 << 16)
            loop.call_later(0.001, loop.stop)
            loop.run_forever()
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            sending.send(None)
        assert future.result() == 4
        assert loop.remove_writer(ours) is False
