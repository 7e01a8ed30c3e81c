"""Write buffer limits, pause_writing, resume_writing, and peers that read slowly or never."""

import asyncio
import hashlib

import pytest
from peers import (
    Recorder,
    connection,
    ended,
    fill,
    finish,
    take,
    turns,
    until,
    with_peer,
)

KIB = 1024


def test_default_limits_are_16_and_64_kib(run):
    async def main():
        async with with_peer() as (protocol, _):
            return protocol.transport.get_write_buffer_limits()

    assert run(main) == (16 * KIB, 64 * KIB)


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({}, (16 * KIB, 64 * KIB)),
        ({"high": 1000}, (250, 1000)),
        ({"low": 1000}, (1000, 4000)),
        ({"high": 100, "low": 30}, (30, 100)),
        ({"high": 0}, (0, 0)),
        ({"low": 0}, (0, 0)),
        ({"high": 0, "low": 0}, (0, 0)),
        ({"high": 7, "low": 7}, (7, 7)),
        ({"high": 3}, (0, 3)),
        ({"high": 1 << 40}, (1 << 38, 1 << 40)),
        ({"high": None, "low": None}, (16 * KIB, 64 * KIB)),
    ],
)
def test_limits_are_completed(run, kwargs, expected):
    async def main():
        async with with_peer() as (protocol, _):
            assert protocol.transport.set_write_buffer_limits(**kwargs) is None
            return protocol.transport.get_write_buffer_limits()

    assert run(main) == expected


@pytest.mark.parametrize(
    "kwargs",
    [
        {"high": -1},
        {"low": -1},
        {"high": 10, "low": 11},
        {"high": 0, "low": 1},
        {"high": -5, "low": -6},
    ],
)
def test_limits_out_of_order_are_a_value_error(run, kwargs):
    async def main():
        async with with_peer() as (protocol, _):
            protocol.transport.set_write_buffer_limits(high=100, low=10)
            with pytest.raises(ValueError, match="must be >= low"):
                protocol.transport.set_write_buffer_limits(**kwargs)
            return protocol.transport.get_write_buffer_limits()

    assert run(main) == (10, 100)


@pytest.mark.parametrize("kwargs", [{"high": "x"}, {"low": "x"}, {"high": b""}, {"low": []}])
def test_limits_of_the_wrong_type_are_a_type_error(run, kwargs):
    async def main():
        async with with_peer() as (protocol, _):
            with pytest.raises(TypeError):
                protocol.transport.set_write_buffer_limits(**kwargs)

    run(main)


def test_limits_are_taken_by_position_high_first(run):
    async def main():
        async with with_peer() as (protocol, _):
            protocol.transport.set_write_buffer_limits(100, 10)
            return protocol.transport.get_write_buffer_limits()

    assert run(main) == (10, 100)


def test_writing_is_paused_once_above_high_and_resumed_once_below_low(run):
    async def main():
        async with with_peer() as (protocol, peer):
            written = fill(protocol.transport)
            assert protocol.events == ["made", "pause"]
            for _ in range(3):
                protocol.transport.write(b"x" * 100_000)
            assert protocol.events == ["made", "pause"]
            await take(peer, written + 300_000)
            await until(lambda: protocol.events[-1] == "resume")
            assert protocol.transport.get_write_buffer_size() <= 16 * KIB
            await turns(10)
            return protocol.events[:]

    assert run(main) == ["made", "pause", "resume"]


def test_pause_is_called_inside_write(run):
    async def main():
        async with with_peer() as (protocol, _):
            protocol.transport.set_write_buffer_limits(high=0)
            while not protocol.transport.get_write_buffer_size():
                assert "pause" not in protocol.events
                protocol.transport.write(b"x" * 500_000)
            assert protocol.events == ["made", "pause"]

    run(main)


def test_with_high_zero_nothing_is_paused_that_was_sent_at_once(run):
    async def main():
        async with with_peer() as (protocol, peer):
            protocol.transport.set_write_buffer_limits(high=0)
            protocol.transport.write(b"small")
            assert await take(peer, 5) == b"small"
            await until(lambda: not protocol.transport.get_write_buffer_size())
            return protocol.events[:]

    # A loop that gathers the writes of a turn may hold them for a moment.
    assert run(main) in (["made"], ["made", "pause", "resume"])


def test_lowering_the_limits_pauses_at_once(run):
    async def main():
        async with with_peer() as (protocol, _):
            protocol.transport.set_write_buffer_limits(high=1 << 40)
            while not protocol.transport.get_write_buffer_size():
                protocol.transport.write(b"x" * 500_000)
            assert protocol.events == ["made"]
            protocol.transport.set_write_buffer_limits(high=0)
            return protocol.events[:]

    assert run(main) == ["made", "pause"]


def test_the_queue_is_counted_in_bytes(run):
    async def main():
        async with with_peer() as (protocol, _):
            fill(protocol.transport)
            before = protocol.transport.get_write_buffer_size()
            protocol.transport.write(b"x" * 1234)
            protocol.transport.writelines([b"y" * 10] * 10)
            assert protocol.transport.get_write_buffer_size() == before + 1234 + 100

    run(main)


class Slow(Recorder):
    """Pauses reading after every piece and goes on in a later turn."""

    def __init__(self):
        super().__init__()
        self.digest = hashlib.sha256()
        self.count = 0

    def data_received(self, data):
        self.digest.update(data)
        self.count += len(data)
        self.transport.pause_reading()
        asyncio.get_running_loop().call_soon(self.transport.resume_reading)


class Writing(Recorder):
    """Awaits drain() as a StreamWriter does."""

    def __init__(self):
        super().__init__()
        self.may_write = asyncio.Event()
        self.may_write.set()

    def pause_writing(self):
        super().pause_writing()
        self.may_write.clear()

    def resume_writing(self):
        super().resume_writing()
        self.may_write.set()


def test_50_mib_to_a_slow_reader(run):
    size, step = 50 << 20, 1 << 18

    async def main():
        block = bytes(range(256)) * (step // 256)
        digest = hashlib.sha256()
        async with connection(Writing, Slow) as (near, far):
            largest = 0
            for _ in range(size // step):
                near.transport.write(block)
                digest.update(block)
                largest = max(largest, near.transport.get_write_buffer_size())
                await near.may_write.wait()
            await until(lambda: far.count == size)
            assert far.digest.digest() == digest.digest()
            assert near.events.count("pause") == near.events.count("resume") > 0
            assert largest <= 64 * KIB + step

    run(main)


def test_both_ways_at_once_without_reading_does_not_lock_up(run):
    size = 8 << 20

    async def main():
        async with connection() as (near, far):
            near.transport.write(b"n" * size)
            far.transport.write(b"f" * size)
            assert (await far.received(size)).count(b"n") == size
            assert (await near.received(size)).count(b"f") == size

    run(main)


@pytest.mark.parametrize("paused", [False, True])
def test_abort_drops_what_is_queued(run, paused):
    async def main():
        async with with_peer() as (protocol, _peer):
            if not paused:
                protocol.transport.set_write_buffer_limits(high=1 << 40)
                protocol.transport.write(b"x" * (16 << 20))
            else:
                fill(protocol.transport)
            assert protocol.transport.get_write_buffer_size() > 0
            protocol.transport.abort()
            assert protocol.transport.get_write_buffer_size() == 0
            assert await ended(protocol.lost) is None
            await turns()
            return protocol.events

    assert run(main) == ["made", *["pause"] * paused, "lost"]


def test_close_to_a_peer_that_never_reads_waits_and_abort_ends_it(run):
    async def main():
        async with with_peer() as (protocol, _):
            fill(protocol.transport)
            protocol.transport.close()
            await turns(50)
            assert not protocol.lost.done()
            protocol.transport.abort()
            assert await ended(protocol.lost) is None
            return protocol.events

    assert run(main) == ["made", "pause", "lost"]


def test_abort_inside_pause_writing_is_followed_by_no_resume(run):
    class Aborting(Recorder):
        def pause_writing(self):
            super().pause_writing()
            self.transport.abort()

    async def main():
        async with with_peer(Aborting) as (protocol, _):
            while not protocol.transport.is_closing():
                protocol.transport.write(b"x" * (1 << 20))
            assert await ended(protocol.lost) is None
            await turns()
            return protocol.events

    assert run(main) == ["made", "pause", "lost"]


def test_close_inside_pause_writing_still_sends_everything(run):
    class Closing(Recorder):
        def pause_writing(self):
            super().pause_writing()
            self.transport.close()

    async def main():
        async with with_peer(Closing) as (protocol, peer):
            written = 0
            while not protocol.transport.is_closing():
                protocol.transport.write(b"x" * (1 << 20))
                written += 1 << 20
            assert len(await take(peer, written + 1)) == written
            assert await ended(protocol.lost) is None

    run(main)


@pytest.mark.parametrize("method", ["close", "abort"])
def test_closing_inside_resume_writing(run, loop_kind, method):
    if loop_kind == "asyncio":
        pytest.skip("asyncio then calls connection_lost twice and reports the second")

    class Closing(Recorder):
        def resume_writing(self):
            super().resume_writing()
            getattr(self.transport, method)()

    async def main():
        async with with_peer(Closing) as (protocol, peer):
            written = fill(protocol.transport)
            await take(peer, written)
            assert await ended(protocol.lost) is None
            return protocol.events

    assert run(main) == ["made", "pause", "resume", "lost"]


def test_a_close_that_had_to_drain_ends_with_the_last_byte(run):
    """connection_lost() is called by the event that drains, not in a turn of its own."""

    class Telling(Recorder):
        def resume_writing(self):
            super().resume_writing()
            asyncio.get_running_loop().call_soon(self.events.append, "next turn")

    async def main():
        async with with_peer(Telling) as (protocol, peer):
            protocol.transport.set_write_buffer_limits(0)  # resumed when empty
            written = fill(protocol.transport)
            protocol.transport.close()
            await take(peer, written)
            assert await ended(protocol.lost) is None
            await turns()
            return protocol.events

    assert run(main) == ["made", "pause", "resume", "lost", "next turn"]


def test_writing_inside_resume_writing_keeps_order(run):
    sizes = []

    class Refilling(Recorder):
        def resume_writing(self):
            super().resume_writing()
            if len(sizes) < 5:
                sizes.append(fill(self.transport, bytes([len(sizes)]) * 300_000))
            else:
                self.transport.write_eof()

    async def main():
        async with with_peer(Refilling) as (protocol, peer):
            sizes.append(fill(protocol.transport, bytes(300_000)))
            arrived = await take(peer, 1 << 30)
            assert arrived == b"".join(bytes([n]) * size for n, size in enumerate(sizes))

    run(main)


def test_writing_to_another_transport_inside_resume_writing(run):
    class Telling(Recorder):
        other = None

        def resume_writing(self):
            super().resume_writing()
            self.other.transport.write(b"resumed")

    async def main():
        async with with_peer(Telling) as (first, peer), with_peer() as (second, reader):
            first.other = second
            written = fill(second.transport)
            await take(peer, fill(first.transport))
            assert (await take(reader, written + 7))[written:] == b"resumed"

    run(main)


def test_a_reader_closed_by_its_callback_is_not_brought_back_by_flow_control(run):
    """data_received closes the source; the sink then has room again and resumes the source."""

    class Source(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()
            self.transport.close()

    class Sink(Recorder):
        source = None

        def resume_writing(self):
            super().resume_writing()
            self.source.transport.resume_reading()

    async def main():
        async with with_peer(Source) as (source, feeder), with_peer(Sink) as (sink, drain):
            sink.source = source
            written = fill(sink.transport)
            feeder.send(b"one")
            await source.received(3)
            feeder.send(b"two")
            await take(drain, written)
            await until(lambda: sink.events[-1] == "resume")
            await ended(source.lost)
            assert not source.transport.is_reading()
            return source.events, bytes(source.data)

    assert run(main) == (["made", "data", "lost"], b"one")


def test_resume_is_not_called_after_the_connection_is_lost(run):
    async def main():
        async with with_peer() as (protocol, peer):
            fill(protocol.transport)
            peer.close()  # unread data: the kernel answers with a reset
            await ended(protocol.lost)
            await turns()
            return protocol.events[-1], protocol.events.count("resume")

    assert run(main) == ("lost", 0)


def test_a_slow_connection_does_not_hold_up_another(run):
    async def main():
        async with with_peer() as (stuck, _), connection() as (near, far):
            fill(stuck.transport)
            near.transport.write(b"y" * 1_000_000)
            await far.received(1_000_000)
            assert stuck.transport.get_write_buffer_size() > 0
            await finish(stuck)

    run(main)
