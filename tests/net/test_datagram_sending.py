"""sendto(): its arguments, the kinds of bytes that it takes, and what is queued."""

import asyncio
import os
import socket
import sys

import pytest
from datagram_peers import (
    HEADER,
    HEADERS_STAY,
    SENDS_EMPTY,
    endpoint,
    full,
    numbered,
    plain,
    taken,
)
from helpers import HandlerCalls
from peers import ended, turns, until


def test_the_arguments_have_asyncios_names(run):
    async def main():
        with plain() as (peer,):
            async with endpoint() as protocol:
                send, address = protocol.transport.sendto, peer.getsockname()
                send(data=b"1", addr=address)
                send(addr=address, data=b"2")
                send(b"3", addr=address)
                send(b"4", address)
                wrong = [
                    lambda: send(),
                    lambda: send(addr=address),
                    lambda: send(b"", data=b""),
                    lambda: send(b"", address, addr=address),
                    lambda: send(b"", address, 0),
                    lambda: send(b"", address=address),
                ]
                for call in wrong:
                    with pytest.raises(TypeError):
                        call()
                assert await taken(peer, 4) == [b"1", b"2", b"3", b"4"]

    run(main)


@pytest.mark.parametrize(
    "data",
    [b"", bytearray(), memoryview(b""), memoryview(b"abc")[3:]],
    ids=["bytes", "bytearray", "view", "end"],
)
def test_an_empty_packet_is_sent_since_3_13(run, data):
    async def main():
        with plain() as (peer,):
            async with endpoint(remote_addr=peer.getsockname()) as protocol:
                protocol.transport.sendto(data)
                protocol.transport.sendto(b"behind it")
                expected = [b"", b"behind it"] if SENDS_EMPTY else [b"behind it"]
                assert await taken(peer, len(expected)) == expected

    run(main)


@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize(
    ("data", "bytes_of"),
    [
        (bytearray(b"abcd"), b"abcd"),
        (memoryview(b"abcd"), b"abcd"),
        (memoryview(bytearray(b"abcd"))[1:3], b"bc"),
        (memoryview(b"abcdefgh").cast("I"), b"abcdefgh"),
        (memoryview(b"abcdefgh").cast("B", (2, 4)), b"abcdefgh"),
        (type("Bytes", (bytes,), {})(b"abcd"), b"abcd"),
    ],
    ids=["bytearray", "view", "part", "numbers", "matrix", "kind"],
)
def test_all_kinds_of_bytes(run, tmp_path, data, bytes_of, queued):
    async def main():
        if not queued:
            with plain() as (peer,):
                async with endpoint(remote_addr=peer.getsockname()) as protocol:
                    protocol.transport.sendto(data)
                    assert await taken(peer, 1) == [bytes_of]
            return
        async with full(tmp_path) as (protocol, peer, sent):
            protocol.transport.sendto(data)
            assert (await taken(peer, sent + 1))[-1] == bytes_of

    run(main)


@pytest.mark.parametrize("queued", [False, True])
def test_a_view_with_gaps_can_be_queued_and_not_sent(run, tmp_path, queued):
    async def main():
        calls = HandlerCalls.of(asyncio.get_running_loop())
        gaps = memoryview(b"a-b-c-")[::2]
        if queued:
            async with full(tmp_path) as (protocol, peer, sent):
                protocol.transport.sendto(gaps)
                assert (await taken(peer, sent + 1))[-1] == b"abc"
            return
        with plain() as (peer,):
            async with endpoint(remote_addr=peer.getsockname()) as protocol:
                protocol.transport.sendto(gaps)
                assert isinstance(await ended(protocol.lost), BufferError)
        assert [context["message"] for context in calls] == [
            "Fatal write error on datagram transport"
        ]

    run(main)


def test_what_is_no_bytes_is_refused_before_anything_else(run):
    async def main():
        with plain() as (peer,):
            async with endpoint(remote_addr=peer.getsockname()) as protocol:
                for data in ("text", None, 1, [b"x"], object()):
                    with pytest.raises(TypeError) as e:
                        protocol.transport.sendto(data, "an invalid address")
                    assert str(e.value) == (
                        f"data argument must be a bytes-like object, not {type(data).__name__!r}"
                    )
                protocol.transport.close()
                with pytest.raises(TypeError):
                    protocol.transport.sendto("text")
                await ended(protocol.lost)

    run(main)


# ---- the queue ----


def test_what_is_queued_arrives_in_order_as_it_was(run, tmp_path):
    async def main():
        async with full(tmp_path, size=1000) as (protocol, peer, sent):
            data = bytearray(1000)
            for n in range(sent, sent + 200):
                data[:4] = b"%04d" % n
                protocol.transport.sendto(data)
            data[:4] = b"late"
            got = await taken(peer, sent + 200)
            assert got == [numbered(n, 1000) for n in range(sent + 200)]
            await until(lambda: HEADERS_STAY or not protocol.transport.get_write_buffer_size())

    run(main)


def test_bytes_are_queued_without_a_copy(run, tmp_path):
    async def main():
        async with full(tmp_path) as (protocol, _, _):
            data = os.urandom(1000)
            before = sys.getrefcount(data)
            protocol.transport.sendto(data)
            assert sys.getrefcount(data) == before + 1
            protocol.transport.abort()
            assert sys.getrefcount(data) == before

    run(main)


def test_the_queue_counts_bytes_and_headers(run, tmp_path):
    async def main():
        async with full(tmp_path) as (protocol, _, _):
            sizes = [protocol.transport.get_write_buffer_size()]
            for data in (b"x" * 10, bytearray(20), memoryview(bytes(30))):
                protocol.transport.sendto(data)
                sizes.append(protocol.transport.get_write_buffer_size())
            expected = [4, 14, 34, 64]
            assert sizes == [size + HEADER * n for n, size in enumerate(expected, 1)]
            assert f"bufsize={sizes[-1]}" in repr(protocol.transport)
            assert "write=<polling" in repr(protocol.transport)

    run(main)


def test_an_address_in_a_queue_that_does_something_when_it_is_dropped(run, tmp_path):
    gone = []

    class Address:
        def __del__(self):
            self.transport.close()
            self.transport.abort()
            gone.append(self.transport.get_write_buffer_size())

    async def main():
        # asyncio then calls connection_lost() twice and reports the second.
        asyncio.get_running_loop().set_exception_handler(HandlerCalls())
        path = str(tmp_path / "peer")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.bind(path)
            async with endpoint(family=socket.AF_UNIX) as protocol:
                while not protocol.transport.get_write_buffer_size():
                    protocol.transport.sendto(b"data", path)
                address = Address()
                address.transport = protocol.transport
                protocol.transport.sendto(b"data", address)
                del address
                protocol.transport.abort()
                assert len(gone) == 1
                assert await ended(protocol.lost) is None
                await turns()

    run(main)
