"""Random programs of a pipe whose other end is a plain descriptor: both loops tell the same."""

import contextlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peers import Recorder, ended, on_each, turns
from pipe_ends import reading, writing

#: Of turns there are several: who pauses and resumes in one hears of what was there already a turn
#: earlier than on asyncio.
#: Far from what a pipe holds, 64 KiB: where a write is cut is the kernel's affair.
SIZES = st.sampled_from([0, 1, 100, 5000, 400_000])

READING = st.one_of(
    st.tuples(st.sampled_from(["pause_reading", "resume_reading", "close"])),
    st.tuples(st.just("peer writes"), st.sampled_from([1, 100, 5000])),
    st.tuples(st.just("peer closes")),
    st.tuples(st.just("switch protocol")),
    st.tuples(st.just("turns"), st.integers(4, 6)),
)
WRITING = st.one_of(
    st.tuples(st.just("write"), SIZES),
    st.tuples(st.just("writelines"), st.lists(SIZES, max_size=3)),
    st.tuples(st.sampled_from(["write_eof", "close", "abort"])),
    st.tuples(st.just("set_write_buffer_limits"), st.sampled_from([0, 1000, 10_000_000])),
    st.tuples(st.just("peer reads"), st.sampled_from([1, 100, 5000])),
    st.tuples(st.just("peer reads all")),
    st.tuples(st.just("peer closes")),
    st.tuples(st.just("turns"), st.integers(4, 6)),
)


async def read_story(operations):
    told = []
    async with reading() as (protocol, other):
        transport = protocol.transport
        for name, *args in operations:
            if name == "peer writes":
                with contextlib.suppress(OSError):  # it is closed, or full, or nobody reads
                    other.write(b"p" * args[0])
            elif name == "peer closes":
                other.close()
            elif name == "turns":
                await turns(*args)
            elif name == "switch protocol":
                if not transport.is_closing():
                    new = Recorder()
                    vars(new).update(vars(protocol))
                    transport.set_protocol(new)
            else:
                getattr(transport, name)()
            told.append((len(protocol.data), protocol.events[:], transport.is_reading()))
    return told, protocol.events


class Story:
    """A transport that writes, and what has come of it."""

    def __init__(self, protocol, other):
        self.protocol, self.transport, self.other = protocol, protocol.transport, other
        self.written = 0  # makes the bytes of each write tell where they belong
        self.arrived = bytearray()

    def data(self, size):
        self.written += 1
        return bytes([self.written % 251]) * size

    async def do(self, name, *args):
        if name == "turns":
            await turns(*args)
        elif name == "peer reads all":
            while self.other.fd >= 0 and (chunk := self.other.read()):
                self.arrived += chunk
                await turns(3)
        elif name == "peer reads":
            if self.other.fd >= 0:
                self.arrived += self.other.read(*args)
        elif name == "peer closes":
            self.other.close()
        elif name == "abort" and self.ending():
            pass  # asyncio stumbles over the second end
        elif name == "write":
            self.transport.write(self.data(*args))
        elif name == "writelines":
            self.transport.writelines([self.data(size) for size in args[0]])
        else:
            getattr(self.transport, name)(*args)

    def ending(self):
        closing = self.transport.is_closing()
        return closing and not self.transport.get_write_buffer_size()

    def state(self):
        transport = self.transport
        size = None if self.protocol.lost.done() else transport.get_write_buffer_size()
        return size, transport.is_closing(), self.protocol.events[:], len(self.arrived)


async def write_story(operations):
    told = []
    async with writing() as (protocol, other):
        story = Story(protocol, other)
        for operation in operations:
            await story.do(*operation)
            told.append(story.state())
        await story.do("peer reads all")
        told.append(story.state())
    lost = await ended(protocol.lost)
    return told, type(lost), protocol.events, bytes(story.arrived)


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(st.lists(READING, max_size=15))
def test_both_loops_tell_the_same_of_reading(loop_factories, operations):
    told = on_each(loop_factories, read_story, operations)
    assert told["pyaio"] == told["asyncio"]


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(st.lists(WRITING, max_size=15))
def test_both_loops_tell_the_same_of_writing(loop_factories, reports, operations):
    try:
        told = on_each(loop_factories, write_story, operations)
    finally:
        reports.take()
    assert told["pyaio"] == told["asyncio"]
