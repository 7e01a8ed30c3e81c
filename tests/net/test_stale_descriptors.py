"""Descriptors that are closed, or whose number is taken again, behind the loop's back."""

import asyncio
import contextlib
import errno
import os
import re
import socket
import sys
import time

import pytest
from helpers import only_pyaio
from peers import (
    LOOPBACK,
    Recorder,
    ended,
    finish,
    reset,
    take,
    tcp_pair,
    turns,
    until,
    waited,
)

#: Children, since a loop that gets this wrong may end the process.
CHILD = """
import asyncio, os, socket
loop = new_event_loop()
ours, peer = socket.socketpair()
ours.setblocking(False)

def some_turns():
    for _ in range(3):
        loop.call_later(0, loop.stop)
        loop.run_forever()
"""


def said_by(child, source):
    with child(CHILD + source) as process:
        code, out, errors = process.finish()
    assert (code, errors) == (0, ""), f"exit code {code}\n{out}\n{errors}"
    return out


def renumbered(sock, number):
    """Return *sock* under the descriptor *number*, closing what had it before."""
    old = sock.detach()
    os.dup2(old, number, inheritable=False)
    os.close(old)
    return socket.socket(fileno=number)


@contextlib.contextmanager
def no_lower_number(number):
    """Inside, no descriptor below *number*, itself open, is free."""
    held = [os.open(os.devnull, os.O_RDONLY)]
    while held[-1] < number:
        held.append(os.open(os.devnull, os.O_RDONLY))
    os.close(held.pop())
    try:
        yield
    finally:
        for fd in held:
            os.close(fd)


@pytest.mark.parametrize("ran_before", [False, True])
@pytest.mark.parametrize("method", ["add_reader", "add_writer"])
@pytest.mark.parametrize("then", ["nothing", "a regular file", "a pipe", "a directory"])
def test_a_watched_descriptor_that_was_closed_does_no_harm(child, method, then, ran_before):
    source = f"""
fd = ours.fileno()
loop.{method}(fd, str)
if {ran_before}:
    some_turns()
if {then!r} == "nothing":
    ours.close()
else:
    paths = {{"a regular file": __file__, "a directory": "/"}}
    other = os.pipe()[0] if {then!r} == "a pipe" else os.open(paths[{then!r}], os.O_RDONLY)
    os.dup2(other, ours.detach())  # closes the socket
some_turns()
loop.{method.replace("add", "remove")}(fd)
some_turns()
loop.close()
print("ok")
"""
    assert said_by(child, source) == "ok\n"


@pytest.mark.parametrize("method", ["add_reader", "add_writer"])
def test_a_descriptor_closed_after_another_is_watched_does_no_harm(child, method):
    source = f"""
for _ in range(4):  # one is a wait: what it opens must not take the number
    loop.run_until_complete(asyncio.sleep(0.01))
fd = ours.fileno()
loop.{method}(fd, str)
loop.{method}(peer, str)
ours.close()
some_turns()
loop.{method.replace("add", "remove")}(peer)
loop.{method.replace("add", "remove")}(fd)
some_turns()
loop.close()
print("ok")
"""
    assert said_by(child, source) == "ok\n"


def test_a_socket_closed_under_a_paused_transport_does_no_harm(child):
    source = """
async def main():
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    transport.pause_reading()
    await asyncio.sleep(0)
    ours.close()
    try:
        transport.resume_reading()
    except OSError:  # asyncio says so at once
        pass
    await asyncio.sleep(0.001)
    transport.abort()
    await asyncio.sleep(0.001)

loop.run_until_complete(main())
loop.close()
peer.close()
print("ok")
"""
    assert said_by(child, source) == "ok\n"


@pytest.mark.parametrize("how", ["a reader", "a paused transport"])
def test_a_number_closed_before_the_first_wait_is_none_of_the_loops_own(child, how):
    """The loop opens what it waits with when it first waits; threads and signals wake it."""
    source = f"""
import signal, threading

async def pause():
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    transport.pause_reading()
    return transport

fd = ours.fileno()
if {how!r} == "a reader":
    loop.add_reader(ours, print)
else:
    transport = loop.run_until_complete(pause())
ours.close()
loop.run_until_complete(asyncio.sleep(0.001))
if {how!r} == "a reader":
    assert loop.remove_reader(fd)
else:
    transport.abort()
    some_turns()
threading.Timer(0.005, loop.call_soon_threadsafe, (loop.stop,)).start()
loop.run_forever()
signal.signal(signal.SIGALRM, lambda *_: loop.call_soon_threadsafe(loop.stop))
signal.setitimer(signal.ITIMER_REAL, 0.005)
loop.run_forever()
loop.close()
print("ok")
"""
    assert said_by(child, source) == "ok\n"


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("method", ["add_reader", "add_writer"])
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_watched_descriptor_keeps_its_blocking_mode(loop_factory, kind, method, blocking):
    if kind == "pipe":
        fds = os.pipe()
        if method == "add_writer":
            fds = fds[::-1]
    else:
        fds = tuple(sock.detach() for sock in tcp_pair())
    os.set_blocking(fds[0], blocking)
    loop = loop_factory()
    getattr(loop, method)(fds[0], loop.stop)
    assert os.get_blocking(fds[0]) is blocking
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert os.get_blocking(fds[0]) is blocking
    getattr(loop, method.replace("add", "remove"))(fds[0])
    loop.close()
    assert os.get_blocking(fds[0]) is blocking
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize("method", ["add_reader", "add_writer"])
@pytest.mark.parametrize("number", [1 << 20, (1 << 31) - 1])
def test_a_number_that_is_not_open_is_refused(loop, method, number):
    with pytest.raises(OSError) as caught:
        getattr(loop, method)(number, print)
    assert caught.value.errno == errno.EBADF
    assert getattr(loop, method.replace("add", "remove"))(number) is False


@pytest.mark.parametrize("ran_before", [False, True])
def test_a_socket_with_a_reader_may_become_a_connection(run, pair, ran_before):
    async def main():
        loop = asyncio.get_running_loop()
        loop.add_reader(pair[0], lambda: None)
        if ran_before:
            await turns()
        _, protocol = await loop.create_connection(Recorder, sock=pair[0])
        pair[1].send(b"x")
        assert await protocol.received(1) == b"x"
        await finish(protocol)

    run(main)


async def leave_stale(how, sock):
    """Make the loop look at *sock*, which is still to be closed; return what to call at the end."""
    loop = asyncio.get_running_loop()
    if how == "add_reader":
        loop.add_reader(sock, lambda: None)
        return int
    receiving = asyncio.ensure_future(loop.sock_recv(sock, 10))
    await asyncio.sleep(0)  # it finds nothing and begins to wait
    return receiving.cancel


# asyncio's selector takes the number for the closed file's: nothing new is ever read from it.
@only_pyaio
@pytest.mark.parametrize("how", ["add_reader", "sock_recv"])
def test_a_stale_reader_does_not_disturb_a_connection_of_its_number(run, pair, how):
    async def main():
        stale, stale_peer = tcp_pair()
        forget = await leave_stale(how, stale)
        await turns()
        ours = renumbered(pair[0], stale.detach())
        stale_peer.close()
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(Recorder, sock=ours)
        forget()
        await turns()
        for i in range(3):
            pair[1].send(b"x")
            await protocol.received(i + 1)
            protocol.transport.write(b"y")
            assert await take(pair[1], 1) == b"y"
        await finish(protocol)

    run(main)


# asyncio's selector takes the number for the closed file's: nothing new is ever read from it.
@only_pyaio
@pytest.mark.parametrize("how", ["add_reader", "sock_recv"])
def test_a_stale_reader_does_not_disturb_an_accepted_connection(run, how):
    accepted = []

    def factory():
        accepted.append(Recorder())
        return accepted[-1]

    async def main():
        await waited()  # what the loop opens to do so must not take the number
        server = await asyncio.get_running_loop().create_server(factory, LOOPBACK, 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        client.setblocking(False)
        stale, stale_peer = tcp_pair()
        number = stale.fileno()
        forget = await leave_stale(how, stale)
        # The connection is not accepted yet: it gets the number that is freed now.
        with no_lower_number(number):
            assert accepted == []
            stale.close()
            await until(lambda: accepted)
        await ended(accepted[0].made)
        assert accepted[0].transport.get_extra_info("socket").fileno() == number
        forget()
        await turns()
        client.send(b"x")
        assert await accepted[0].received(1) == b"x"
        accepted[0].transport.write(b"y")
        assert await take(client, 1) == b"y"
        client.close()
        stale_peer.close()
        await finish(*accepted)
        server.close()
        await server.wait_closed()

    run(main)


def test_a_descriptor_has_one_transport_at_most(run, pair, loop_kind):
    if loop_kind == "asyncio" and sys.version_info < (3, 12):
        pytest.skip("asyncio of this version makes a second one, and the two take turns")

    async def main():
        loop = asyncio.get_running_loop()
        _, first = await loop.create_connection(Recorder, sock=pair[0])
        shown = re.escape(f"File descriptor {pair[0]!r} is used by transport ")
        with pytest.raises(RuntimeError, match=shown):
            await loop.create_connection(Recorder, sock=pair[0])
        if pair[0].fileno() == -1:  # asyncio since 3.14.8: the first one has lost it, too
            await until(lambda: first.transport.is_closing() or first.transport.abort())
            await finish(first)
            return
        pair[1].send(b"x")
        assert await first.received(1) == b"x"
        first.transport.write(b"y")
        assert await take(pair[1], 1) == b"y"
        await finish(first)

    run(main)


# ---- open files that outlive the transport ----

IDLE = 0.2


async def uses_no_cpu():
    """A loop that spins does so each time; an idle one may be charged for what others do."""
    for _ in range(3):
        start = time.thread_time()
        await asyncio.sleep(IDLE)
        if time.thread_time() - start < IDLE / 2:
            return True
    return False


@pytest.mark.parametrize("ending", ["data", "EOF"])
def test_a_duplicate_of_a_closed_connection_uses_no_cpu(run, pair, ending):
    async def main():
        _, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=pair[0])
        with protocol.transport.get_extra_info("socket").dup():
            await finish(protocol)
            pair[1].send(b"x") if ending == "data" else pair[1].close()
            return await uses_no_cpu()

    assert run(main)


@pytest.mark.parametrize("ending", ["data", "EOF", "reset"])
def test_a_paused_connection_that_is_sent_something_uses_no_cpu(run, pair, ending):
    async def main():
        _, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=pair[0])
        await turns()
        protocol.transport.pause_reading()
        if ending == "data":
            pair[1].send(b"x")
        elif ending == "EOF":
            pair[1].close()
        else:
            reset(pair[1])
        idle = await uses_no_cpu()
        assert bytes(protocol.data) == b"" and not protocol.lost.done()
        protocol.transport.resume_reading()
        if ending == "data":
            assert await protocol.received(1) == b"x"
        await finish(protocol)
        return idle

    assert run(main)


def test_a_connection_that_a_child_has_too_uses_no_cpu_once_it_is_closed(child):
    source = """
import signal, time

class Reading(asyncio.Protocol):
    pass

async def main():
    server = await loop.create_server(lambda: Reading(), "127.0.0.1", 0)
    peer = socket.create_connection(server.sockets[0].getsockname())
    peer.setblocking(False)
    while not TRANSPORTS:
        await asyncio.sleep(0.001)
    transport = TRANSPORTS.pop()
    await asyncio.sleep(0.01)
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        signal.pause()
        os._exit(0)
    transport.close()
    await asyncio.sleep(0.01)
    peer.send(b"x")
    used = []
    for _ in range(3):
        start = time.thread_time()
        await asyncio.sleep(0.2)
        used.append(time.thread_time() - start)
    print(min(used) < 0.1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    peer.close()
    server.close()
    await server.wait_closed()

TRANSPORTS = []
Reading.connection_made = lambda self, transport: TRANSPORTS.append(transport)
loop.run_until_complete(main())
loop.close()
ours.close()
peer.close()
"""
    assert said_by(child, source) == "True\n"
