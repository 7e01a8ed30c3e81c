"""connect_read_pipe and connect_write_pipe: that they work at all."""

import asyncio
import os

from peers import Recorder, ended, until


class Reading(Recorder):
    """A Recorder on the reading end of a pipe."""


class Writing(asyncio.BaseProtocol):
    def __init__(self):
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exc):
        self.lost.set_result(exc)


async def pipe():
    """Both ends of a pipe as protocols, with the files that the transports own."""
    loop = asyncio.get_running_loop()
    read_end, write_end = (
        os.fdopen(fd, mode, 0) for fd, mode in zip(os.pipe(), ("rb", "wb"), strict=True)
    )
    _, reading = await loop.connect_read_pipe(Reading, read_end)
    _, writing = await loop.connect_write_pipe(Writing, write_end)
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
