"""Transport.write and writelines: what they take, what arrives, what they refuse."""

import array
import asyncio
import gc
import select
import sys

import pytest
from helpers import PATIENCE
from peers import (
    Recorder,
    connection,
    ended,
    fill,
    on_asyncio,
    reset,
    take,
    turns,
    until,
    with_peer,
)

WARNING = "socket.send() raised exception."

#: Since 3.12 asyncio queues the caller's buffer itself and counts its items as bytes.
QUEUES_THE_BUFFER = sys.version_info >= (3, 12)


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        bytearray(b"hello"),
        memoryview(b"hello"),
        memoryview(bytearray(b"..hello.."))[2:-2],
        memoryview(array.array("H", range(1000))),
        memoryview(bytes(range(24))).cast("B", shape=[4, 6]),
        memoryview(b"").cast("B"),
        b"",
    ],
    ids=["bytes", "bytearray", "view", "slice", "items", "two-dimensional", "no-view", "no-bytes"],
)
@pytest.mark.parametrize("queued", [False, True], ids=["sent-at-once", "queued"])
def test_every_kind_of_buffer_arrives(run, loop_kind, data, queued):
    view = isinstance(data, memoryview) and data.nbytes != len(data)
    if loop_kind == "asyncio" and queued and view and QUEUES_THE_BUFFER:
        pytest.skip("asyncio cannot queue a view whose items are not bytes")

    async def main():
        async with with_peer() as (protocol, peer):
            before = fill(protocol.transport) if queued else 0
            protocol.transport.write(data)
            protocol.transport.write(b"|end")
            expected = bytes(data) + b"|end"
            arrived = await take(peer, before + len(expected))
            assert arrived[before:] == expected

    run(main)


async def what_becomes_of_a_view_with_gaps():
    calls = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: calls.append(context))
    async with with_peer() as (protocol, peer):
        protocol.transport.write(memoryview(b"h-e-l-l-o")[::2])
        if not protocol.transport.is_closing():
            protocol.transport.write_eof()
        arrived = await take(peer, 100)
        return arrived, [(call["message"], type(call["exception"])) for call in calls]


def test_a_view_with_gaps_arrives_whole_or_is_reported(run):
    """asyncio hands it to send(), which refuses it; a loop that copies may well send it."""
    assert run(what_becomes_of_a_view_with_gaps) in (
        (b"hello", []),
        (b"", [("Fatal write error on socket transport", BufferError)]),
    )


@pytest.mark.parametrize("queued", [False, True], ids=["sent-at-once", "queued"])
@pytest.mark.parametrize("view", [bytearray, memoryview], ids=["bytearray", "memoryview"])
def test_a_buffer_changed_after_write_is_sent_as_it_was(run, loop_kind, view, queued):
    if loop_kind == "asyncio" and queued and QUEUES_THE_BUFFER:
        pytest.skip("asyncio queues the buffer, not a copy")

    async def main():
        async with with_peer() as (protocol, peer):
            before = fill(protocol.transport) if queued else 0
            data = bytearray(b"a" * 100)
            protocol.transport.write(view(data))
            data[:] = b"b" * 100
            arrived = await take(peer, before + 100)
            assert arrived[before:] == b"a" * 100

    run(main)


def test_a_written_bytearray_can_be_resized_once_it_is_sent(run):
    async def main():
        async with with_peer() as (protocol, peer):
            data = bytearray(b"abc")
            protocol.transport.write(data)
            assert await take(peer, 3) == b"abc"
            data += b"d" * 10000
            assert len(data) == 10003

    run(main)


@pytest.mark.parametrize("data", ["text", 5, None, [b"x"], array.array("b", [1])])
def test_what_is_no_buffer_is_a_type_error(run, data):
    async def main():
        async with with_peer() as (protocol, peer):
            with pytest.raises(TypeError) as info:
                protocol.transport.write(data)
            protocol.transport.write(b"goes on")
            assert await take(peer, 7) == b"goes on"
            return str(info.value)

    message = run(main)
    assert message.startswith("data argument must be a bytes")
    assert message.endswith(f"not {type(data).__name__!r}")
    assert message == on_asyncio(main)


def test_write_takes_one_argument_and_returns_none(run):
    async def main():
        async with with_peer() as (protocol, _):
            assert protocol.transport.write(b"x") is None
            assert protocol.transport.writelines([b"x"]) is None
            for arguments in [(), (b"x", b"y")]:
                with pytest.raises(TypeError):
                    protocol.transport.write(*arguments)
            with pytest.raises(TypeError):
                protocol.transport.writelines()

    run(main)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: [b"a", bytearray(b"b"), memoryview(b"c")], b"abc"),
        (lambda: (b"a", b"b"), b"ab"),
        (lambda: (bytes([n]) for n in b"generated"), b"generated"),
        (lambda: iter([b"i", b"t"]), b"it"),
        (lambda: [b"", b"a", b"", b"b", b""], b"ab"),
        (lambda: [b"x"] * 3000, b"x" * 3000),  # more than one writev takes
        (lambda: [bytes([n % 251]) * 5000 for n in range(400)], None),
        (lambda: [memoryview(b"a-b-c-d").cast("B", shape=[7]), b"!"], b"a-b-c-d!"),
    ],
    ids=["list", "tuple", "generator", "iterator", "empties", "many", "large", "views"],
)
@pytest.mark.parametrize("queued", [False, True], ids=["sent-at-once", "queued"])
def test_writelines_sends_every_chunk_in_order(run, make, expected, queued):
    if expected is None:
        expected = b"".join(make())

    async def main():
        async with with_peer() as (protocol, peer):
            before = fill(protocol.transport) if queued else 0
            protocol.transport.writelines(make())
            protocol.transport.write(b"|end")
            arrived = await take(peer, before + len(expected) + 4)
            assert arrived[before:] == expected + b"|end"

    run(main)


@pytest.mark.parametrize("lines", [[], ()], ids=["list", "tuple"])
def test_writelines_of_nothing_sends_nothing(run, lines):
    async def main():
        async with with_peer() as (protocol, peer):
            protocol.transport.writelines(lines)
            protocol.transport.write(b"after")
            assert await take(peer, 5) == b"after"

    run(main)


@pytest.mark.parametrize("lines", [["text"], [b"a", 5], 7])
def test_writelines_of_what_is_no_buffer_is_a_type_error(run, lines):
    async def main():
        async with with_peer() as (protocol, _):
            with pytest.raises(TypeError):
                protocol.transport.writelines(lines)

    run(main)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio looks at the lines first")
def test_writelines_on_a_lost_connection_leaves_the_lines_alone(run):
    async def main():
        async with with_peer() as (protocol, _):
            protocol.transport.abort()
            lines = iter([b"a", b"b"])
            protocol.transport.writelines(lines)
            protocol.transport.writelines(7)
            assert list(lines) == [b"a", b"b"]
            await ended(protocol.lost)

    run(main)


def test_writelines_that_raises_midway_keeps_the_connection(run, loop_kind):
    if loop_kind == "asyncio" and sys.version_info >= (3, 15):
        pytest.skip("asyncio 3.15 then never sends again")

    def lines():
        yield b"a"
        raise ZeroDivisionError

    async def main():
        async with with_peer() as (protocol, peer):
            with pytest.raises(ZeroDivisionError):
                protocol.transport.writelines(lines())
            protocol.transport.write(b"b")
            protocol.transport.write_eof()
            return await take(peer, 10)

    assert run(main) in (b"b", b"ab")


def test_many_writes_in_one_turn_arrive_in_order(run):
    async def main():
        async with with_peer() as (protocol, peer):
            expected = bytearray()
            for n in range(3000):
                chunk = b"%d;" % n
                expected += chunk
                if n % 7:
                    protocol.transport.write(chunk)
                else:
                    protocol.transport.writelines([chunk[:1], chunk[1:]])
            assert await take(peer, len(expected)) == expected

    run(main)


def test_writes_over_many_turns_arrive_in_order(run):
    async def main():
        async with connection() as (near, far):
            expected = b"".join(b"%d;" % n for n in range(500))
            for n in range(500):
                near.transport.write(b"%d;" % n)
                await asyncio.sleep(0)
            assert await far.received(len(expected)) == expected

    run(main)


def test_writing_inside_connection_made(run):
    class Greeting(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"wel")
            transport.write(b"come")

    async def main():
        async with connection(server=Greeting) as (near, _):
            assert await near.received(7) == b"welcome"

    run(main)


def test_writing_inside_data_received_keeps_order(run):
    class Echo(Recorder):
        def data_received(self, data):
            super().data_received(data)
            for byte in data:
                self.transport.write(bytes([byte]))

    async def main():
        async with connection(server=Echo) as (near, _):
            near.transport.write(bytes(range(256)) * 8)
            assert await near.received(2048) == bytes(range(256)) * 8

    run(main)


@pytest.mark.parametrize("method", ["close", "abort"])
@pytest.mark.parametrize("writer", ["write", "writelines"])
def test_writes_after_close_are_dropped(run, reports, method, writer):
    async def main():
        async with with_peer() as (protocol, peer):
            protocol.transport.write(b"before")
            getattr(protocol.transport, method)()
            if writer == "write":
                protocol.transport.write(b"after")
            assert await take(peer, 100) in (b"before", b"")
            await ended(protocol.lost)

    run(main)
    assert reports.take() == []


def test_writes_after_close_are_warned_about_from_the_sixth_on(run, reports):
    async def main():
        async with with_peer() as (protocol, _):
            protocol.transport.close()
            said = []
            for _ in range(8):
                protocol.transport.write(b"x")
                said.append(reports.take())
            await ended(protocol.lost)
            return said

    # close() itself counts as the first of the five that pass in silence
    assert run(main) == [[]] * 4 + [[WARNING]] * 4


def test_writes_after_a_reset_are_dropped_and_warned_about(run, reports):
    async def main():
        async with with_peer() as (protocol, peer):
            reset(peer)
            await ended(protocol.lost)
            for _ in range(10):
                protocol.transport.write(b"x")
            assert protocol.transport.get_write_buffer_size() == 0

    run(main)
    said = reports.take()
    assert set(said) == {WARNING}
    assert len(said) == 6


def test_empty_writes_after_close_do_not_count(run, reports):
    async def main():
        async with with_peer() as (protocol, _):
            protocol.transport.abort()
            for _ in range(20):
                protocol.transport.write(b"")
            await ended(protocol.lost)

    run(main)
    assert reports.take() == []


def test_close_sends_what_is_queued_first(run):
    async def main():
        async with with_peer() as (protocol, peer):
            written = fill(protocol.transport)
            protocol.transport.write(b"the end")
            protocol.transport.close()
            assert protocol.events[-1] != "lost"
            arrived = await take(peer, written + 100)
            assert len(arrived) == written + 7
            assert arrived.endswith(b"the end")
            assert await ended(protocol.lost) is None

    run(main)


def test_writes_between_close_and_the_end_of_the_queue_do_not_break_it(run, reports):
    async def main():
        async with with_peer() as (protocol, peer):
            written = fill(protocol.transport)
            protocol.transport.close()
            protocol.transport.write(b"late")
            arrived = await take(peer, written + 100)
            assert arrived[:written].count(0xAA) == written
            assert arrived[written:] in (b"", b"late")
            assert await ended(protocol.lost) is None

    run(main)
    reports.take()


@pytest.mark.parametrize("size", [1, 100_000, 5_000_000])
def test_write_then_close_delivers_everything(run, size):
    async def main():
        async with connection() as (near, far):
            near.transport.write(b"z" * size)
            near.transport.close()
            await ended(far.lost)
            assert len(far.data) == size
            assert far.events[-2:] == ["eof", "lost"]

    run(main)


def test_the_queue_is_empty_again_after_all_was_sent(run):
    async def main():
        async with with_peer() as (protocol, peer):
            written = fill(protocol.transport)
            assert protocol.transport.get_write_buffer_size() > 0
            await take(peer, written)
            await until(lambda: protocol.transport.get_write_buffer_size() == 0)
            await turns()
            protocol.transport.write(b"again")
            assert await take(peer, 5) == b"again"

    run(main)


def test_a_closed_loop_reads_no_more(loop, pair):
    ours, _ = pair

    def resume():
        made = loop.create_connection(Recorder, sock=ours)
        transport, _ = loop.run_until_complete(made)
        transport.pause_reading()
        loop.close()
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            transport.resume_reading()

    with pytest.warns(ResourceWarning, match="unclosed transport"):
        resume()
        gc.collect()


@pytest.mark.parametrize("method", ["write", "writelines"])
def test_what_a_closed_loop_cannot_send_later_is_refused(loop, pair, method):
    ours, theirs = pair

    def write():
        made = loop.create_connection(Recorder, sock=ours)
        transport, _ = loop.run_until_complete(made)
        loop.close()
        transport.write(b"small")
        select.select([theirs], [], [], PATIENCE)
        assert theirs.recv(5) == b"small"
        large = b"x" * 20_000_000
        try:
            getattr(transport, method)(large if method == "write" else [large])
        except RuntimeError as exc:
            return str(exc)

    with pytest.warns(ResourceWarning, match="unclosed transport"):
        assert write() == "Event loop is closed"
        gc.collect()


async def refusal(lines, *, after_eof=False):
    """Return the type and the text of what writelines() raises."""
    async with with_peer() as (protocol, _):
        if after_eof:
            protocol.transport.write_eof()
        try:
            protocol.transport.writelines(lines)
        except Exception as exc:
            return type(exc), str(exc)


@pytest.mark.parametrize(
    "lines", [[1], [b"x", "y"], ["y", b"x"], [b"x", None], [0], 7, "text", None, 0], ids=str
)
def test_writelines_words_its_refusal_as_asyncio_does(run, lines):
    assert run(refusal, lines) == on_asyncio(refusal, lines)


def test_writelines_after_write_eof_is_refused_as_on_asyncio(run):
    async def main():
        return await refusal([b"x"], after_eof=True)

    assert run(main) == on_asyncio(main)
