"""Code of the program that runs while the loop is in the middle of something.

Finalizers, fileno(), hash functions, what stands behind an item's bytes: each may close, replace
or remove what the loop is working on.
"""

import asyncio
import contextvars
import socket
import sys

import pytest
from helpers import only_pyaio
from peers import Recorder, ended, finish, take, tcp_pair, turns, until, with_peer

#: Freed memory is overwritten: who still uses it does not survive.
OVERWRITES = {"PYTHONMALLOC": "debug"}


def survives(child, source, env=None):
    with child(source + '\nprint("ok")', env=env) as process:
        code, out, errors = process.finish()
    assert (code, out) == (0, "ok\n"), f"exit code {code}\n{errors}"


class Named:
    """What stands for a descriptor and removes it from the loop when it goes."""

    def __init__(self, loop, fd):
        self.loop = loop
        self.fd = fd

    def fileno(self):
        return self.fd

    def __del__(self):
        self.loop.remove_reader(self.fd)


def test_a_reader_in_the_place_of_one_whose_finalizer_removes_it_is_called(loop):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        second = Named(loop, ours.fileno())
        loop.add_reader(Named(loop, ours.fileno()), print)
        loop.add_reader(second, loop.stop)
        theirs.send(b"x")
        loop.call_later(5, print, "nobody called the reader")
        loop.run_forever()
        assert loop.remove_reader(ours) is True


def test_the_first_object_of_a_descriptor_is_the_one_that_finds_it_when_closed(loop):
    first, theirs = socket.socketpair()
    loop.add_reader(first, print)
    second = socket.socket(fileno=first.fileno())
    loop.add_reader(second, print)
    first.detach()
    second.close()
    theirs.close()
    with pytest.raises(ValueError):
        loop.remove_reader(second)
    assert loop.remove_reader(first) is True


# asyncio fails, too, in several ways.
@only_pyaio
@pytest.mark.parametrize("asked", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "call",
    [
        "loop.add_reader(sock, print)",
        "loop._make_socket_transport(sock, asyncio.Protocol())",
        "loop._listen(sock, asyncio.Protocol, None, None, 1, None)",
    ],
    ids=["add_reader", "transport", "listener"],
)
def test_a_fileno_that_closes_the_loop_is_told_that_it_is_closed(child, call, asked):
    source = f"""
import asyncio, contextlib, socket

class Closes(socket.socket):
    asked = 0

    def fileno(self):
        Closes.asked += 1
        if Closes.asked == {asked}:
            loop.close()
        return super().fileno()

loop = new_event_loop()
ours, theirs = socket.socketpair()
sock = Closes(fileno=ours.detach())
if "_listen" in {call!r}:
    sock.close()
    sock = Closes()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
Closes.asked = 0
refused = False
try:
    {call}
except RuntimeError as error:
    assert str(error) == "Event loop is closed"
    refused = True
assert refused == (Closes.asked >= {asked}), Closes.asked
if not refused and "_listen" in {call!r}:
    loop._unlisten(sock)
loop.close()
sock.close()
theirs.close()
"""
    survives(child, source)


@only_pyaio  # a hook of asyncio's, used alone
def test_a_displaced_reader_whose_finalizer_closes_the_loop(child):
    source = """
import asyncio, os, socket

class Closing:
    def __call__(self):
        pass

    def __del__(self):
        loop.close()

loop = new_event_loop()
(stale, _), (ours, _) = socket.socketpair(), socket.socketpair()
loop.add_reader(stale, Closing())
number = stale.fileno()
os.dup2(ours.fileno(), number)
stale.detach()
ours = socket.socket(fileno=number)
ours.setblocking(False)
try:
    loop._make_socket_transport(ours, asyncio.Protocol())
except RuntimeError as error:
    assert str(error) == "Event loop is closed"
else:
    assert not "possible"
"""
    survives(child, source)


def test_a_server_closed_while_it_runs_out_of_descriptors(child):
    source = """
import asyncio, asyncio.trsock, contextlib, os, resource, socket

loop = new_event_loop()
loop.set_exception_handler(lambda loop, context: loop.stop())
server = loop.run_until_complete(loop.create_server(asyncio.Protocol, "127.0.0.1", 0))
address = server.sockets[0].getsockname()
resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
client = socket.socket()
taken = []
with contextlib.suppress(OSError):
    while True:
        taken.append(os.dup(0))
client.connect(address)

init = asyncio.trsock.TransportSocket.__init__

def closing(self, sock):  # which is made for the report
    init(self, sock)
    server.close()

asyncio.trsock.TransportSocket.__init__ = closing
loop.run_forever()
for fd in taken:
    os.close(fd)
client.close()
loop.close()
"""
    survives(child, source)


def test_a_protocol_that_is_replaced_while_connection_lost_runs(child):
    source = """
import asyncio, socket

class Protocol(dict, asyncio.Protocol):
    connection_lost = dict.__contains__  # C, which holds no reference to what it works on

class Replaces(Exception):
    def __hash__(self):
        transport.set_protocol(asyncio.Protocol())
        return 0

async def main():
    global transport
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(lambda: Protocol(a=1), sock=ours)
    del _
    transport._force_close(Replaces())
    await asyncio.sleep(0.001)
    theirs.close()

loop = new_event_loop()
loop.run_until_complete(main())
loop.close()
"""
    survives(child, source, OVERWRITES)


def test_a_waiter_for_an_empty_buffer_that_is_reset_while_it_is_asked(child):
    source = """
import asyncio, socket

class Waiter(asyncio.Future):
    def done(self):
        transport._reset_empty_waiter()
        return super().done()

async def main():
    global transport
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    transport.write(bytes(1 << 23))
    loop.create_future = lambda: Waiter(loop=loop)
    transport._make_empty_waiter()
    del loop.create_future
    transport.abort()
    await asyncio.sleep(0.001)
    theirs.close()

loop = new_event_loop()
loop.set_exception_handler(lambda *args: None)
loop.run_until_complete(main())
loop.close()
"""
    survives(child, source, OVERWRITES)


def test_a_socket_asked_for_while_it_is_made_is_made_once(child):
    source = """
import asyncio, socket, sys

def hook(event, args):
    if event == "socket.__new__" and transport is not None and not asked:
        asked.append(None)
        asked[0] = transport.get_extra_info("socket")

transport, asked = None, []
sys.addaudithook(hook)

async def main():
    global transport
    accepted = loop.create_future()

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport):
            accepted.set_result(transport)

    server = await loop.create_server(Protocol, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()):
        transport = await accepted
        sock = transport.get_extra_info("socket")
        assert not asked or asked[0]._sock is sock._sock
        transport.abort()
        await asyncio.sleep(0.001)
        assert sock.fileno() == -1
    server.close()
    await server.wait_closed()

loop = new_event_loop()
loop.run_until_complete(main())
loop.close()
"""
    survives(child, source)


class Closing:
    """Closes the transport when nobody has it any more."""

    transport = None

    def __del__(self):
        self.transport.close()


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="transports keep one context since 3.15")
def test_nothing_is_read_after_a_finalizer_has_closed_in_resume_reading(run):
    """What the old context held goes with it, or, with asyncio, soon after."""
    variable = contextvars.ContextVar("variable")

    class Protocol(Recorder):
        def data_received(self, data):
            assert not self.transport.is_closing()

    async def connect(sock):
        variable.set(Closing())
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Protocol, sock=sock)
        variable.get().transport = transport
        await turns()
        return protocol

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = tcp_pair()
        with theirs:
            task = loop.create_task(connect(ours), context=contextvars.copy_context())
            protocol = await task
            del task
            transport = protocol.transport
            transport.write(bytes(1 << 23))  # close() has to wait until that is sent
            transport.pause_reading()
            transport.resume_reading()
            theirs.send(b"x")
            await until(transport.is_closing)
            await turns()
            await finish(protocol)

    run(main)


def test_a_transport_closed_in_get_buffer_still_fills_the_buffer(run):
    class Closes(Recorder, asyncio.BufferedProtocol):
        buffer = bytearray(4)

        def get_buffer(self, sizehint):
            self.events.append("get")
            self.transport.close()
            return self.buffer

        def buffer_updated(self, count):
            self.events.append("updated")
            self.data += self.buffer[:count]

    async def main():
        async with with_peer(Closes) as (protocol, peer):
            peer.send(b"abcdef")
            await ended(protocol.lost)
            return protocol.events, bytes(protocol.data)

    assert run(main) == (["made", "get", "updated", "lost"], b"abcd")


def test_a_protocol_set_in_get_buffer_is_told_of_the_data(run):
    class Second(Recorder, asyncio.BufferedProtocol):
        def buffer_updated(self, count):
            self.events.append(count)

    class First(Recorder, asyncio.BufferedProtocol):
        def get_buffer(self, sizehint):
            self.transport.set_protocol(second)
            return bytearray(4)

    second = None

    async def main():
        nonlocal second
        second = Second()
        async with with_peer(First) as (protocol, peer):
            peer.send(b"abc")
            await until(lambda: second.events)
            assert second.events == [3]
            protocol.transport.abort()
            await ended(second.lost)
            protocol.lost.set_result(None)

    run(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ is new in 3.12 (PEP 688)")
def test_bytes_written_while_writelines_asks_for_bytes_go_first(run, loop_kind):
    if loop_kind == "asyncio" and sys.version_info >= (3, 15):
        pytest.skip("asyncio 3.15 queues them between the lines")

    class Item:
        def __buffer__(self, flags):
            transport.write(b"x")
            return memoryview(b"b")

        def __len__(self):  # which asyncio asks since 3.15
            return 1

    async def main():
        nonlocal transport
        async with with_peer() as (protocol, peer):
            transport = protocol.transport
            transport.writelines([b"a", Item(), b"c"])
            got = await take(peer, 4)
            transport.close()
            await finish(protocol)
            return got

    transport = None
    assert run(main) == b"xabc"
