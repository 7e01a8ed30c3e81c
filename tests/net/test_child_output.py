"""A child's output on its way to its StreamReader: natively while all of it is asyncio's own, by
asyncio's methods as soon as a program has replaced one, and in the same turns."""

import asyncio
import contextlib
import contextvars
import fcntl
import os
import sys
from asyncio import base_subprocess, subprocess, unix_events
from subprocess import PIPE
from termios import FIONREAD

import pytest
from children import started, within_limits
from helpers import only_pyaio
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import on_asyncio, on_each, turns, until
from pipe_ends import End
from spies import python_calls, replaced, spy_on

#: The Python functions that the native way does without.
FEEDING = {"data_received", "_pipe_data_received", "_call", "pipe_data_received", "feed_data"}

#: Where each of them is found.
OWNERS = [
    (base_subprocess.ReadSubprocessPipeProto, "data_received"),
    (unix_events._UnixSubprocessTransport, "_pipe_data_received"),
    (unix_events._UnixSubprocessTransport, "_call"),
    (subprocess.SubprocessStreamProtocol, "pipe_data_received"),
    (asyncio.StreamReader, "feed_data"),
]

MARK = contextvars.ContextVar("MARK", default="none")

ECHO = """
import os
while data := os.read(0, 1 << 20):
    while data:
        data = data[os.write(1, data):]
"""


@contextlib.asynccontextmanager
async def echo(**kwargs):
    """A child that gives back what it is given; its asyncio.subprocess.Process."""
    process = await started(ECHO, stdin=PIPE, stdout=PIPE, **kwargs)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await within_limits(process.communicate())


async def answer(process, data=b"some bytes"):
    """Send *data* through the child; return the names of the functions that fed the reader."""
    reading = asyncio.ensure_future(process.stdout.readexactly(len(data)))
    await asyncio.sleep(0)
    with python_calls() as names:
        process.stdin.write(data)
        assert await within_limits(reading) == data
    return FEEDING.intersection(names)


def parts_of(process):
    """The objects on the way: the pipe's protocol, the transport, the protocol, the reader."""
    transport = process._transport
    return [transport._pipes[1], transport, transport, process._protocol, process.stdout]


def test_an_unmodified_reader_needs_no_python_call(run, loop_kind):
    async def main():
        async with echo() as process:
            return [await answer(process) for _ in range(3)]

    assert run(main) == 3 * [set() if loop_kind == "pyaio" else FEEDING]


@pytest.mark.parametrize(
    ("owner", "name"), OWNERS, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_method_replaced_on_the_class_is_called(run, owner, name):
    async def main():
        calls = []
        async with echo() as process:
            with replaced(owner, name, spy_on(getattr(owner, name), calls)):
                await answer(process, b"first")
            count = len(calls)
            assert count > 0
            await answer(process, b"second")
            assert len(calls) == count

    run(main)


@pytest.mark.parametrize("which", range(5), ids=[name for _, name in OWNERS])
def test_a_method_replaced_on_the_object_is_called(run, which):
    async def main():
        calls = []
        async with echo() as process:
            owner, name = parts_of(process)[which], OWNERS[which][1]
            setattr(owner, name, spy_on(getattr(owner, name), calls))
            await answer(process)
            delattr(owner, name)
        return bool(calls)

    assert run(main)


def test_other_code_in_a_function_is_run(run):
    """As a tracer puts it there."""

    def pipe_data_received(self, fd, data):
        self.seen = fd, data

    async def main():
        method = subprocess.SubprocessStreamProtocol.pipe_data_received
        own = method.__code__
        async with echo() as process:
            await answer(process)
            method.__code__ = pipe_data_received.__code__
            try:
                process.stdin.write(b"traced")
                await until(lambda: hasattr(process._protocol, "seen"))
            finally:
                method.__code__ = own
            return process._protocol.seen

    assert run(main) == (1, b"traced")


def test_a_replaced_call_soon_sees_each_chunk(loop_class):
    seen = []

    class Traced(loop_class):
        def call_soon(self, callback, *args, context=None):
            if getattr(callback, "__name__", "") == "pipe_data_received":
                seen.append(args)
            return super().call_soon(callback, *args, context=context)

    async def main():
        async with echo() as process:
            await answer(process, b"data")

    with asyncio.Runner(loop_factory=Traced) as runner:
        runner.run(main())
    assert seen == [(1, b"data")]


def test_debug_mode_calls_the_methods(run):
    async def main():
        async with echo() as process:
            return await answer(process)

    assert run(main, debug=True) == FEEDING


class Fed(subprocess.SubprocessStreamProtocol):
    """A program's own, which keeps in which turn of a fixed number it was called with what."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = []

    def pipe_data_received(self, fd, data):
        self.seen.append((fd, data, MARK.get()))
        MARK.set("changed")
        super().pipe_data_received(fd, data)


def test_a_protocol_of_a_subclass_is_called_in_a_context_of_its_own(run):
    async def main():
        loop = asyncio.get_running_loop()
        MARK.set("started")
        transport, protocol = await loop.subprocess_exec(
            lambda: Fed(limit=1 << 16, loop=loop),
            sys.executable,
            "-c",
            ECHO,
            stdin=PIPE,
            stdout=PIPE,
        )
        process = subprocess.Process(transport, protocol, loop)
        MARK.set("later")
        for data in (b"one", b"two"):
            await answer(process, data)
        process.stdin.close()
        await within_limits(process.wait())
        return protocol.seen

    assert run(main) == [(1, b"one", "started"), (1, b"two", "started")]


class Inside:
    """A pair of pipes in place of those of a child: what is in them is known."""

    def __init__(self):
        self.ends = {}

    async def connect(self, process):
        """Have the transport of *process* read from pipes of ours, too."""
        loop, transport = asyncio.get_running_loop(), process._transport
        for number in (1, 2):
            ours, theirs = os.pipe()
            self.ends[number] = End(theirs)
            _, protocol = await loop.connect_read_pipe(
                lambda number=number: base_subprocess.ReadSubprocessPipeProto(transport, number),
                os.fdopen(ours, "rb", 0),
            )
            transport._pipes[number] = protocol
            process._protocol._pipe_fds.append(number)
            reader = asyncio.StreamReader(limit=100, loop=loop)
            reader.set_transport(protocol.pipe)
            name = "stdout" if number == 1 else "stderr"
            setattr(process._protocol, name, reader)
            setattr(process, name, reader)


@contextlib.asynccontextmanager
async def inside():
    """A child that waits, of which the pipes are ours; gives (process, Inside)."""
    process = await started("input()", stdin=PIPE)
    pipes = Inside()
    await pipes.connect(process)
    try:
        yield process, pipes
    finally:
        for number, end in pipes.ends.items():
            end.close()
            process._transport.get_pipe_transport(number).resume_reading()
        process.kill()
        await within_limits(process.wait())
        await until(lambda: process._transport._finished)


def test_data_arrives_in_the_turn_of_asyncio(run):
    async def main():
        seen = []
        async with inside() as (process, pipes):
            waiting = asyncio.ensure_future(process.stdout.read(5))
            await turns(2)
            pipes.ends[1].write(b"out")
            pipes.ends[2].write(b"err")
            pipes.ends[1].close()
            for _ in range(7):
                await turns(1)
                readers = process.stdout, process.stderr
                seen.append((*(bytes(r._buffer) for r in readers), readers[0]._eof, waiting.done()))
            assert await waiting == b"out"
            return seen

    assert run(main) == on_asyncio(main)


def test_what_was_read_is_delivered_after_a_stop(loop):
    """The loop is stopped between the read and the turn in which the reader gets the bytes."""

    async def start():
        manager = inside()
        return manager, *await manager.__aenter__()

    async def end(manager):
        await manager.__aexit__(None, None, None)

    manager, process, pipes = loop.run_until_complete(start())
    try:
        pipes.ends[1].write(b"data")
        for _ in range(6):
            loop.call_soon(loop.stop)
            loop.run_forever()
        assert bytes(process.stdout._buffer) == b"data"
    finally:
        loop.run_until_complete(end(manager))


def test_data_on_its_way_when_the_reader_is_taken_or_closed(run, reports):
    """The methods are looked at again when the bytes arrive."""

    async def main():
        told = []
        async with inside() as (process, pipes):
            for change in ("none", "plain"):
                process._protocol.stdout, reader = None, process._protocol.stdout
                pipes.ends[1].write(b"lost")
                await turns(6)
                process._protocol.stdout = reader
                told.append((change, bytes(reader._buffer)))
            pipes.ends[1].write(b"kept")
            await turns(6)
            told.append(bytes(process.stdout._buffer))
            reader.feed_eof()
            pipes.ends[1].write(b"too late")
            await turns(6)
            told.append(bytes(process.stdout._buffer))
        return told

    told = run(main)
    assert told == [("none", b""), ("plain", b""), b"kept", b"kept"]
    (report,) = reports.take()
    assert "pipe_data_received" in report


# ---- pausing ----


def test_more_than_twice_the_limit_pauses_the_pipe(run):
    async def main():
        told = []
        async with inside() as (process, pipes):
            pipe = process._transport.get_pipe_transport(1)
            for chunk in (b"a" * 200, b"b", b"c" * 500):
                pipes.ends[1].write(chunk)
                await turns(8)
                told.append(
                    (len(process.stdout._buffer), pipe.is_reading(), process.stdout._paused)
                )
            data = await process.stdout.readexactly(201)
            told.append((data, pipe.is_reading()))
            await turns(8)
            told.append((len(process.stdout._buffer), pipe.is_reading()))
            return told

    assert run(main) == on_asyncio(main)


# ---- large pipes ----


linux = pytest.mark.skipif(
    not hasattr(fcntl, "F_GETPIPE_SZ"), reason="only Linux tells the size of a pipe"
)


def size_of(pipe):
    return fcntl.fcntl(pipe.get_extra_info("pipe").fileno(), fcntl.F_GETPIPE_SZ)


def unread(pipe):
    """How many bytes wait in the pipe."""
    count = fcntl.ioctl(pipe.get_extra_info("pipe").fileno(), FIONREAD, bytes(4))
    return int.from_bytes(count, sys.byteorder)


LARGE = bytes(range(256)) * 4096  # 1 MiB


@pytest.mark.skipif(
    not hasattr(fcntl, "F_GETPIPE_SZ"), reason="only Linux tells the size of a pipe"
)
@only_pyaio  # asyncio leaves them as they are
@pytest.mark.parametrize("size", [-1, 4096, 1 << 17])
def test_the_pipes_of_a_child_grow_when_much_goes_through(run, size):
    async def main():
        async with echo(pipesize=size) as process:
            ends = [process._transport.get_pipe_transport(n) for n in (0, 1)]
            before = [size_of(end) for end in ends]
            process.stdin.write(b"little")
            assert await within_limits(process.stdout.readexactly(6)) == b"little"
            assert [size_of(end) for end in ends] == before
            task = asyncio.ensure_future(process.stdout.readexactly(len(LARGE)))
            # Who reads as fast as the child writes never finds its pipe full.
            ends[1].pause_reading()
            process.stdin.write(LARGE)
            await until(lambda: unread(ends[1]) == before[1])
            ends[1].resume_reading()
            assert await within_limits(task) == LARGE
            return before, [size_of(end) for end in ends]

    before, after = run(main)
    given_size = 1 << 16 if size == -1 else size
    assert before == [given_size] * 2
    assert after == ([1 << 18] * 2 if size == -1 else before)


@pytest.mark.skipif(
    not hasattr(fcntl, "F_GETPIPE_SZ"), reason="only Linux tells the size of a pipe"
)
def test_the_input_of_a_child_that_does_not_read_stays_as_it_is(run):
    async def main():
        process = await asyncio.create_subprocess_exec("sleep", "600", stdin=PIPE)
        transport = process.stdin.transport
        process.stdin.write(LARGE)
        await turns(20)
        taken = len(LARGE) - transport.get_write_buffer_size()
        size = size_of(transport)
        process.kill()
        await within_limits(process.wait())
        return taken < 2 * size, size

    assert run(main) == (True, 1 << 16)


@linux
def test_the_pipes_of_a_program_stay_as_they_are(run):
    async def main():
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        ours, theirs = os.pipe()
        source, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", 0)
        )
        sink, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(theirs, "wb", 0))
        before = size_of(source)
        sink.write(LARGE)
        assert await within_limits(reader.readexactly(len(LARGE))) == LARGE
        assert size_of(source) == before
        sink.close()
        assert await within_limits(reader.read()) == b""
        await turns()

    run(main)


# ---- a child's input ----


@only_pyaio  # asyncio makes a call of each
def test_writes_of_one_turn_are_gathered(run):
    async def main():
        async with echo() as process:
            transport = process.stdin.transport
            pipe = transport.get_extra_info("pipe")
            await asyncio.sleep(0)
            for n in range(50):
                process.stdin.write(b"%d " % n)
            sizes = [transport._protocol_paused, transport.get_write_buffer_size()]
            assert pipe is transport.get_extra_info("pipe")
            expected = b"".join(b"%d " % n for n in range(50))
            assert await within_limits(process.stdout.readexactly(len(expected))) == expected
            return sizes

    assert run(main) == [False, 0]


@pytest.mark.parametrize("step", ["close", "write_eof", "abort"])
def test_an_ending_in_the_turn_of_the_writes_loses_none(run, step):
    async def main():
        process = await started(ECHO, stdin=PIPE, stdout=PIPE)
        transport = process.stdin.transport
        for n in range(5):
            process.stdin.write(b"%d " % n)
        getattr(transport, step)()
        return await within_limits(process.stdout.read()), await within_limits(process.wait())

    assert run(main) == (b"0 1 2 3 4 ", 0)


def test_a_line_at_a_time_through_a_child(run):
    async def main():
        async with echo() as process:
            for n in range(200):
                process.stdin.write(b"line %d\n" % n)
                if n % 7 == 0:
                    await process.stdin.drain()
                if n % 3 == 0:
                    process.stdin.writelines([b"a", b"b\n"])
            got = [await within_limits(process.stdout.readline()) for _ in range(200)]
            return got[:4]

    assert run(main) == [b"line 0\n", b"ab\n", b"line 1\n", b"line 2\n"]


# ---- random programs ----

OPERATIONS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from([1, 2]), st.sampled_from([1, 50, 150, 400])),
    st.tuples(st.just("read"), st.sampled_from([1, 2]), st.sampled_from([1, 100, 1000])),
    st.tuples(st.just("close"), st.sampled_from([1, 2])),
    st.tuples(st.just("turns"), st.integers(1, 6)),
    st.tuples(st.just("subclass")),
)


async def tell(operations):
    """Do the *operations*; return the state of both readers after each of them."""
    told, tasks = [], []
    async with inside() as (process, pipes):
        readers = {1: process.stdout, 2: process.stderr}
        for name, *args in operations:
            if name == "write":
                end, size = pipes.ends[args[0]], args[1]
                if end.fd >= 0:
                    end.write(bytes([len(told) % 251]) * size)
            elif name == "read":
                if all(task.done() for task, n in tasks if n == args[0]):
                    tasks.append((asyncio.ensure_future(readers[args[0]].read(args[1])), args[0]))
            elif name == "close":
                pipes.ends[args[0]].close()
            elif name == "turns":
                await turns(*args)
            else:
                process._protocol.__class__ = type("Mine", (type(process._protocol),), {})
            told.append(
                [(bytes(r._buffer), r._eof, r._paused) for r in readers.values()]
                + [[task.done() for task, _ in tasks]]
            )
        for end in pipes.ends.values():
            end.close()
        for task, _ in tasks:
            told.append(await within_limits(task))
        for reader in readers.values():
            told.append(await within_limits(reader.read()))
    return told


@settings(max_examples=30)
@given(st.lists(OPERATIONS, max_size=12))
def test_both_loops_tell_the_same(loop_factories, operations):
    told = on_each(loop_factories, tell, operations)
    assert told["pyaio"] == told["asyncio"]
