"""loop.sendfile over transports, natively and by the fallback, and loop.sock_sendfile."""

import asyncio
import io
import os

import pytest
from peers import (
    LOOPBACK,
    Recorder,
    connection,
    ended,
    fill,
    finish,
    reset,
    take,
    tcp_pair,
    turns,
    until,
    with_peer,
)
from test_tls import secured

CONTENT = b"".join(n.to_bytes(4, "big") for n in range(300_000))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file of 1.2 MB."""
    path = tmp_path_factory.mktemp("sendfile") / "content"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def file(path):
    """The same file, open."""
    with path.open("rb") as file:
        yield file


async def sendfile(transport, file, *args, **kwargs):
    return await asyncio.get_running_loop().sendfile(transport, file, *args, **kwargs)


def test_a_whole_file_arrives(run, file):
    async def main():
        async with connection() as (near, far):
            assert await sendfile(near.transport, file) == len(CONTENT)
            assert await far.received(len(CONTENT)) == CONTENT
            assert file.tell() == len(CONTENT)

    run(main)


@pytest.mark.parametrize(
    ("offset", "count"),
    [(0, 10), (1000, None), (1000, 5000), (len(CONTENT) - 5, 100), (len(CONTENT), None)],
)
def test_a_part_of_a_file_arrives(run, file, offset, count):
    expected = CONTENT[offset:][:count]

    async def main():
        async with connection() as (near, far):
            assert await sendfile(near.transport, file, offset, count) == len(expected)
            if expected:  # versions differ in whether the place moves when nothing is sent
                assert file.tell() == offset + len(expected)
            near.transport.write(b"|end")
            assert await far.received(len(expected) + 4) == expected + b"|end"

    run(main)


def test_an_empty_file_sends_nothing(run, tmp_path):
    (tmp_path / "empty").touch()

    async def main():
        with (tmp_path / "empty").open("rb") as empty:
            async with connection() as (near, far):
                assert await sendfile(near.transport, empty) == 0
                near.transport.write(b"after")
                assert await far.received(5) == b"after"

    run(main)


def test_writes_before_and_after_keep_their_place(run, file):
    async def main():
        async with with_peer() as (protocol, peer):
            written = fill(protocol.transport)
            protocol.transport.write(b"before|")
            sending = asyncio.ensure_future(sendfile(protocol.transport, file))
            arrived = await take(peer, written + 7 + len(CONTENT))
            assert await sending == len(CONTENT)
            protocol.transport.write(b"|after")
            assert arrived[written:] == b"before|" + CONTENT
            assert await take(peer, 6) == b"|after"

    run(main)


def test_writing_while_a_file_is_sent_is_a_runtime_error(run, file):
    async def main():
        async with with_peer() as (protocol, peer):
            written = fill(protocol.transport)
            sending = asyncio.ensure_future(sendfile(protocol.transport, file))
            await turns()
            with pytest.raises(RuntimeError, match="sendfile is in progress"):
                protocol.transport.write(b"x")
            with pytest.raises(RuntimeError, match="sendfile is in progress"):
                protocol.transport.writelines([b"x"])
            await take(peer, written + len(CONTENT))
            await sending

    run(main)


def test_reading_goes_on_after_a_file_was_sent(run, file):
    async def main():
        async with connection() as (near, far):
            await sendfile(near.transport, file)
            far.transport.write(b"thanks")
            assert await near.received(6) == b"thanks"
            assert near.transport.is_reading()

    run(main)


@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_what_is_no_file_on_disk_goes_by_the_fallback(run, size):
    async def main():
        async with connection() as (near, far):
            source = io.BytesIO(CONTENT[:size])
            assert await sendfile(near.transport, source) == size
            near.transport.write(b"|end")
            assert await far.received(size + 4) == CONTENT[:size] + b"|end"

    run(main)


def test_without_fallback_it_is_refused(run):
    async def main():
        async with with_peer() as (protocol, _):
            with pytest.raises(asyncio.SendfileNotAvailableError):
                await sendfile(protocol.transport, io.BytesIO(b"x"), fallback=False)

    run(main)


def test_over_tls_it_goes_by_the_fallback(run, tls, file):
    async def main():
        async with secured(tls) as (near, far):
            with pytest.raises(RuntimeError, match="fallback is disabled"):
                await sendfile(near.transport, file, fallback=False)
            assert await sendfile(near.transport, file) == len(CONTENT)
            assert await far.received(len(CONTENT)) == CONTENT

    run(main)


def test_a_closing_transport_is_a_runtime_error(run, file):
    async def main():
        async with with_peer() as (protocol, _):
            protocol.transport.close()
            with pytest.raises(RuntimeError, match="Transport is closing"):
                await sendfile(protocol.transport, file)
            await ended(protocol.lost)

    run(main)


def test_a_foreign_transport_is_a_runtime_error(run, file):
    class Foreign(asyncio.Transport):
        def is_closing(self):
            return False

    async def main():
        with pytest.raises(RuntimeError, match="sendfile is not supported for transport"):
            await sendfile(Foreign(), file)

    run(main)


def test_a_text_file_is_a_value_error(run, path):
    async def main():
        with path.open(encoding="latin-1") as text:
            async with with_peer() as (protocol, _):
                with pytest.raises(ValueError, match="binary mode"):
                    await sendfile(protocol.transport, text)

    run(main)


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [({"count": 0}, ValueError), ({"count": -1}, ValueError), ({"count": "1"}, TypeError)],
)
def test_a_count_that_is_not_positive_is_refused(run, file, kwargs, error):
    async def main():
        async with with_peer() as (protocol, _):
            with pytest.raises(error, match="count must be a positive integer"):
                await sendfile(protocol.transport, file, **kwargs)

    run(main)


@pytest.mark.parametrize("offset", [-1, "0"])
def test_an_offset_that_is_negative_or_no_number_is_refused(run, file, offset):
    async def main():
        async with with_peer() as (protocol, _):
            with pytest.raises((ValueError, TypeError), match="offset must be a non-negative"):
                await sendfile(protocol.transport, file, offset)

    run(main)


def test_a_peer_that_resets_ends_it(run, loop_kind, reports, file):
    async def main():
        async with with_peer() as (protocol, peer):
            fill(protocol.transport)
            sending = asyncio.ensure_future(sendfile(protocol.transport, file))
            await turns()
            reset(peer)
            with pytest.raises(ConnectionError):
                await sending
            await ended(protocol.lost)

    run(main)
    if loop_kind == "asyncio":
        reports.take()  # it stumbles over a future that is done already


@pytest.fixture
def sparse(tmp_path):
    """An open file of 30 MiB, more than the sockets hold."""
    with (tmp_path / "sparse").open("w+b") as sparse:
        os.truncate(sparse.fileno(), 30 << 20)
        yield sparse


def test_a_cancelled_sendfile_leaves_the_transport_usable(run, sparse):
    async def main():
        async with with_peer() as (protocol, peer):
            sending = asyncio.ensure_future(sendfile(protocol.transport, sparse))
            await turns(20)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            protocol.transport.write(b"after")
            protocol.transport.write_eof()
            arrived = await take(peer, 40 << 20)
            assert len(arrived) < 30 << 20
            assert arrived.strip(b"\0") == b"after"

    run(main)


@pytest.mark.parametrize("method", ["abort", "close"])
def test_the_connection_ends_with_the_transport(run, loop_kind, reports, sparse, method):
    async def main():
        async with with_peer() as (protocol, peer):
            sending = asyncio.ensure_future(sendfile(protocol.transport, sparse))
            await turns(20)
            getattr(protocol.transport, method)()
            await ended(protocol.lost)
            arrived = await take(peer, 40 << 20)  # up to its end
            assert len(arrived) < 30 << 20
            if loop_kind == "asyncio":
                sending.cancel()  # which waits for ever
            with pytest.raises((ConnectionError, asyncio.CancelledError)):
                await sending

    run(main)
    if loop_kind == "asyncio":
        reports.take()  # it stumbles over a future that is done already


def test_a_disk_file_larger_than_the_socket_takes_at_once(run, sparse):
    async def main():
        async with connection() as (near, far):
            assert await sendfile(near.transport, sparse) == 30 << 20
            await until(lambda: len(far.data) == 30 << 20)
            assert not any(far.data[:: 1 << 12])

    run(main)


def test_sock_sendfile(run, file):
    async def main():
        ours, peer = tcp_pair()
        with ours, peer:
            loop = asyncio.get_running_loop()
            sending = asyncio.ensure_future(loop.sock_sendfile(ours, file, 4, 400_000))
            assert await take(peer, 400_000) == CONTENT[4:400_004]
            assert await sending == 400_000

    run(main)


def test_sock_sendfile_falls_back(run):
    async def main():
        ours, peer = tcp_pair()
        with ours, peer:
            loop = asyncio.get_running_loop()
            source = io.BytesIO(b"by hand")
            with pytest.raises(asyncio.SendfileNotAvailableError):
                await loop.sock_sendfile(ours, source, fallback=False)
            assert await loop.sock_sendfile(ours, source) == 7
            assert await take(peer, 7) == b"by hand"

    run(main)


def test_a_file_served_to_many_at_once(run, path):
    async def main():
        loop = asyncio.get_running_loop()

        class Serving(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                tasks.append(loop.create_task(self.serve()))

            async def serve(self):
                with path.open("rb") as file:
                    await loop.sendfile(self.transport, file)
                self.transport.close()
                await self.lost

        tasks = []
        async with await loop.create_server(Serving, LOOPBACK, 0) as server:
            address = server.sockets[0].getsockname()
            clients = [(await loop.create_connection(Recorder, *address))[1] for _ in range(10)]
            for client in clients:
                await ended(client.lost)
                assert client.data == CONTENT
            await asyncio.gather(*tasks)
            await finish(*clients)

    run(main)
