"""The end of a pipe that reads: events, their order, pausing, errors, contexts, what it shows."""

import asyncio
import contextlib
import contextvars
import errno
import gc
import os
import pty
import re
import socket
import tty

import pytest
from helpers import only_pyaio
from peers import BaseRecorder, Recorder, ended, on_asyncio, reset, turns, until
from pipe_ends import End, connected, reading, reported, shown, socket_ends, writing
from spies import FEEDING, python_calls

MARK = contextvars.ContextVar("MARK", default="none")


# ---- data and its end ----


@pytest.mark.parametrize("keep_open", [None, True])
@pytest.mark.parametrize("ends", [os.pipe, socket_ends])
def test_the_end_is_told_and_what_eof_received_returns_is_not_asked(run, ends, keep_open):
    async def main():
        async with reading(ends=ends) as (protocol, other):
            protocol.keep_open = keep_open
            other.write(b"data")
            other.close()
            assert await ended(protocol.lost) is None
            assert protocol.transport.is_closing()
            return protocol.events, bytes(protocol.data)

    assert run(main) == (["made", "data", "eof", "lost"], b"data")


def test_data_eof_and_loss_take_their_turns(run):
    """What else is ready runs between the three, in the order of asyncio."""

    async def main():
        async with reading() as (protocol, other):
            seen = protocol.events
            other.write(b"x")
            other.close()
            for n in range(8):
                await turns(1)
                seen.append(n)
            return seen

    assert run(main) == on_asyncio(main)


def test_a_protocol_without_eof_received_is_reported(run):
    async def main():
        calls = reported(asyncio.get_running_loop())
        protocol, other = await connected("read", BaseRecorder)  # which has no eof_received()
        transport = protocol.transport
        other.close()
        await until(lambda: calls)
        await turns()
        told = transport.is_closing(), protocol.lost.done()
        transport._call_connection_lost(None)  # nobody else would
        return told, [type(exc) for _, exc in calls]

    assert run(main) == ((True, False), [AttributeError])


def test_what_data_received_raises_is_reported_and_the_pipe_is_read_on(run):
    class Failing(Recorder):
        def data_received(self, data):
            super().data_received(data)
            raise ValueError(bytes(data))

    async def main():
        calls = reported(asyncio.get_running_loop())
        async with reading(Failing) as (protocol, other):
            other.write(b"one")
            await until(lambda: len(calls) == 1)
            other.write(b"two")
            await until(lambda: len(calls) == 2)
            assert protocol.transport.is_reading()
        return [exc.args for _, exc in calls], [
            re.search(r"Exception in callback .*ReadPipeTransport\._read_ready\(\)", message)
            is None
            for message, _ in calls
        ]

    assert run(main) == ([(b"one",), (b"two",)], [False, False])


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_exit_raised_by_data_received_leaves_the_loop(loop, kind):
    class Exiting(Recorder):
        def data_received(self, data):
            raise kind

    protocol, other = loop.run_until_complete(connected("read", Exiting))
    other.write(b"x")
    with pytest.raises(kind):
        loop.run_forever()
    assert protocol.transport.is_reading()
    other.close()
    loop.run_until_complete(ended(protocol.lost))


def test_a_failing_read_is_reported_and_ends_the_transport(run):
    """A socket that was reset: what is usual for a connection is not for a pipe."""

    async def main():
        calls = reported(asyncio.get_running_loop())
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            theirs, _ = server.accept()
        _, protocol = await asyncio.get_running_loop().connect_read_pipe(Recorder, ours)
        reset(theirs)
        exc = await ended(protocol.lost)
        assert ours.fileno() == -1
        return type(exc), protocol.events, [(message, type(exc)) for message, exc in calls]

    assert run(main) == (
        ConnectionResetError,
        ["made", "lost"],
        [("Fatal read error on pipe transport", ConnectionResetError)],
    )


def test_a_read_takes_no_more_than_max_size(run):
    class Sizes(Recorder):
        sizes = ()

        def data_received(self, data):
            super().data_received(data)
            self.sizes += (len(data),)

    async def main():
        async with reading(Sizes, socket_ends) as (protocol, other):
            buffer = 1 << 20
            with socket.socket(fileno=os.dup(other.fd)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
            protocol.transport.pause_reading()
            written = other.write(bytes(400_000))
            protocol.transport.resume_reading()
            await protocol.received(written)
            most = max(protocol.sizes)
            assert most <= protocol.transport.max_size == 256 * 1024
            assert written < 2 * most or most > 100_000

    run(main)


# ---- pausing, closing, another protocol ----


def test_data_waits_in_the_pipe_while_reading_is_paused(run):
    async def main():
        async with reading() as (protocol, other):
            transport = protocol.transport
            states = [transport.is_reading()]
            for step in ("pause_reading", "pause_reading", "resume_reading", "resume_reading"):
                getattr(transport, step)()
                states.append(transport.is_reading())
            transport.pause_reading()
            other.write(b"x")
            await turns(10)
            assert not protocol.data
            transport.resume_reading()
            await protocol.received(1)
            transport.close()
            for step in ("pause_reading", "resume_reading"):
                getattr(transport, step)()
                states.append(transport.is_reading())
            return states

    assert run(main) == [True, False, False, True, True, False, False]


@pytest.mark.parametrize("where", ["connection_made", "data_received"])
@pytest.mark.parametrize("step", ["pause_reading", "close"])
def test_a_callback_may_pause_and_close(run, where, step):
    class Doing(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            if where == "connection_made":
                getattr(transport, step)()

        def data_received(self, data):
            super().data_received(data)
            if where == "data_received":
                getattr(self.transport, step)()

    async def main():
        async with reading(Doing) as (protocol, other):
            for _ in range(2):
                with contextlib.suppress(BrokenPipeError):
                    other.write(b"x")
                await turns(10)
            told = bytes(protocol.data), protocol.events[:], protocol.transport.is_reading()
            assert other.unread == 2 - len(protocol.data) or step == "close"
            return told

    assert run(main) == on_asyncio(main)


def test_another_protocol_gets_the_next_data(run):
    async def main():
        async with reading() as (first, other):
            transport = first.transport
            other.write(b"one")
            await first.received(3)
            second = Recorder()
            transport.set_protocol(second)
            assert transport.get_protocol() is second
            other.write(b"two")
            await second.received(3)
            other.close()
            await ended(second.lost)
            first.lost.set_result(None)  # what it was not told
            return bytes(first.data), first.events, bytes(second.data), second.events

    assert run(main) == (b"one", ["made", "data"], b"two", ["data", "eof", "lost"])


def test_connection_lost_comes_once_in_a_later_turn(run):
    async def main():
        async with reading() as (protocol, other):
            protocol.transport.close()
            protocol.transport.close()
            assert "lost" not in protocol.events
            other.write(b"too late")
            await ended(protocol.lost)
            protocol.transport.close()
            await turns()
            return protocol.events

    assert run(main) == ["made", "lost"]


def test_what_connection_lost_raises_is_reported_and_the_file_is_closed(run):
    class Failing(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise ValueError("lost")

    async def main():
        calls = reported(asyncio.get_running_loop())
        async with reading(Failing) as (protocol, _):
            pipe = protocol.transport.get_extra_info("pipe")
            protocol.transport.close()
            await ended(protocol.lost)
            assert pipe.closed
        return [str(exc) for _, exc in calls]

    assert run(main) == ["lost"]


# ---- contexts ----


def test_callbacks_run_in_the_context_of_who_connected_or_resumed(run):
    class Marking(Recorder):
        def __init__(self):
            super().__init__()
            self.marks = []

        def connection_made(self, transport):
            super().connection_made(transport)
            self.marks.append(MARK.get())
            MARK.set("made")

        def data_received(self, data):
            super().data_received(data)
            self.marks.append(MARK.get())
            MARK.set(f"data {len(self.marks)}")

        def eof_received(self):
            self.marks.append(MARK.get())

        def connection_lost(self, exc):
            super().connection_lost(exc)
            self.marks.append(MARK.get())

    async def main():
        MARK.set("connected")
        async with reading(Marking) as (protocol, other):
            MARK.set("later")
            for _ in range(2):
                other.write(b"x")
                await protocol.received(len(protocol.data) + 1)
            protocol.transport.pause_reading()
            MARK.set("resumed")
            protocol.transport.resume_reading()
            MARK.set("last")
            for _ in range(2):
                other.write(b"x")
                await protocol.received(len(protocol.data) + 1)
            other.close()
            await ended(protocol.lost)
            return protocol.marks

    assert run(main) == on_asyncio(main)


# ---- what it is and shows ----


def test_what_the_transport_is_and_knows(run):
    async def main():
        async with reading() as (protocol, _):
            transport = protocol.transport
            pipe = transport.get_extra_info("pipe")
            assert isinstance(transport, asyncio.ReadTransport)
            assert not isinstance(transport, asyncio.WriteTransport)
            assert transport.get_protocol() is protocol is transport._protocol
            assert transport._loop is asyncio.get_running_loop()
            assert (transport._pipe, transport._fileno) == (pipe, pipe.fileno())
            assert transport.get_extra_info("peername", "unknown") == "unknown"
            transport.note = "an attribute"
            assert vars(transport)["note"] == "an attribute"
            transport.close()
            await ended(protocol.lost)
            await turns()
            return transport._pipe, transport._protocol, transport._loop, pipe.closed

    assert run(main) == (None, None, None, True)


def test_repr_tells_the_state(run, loop_kind):
    async def main():
        seen = []
        async with reading() as (protocol, _):
            transport = protocol.transport
            seen.append(shown(transport))
            transport.pause_reading()
            seen.append(shown(transport))
            transport.close()
            seen.append(shown(transport))
            await ended(protocol.lost)
            await turns()
            seen.append(shown(transport))
        return seen

    assert run(main) == on_asyncio(main)


@pytest.mark.parametrize("end", ["read", "write"])
def test_a_transport_dropped_open_warns_and_closes_the_file(loop_factory, end):
    loop = loop_factory()
    protocol, other = loop.run_until_complete(connected(end, Recorder))
    transport = protocol.transport
    pipe = transport.get_extra_info("pipe")
    loop.close()
    with pytest.warns(ResourceWarning, match=r"unclosed transport <.*PipeTransport fd=\d+ open"):
        del transport, protocol
        gc.collect()
    assert pipe.closed
    other.close()


@pytest.mark.parametrize("end", ["read", "write"])
def test_who_closes_the_file_himself_takes_it_from_the_transport(loop_factory, end):
    loop = loop_factory()
    protocol, other = loop.run_until_complete(connected(end, Recorder))
    transport = protocol.transport
    loop.close()
    transport.get_extra_info("pipe").close()
    transport._pipe = None
    assert "closed" in repr(transport)
    del transport, protocol  # without a ResourceWarning
    gc.collect()
    other.close()


def test_debug_mode_logs_pauses_and_ends(run, caplog):
    async def main():
        with caplog.at_level("DEBUG", logger="asyncio"):
            async with reading() as (protocol, other):
                protocol.transport.pause_reading()
                protocol.transport.resume_reading()
                other.close()
                await ended(protocol.lost)
        return [
            (record.levelname, re.sub("<.*>", "it", record.getMessage()))
            for record in caplog.records
            if re.match("<.*ReadPipeTransport", record.getMessage())  # not how long a call took
        ]

    assert run(main, debug=True)[-3:] == [
        ("DEBUG", "it pauses reading"),
        ("DEBUG", "it resumes reading"),
        ("INFO", "it was closed by peer"),
    ]


# ---- descriptors ----


def test_a_terminal_may_be_read_and_written_by_one_descriptor(run):
    """Both ends of a conversation, as programs that drive others on a terminal have it."""

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = pty.openpty()
        tty.setraw(theirs)
        other = End(theirs)
        _, reader = await loop.connect_read_pipe(Recorder, os.fdopen(ours, "rb", 0, closefd=False))
        _, writer = await loop.connect_write_pipe(BaseRecorder, os.fdopen(ours, "wb", 0))
        writer.transport.write(b"question")
        await until(lambda: other.unread)
        assert other.read() == b"question"
        other.write(b"answer")
        assert await reader.received(6) == b"answer"
        other.close()
        exc = await ended(reader.lost)  # quietly: the loop's handler is not called
        writer.transport.abort()
        await ended(writer.lost)
        return exc.errno, reader.events

    assert run(main) == (errno.EIO, ["made", "data", "lost"])


@only_pyaio  # asyncio takes the transport's
def test_the_descriptor_of_a_transport_is_nobody_elses(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with reading() as (protocol, other), writing() as (writer, _):
            for transport in (protocol.transport, writer.transport):
                fd = transport.get_extra_info("pipe").fileno()
                for add in (loop.add_reader, loop.add_writer):
                    with pytest.raises(RuntimeError, match="is used by transport"):
                        add(fd, print)
            other.write(b"x")
            await protocol.received(1)

    run(main)


@only_pyaio
def test_a_stream_reader_is_fed_without_a_python_call(run):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = os.pipe()
        other = End(theirs)
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", 0)
        )
        other.write(b"first")
        assert await reader.read(100) == b"first"
        task = asyncio.ensure_future(reader.read(100))
        await turns(1)
        with python_calls() as names:
            other.write(b"second")
            assert await task == b"second"
        other.close()
        assert await reader.read() == b""
        transport.close()
        return FEEDING.intersection(names)

    assert run(main) == set()


def test_a_replaced_hook_makes_the_transport(loop_class):
    made = []

    class Mine(loop_class):
        def _make_read_pipe_transport(self, *args, **kwargs):
            made.append("read")
            return super()._make_read_pipe_transport(*args, **kwargs)

        def _make_write_pipe_transport(self, *args, **kwargs):
            made.append("write")
            return super()._make_write_pipe_transport(*args, **kwargs)

    async def main():
        async with reading(), writing():
            pass

    with asyncio.Runner(loop_factory=Mine) as runner:
        runner.run(main())
    assert made == ["read", "write"]
