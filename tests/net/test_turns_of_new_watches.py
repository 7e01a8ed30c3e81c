"""A descriptor that is newly watched is asked before the next turn, as in asyncio.

asyncssh, for one, has a new pipe take the place of another, which it closes right behind: what is
in the new one has to come first.
"""

import asyncio
import os
import socket

import pytest
from peers import Recorder, ended


class Noting(Recorder):
    """Notes what happens in a list of all."""

    def __init__(self, name, log):
        super().__init__()
        self.name, self.log = name, log

    def data_received(self, data):
        super().data_received(data)
        self.log.append((self.name, bytes(data)))

    def connection_lost(self, exc):
        super().connection_lost(exc)
        self.log.append((self.name, "lost"))


async def from_pipe(protocol, content):
    """The protocol on a pipe in which there is *content*; and what closes its other end."""
    ours, theirs = os.pipe()
    os.write(theirs, content)
    file = os.fdopen(ours, "rb", 0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, file)
    return lambda: os.close(theirs)


async def from_socket(protocol, content):
    ours, theirs = socket.socketpair()
    theirs.send(content)
    await asyncio.get_running_loop().create_connection(lambda: protocol, sock=ours)
    return theirs.close


async def over(old, new):
    """The end of both, of which the old one is on its way."""
    await ended(old.lost)
    new.transport.close()
    await ended(new.lost)


@pytest.mark.parametrize("connect", [from_pipe, from_socket])
def test_what_waits_in_a_new_one_comes_before_the_end_of_an_old_one(run, connect):
    async def main():
        log = []
        old, new = Noting("old", log), Noting("new", log)
        close_old = await connect(old, b"first")
        while not log:
            await asyncio.sleep(0.001)
        close_new = await connect(new, b"second")
        old.transport.close()
        await over(old, new)
        close_old()
        close_new()
        return log

    expected = [("old", b"first"), ("new", b"second"), ("old", "lost"), ("new", "lost")]
    assert run(main) == expected


def test_what_came_during_a_pause_comes_before_the_end_of_another(run):
    async def main():
        log = []
        old, new = Noting("old", log), Noting("new", log)
        close_old = await from_socket(old, b"first")
        close_new = await from_socket(new, b"second")
        while len(log) < 2:
            await asyncio.sleep(0.001)
        new.transport.pause_reading()
        close_new.__self__.send(b"third")
        await asyncio.sleep(0.001)
        new.transport.resume_reading()
        await asyncio.sleep(0)
        old.transport.close()
        await over(old, new)
        close_old()
        close_new()
        return log[2:]

    assert run(main) == [("new", b"third"), ("old", "lost"), ("new", "lost")]


@pytest.mark.parametrize("ready", ["read", "write"])
def test_a_new_reader_or_writer_runs_in_the_next_turn_but_one(run, ready):
    """Counted in turns of a task that does not rest; the select is before the next turn."""

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        theirs.send(b"x")
        ran = []
        for _ in range(200):  # a poll that happens to be due proves nothing
            await asyncio.sleep(0)
            add = loop.add_reader if ready == "read" else loop.add_writer
            remove = loop.remove_reader if ready == "read" else loop.remove_writer
            add(ours, ran.append, None)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            remove(ours)
            assert ran
            ran.clear()
        ours.close()
        theirs.close()

    run(main)
