"""Random sequences of what a program and its peer may do: both loops must tell the same story."""

import asyncio
import contextlib
import socket
import sys
from fcntl import ioctl
from termios import TIOCOUTQ

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peers import Buffered, Recorder, on_each, reset, tcp_pair

# Far from what the sockets hold, about 100 KB: nothing may depend on how much the kernel takes.
SMALL = st.sampled_from([0, 1, 100, 5000])
SIZES = SMALL | st.just(4_000_000)

WRITELINES = st.tuples(st.just("writelines"), st.lists(SMALL, max_size=3))
OPERATIONS = st.one_of(
    st.tuples(st.just("write"), SIZES),
    # In 3.12 and 3.13, asyncio's writelines() neither pauses the protocol nor takes a close().
    *([] if (3, 12) <= sys.version_info < (3, 14) else [WRITELINES]),
    st.tuples(st.sampled_from(["write_eof", "pause_reading", "resume_reading"])),
    st.tuples(st.sampled_from(["close", "abort"])),
    st.tuples(st.just("set_write_buffer_limits"), st.sampled_from([0, 1000, 10_000_000])),
    st.tuples(st.just("peer sends"), SMALL),
    st.tuples(st.just("peer reads"), SMALL),
    st.tuples(st.sampled_from(["peer half-closes", "peer closes", "peer resets"])),
    st.tuples(st.just("peer reads all")),
    st.tuples(st.just("settle")),
    st.tuples(st.just("switch protocol")),
)


class Story:
    """One connection of the loop whose other end is a plain socket, and what became of both."""

    def __init__(self, transport, protocol, peer):
        self.transport, self.protocol, self.peer = transport, protocol, peer
        self.written = 0  # makes the bytes of each write tell where they belong
        self.arrived = bytearray()
        self.told = []

    def bytes_to_write(self, size):
        self.written += 1
        return bytes([self.written % 251]) * size

    def do(self, name, *args):
        if name.startswith("peer "):
            with contextlib.suppress(OSError):
                self.peer_does(name, *args)
        elif self.protocol.lost.done():
            pass  # asyncio stumbles over writes after a close that had a queue to send
        elif name == "switch protocol":
            self.switch()
        else:
            if name == "write":
                args = (self.bytes_to_write(*args),)
            elif name == "writelines":
                args = ([self.bytes_to_write(size) for size in args[0]],)
            try:
                getattr(self.transport, name)(*args)
            except Exception as exc:
                self.told.append((name, type(exc)))

    def peer_does(self, name, size=0):
        if name == "peer sends":
            self.peer.send(b"p" * size)
        elif name == "peer reads":
            self.arrived += self.peer.recv(size)
        elif name == "peer half-closes":
            self.peer.shutdown(socket.SHUT_WR)
        elif name == "peer closes":
            self.peer.close()
        else:
            reset(self.peer)

    def switch(self):
        """Go on with a protocol of the other kind, which takes over what was recorded."""
        old = self.protocol
        new = Recorder() if isinstance(old, Buffered) else Buffered()
        for name in ("transport", "events", "data", "made", "ended", "lost"):
            setattr(new, name, getattr(old, name))
        self.protocol = new
        self.transport.set_protocol(new)

    def state(self):
        protocol, transport = self.protocol, self.transport
        ways = transport.is_closing(), transport.is_reading(), protocol.lost.done()
        return protocol.events[:], len(protocol.data), *ways

    async def settle(self):
        """Let the loop run until nothing changes any more."""
        quiet, last = 0, None
        while quiet < 3:
            await asyncio.sleep(0.0005)
            now = *self.state(), self.transport.get_write_buffer_size()
            quiet, last = (quiet + 1 if now == last else 0), now

    def under_way(self):
        """Tell whether the peer may still get something: data, or the end of it."""
        if self.protocol.lost.done():
            return True
        if self.transport.get_write_buffer_size():
            return True
        return ioctl(self.transport.get_extra_info("socket"), TIOCOUTQ, bytes(4)) != bytes(4)

    async def read_all(self):
        """Let the peer read what is there and what comes after it."""
        with contextlib.suppress(ConnectionError):
            while self.peer.fileno() != -1:
                more = self.under_way()
                try:
                    chunk = self.peer.recv(1 << 20)
                except BlockingIOError:
                    if not more:
                        break
                else:
                    if not chunk:
                        break
                    self.arrived += chunk
                await asyncio.sleep(0.0005)
        await self.settle()


async def tell(operations, kind):
    """Do the *operations* one after the other; return all that the protocol and the peer saw."""
    loop = asyncio.get_running_loop()
    calls = []
    loop.set_exception_handler(lambda loop, context: calls.append(context["message"]))
    ours, peer = tcp_pair()
    for sock in (ours, peer):  # of a fixed size, or the kernel's tuning decides what fits
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    with peer:
        transport, protocol = await loop.create_connection(kind, sock=ours)
        story = Story(transport, protocol, peer)
        for operation in operations:
            if operation[0] == "settle":
                await story.settle()
                story.told.append(story.state())
            elif operation[0] == "peer reads all":
                await story.settle()
                await story.read_all()
            else:
                if operation[0] in ("peer closes", "peer resets"):
                    # pyaio's writes of one turn leave at its end, and it need not poll in each.
                    await asyncio.sleep(0.0005)
                story.do(*operation)
        await story.settle()
        await story.read_all()
        story.told.append(story.state())
        if not story.protocol.lost.done():
            transport.abort()
        lost = await story.protocol.lost
    # Which of its ways to say that the peer is gone the kernel takes is its own affair.
    lost = OSError if isinstance(lost, OSError) else type(lost)
    return story.told, lost, bytes(story.protocol.data), bytes(story.arrived), calls


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(OPERATIONS, max_size=12), st.sampled_from([Recorder, Buffered]))
def test_both_loops_tell_the_same_story(loop_factories, reports, operations, kind):
    stories = on_each(loop_factories, tell, operations, kind)
    reports.take()
    pairs = zip(stories["pyaio"], stories["asyncio"], strict=True)
    # Cut: a comparison of megabytes, line by line, takes longer than a test may.
    different = [(repr(a)[:500], repr(b)[:500]) for a, b in pairs if a != b]
    assert not different
