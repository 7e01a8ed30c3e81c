"""What a program writes under TLS, when, and how its writing and reading are held back."""

import asyncio
import contextlib
import random

import pytest
from helpers import HandlerCalls
from peers import (
    Recorder,
    ended,
    finish,
    on_asyncio,
    turns,
    until,
    with_peer,
)
from test_tls_records import View, any_cut, described, facing, peer_of, told


def expect_written(run, tls, write, expected):
    """Run write(transport); all that was expected has to reach the other side."""

    async def main():
        async with facing(tls) as (near, peer):
            write(near.transport)
            assert await peer.opened(len(expected)) == expected
            near.transport.write(b"!")  # and nothing more
            assert await peer.opened(1) == b"!"
            assert near.transport.get_write_buffer_size() == 0

    run(main)


# ---- what is written ----


class Bytes(bytes):
    pass


class Bytearray(bytearray):
    pass


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"x" * 16384,
        b"x" * 16385,
        bytearray(b"x" * 1000),
        memoryview(b"x" * 1000),
        memoryview(bytearray(b"_xy_"))[1:3],
        memoryview(b"x" * 24).cast("I"),
        memoryview(b"x" * 24).cast("B", (4, 6)),
        Bytes(b"x" * 100),
        Bytearray(b"x" * 100),
        b"",
        bytearray(),
        memoryview(b""),
    ],
    ids=lambda data: f"{type(data).__name__}-{len(data)}",
)
def test_any_kind_of_bytes_is_written(run, tls, data):
    expect_written(run, tls, lambda transport: transport.write(data), bytes(data))
    expect_written(run, tls, lambda transport: transport.writelines([data]), bytes(data))
    expect_written(run, tls, lambda transport: transport.write(data=data), bytes(data))


def test_20_mib_in_one_write(run, tls):
    payload = random.Random(0).randbytes(20 << 20)
    expect_written(run, tls, lambda transport: transport.write(payload), payload)


def test_a_buffer_may_change_after_write(run, tls):
    def write(transport):
        buffer = bytearray(b"before")
        transport.write(buffer)
        buffer[:] = b"after!"
        transport.writelines([buffer, b".", memoryview(buffer)[:2]])
        buffer.clear()  # no view of it is left

    expect_written(run, tls, write, b"beforeafter!.af")


def lines_in(kind):
    return lambda: kind([b"one", bytearray(b"two"), memoryview(b"three"), b"x" * 20_000])


@pytest.mark.parametrize(
    "lines",
    [
        lines_in(list),
        lines_in(tuple),
        lines_in(iter),
        lines_in(lambda pieces: (piece for piece in pieces)),
        lines_in(lambda pieces: dict(enumerate(pieces)).values()),
        lambda: [b"", b"one", b"", bytearray(), memoryview(b""), b"two", b""],
        lambda: [b"", b""],
        list,
        lambda: iter([]),
        lambda: b"",
        lambda: [b"%d;" % n for n in range(5000)],
        lambda: tuple(b"%d;" % n for n in range(5000)),
        lambda: (b"%d;" % n for n in range(5000)),
        lambda: [b"x" * 16383, b"y", b"z"],
        lambda: [b"x" * 8192, b"y" * 8192],
        lambda: [b"x" * (20 << 20)],
        lambda: [b"small", b"x" * (2 << 20), b"small", Bytes(b"own"), b"small"],
    ],
)
def test_lines_of_any_iterable_are_written_in_order(run, tls, lines):
    expect_written(
        run, tls, lambda transport: transport.writelines(lines()), b"".join(map(bytes, lines()))
    )


@pytest.mark.parametrize("data", ["text", 5, None, [b"x"], 1.5], ids=repr)
def test_what_is_no_bytes_is_a_type_error(run, tls, data):
    message = f"data: expecting a bytes-like instance, got {type(data).__name__}$"

    def write(transport):
        with pytest.raises(TypeError, match=message):
            transport.write(data)

    expect_written(run, tls, write, b"")


@pytest.mark.parametrize(
    "call",
    [
        lambda transport: transport.write(),
        lambda transport: transport.write(b"x", b"y"),
        lambda transport: transport.write(other=b"x"),
        lambda transport: transport.writelines(),
        lambda transport: transport.writelines([b"x"], [b"y"]),
        lambda transport: transport.writelines(5),
        lambda transport: transport.writelines(None),
    ],
)
def test_wrong_arguments_are_a_type_error(run, tls, call):
    def write(transport):
        with pytest.raises(TypeError):
            call(transport)

    expect_written(run, tls, write, b"")


async def after_odd_pieces(tls, pieces):
    """What becomes of a connection on which something odd is written, and of what follows."""
    calls = HandlerCalls.of(asyncio.get_running_loop())
    async with facing(tls) as (near, peer):
        seen = []
        for lines in (pieces(), [b"next"]):
            try:
                near.transport.writelines(lines)
            except Exception as exc:
                seen.append(described(exc))
            seen.append(near.transport.get_write_buffer_size())
        near.transport.close()
        with contextlib.suppress(OSError):
            seen.append(await peer.opened())
            await peer.send(peer.farewell())
        lost = await ended(near.lost)
    return near.events, described(lost), told(calls), seen


def failing():
    yield b"first"
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "pieces",
    [
        lambda: [b"first", "text"],
        lambda: [b"first", 5, b"last"],
        lambda: [b"first", None],
        lambda: "text",
        lambda: b"bytes",
        lambda: memoryview(b"view"),
        lambda: [[b"first"]],
        lambda: [memoryview(b"0123456789")[::2]],
        lambda: [b"first", memoryview(b"0123456789")[::2], b"last"],
        failing,
    ],
    ids=[
        "text", "number", "none", "only-text", "bytes", "view", "nested", "gaps", "gaps-inside",
        "failing",
    ],
)  # fmt: skip
def test_odd_pieces_are_treated_as_on_asyncio(run, tls, pieces):
    assert run(after_odd_pieces, tls, pieces) == on_asyncio(after_odd_pieces, tls, pieces)


def test_a_gap_in_a_view_ends_the_connection_as_on_asyncio(run, tls):
    _, lost, calls, _ = run(after_odd_pieces, tls, lambda: [memoryview(b"0123456789")[::2]])
    assert lost[0] is BufferError
    # More than once: the view stays in the backlog, where the next write finds it.
    assert {(message, exc[0]) for message, exc, _ in calls} == {
        ("Fatal error on SSL protocol", BufferError)
    }


# ---- when it is written ----


def test_writes_in_connection_made_arrive_first(run, tls):
    class Greeting(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"hello ")
            transport.writelines([b"to ", b"you, "])

    async def main():
        async with facing(tls, Greeting) as (near, peer):
            near.transport.write(b"all")
            assert await peer.opened(17) == b"hello to you, all"

    run(main)


def test_writes_during_the_handshake_arrive_after_it(run, tls):
    async def main():
        loop = asyncio.get_running_loop()
        inner = Recorder()
        async with with_peer() as (clear, sock):
            peer = peer_of(tls, sock)
            starting = asyncio.ensure_future(
                loop.start_tls(clear.transport, inner, tls.client, server_hostname="localhost")
            )
            await until(lambda: clear.transport.get_protocol() is not clear)
            early = clear.transport.get_protocol()._app_transport
            early.write(b"early ")
            early.writelines([b"and ", bytearray(b"in order ")])
            early.write(memoryview(b"x" * 100_000))
            assert early.get_write_buffer_size() == 100_019
            await peer.shake_hands()
            inner.connection_made(await starting)
            assert inner.transport is early
            early.write(b"late")
            expected = b"early and in order " + b"x" * 100_000 + b"late"
            assert await peer.opened(len(expected)) == expected
            assert early.get_write_buffer_size() == 0
            await finish(inner)
            clear.lost.set_result(None)  # it was replaced and hears nothing more

    run(main)


async def after_the_end(tls, method):
    """What the other side gets when the program goes on writing after close() or abort()."""
    async with facing(tls) as (near, peer):
        transport = near.transport
        transport.write(b"kept")
        getattr(transport, method)()
        assert transport.is_closing()
        for _ in range(4):
            transport.write(b"dropped")
            transport.writelines([b"dropped"])
        sizes = [transport.get_write_buffer_size()]
        came = None
        if method == "close":
            came = await peer.opened()
            await peer.send(peer.farewell())
        await ended(near.lost)
        transport.write(b"dropped")
        transport.writelines(iter([b"dropped"]))
        return near.events, came, sizes


@pytest.mark.parametrize("method", ["close", "abort"])
def test_what_is_written_after_the_end_is_dropped_as_on_asyncio(run, tls, reports, method):
    seen = run(after_the_end, tls, method)
    warned = reports.take()
    assert seen[0] == ["made", "eof", "lost"][:: 1 if method == "close" else 2]
    assert seen[1] == (b"kept" if method == "close" else None)
    assert set(warned) == {"SSL connection is closed"}
    assert seen == on_asyncio(after_the_end, tls, method)
    assert warned == reports.take()


def test_writes_in_data_received(run, tls):
    class Echo(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.write(data)
            self.transport.writelines([b"<", data, b">"])

    async def main():
        async with facing(tls, Echo) as (near, peer):
            expected = b""
            for size in (1, 1000, 16384):
                await peer.send(peer.seal(b"x" * size))
                await near.received(size)
                expected += b"x" * size + b"<" + b"x" * size + b">"
                near.data.clear()
            assert await peer.opened(len(expected)) == expected

    run(main)


def test_writes_in_eof_received_are_sent_as_on_asyncio(run, tls):
    class Last(Recorder):
        def eof_received(self):
            self.transport.write(b"last words")
            super().eof_received()

    async def main():
        async with facing(tls, Last) as (near, peer):
            incoming = peer.farewell()
            await peer.send(incoming)
            lost = await ended(near.lost)
            return near.events, described(lost), await peer.opened()

    seen = run(main)
    assert seen == (["made", "eof", "lost"], None, b"last words")
    assert seen == on_asyncio(main)


def test_data_is_passed_on_to_another_connection_as_it_comes(run, tls):
    class PassingOn(Recorder):
        other = None

        def data_received(self, data):
            super().data_received(data)
            self.other.transport.write(data)
            self.other.transport.writelines([b"[", data, b"]"])

    async def main():
        async with (
            facing(tls, PassingOn) as (left, left_peer),
            facing(tls, PassingOn, server_side=True) as (right, right_peer),
        ):
            left.other, right.other = right, left
            for size in (1, 5000, 16384):
                text = b"x" * size
                for source, way_in, way_out in (
                    (left, left_peer, right_peer),
                    (right, right_peer, left_peer),
                ):
                    source.data.clear()
                    await way_in.send(way_in.seal(text))
                    assert await way_out.opened(2 * size + 2) == text + b"[" + text + b"]"

    run(main)


# ---- flow control ----


async def limits(tls, name, options):
    """What set_..._buffer_limits() of such options does: the limits, or the error."""
    async with facing(tls) as (near, _):
        transport = near.transport
        try:
            getattr(transport, f"set_{name}_buffer_limits")(**options)
        except Exception as exc:
            return described(exc)
        return (
            getattr(transport, f"get_{name}_buffer_limits")(),
            getattr(transport, f"get_{name}_buffer_size")(),
            near.events[:],
        )


@pytest.mark.parametrize("name", ["read", "write"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"high": 1000},
        {"low": 1000},
        {"high": 1000, "low": 10},
        {"high": 0},
        {"high": 0, "low": 0},
        {"high": 3},
        {"high": 1 << 40},
        {"high": 10, "low": 20},
        {"high": -1},
        {"high": 10, "low": -1},
        {"high": "1"},
    ],
    ids=str,
)
def test_limits_are_those_of_asyncio(run, tls, name, options):
    assert run(limits, tls, name, options) == on_asyncio(limits, tls, name, options)


@pytest.mark.parametrize("high", [None, 100_000, 1])
def test_writing_is_paused_while_the_peer_does_not_read(run, tls, high):
    async def main():
        async with facing(tls) as (near, peer):
            transport = near.transport
            transport.set_write_buffer_limits(high)
            transport.write(b"x")
            sizes = [transport.get_write_buffer_size()]  # the stream has taken it
            written = 1
            while "pause" not in near.events:
                transport.write(b"x" * 50_000)
                written += 50_000
            sizes.append(
                transport.get_write_buffer_size() >= transport.get_write_buffer_limits()[1]
            )
            assert await peer.opened(written) == b"x" * written
            await until(lambda: near.events[-1] == "resume")
            return near.events[:], [*sizes, transport.get_write_buffer_size()]

    seen = run(main)
    assert seen == (["made", "pause", "resume"], [0, True, 0])
    assert seen == on_asyncio(main)


async def one_write(tls, size):
    """What is there to be seen of one write, of one behind it, and when all has been read."""
    async with facing(tls) as (near, peer):
        seen = []
        for data in (b"x" * size, b"y"):
            near.transport.write(data)
            seen.append((near.events[:], near.transport.get_write_buffer_size() > 0))
        await peer.opened(size + 1)
        await until(lambda: near.events.count("pause") == near.events.count("resume"))
        return [*seen, near.events[:], near.transport.get_write_buffer_size()]


@pytest.mark.parametrize("size", [1, 1000, 20 << 20])
def test_one_write_is_accounted_for_as_on_asyncio(run, tls, size):
    """Of a large one all goes to the stream below: only what comes next waits here."""
    assert run(one_write, tls, size) == on_asyncio(one_write, tls, size)


async def one_writelines(tls, sizes):
    """The same of lines that are written at once."""
    async with facing(tls) as (near, peer):
        near.transport.writelines([b"x" * size for size in sizes])
        seen = near.events[:], near.transport.get_write_buffer_size()
        await peer.opened(sum(sizes))
        return seen, near.events[:]


@pytest.mark.parametrize("sizes", [[8 << 20, 1 << 20], [1 << 20] * 12, [100_000] * 120])
def test_lines_are_accounted_for_as_on_asyncio(run, tls, sizes):
    """All go to the stream below, also when it asks to pause in between."""
    assert run(one_writelines, tls, sizes) == on_asyncio(one_writelines, tls, sizes)


@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
def test_flow_control_that_raises_is_reported_as_on_asyncio(run, tls, method):
    def fail(self):
        raise ZeroDivisionError

    Failing = type("Failing", (Recorder,), {method: fail})

    async def main():
        calls = HandlerCalls.of(asyncio.get_running_loop())
        async with facing(tls, Failing) as (near, peer):
            near.transport.set_write_buffer_limits(0)
            near.transport.set_write_buffer_limits(10)
            near.transport.write(b"fine")
            assert await peer.opened(4) == b"fine"
            return near.events[:], told(calls)

    seen = run(main)
    assert [message for message, *_ in seen[1]] == [f"protocol.{method}() failed"]
    assert seen == on_asyncio(main)


@pytest.mark.parametrize("kind", [Recorder, View])
@any_cut
def test_nothing_is_delivered_while_reading_is_paused(run, tls, kind, cut):
    class Pausing(kind):
        def pause_reading(self):
            self.transport.pause_reading()
            self.seen = len(self.data)

        def data_received(self, data):
            super().data_received(data)
            self.pause_reading()

        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            self.pause_reading()

    async def main():
        async with facing(tls, Pausing) as (near, peer):
            texts = [b"%d;" % n * 50 for n in range(20)]
            sending = asyncio.ensure_future(peer.send(*cut([peer.seal(text) for text in texts])))
            expected = b"".join(texts)
            while len(near.data) < len(expected):
                await until(lambda: not near.transport.is_reading())
                await turns(10)
                assert len(near.data) == near.seen
                near.transport.resume_reading()
            await sending
            assert near.data == expected

    run(main)


def test_records_wait_while_reading_is_paused(run, tls):
    async def main():
        async with facing(tls) as (near, peer):
            transport = near.transport
            await peer.send(peer.seal(b"first"))
            await near.received(5)
            transport.pause_reading()
            wire = peer.seal(b"x" * 50_000)
            await peer.send(wire)
            await until(lambda: transport.get_read_buffer_size() == len(wire))
            assert near.data == b"first"
            transport.resume_reading()
            transport.pause_reading()
            transport.resume_reading()
            await near.received(50_005)
            assert transport.get_read_buffer_size() == 0

    run(main)


@pytest.mark.parametrize("kind", [Recorder, View])
def test_a_close_notify_waits_while_reading_is_paused(run, tls, kind):
    async def main():
        async with facing(tls, kind) as (near, peer):
            near.transport.pause_reading()
            wire = peer.seal(b"x" * 1000) + peer.farewell()
            await peer.send(wire)
            await turns(20)
            assert near.events == ["made"]
            near.transport.resume_reading()
            assert await ended(near.lost) is None
            return near.events, bytes(near.data)

    assert run(main) == (["made", "data", "eof", "lost"], b"x" * 1000)


def test_a_pause_between_data_and_close_notify(run, tls):
    """They come together: the end is told, as the pause is too late for it."""

    class Pausing(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()

    async def main():
        async with facing(tls, Pausing) as (near, peer):
            await peer.send(peer.seal(b"x" * 1000) + peer.seal(b"y" * 1000) + peer.farewell())
            await near.received(2000)
            await turns(20)
            before = near.events[:]
            near.transport.resume_reading()
            lost = await ended(near.lost)
            return before, near.events, described(lost)

    seen = run(main)
    assert seen[1] == ["made", "data", "eof", "lost"]
    assert seen == on_asyncio(main)


async def with_read_limits(tls, options):
    """What arrives with such limits, and what after limits that are usual."""
    async with facing(tls) as (near, peer):
        await peer.send(peer.seal(b"first"))
        await near.received(5)
        transport = near.transport
        transport.set_read_buffer_limits(**options)
        held = transport.get_read_buffer_limits()[1] == 0  # nothing is always too much
        await peer.send(peer.seal(b"x" * 500) + peer.seal(b"y" * 500)[:100])
        await near.received(5 if held else 505)
        await turns(10)
        before = bytes(near.data)
        transport.set_read_buffer_limits()
        await near.received(505)
        return before, bytes(near.data), transport.get_read_buffer_size()


@pytest.mark.parametrize("options", [{"high": 0}, {"high": 1}, {"high": 100}, {"high": 1 << 30}])
def test_read_limits_hold_reading_as_on_asyncio(run, tls, options):
    assert run(with_read_limits, tls, options) == on_asyncio(with_read_limits, tls, options)
