"""connect_read_pipe and connect_write_pipe: data, ends, and who closes the descriptor."""

import asyncio
import os
import stat

import pytest
from peers import BaseRecorder, Recorder, ended, turns, until


async def pipe():
    """Both ends of a pipe as protocols, with the files that the transports own."""
    loop = asyncio.get_running_loop()
    read_end, write_end = (
        os.fdopen(fd, mode, 0) for fd, mode in zip(os.pipe(), ("rb", "wb"), strict=True)
    )
    _, reading = await loop.connect_read_pipe(Recorder, read_end)
    _, writing = await loop.connect_write_pipe(BaseRecorder, write_end)
    return reading, writing, read_end, write_end


def test_data_and_eof_go_through(run):
    async def main():
        reading, writing, read_end, write_end = await pipe()
        writing.transport.write(b"through the pipe")
        assert await reading.received(16) == b"through the pipe"
        assert writing.transport.can_write_eof()
        writing.transport.write_eof()
        await ended(writing.lost)
        await ended(reading.lost)
        assert (read_end.closed, write_end.closed) == (True, True)
        return reading.events

    assert run(main) == ["made", "data", "eof", "lost"]


def test_more_than_a_pipe_holds(run):
    async def main():
        reading, writing, _, _ = await pipe()
        payload = bytes(range(256)) * 4096
        writing.transport.write(payload)
        assert writing.transport.get_write_buffer_size() > 0
        assert await reading.received(len(payload)) == payload
        writing.transport.close()
        assert await ended(writing.lost) is None
        await ended(reading.lost)

    run(main)


def test_pausing_and_resuming(run):
    async def main():
        reading, writing, _, _ = await pipe()
        reading.transport.pause_reading()
        writing.transport.write(b"x")
        for _ in range(20):
            await asyncio.sleep(0)
        assert reading.data == b""
        reading.transport.resume_reading()
        await reading.received(1)
        writing.transport.close()
        await ended(writing.lost)
        await ended(reading.lost)

    run(main)


def test_the_writer_hears_when_the_reader_goes(run):
    async def main():
        reading, writing, _, _ = await pipe()
        reading.transport.close()
        await ended(reading.lost)
        await until(lambda: writing.lost.done())
        assert writing.transport.is_closing()

    run(main)


class Counted:
    """A file object that counts how often it is closed."""

    def __init__(self, fd, mode):
        self.file = os.fdopen(fd, mode, 0)
        self.closes = 0

    def fileno(self):
        return self.file.fileno()

    def close(self):
        self.closes += 1
        self.file.close()


def counted(end):
    """(the call that connects the *end* of a new pipe, its Counted file, the other descriptor)."""
    loop = asyncio.get_running_loop()
    read_end, write_end = os.pipe()
    if end == "read":
        file = Counted(read_end, "rb")
        return loop.connect_read_pipe(Recorder, file), file, write_end
    file = Counted(write_end, "wb")
    return loop.connect_write_pipe(BaseRecorder, file), file, read_end


@pytest.mark.parametrize("method", ["close", "abort", "end"])
@pytest.mark.parametrize("end", ["read", "write"])
def test_the_descriptor_is_closed_once_and_through_the_file_object(run, end, method):
    """The number of the closed descriptor is used again: nobody may close it a second time."""

    async def main():
        connecting, file, other = counted(end)
        transport, protocol = await connecting
        number = file.fileno()
        if method == "end":
            os.close(other)
        elif end == "read":
            transport.close()
        else:
            getattr(transport, method)()
        await ended(protocol.lost)
        transport.close()
        assert file.closes == 1
        again = os.pipe()
        assert number in again
        await turns(10)
        os.write(again[1], b"mine")
        assert os.read(again[0], 10) == b"mine"
        for fd in {other, *again} if method != "end" else again:
            os.close(fd)

    run(main)


@pytest.mark.parametrize("after", [0, 1, 2, 3])
@pytest.mark.parametrize("end", ["read", "write"])
def test_cancelled_while_connecting_closes_it_once(run, end, after):
    async def main():
        connecting, file, other = counted(end)
        task = asyncio.ensure_future(connecting)
        await turns(after)
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        if not isinstance(result, BaseException):
            result[0].close()  # made before the cancellation came
        elif after == 0:
            file.close()  # never started: the file was not handed over
        await until(lambda: file.closes)
        await turns()
        assert file.closes == 1
        os.close(other)

    run(main)


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
def test_a_regular_file_is_refused_and_left_open(run, tmp_path, method):
    async def main():
        with open(tmp_path / "file", "w+b", 0) as file:
            with pytest.raises(ValueError, match="Pipe transport is "):
                await getattr(asyncio.get_running_loop(), method)(Recorder, file)
            file.write(b"still open")

    run(main)


def test_a_buffer_changed_after_write_is_sent_as_it_was(run):
    async def main():
        reading, writing, _, _ = await pipe()
        data = bytearray(b"a" * 200_000)
        writing.transport.write(data)
        assert writing.transport.get_write_buffer_size() > 0
        data[:] = b"b" * len(data)
        assert await reading.received(200_000) == b"a" * 200_000
        writing.transport.close()
        await ended(writing.lost)
        await ended(reading.lost)

    run(main)


def test_a_fifo(run, tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)

    async def main():
        loop = asyncio.get_running_loop()
        read_end = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", 0)
        write_end = os.fdopen(os.open(path, os.O_WRONLY), "wb", 0)
        _, reading = await loop.connect_read_pipe(Recorder, read_end)
        _, writing = await loop.connect_write_pipe(BaseRecorder, write_end)
        assert reading.transport.get_extra_info("pipe") is read_end
        writing.transport.write(b"x")
        await reading.received(1)
        writing.transport.close()
        await ended(writing.lost)
        await ended(reading.lost)

    run(main)
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_standard_streams_keep_their_blocking_mode(child):
    """Those that nobody makes a transport of: watched, inherited by children, asked by sock_*."""
    source = """
    import asyncio, os, sys

    async def main():
        loop = asyncio.get_running_loop()
        for fd, add, remove in (
            (0, loop.add_reader, loop.remove_reader),
            (1, loop.add_writer, loop.remove_writer),
            (2, loop.add_writer, loop.remove_writer),
        ):
            seen = loop.create_future()
            add(fd, lambda: seen.done() or seen.set_result(None))
            if fd:
                await seen
            await asyncio.sleep(0.001)
            remove(fd)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print('child')")
        await process.wait()

    before = [os.get_blocking(fd) for fd in (0, 1, 2)]
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
    assert [os.get_blocking(fd) for fd in (0, 1, 2)] == before == [True] * 3
    print("done")
    """
    with child(source) as process:
        assert process.finish() == (0, "child\ndone\n", "")
