"""The end of a pipe that writes: what goes out and when, flow control, closed readers, endings."""

import asyncio
import contextvars
import gc
import os
import re

import pytest
from peers import BaseRecorder, Recorder, ended, on_asyncio, outcome, turns, until
from pipe_ends import End, drained, reading, reported, shown, socket_ends, writing

MARK = contextvars.ContextVar("MARK", default="none")

#: More than a pipe holds, 64 KiB, and than the high-water mark on top of it.
LARGE = bytes(range(256)) * 1024

LOST = "pipe closed by peer or os.write(pipe, data) raised exception."


# ---- what goes out ----


def test_what_a_closed_loop_cannot_send_later_is_refused(loop):
    theirs, ours = os.pipe()
    other, file = End(theirs), os.fdopen(ours, "wb", 0)

    def write():
        transport, _ = loop.run_until_complete(loop.connect_write_pipe(Recorder, file))
        loop.close()
        transport.write(b"small")
        assert other.read() == b"small"
        try:
            transport.write(LARGE)
        except RuntimeError as exc:
            return str(exc)

    with pytest.warns(ResourceWarning, match="unclosed transport"):
        assert write() == "Event loop is closed"
        gc.collect()
    other.close()


def test_bytes_go_out_at_once_and_in_order(run):
    """Also when somebody else writes to the same pipe in between: nothing is gathered."""

    async def main():
        async with writing() as (protocol, other):
            pipe = protocol.transport.get_extra_info("pipe")
            for n in range(5):
                protocol.transport.write(b"ours %d " % n)
                pipe.write(b"theirs %d " % n)
            return other.read()

    assert run(main) == b"".join(b"ours %d theirs %d " % (n, n) for n in range(5))


@pytest.mark.parametrize(
    "data",
    [
        b"bytes",
        bytearray(b"bytearray"),
        memoryview(b"view"),
        memoryview(b"a view of 16 by "[:16]).cast("B", (4, 4)),
        memoryview(bytes(range(8))).cast("I"),
        b"",
        memoryview(b""),
        "str",
        None,
        [b"list"],
        memoryview(b"not contiguous")[::2],
        memoryview(b"\0").cast("B", ()),
    ],
    ids=lambda data: getattr(data, "format", type(data).__name__),
)
@pytest.mark.parametrize("queued", [False, True])
def test_what_may_be_written(run, data, queued):
    async def main():
        calls = reported(asyncio.get_running_loop())
        async with writing() as (protocol, other):
            transport = protocol.transport
            if queued:
                transport.write(LARGE)
            try:
                raised = transport.write(data)
            except Exception as exc:
                raised = type(exc), str(exc)
            closing = transport.is_closing()
            count = len(LARGE) if queued else 0
            if raised is None and not closing:
                count += memoryview(data).nbytes
            got = await drained(other, count)
            return raised, closing, got, [(message, repr(exc)) for message, exc in calls]

    if (
        isinstance(data, memoryview)
        and data.ndim
        and data.nbytes != len(data)
        and data.c_contiguous
    ):
        # asyncio counts items where it has written bytes, and stumbles over what is left.
        assert run(main)[:2] == (None, False)
    else:
        assert run(main) == on_asyncio(main)


def test_lines_are_joined(run):
    async def main():
        async with writing() as (protocol, other):
            protocol.transport.writelines([b"one ", bytearray(b"two "), memoryview(b"three")])
            protocol.transport.writelines(line for line in (b" four", b""))
            return other.read()

    assert run(main) == b"one two three four"


def test_the_queue_is_written_as_the_reader_takes_it(run):
    async def main():
        async with writing() as (protocol, other):
            sizes = [1, 70_000, 5, 100_000, 3]
            for n, size in enumerate(sizes):
                protocol.transport.write(bytes([n]) * size)
            assert protocol.transport.get_write_buffer_size() == sum(sizes) - other.unread
            return await drained(other, sum(sizes)) == b"".join(
                bytes([n]) * size for n, size in enumerate(sizes)
            )

    assert run(main)


def test_many_small_chunks_in_the_queue_keep_their_order(run):
    async def main():
        async with writing() as (protocol, other):
            chunks = [LARGE, *(b"%d " % n for n in range(3000))]
            for chunk in chunks:
                protocol.transport.write(chunk)
            whole = b"".join(chunks)
            return await drained(other, len(whole)) == whole

    assert run(main)


def test_a_changed_buffer_is_sent_as_it_was(run):
    async def main():
        async with writing() as (protocol, other):
            data = bytearray(LARGE)
            protocol.transport.write(data)
            protocol.transport.write(memoryview(data)[:3])
            data[:] = bytes(len(data))
            return await drained(other, len(LARGE) + 3) == LARGE + LARGE[:3]

    assert run(main)


# ---- flow control ----


def test_the_protocol_goes_on_only_when_all_is_written(run):
    async def main():
        async with writing() as (protocol, other):
            transport = protocol.transport
            transport.write(LARGE)
            events = [protocol.events[:]]
            while transport.get_write_buffer_size():
                other.read(4096)
                await turns(3)
                if transport.get_write_buffer_size():
                    events.append(protocol.events[:])
            await turns(3)
            return events[-1], protocol.events[:], transport.get_write_buffer_limits()

    waiting, whole = ["made", "pause"], ["made", "pause", "resume"]
    assert run(main) == (waiting, whole, (16 * 1024, 64 * 1024))


@pytest.mark.parametrize(
    "limits", [{}, {"high": 10}, {"low": 7}, {"high": 0}, {"high": 5, "low": 9}]
)
def test_limits(run, limits):
    async def main():
        async with writing() as (protocol, _):
            transport = protocol.transport
            transport.write(LARGE[:70_000])
            try:
                transport.set_write_buffer_limits(**limits)
            except ValueError as exc:
                return str(exc)
            return transport.get_write_buffer_limits(), protocol.events[:]

    assert run(main) == on_asyncio(main)


@pytest.mark.parametrize("callback", ["pause_writing", "resume_writing"])
def test_what_flow_control_raises_is_reported(run, callback):
    class Failing(BaseRecorder):
        pass

    def fail(self):
        raise ValueError(callback)

    setattr(Failing, callback, fail)

    async def main():
        calls = reported(asyncio.get_running_loop())
        async with writing(Failing) as (protocol, other):
            protocol.transport.write(LARGE)
            await drained(other, len(LARGE))
            await until(lambda: calls)
            assert not protocol.transport.is_closing()
        return [(message, str(exc)) for message, exc in calls]

    assert run(main) == [(f"protocol.{callback}() failed", callback)]


def test_resume_writing_runs_in_the_context_of_who_wrote_too_much(run):
    class Marking(BaseRecorder):
        def pause_writing(self):
            self.events.append(MARK.get())

        resume_writing = pause_writing

    async def main():
        MARK.set("connected")
        async with writing(Marking) as (protocol, other):
            for mark in ("first", "second"):
                MARK.set(mark)
                protocol.transport.write(LARGE)
                MARK.set("later")
                await drained(other, len(LARGE))
                await until(lambda: len(protocol.events) % 2)
            return protocol.events[:]

    assert run(main) == ["made", "first", "first", "second", "second"]


@pytest.mark.parametrize("step", ["write", "write large", "close", "abort"])
def test_resume_writing_may_do_anything(run, step):
    class Doing(BaseRecorder):
        def resume_writing(self):
            super().resume_writing()
            if len(self.events) > 5:
                return
            if step.startswith("write"):
                self.transport.write(b"more" if step == "write" else LARGE)
            else:
                getattr(self.transport, step)()

    async def main():
        calls = reported(asyncio.get_running_loop())
        async with writing(Doing) as (protocol, other):
            protocol.transport.write(LARGE)
            more = {"write": 4, "write large": len(LARGE)}.get(step, 0)
            data = await drained(other, len(LARGE) + more)
            await turns(10)
            events = protocol.events[:]
            if not protocol.lost.done():
                protocol.transport.close()
            await drained(other, 0 if step != "write large" else len(LARGE))
        if step in ("close", "abort"):
            calls.clear()  # asyncio has connection_lost() called twice, and stumbles
        return len(data), events, calls

    told = run(main)
    assert told[0] >= len(LARGE)
    assert told == on_asyncio(main) or step in ("close", "abort")
    assert told[2] == []


# ---- the reader goes ----


@pytest.mark.parametrize("ends", [os.pipe, socket_ends])
@pytest.mark.parametrize("queued", [False, True])
def test_a_closed_reader_ends_the_transport(run, ends, queued):
    async def main():
        calls = reported(asyncio.get_running_loop())
        async with writing(ends=ends) as (protocol, other):
            if queued:
                protocol.transport.write(LARGE * 16)
            other.close()
            exc = await ended(protocol.lost)
            assert not calls
            assert protocol.transport.get_extra_info("pipe").closed
            return type(exc), protocol.events

    gone = BrokenPipeError if queued else type(None)
    events = ["made", "pause", "lost"] if queued else ["made", "lost"]
    told = run(main)
    if ends is os.pipe:
        assert told == (gone, events)
    else:  # a socket says it in its own way
        assert told[1] == events
        assert issubclass(told[0], (OSError, type(None)))


def test_a_write_to_a_closed_reader_closes_at_once(run, reports):
    async def main():
        async with writing() as (protocol, other):
            transport = protocol.transport
            other.close()
            assert not transport.is_closing()
            transport.write(b"x")
            states = [transport.is_closing(), transport._conn_lost]
            for _ in range(7):
                transport.write(b"x")
            states.append(transport._conn_lost)
            exc = await ended(protocol.lost)
            return states, type(exc), protocol.events

    assert run(main) == ([True, 1, 8], BrokenPipeError, ["made", "lost"])
    assert reports.take() == [LOST] * 3


def test_data_for_the_end_that_writes_counts_as_its_closing(run):
    """As in asyncio, which waits for nothing else."""

    async def main():
        async with writing(ends=socket_ends) as (protocol, other):
            os.write(other.fd, b"an answer")
            return await ended(protocol.lost)

    assert run(main) is None


# ---- the end ----


@pytest.mark.parametrize("method", ["close", "write_eof"])
def test_closing_writes_the_rest(run, method, reports):
    async def main():
        async with writing() as (protocol, other):
            transport = protocol.transport
            assert transport.can_write_eof()
            transport.write(LARGE)
            getattr(transport, method)()
            assert transport.is_closing()
            for _ in range(7):
                transport.write(b"too late")
            transport.close()
            transport.write_eof()
            data = await drained(other, len(LARGE))
            assert await ended(protocol.lost) is None
            return data == LARGE, other.read(), protocol.events

    assert run(main) == (True, b"", ["made", "pause", "resume", "lost"])
    assert reports.take() == [LOST] * 2


def test_a_reader_that_goes_while_the_rest_is_written(run):
    async def main():
        async with writing() as (protocol, other):
            protocol.transport.write(LARGE)
            protocol.transport.close()
            await turns()
            assert not protocol.lost.done()
            other.close()
            return type(await ended(protocol.lost)), protocol.events

    assert run(main) == (BrokenPipeError, ["made", "pause", "lost"])


@pytest.mark.parametrize("before", [None, "close"])
def test_abort_drops_the_queue(run, before):
    async def main():
        async with writing() as (protocol, other):
            transport = protocol.transport
            transport.write(LARGE)
            taken = len(LARGE) - transport.get_write_buffer_size()
            if before is not None:
                transport.close()
            transport.abort()
            assert transport.get_write_buffer_size() == 0
            assert "lost" not in protocol.events
            assert await ended(protocol.lost) is None
            await turns()
            return other.read() == LARGE[:taken], protocol.events

    assert run(main) == (True, ["made", "pause", "lost"])


def test_connection_lost_comes_once_after_two_aborts(run, loop_kind):
    if loop_kind == "asyncio":
        pytest.skip("asyncio calls it twice, and stumbles over what it has dropped")

    async def main():
        async with writing() as (protocol, _):
            protocol.transport.abort()
            protocol.transport.abort()
            await ended(protocol.lost)
            protocol.transport.abort()
            await turns()
            return protocol.events

    assert run(main) == ["made", "lost"]


def test_what_connection_lost_raises_after_the_rest_is_reported(run):
    class Failing(BaseRecorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise ValueError("lost")

    async def main():
        calls = reported(asyncio.get_running_loop())
        async with writing(Failing) as (protocol, other):
            pipe = protocol.transport.get_extra_info("pipe")
            protocol.transport.write(LARGE)
            protocol.transport.close()
            await drained(other, len(LARGE))
            await ended(protocol.lost)
            await until(lambda: pipe.closed)
        return [str(exc) for _, exc in calls]

    assert run(main) == ["lost"]


def test_the_reader_gets_the_end_only_after_all_data(run):
    async def main():
        async with reading() as (reader, other):
            ours = os.dup(other.fd)
            other.close()
            _, writer = await asyncio.get_running_loop().connect_write_pipe(
                BaseRecorder, os.fdopen(ours, "wb", 0)
            )
            writer.transport.write(LARGE)
            writer.transport.close()
            await ended(reader.lost)
            await ended(writer.lost)
            return bytes(reader.data) == LARGE, reader.events

    assert run(main) == (True, ["made", "data", "eof", "lost"])


# ---- what it is and shows ----


def test_what_the_transport_is_and_knows(run):
    async def main():
        async with writing() as (protocol, _):
            transport = protocol.transport
            pipe = transport.get_extra_info("pipe")
            assert isinstance(transport, asyncio.WriteTransport)
            assert not hasattr(transport, "pause_reading") or not hasattr(transport, "_paused")
            assert transport.get_protocol() is protocol
            assert (transport._pipe, transport._fileno) == (pipe, pipe.fileno())
            other = Recorder()
            transport.set_protocol(other)
            assert transport.get_protocol() is other
            transport.set_protocol(protocol)
            transport.close()
            await ended(protocol.lost)
            await turns()
            return transport._pipe, transport._protocol, transport._loop, pipe.closed

    assert run(main) == (None, None, None, True)


def test_repr_tells_the_state(run):
    async def main():
        seen = []
        async with writing() as (protocol, other):
            transport = protocol.transport
            seen.append(shown(transport))
            transport.write(LARGE[:100_000])
            seen.append(shown(transport))
            transport.close()
            seen.append(shown(transport))
            await drained(other, 100_000)
            await ended(protocol.lost)
            await turns()
            seen.append(shown(transport))
        return seen

    assert run(main) == on_asyncio(main)


def test_debug_mode_logs_a_closed_reader_and_failed_writes(run, caplog):
    async def main():
        with caplog.at_level("DEBUG", logger="asyncio"):
            async with writing() as (first, other):
                other.close()
                await ended(first.lost)
            async with writing() as (second, other):
                other.close()
                second.transport.write(b"x")
                await ended(second.lost)
        return [
            (record.levelname, re.sub("<.*>", "it", record.getMessage()))
            for record in caplog.records
            if re.match("<.*PipeTransport", record.getMessage())
        ]

    assert run(main, debug=True) == [
        ("INFO", "it was closed by peer"),
        ("DEBUG", "it: Fatal write error on pipe transport"),
    ]


# ---- StreamWriter ----


def test_a_stream_writer_drains_and_hears_of_the_end(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with reading() as (reader, other):
            ours = os.dup(other.fd)
            other.close()
            transport, protocol = await loop.connect_write_pipe(
                asyncio.streams.FlowControlMixin, os.fdopen(ours, "wb", 0)
            )
            writer = asyncio.StreamWriter(transport, protocol, None, loop)
            for _ in range(10):
                writer.write(LARGE)
                await writer.drain()
            assert await reader.received(10 * len(LARGE)) == 10 * LARGE
            reader.transport.close()
            await until(transport.is_closing)
            for _ in range(3):
                await turns()
            return await outcome(writer.drain())

    assert run(main) is ConnectionResetError
