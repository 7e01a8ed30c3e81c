"""What loop.sock_*() return, and how their waits meet cancellation, each other, add_reader(),
replaced methods, and sockets that close meanwhile.
"""

import array
import asyncio
import collections.abc
import gc
import inspect
import os
import select
import socket
import sys
import time
import warnings
from unittest import mock

import pytest
from helpers import only_pyaio
from peers import LOOPBACK, PATIENCE, reset, tcp_pair, turns, until


def unix_pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def udp_pair():
    pair = tuple(socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
    for sock in pair:
        sock.setblocking(False)
        sock.bind((LOOPBACK, 0))
    return pair


@pytest.fixture
def pair():
    ours, theirs = tcp_pair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture(params=[tcp_pair, unix_pair], ids=["tcp", "unix"])
def stream_pair(request):
    ours, theirs = request.param()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def udp():
    one, other = udp_pair()
    with one, other:
        yield one, other


def fill(sock):
    """Send until the socket takes no more; return how many bytes that were."""
    sent = 0
    while True:
        try:
            sent += sock.send(bytes(1 << 16))
        except BlockingIOError:
            return sent


def at_once(coro):
    """Return what the coroutine returns in its first step."""
    with pytest.raises(StopIteration) as stop:
        coro.send(None)
    return stop.value.value


async def drained(sock, count):
    """Read *count* bytes, as they come."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE):
        while count:
            count -= len(await loop.sock_recv(sock, min(count, 1 << 16)))


# ---- what the calls return ----

#: (method, arguments behind the socket), each of which waits on a quiet connection.
RECEIVING = {
    "sock_recv": lambda: (10,),
    "sock_recv_into": lambda: (bytearray(10),),
    "sock_recvfrom": lambda: (10,),
    "sock_recvfrom_into": lambda: (bytearray(10),),
}
CALLS = RECEIVING | {
    "sock_sendall": lambda: (b"x",),
    "sock_sendto": lambda: (b"x", (LOOPBACK, 9)),
    "sock_connect": lambda: ((LOOPBACK, 9),),
    "sock_accept": lambda: (),
}


def call(loop, name, sock):
    return getattr(loop, name)(sock, *CALLS[name]())


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_a_coroutine(loop, pair, name):
    coro = call(loop, name, pair[0])
    assert asyncio.iscoroutine(coro)
    assert inspect.isawaitable(coro)
    assert isinstance(coro, collections.abc.Coroutine)
    assert coro.__name__ == name
    assert coro.__qualname__ == f"BaseSelectorEventLoop.{name}"
    assert repr(coro).startswith(f"<coroutine object BaseSelectorEventLoop.{name} at 0x")
    assert (coro.cr_running, coro.cr_suspended) == (False, False)
    coro.close()


@pytest.mark.parametrize("name", CALLS)
def test_a_method_is_a_coroutine_function(loop, name):
    stock = getattr(asyncio.SelectorEventLoop, name)
    for method in (getattr(loop, name), getattr(type(loop), name)):
        assert inspect.iscoroutinefunction(method)
        assert (method.__name__, method.__qualname__) == (name, stock.__qualname__)
        assert method.__module__ == "asyncio.selector_events"
        assert method.__doc__ == stock.__doc__
    assert inspect.signature(getattr(type(loop), name)) == inspect.signature(stock)
    assert inspect.ismethod(getattr(loop, name))
    assert getattr(loop, name).__self__ is loop
    with mock.patch.object(loop, name) as mocked:
        assert isinstance(mocked, mock.AsyncMock)


@pytest.mark.parametrize("how", ["await", "create_task", "ensure_future", "wait_for", "gather"])
def test_whatever_takes_a_coroutine_takes_a_call(run, pair, how):
    async def main():
        loop = asyncio.get_running_loop()
        coro = loop.sock_recv(pair[0], 10)
        loop.call_later(0.001, pair[1].send, b"data")
        if how == "await":
            assert await coro == b"data"
        elif how == "wait_for":
            assert await asyncio.wait_for(coro, PATIENCE) == b"data"
        elif how == "gather":
            assert await asyncio.gather(coro) == [b"data"]
        else:
            start = loop.create_task if how == "create_task" else asyncio.ensure_future
            assert await start(coro) == b"data"

    run(main)


def test_asyncio_run_and_task_groups_take_a_call(loop_factory, pair):
    pair[1].send(b"data")
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        loop = runner.get_loop()

        async def main():
            async with asyncio.TaskGroup() as group:
                task = group.create_task(loop.sock_recv(pair[0], 2))
            return task.result()

        assert runner.run(main()) == b"da"
        assert runner.run(loop.sock_recv(pair[0], 10)) == b"ta"
        assert loop.run_until_complete(loop.sock_sendall(pair[0], b"x")) is None


def test_another_thread_may_hand_in_a_call(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        future = await asyncio.to_thread(
            asyncio.run_coroutine_threadsafe, loop.sock_recv(pair[0], 10), loop
        )
        pair[1].send(b"data")
        assert await asyncio.wait_for(asyncio.wrap_future(future), PATIENCE) == b"data"

    run(main)


def test_a_task_of_a_call_can_be_looked_at(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.sock_recv(pair[0], 10))
        await turns()
        assert "sock_recv()" in repr(task)
        assert "wait_for=<" in repr(task)
        assert task.get_coro().cr_suspended
        task.print_stack(file=open(os.devnull, "w"))  # noqa: SIM115
        gc.collect()  # closes the file
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not task.get_coro().cr_suspended

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        run(main)


def test_nothing_happens_before_the_call_is_awaited(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        coro = loop.sock_recv(pair[0], 10)
        sending = loop.sock_sendall(pair[0], b"late")
        await turns()
        pair[1].send(b"data")
        assert pair[0].recv(4, socket.MSG_PEEK) == b"data"
        assert not select.select([pair[1]], [], [], 0)[0]
        await sending
        assert select.select([pair[1]], [], [], PATIENCE)[0]
        assert await coro == b"data"

    run(main)


def test_a_call_that_need_not_wait_ends_in_its_first_step(loop, pair):
    pair[1].send(b"data")
    select.select([pair[0]], [], [], PATIENCE)
    coro = loop.sock_recv(pair[0], 10)
    assert at_once(coro) == b"data"
    for again in (lambda: coro.send(None), lambda: coro.throw(ValueError())):
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            again()
    coro.close()
    assert at_once(loop.sock_sendall(pair[0], b"x")) is None


def test_the_first_value_sent_must_be_none(loop, pair):
    coro = loop.sock_recv(pair[0], 10)
    with pytest.raises(TypeError, match="can't send non-None value to a just-started coroutine"):
        coro.send(1)
    coro.close()


@pytest.mark.parametrize("suspended", [False, True])
def test_throw_and_close_end_a_call(loop, pair, suspended):
    for end in ("throw", "close"):
        coro = loop.sock_recv(pair[0], 10)
        if suspended:
            assert not coro.send(None).done()
        if end == "close":
            assert coro.close() is None
        else:
            with pytest.raises(ZeroDivisionError):
                coro.throw(ZeroDivisionError())
        with pytest.raises(RuntimeError, match="cannot reuse"):
            coro.send(None)
    loop.remove_reader(pair[0])  # asyncio's reader stays until data comes


def test_a_suspended_call_must_be_awaited_to_its_end(loop, pair):
    coro = loop.sock_recv(pair[0], 10)
    coro.send(None)
    with pytest.raises(RuntimeError, match="await wasn't used with future"):
        coro.send(None)
    loop.remove_reader(pair[0])


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_is_never_awaited_warns(loop, pair, name):
    coro = call(loop, name, pair[0])
    with pytest.warns(RuntimeWarning, match=f"coroutine '.*{name}' was never awaited"):
        del coro
        gc.collect()
    cycle = [call(loop, name, pair[0])]
    cycle.append(cycle)
    with pytest.warns(RuntimeWarning, match=f"coroutine '.*{name}' was never awaited"):
        del cycle
        gc.collect()


def test_a_call_that_dies_with_the_interpreter_warns(child):
    source = """
import socket
loop = new_event_loop()
ours, theirs = socket.socketpair()
ours.setblocking(False)
call = loop.sock_recv(ours, 10)
loop.close()
ours.close()
theirs.close()
"""
    with child(source) as process:
        code, out, errors = process.finish()
    assert (code, out) == (0, "")
    assert "sock_recv' was never awaited" in errors
    assert "Error" not in errors


# ---- arguments and sockets ----


async def outcomes(calls):
    """What each of the calls gives, or the exception that it ends with."""
    found = []
    for make in calls:
        try:
            async with asyncio.timeout(PATIENCE):
                found.append(await make())
        except Exception as exc:
            found.append((type(exc), str(exc)))
    return found


#: Arguments that are wrong or unusual, by method; some for a connection with data in it.
UNUSUAL = {
    "sock_recv": [(), (0,), (-1,), ("x",), (1.5,), (True,), (1 << 70,), (1, 2), (1 << 20,)],
    "sock_recv_into": [
        (b"read-only",),
        (bytearray(),),
        (memoryview(b"read-only"),),
        (memoryview(bytearray(8))[::2],),
        (array.array("i", [0, 0]),),
        ("x",),
        (memoryview(bytearray(8)),),
    ],
    "sock_recvfrom": [(0,), (-1,), ("x",), (3,)],
    "sock_recvfrom_into": [
        (bytearray(4), 5),
        (bytearray(4), -1),
        (bytearray(4), 0),
        (bytearray(4), 2),
        (bytearray(4), "x"),
        (bytearray(),),
        (b"read-only", 3),
    ],
    "sock_sendall": [
        ("x",),
        (None,),
        (b"",),
        (bytearray(b"xy"),),
        (memoryview(b"xy"),),
        (memoryview(b"abcdef")[::2],),
        (array.array("b", b"ab"),),
        (5,),
    ],
    "sock_sendto": [("x", (LOOPBACK, 9)), (b"x", "nowhere"), (b"x", (LOOPBACK, 70000)), (b"x",)],
    "sock_connect": [
        (),
        ("x",),
        (None,),
        ((),),
        ((LOOPBACK,),),
        ((LOOPBACK, 9, 0),),
        ((LOOPBACK, "9"),),
        ((LOOPBACK, -1),),
        ((LOOPBACK, 70000),),
        (("::1", 9),),
        ((LOOPBACK + "\0", 9),),
        ((LOOPBACK, 9),),
        ([LOOPBACK, 9],),
    ],
    "sock_accept": [(1,), ()],
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_arguments_are_checked_as_by_asyncio(loop_factories, name):
    async def main():
        loop = asyncio.get_running_loop()
        found = []
        for args in UNUSUAL[name]:
            ours, theirs = tcp_pair()
            with ours, theirs:
                theirs.send(b"data that is there")
                await until(lambda: select.select([ours], [], [], 0)[0])  # noqa: B023
                found += await outcomes([lambda: getattr(loop, name)(ours, *args)])  # noqa: B023
        return found

    seen = {}
    for kind, factory in loop_factories.items():
        with asyncio.Runner(loop_factory=factory) as runner:
            seen[kind] = runner.run(main())
    assert seen["pyaio"] == seen["asyncio"]
    assert len(seen["pyaio"]) == len(UNUSUAL[name])


def test_arguments_may_be_given_by_name(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        name = list(inspect.signature(loop.sock_recv).parameters)[1]
        await loop.sock_sendall(sock=pair[1], data=b"data")
        assert await loop.sock_recv(pair[0], **{name: 10}) == b"data"
        await loop.sock_sendall(pair[1], b"data")
        assert await loop.sock_recvfrom_into(pair[0], bytearray(4), nbytes=2) == (2, None)

    run(main)


@pytest.mark.parametrize("name", CALLS)
def test_a_closed_socket_is_an_error(run, name):
    async def main():
        sock = socket.socket()
        sock.setblocking(False)
        sock.close()
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError, match="Bad file descriptor"):
            await call(loop, name, sock)

    run(main)


@pytest.mark.parametrize("name", CALLS)
def test_debug_mode_refuses_a_blocking_socket(run, pair, name):
    async def main():
        loop = asyncio.get_running_loop()
        for timeout in (None, 1.0):
            pair[0].settimeout(timeout)
            with pytest.raises(ValueError, match="the socket must be non-blocking"):
                await call(loop, name, pair[0])

    run(main, debug=True)


def test_a_blocking_socket_blocks(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        pair[0].settimeout(0.001)
        with pytest.raises(TimeoutError):
            await loop.sock_recv(pair[0], 10)
        pair[1].send(b"data")
        pair[0].setblocking(True)
        assert await loop.sock_recv(pair[0], 10) == b"data"

    run(main)


def test_an_ssl_socket_is_refused(run, tls):
    async def main():
        loop = asyncio.get_running_loop()
        with tls.client.wrap_socket(
            socket.socket(), server_hostname="x", do_handshake_on_connect=False
        ) as sock:
            sock.setblocking(False)
            for name in CALLS:
                with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
                    await call(loop, name, sock)

    run(main)


def test_methods_of_a_subclass_of_socket_are_called(run):
    seen = []

    class Socket(socket.socket):
        def recv(self, *args):
            seen.append("recv")
            return super().recv(*args)

        def send(self, *args):
            seen.append("send")
            return super().send(*args)

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = tcp_pair()
        with Socket(fileno=ours.detach()) as ours, theirs:
            ours.setblocking(False)
            waiting = asyncio.ensure_future(loop.sock_recv(ours, 10))
            await turns()
            theirs.send(b"data")
            assert await waiting == b"data"
            await loop.sock_sendall(ours, b"x")

    run(main)
    assert seen[-1] == "send"
    assert seen.count("recv") >= 2


def test_mocks_stand_in_for_sockets(run):
    async def main():
        loop = asyncio.get_running_loop()
        sock = mock.Mock(spec=socket.socket)
        sock.recv.return_value = b"data"
        sock.send.return_value = 4
        assert await loop.sock_recv(sock, 10) == b"data"
        assert await loop.sock_sendall(sock, b"data") is None
        sock.recv.assert_called_once_with(10)

    run(main)


def test_a_method_replaced_on_the_class_of_sockets_is_called(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(pair[1], b"data")
        with mock.patch.object(socket.socket, "recv", return_value=b"replaced"):
            assert await loop.sock_recv(pair[0], 10) == b"replaced"
        assert await loop.sock_recv(pair[0], 10) == b"data"

    run(main)


# ---- replaced methods of the loop ----

#: What asyncio's sock_recv() calls on the loop while it waits, and when it has ended.
STEPS = ("create_future", "_ensure_fd_no_transport", "_add_reader", "_sock_recv", "_sock_read_done")


def recording(seen, method, name):
    def replaced(*args, **kwargs):
        seen.append(name)
        return method(*args, **kwargs)

    return replaced


async def receive_late(pair):
    loop = asyncio.get_running_loop()
    waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 10))
    await turns()
    pair[1].send(b"data")
    assert await waiting == b"data"


@pytest.mark.parametrize("name", STEPS)
def test_a_subclass_may_override_what_a_wait_calls(loop_class, pair, name):
    seen = []
    method = getattr(loop_class, name)
    kind = type("Sub", (loop_class,), {name: recording(seen, method, name)})
    with asyncio.Runner(loop_factory=kind) as runner:
        runner.run(receive_late(pair))
    assert name in seen


@pytest.mark.parametrize("name", STEPS)
def test_what_a_wait_calls_may_be_replaced_on_the_loop(run, pair, name):
    async def main():
        loop = asyncio.get_running_loop()
        await receive_late(pair)
        seen = []
        setattr(loop, name, recording(seen, getattr(loop, name), name))
        await receive_late(pair)
        assert name in seen
        delattr(loop, name)
        seen.clear()
        await receive_late(pair)
        assert seen == []

    run(main)


@pytest.mark.parametrize("name", ["_sock_recv", "_sock_read_done"])
def test_what_a_wait_calls_may_be_replaced_on_asyncios_class(run, pair, name):
    owner = next(kind for kind in asyncio.SelectorEventLoop.__mro__ if name in vars(kind))

    async def main():
        await receive_late(pair)
        seen = []
        with mock.patch.object(owner, name, recording(seen, getattr(owner, name), name)):
            await receive_late(pair)
        assert name in seen

    run(main)


def test_a_subclass_may_override_a_call(loop_class, pair):
    class Sub(loop_class):
        async def sock_recv(self, sock, n):
            return b"<" + await super().sock_recv(sock, n) + b">"

    async def main():
        pair[1].send(b"data")
        return await asyncio.get_running_loop().sock_recv(pair[0], 10)

    with asyncio.Runner(loop_factory=Sub) as runner:
        assert runner.run(main()) == b"<data>"


def test_a_replaced_call_soon_sees_the_end_of_a_wait(loop_class, pair):
    seen = []

    class Traced(loop_class):
        def call_soon(self, callback, *args, context=None):
            seen.append(callback)
            return super().call_soon(callback, *args, context=context)

    with asyncio.Runner(loop_factory=Traced) as runner:
        runner.run(receive_late(pair))
    assert any("_sock_read_done" in repr(callback) for callback in seen)


# ---- waiting ----


@pytest.mark.parametrize("name", RECEIVING)
def test_many_waits_on_one_socket(run, udp, name):
    one, other = udp

    async def main():
        loop = asyncio.get_running_loop()
        address = one.getsockname()
        for i in range(20):
            data = b"%d" % i
            args = RECEIVING[name]()
            waiting = asyncio.ensure_future(getattr(loop, name)(other, *args))
            await turns(1 + i % 3)
            assert not waiting.done()
            await loop.sock_sendto(one, data, other.getsockname())
            got = await asyncio.wait_for(waiting, PATIENCE)
            if name.endswith("_into"):
                assert args[0][: len(data)] == data
                assert got == ((len(data), address) if "from" in name else len(data))
            else:
                assert got == ((data, address) if "from" in name else data)

    run(main)


def test_ping_pong_of_two_tasks(run, stream_pair):
    async def main():
        loop = asyncio.get_running_loop()

        async def echo(sock):
            while data := await loop.sock_recv(sock, 100):
                await loop.sock_sendall(sock, data)

        echoing = asyncio.ensure_future(echo(stream_pair[1]))
        for i in range(200):
            await loop.sock_sendall(stream_pair[0], b"%d" % i)
            assert await loop.sock_recv(stream_pair[0], 100) == b"%d" % i
        stream_pair[0].shutdown(socket.SHUT_WR)
        await asyncio.wait_for(echoing, PATIENCE)

    run(main)


def test_what_arrives_while_nobody_waits_is_there_at_once(run, stream_pair):
    ours, theirs = stream_pair

    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(ours, 2))
        await turns()
        theirs.send(b"ab")
        assert await waiting == b"ab"
        for _ in range(5):
            theirs.send(b"cdef")
            await turns()  # the loop is told, and nobody waits
            assert at_once(loop.sock_recv(ours, 3)) == b"cde"
            assert at_once(loop.sock_recv(ours, 3)) == b"f"
            waiting = asyncio.ensure_future(loop.sock_recv(ours, 2))
            await turns()
            theirs.send(b"gh")
            assert await asyncio.wait_for(waiting, PATIENCE) == b"gh"

    run(main)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_sock_sendall_of_any_buffer(run, stream_pair, kind, size):
    async def main():
        loop = asyncio.get_running_loop()
        data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        sending = asyncio.ensure_future(loop.sock_sendall(stream_pair[0], kind(data)))
        received = bytearray()
        async with asyncio.timeout(PATIENCE):
            while len(received) < size:
                received += await loop.sock_recv(stream_pair[1], 1 << 20)
            assert await sending is None
        assert received == data

    run(main)


def test_a_buffer_is_locked_while_it_is_sent(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        data = bytearray(20_000_000)
        sending = asyncio.ensure_future(loop.sock_sendall(pair[0], data))
        await turns()
        assert not sending.done()
        with pytest.raises(BufferError):
            data.append(1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await turns()
        del sending
        gc.collect()
        data.append(1)

    run(main)


def test_both_directions_at_once(run, stream_pair):
    async def main():
        loop = asyncio.get_running_loop()
        size = 3_000_000
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(
                *(loop.sock_sendall(sock, bytes(size)) for sock in stream_pair),
                *(drained(sock, size) for sock in stream_pair),
            )

    run(main)


def test_datagrams_wait_for_room(run):
    """The peer's queue is full: there is room again when it has read."""
    ours, theirs = socket.socketpair(type=socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)

        async def main():
            loop = asyncio.get_running_loop()
            count = 0
            with pytest.raises(BlockingIOError):
                while True:
                    ours.send(b"x")
                    count += 1
            sending = asyncio.ensure_future(loop.sock_sendall(ours, b"last"))
            await turns()
            assert not sending.done()
            for _ in range(count):
                await loop.sock_recv(theirs, 10)
            await asyncio.wait_for(sending, PATIENCE)
            assert await loop.sock_recv(theirs, 10) == b"last"

        run(main)


def test_datagrams_to_a_full_queue_of_a_path(run, tmp_path):
    """The sender is not connected: the kernel calls it writable all the time."""
    path = str(tmp_path / "queue")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(path)
        sender.setblocking(False)
        receiver.setblocking(False)

        async def main():
            loop = asyncio.get_running_loop()
            count = 0
            with pytest.raises(BlockingIOError):
                while True:
                    sender.sendto(b"x", path)
                    count += 1
            sending = asyncio.ensure_future(loop.sock_sendto(sender, b"last", path))
            await turns()
            assert not sending.done()
            for _ in range(count):
                assert await loop.sock_recvfrom(receiver, 10) == (b"x", None)
            assert await asyncio.wait_for(sending, PATIENCE) == 4
            assert await loop.sock_recv(receiver, 10) == b"last"

        run(main)


@pytest.mark.parametrize("family", ["AF_INET", "AF_UNIX"])
def test_sock_accept_of_many(run, family, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket(getattr(socket, family)) as listener:
            listener.bind((LOOPBACK, 0) if family == "AF_INET" else str(tmp_path / "listener"))
            listener.listen()
            listener.setblocking(False)
            for early in (True, False, False, True):
                with socket.socket(listener.family) as client:
                    if early:
                        client.connect(listener.getsockname())
                    accepting = asyncio.ensure_future(loop.sock_accept(listener))
                    await turns()
                    assert accepting.done() is early
                    if not early:
                        client.connect(listener.getsockname())
                    conn, address = await asyncio.wait_for(accepting, PATIENCE)
                    with conn:
                        assert type(conn) is socket.socket
                        assert (conn.family, conn.type, conn.proto) == (
                            listener.family,
                            listener.type,
                            listener.proto,
                        )
                        assert address == client.getsockname()
                        assert conn.gettimeout() == 0
                        assert not os.get_inheritable(conn.fileno())
                        client.sendall(b"data")
                        assert await loop.sock_recv(conn, 10) == b"data"

    run(main)


# ---- cancelled, displaced, closed ----


@pytest.mark.parametrize("name", [*RECEIVING, "sock_accept"])
def test_a_cancelled_wait_leaves_nothing_behind(run, pair, name):
    async def main():
        loop = asyncio.get_running_loop()
        sock = pair[0]
        with socket.create_server((LOOPBACK, 0)) as listener:
            if name == "sock_accept":
                sock = listener
                sock.setblocking(False)
            for _ in range(3):
                waiting = asyncio.ensure_future(call(loop, name, sock))
                await turns()
                waiting.cancel("enough")
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await turns()
                assert loop.remove_reader(sock) is False
            assert sock.fileno() not in loop._selector.get_map()

    run(main)


@pytest.mark.parametrize("cancelled", [False, True])
def test_the_future_of_a_wait_may_be_given_a_result(run, pair, cancelled):
    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 10))
        await turns()
        waiting._fut_waiter.set_result("from elsewhere")
        if cancelled:
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        else:
            assert await waiting == "from elsewhere"
        await turns()
        assert loop.remove_reader(pair[0]) is False
        pair[1].send(b"data")
        assert await loop.sock_recv(pair[0], 10) == b"data"

    run(main)


def test_the_future_of_a_wait_may_be_cancelled(run, pair):
    """As anyio does."""

    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 10))
        await turns()
        assert waiting._fut_waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        pair[1].send(b"data")
        assert await loop.sock_recv(pair[0], 10) == b"data"

    run(main)


@pytest.mark.parametrize("first_cancelled", [False, True])
def test_of_two_waits_on_one_socket_the_second_gets_the_data(run, pair, first_cancelled):
    async def main():
        loop = asyncio.get_running_loop()
        waits = []
        for _ in range(2):
            waits.append(asyncio.ensure_future(loop.sock_recv(pair[0], 10)))
            await turns()
        if first_cancelled:
            waits[0].cancel()
            await turns()
        pair[1].send(b"data")
        assert await asyncio.wait_for(waits[1], PATIENCE) == b"data"
        pair[1].send(b"more")
        await turns()
        assert waits[0].done() is first_cancelled
        waits[0].cancel()
        await asyncio.wait(waits)
        assert await loop.sock_recv(pair[0], 10) == b"more"

    run(main)


def test_add_reader_takes_the_place_of_a_wait(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 10))
        await turns()
        seen = []
        loop.add_reader(pair[0], lambda: seen.append(pair[0].recv(2)))
        pair[1].send(b"data")
        await until(lambda: b"".join(seen) == b"data")
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
        pair[1].send(b"more")
        await until(lambda: b"".join(seen) == b"datamore")
        assert loop.remove_reader(pair[0]) is True

    run(main)


def test_a_wait_takes_the_place_of_a_reader(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        loop.add_reader(pair[0], seen.append, "called")
        loop.add_writer(pair[0], seen.append, "writable")
        waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 10))
        await until(lambda: "writable" in seen)
        pair[1].send(b"data")
        assert await asyncio.wait_for(waiting, PATIENCE) == b"data"
        assert loop.remove_reader(pair[0]) is False
        assert loop.remove_writer(pair[0]) is True
        assert "called" not in seen
        await receive_late(pair)

    run(main)


def test_remove_reader_takes_a_wait_out(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 10))
        await turns()
        assert loop.remove_reader(pair[0]) is True
        assert loop.remove_reader(pair[0]) is False
        pair[1].send(b"data")
        await turns()
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert await loop.sock_recv(pair[0], 10) == b"data"

    run(main)


def test_readers_and_writers_after_waits_are_called_while_they_may(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        await receive_late(pair)
        seen = []
        loop.add_reader(pair[0], seen.append, "readable")
        pair[1].send(b"ab")
        await until(lambda: len(seen) >= 5)  # the data stays: again and again
        loop.remove_reader(pair[0])
        loop.add_writer(pair[0], seen.append, "writable")
        await until(lambda: seen.count("writable") >= 5)
        loop.remove_writer(pair[0])
        assert await loop.sock_recv(pair[0], 10) == b"ab"
        await receive_late(pair)

    run(main)


def test_a_socket_that_was_waited_for_may_become_a_connection(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        await receive_late(pair)
        reader, writer = await asyncio.open_connection(sock=pair[0])
        pair[1].send(b"data")
        assert await asyncio.wait_for(reader.readexactly(4), PATIENCE) == b"data"
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_recv(pair[0], 10)
        writer.close()
        await writer.wait_closed()

    run(main)


def test_a_reset_ends_a_wait_with_an_error(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(pair[0], 10))
        await turns()
        reset(pair[1])
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(waiting, PATIENCE)
        with pytest.raises(BrokenPipeError):
            await loop.sock_sendall(pair[0], b"x")

    run(main)


async def received_late(sock, send):
    """What a task gets that waits to read before send(), and in its next call."""
    loop = asyncio.get_running_loop()

    async def receive():
        return [await loop.sock_recv(sock, 100), await loop.sock_recv(sock, 100)]

    waiting = asyncio.ensure_future(receive())
    await turns()
    send()
    return await asyncio.wait_for(waiting, PATIENCE)


def test_what_a_read_stops_at_is_not_all_that_there_is(run, pair):
    """Neither urgent data nor passed descriptors come with what is before them."""

    def send_urgent():
        pair[1].send(b"before")
        pair[1].send(b"!", socket.MSG_OOB)
        pair[1].send(b"behind")

    async def main():
        assert await received_late(pair[0], send_urgent) == [b"before", b"behind"]
        ours, theirs = unix_pair()
        with ours, theirs:

            def send_descriptors():
                for data in (b"one", b"other"):
                    socket.send_fds(theirs, [data], [0])

            assert await received_late(ours, send_descriptors) == [b"one", b"other"]

    run(main)


def test_what_comes_before_the_next_call_is_received(run, stream_pair):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = stream_pair
        async with asyncio.timeout(PATIENCE):
            await receive_late(stream_pair)
            theirs.send(b"at once")
            assert await loop.sock_recv(ours, 10) == b"at once"
            await receive_late(stream_pair)
            theirs.shutdown(socket.SHUT_WR)
            assert await loop.sock_recv(ours, 10) == b""

    run(main)


def test_eof_is_told_again_and_again(run, stream_pair):
    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(loop.sock_recv(stream_pair[0], 10))
        await turns()
        stream_pair[1].shutdown(socket.SHUT_WR)
        assert await asyncio.wait_for(waiting, PATIENCE) == b""
        for _ in range(3):
            await turns()
            assert await loop.sock_recv(stream_pair[0], 10) == b""

    run(main)


def test_a_failed_send_ends_a_wait(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        fill(pair[0])
        sending = asyncio.ensure_future(loop.sock_sendall(pair[0], bytes(1000)))
        await turns()
        assert not sending.done()
        reset(pair[1])
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(sending, PATIENCE)

    run(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ is new in 3.12 (PEP 688)")
def test_what_a_call_sends_may_close_the_call(loop, tmp_path):
    class Data:
        asked = 0

        def __buffer__(self, flags):
            self.asked += 1
            if self.asked == 2:
                sending.close()
            return memoryview(b"data")

    path = str(tmp_path / "full")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as theirs,
    ):
        ours.setblocking(False)
        theirs.bind(path)
        ours.connect(path)  # so that it waits for room
        fill(ours)
        sending = loop.sock_sendto(ours, data := Data(), path)
        future = sending.send(None)
        while data.asked < 2:
            theirs.recv(1 << 16)
            loop.call_later(0.001, loop.stop)
            loop.run_forever()
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            sending.send(None)
        assert future.result() == 4
        assert loop.remove_writer(ours) is False


def test_closing_the_loop_ends_nothing_but_the_loop(loop_factory, pair):
    loop = loop_factory()
    coro = loop.sock_recv(pair[0], 10)
    coro.send(None)
    loop.close()
    pair[1].send(b"data")
    coro.close()
    select.select([pair[0]], [], [], PATIENCE)
    # Nobody has looked at the loop.
    assert at_once(loop.sock_recv(pair[0], 10)) == b"data"
    coro = loop.sock_recv(pair[0], 10)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        coro.send(None)


def cpu_while_idle(loop, seconds=0.2):
    """The share of the time that an idle loop spends computing: next to nothing. One that
    spins spends what a busy machine leaves it.
    """
    loop.call_later(seconds, loop.stop)
    start = time.thread_time()
    loop.run_forever()
    return (time.thread_time() - start) / seconds


@pytest.mark.parametrize("what", ["data", "eof", "reset"])
@pytest.mark.parametrize("closed", [False, True])
def test_what_nobody_waits_for_costs_nothing(loop, what, closed):
    """Also when the socket has been closed and lives on under another number."""
    ours, theirs = tcp_pair()
    with theirs:
        loop.run_until_complete(receive_late((ours, theirs)))
        with ours.dup() as other:
            if closed:
                ours.close()
            if what == "data":
                theirs.send(b"never read")
            elif what == "eof":
                theirs.shutdown(socket.SHUT_WR)
            else:
                reset(theirs)
            assert cpu_while_idle(loop) < 0.05
            assert select.select([other], [], [], 0)[0]
        ours.close()


@only_pyaio
def test_a_file_that_lives_on_is_not_taken_for_the_next_one_of_its_number(epoll_backend, loop):
    """asyncio's loop would not watch the file any more, but cannot be asked without the CPU."""
    ours, theirs = tcp_pair()
    loop.run_until_complete(receive_late((ours, theirs)))
    with theirs, ours.dup():
        number = ours.fileno()
        ours.close()
        next_ours, next_theirs = unix_pair()
        assert number in (next_ours.fileno(), next_theirs.fileno())
        if next_ours.fileno() != number:
            next_ours, next_theirs = next_theirs, next_ours
        with next_ours, next_theirs:
            waiting = loop.create_task(loop.sock_recv(next_ours, 10))
            theirs.send(b"never read")
            assert cpu_while_idle(loop) < 0.05
            next_theirs.send(b"data")
            assert loop.run_until_complete(asyncio.wait_for(waiting, PATIENCE)) == b"data"


@pytest.mark.parametrize("kept", [False, True])
def test_a_number_that_is_used_again_belongs_to_the_new_socket(run, kept):
    """Whether or not the closed socket object is still there."""

    async def main():
        loop = asyncio.get_running_loop()
        objects = []
        numbers = set()
        for i in range(10):
            ours, theirs = tcp_pair()
            numbers.add(ours.fileno())
            with theirs:
                await receive_late((ours, theirs))
                await receive_late((ours, theirs))
                if i % 2:
                    waiting = asyncio.ensure_future(loop.sock_recv(ours, 10))
                    await turns()
                    waiting.cancel()
                    await asyncio.wait([waiting])
                ours.close()
            if kept:
                objects.append(ours)
            del ours
        assert len(numbers) < 10

    run(main)


def test_a_detached_number_belongs_to_its_new_object(run, pair):
    async def main():
        await receive_late(pair)
        with socket.socket(fileno=pair[0].detach()) as ours:
            ours.setblocking(False)
            await receive_late((ours, pair[1]))
            await receive_late((ours, pair[1]))

    run(main)


def test_another_file_may_be_put_under_the_number(run, pair):
    """By dup2(), of which the socket object knows nothing."""

    async def main():
        loop = asyncio.get_running_loop()
        await receive_late(pair)
        await turns()
        ours, theirs = unix_pair()
        with ours, theirs:
            os.dup2(ours.fileno(), pair[0].fileno(), inheritable=False)
            await receive_late((pair[0], theirs))
            fill(pair[0])
            sending = asyncio.ensure_future(loop.sock_sendall(pair[0], b"last"))
            await turns()
            theirs.setblocking(True)
            while not sending.done():
                theirs.recv(1 << 16)
                await turns()

    run(main)


def test_two_loops_may_take_turns_with_a_socket(loop_factory, pair):
    with (
        asyncio.Runner(loop_factory=loop_factory) as one,
        asyncio.Runner(loop_factory=loop_factory) as other,
    ):
        for _ in range(3):
            for runner in (one, other):
                runner.run(receive_late(pair))


# ---- inside ----


def watched_by_epoll(number):
    """The events, as epoll(7) counts them, that this process's epoll sets watch a fd for."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            with open(f"/proc/self/fdinfo/{fd}") as info:
                lines = [line.split() for line in info if line.startswith("tfd:")]
        except FileNotFoundError:
            continue
        found += [int(words[3], 16) for words in lines if int(words[1]) == number]
    return found


READING = select.EPOLLIN | select.EPOLLERR | select.EPOLLHUP


@only_pyaio
def test_a_watch_stays_between_waits(epoll_backend, run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        assert watched_by_epoll(pair[0].fileno()) == []
        for _ in range(3):
            await receive_late(pair)
            assert watched_by_epoll(pair[0].fileno()) == [READING]
            assert pair[0].fileno() not in loop._selector.get_map()
        number = pair[0].fileno()
        pair[0].close()
        assert watched_by_epoll(number) == []

    run(main)


@only_pyaio
def test_data_for_nobody_ends_a_watch_and_the_next_wait_begins_it(epoll_backend, run, pair):
    async def main():
        number = pair[0].fileno()
        await receive_late(pair)
        pair[1].send(b"data")
        await until(lambda: watched_by_epoll(number) == [])
        assert await asyncio.get_running_loop().sock_recv(pair[0], 10) == b"data"
        await receive_late(pair)
        assert watched_by_epoll(number) == [READING]

    run(main)


@only_pyaio
@pytest.mark.parametrize("method", ["remove_reader", "remove_writer"])
def test_a_callback_that_is_removed_ends_a_watch(epoll_backend, run, pair, method):
    """Whoever removes one may close the descriptor next, of which there may be a duplicate."""

    async def main():
        await receive_late(pair)
        assert getattr(asyncio.get_running_loop(), method)(pair[0]) is False
        assert watched_by_epoll(pair[0].fileno()) == []
        await receive_late(pair)

    run(main)


@only_pyaio
def test_asyncios_own_coroutine_is_left_alone(loop, pair):
    """Debug mode and unusual calls are asyncio's own; only the ordinary ones are native."""
    native = loop.sock_recv(pair[0], 10)
    loop.set_debug(True)
    others = [loop.sock_recv(pair[0], 10)]
    loop.set_debug(False)
    others.append(loop.sock_recv(pair[0], 0))
    others.append(loop.sock_recv(sock=pair[0], n=1))
    for coro in others:
        assert inspect.iscoroutine(coro)
        coro.close()
    assert type(native).__module__ == "pyaio._core"
    for kind in (type(native), type(type(loop).__dict__["sock_recv"])):
        with pytest.raises(TypeError):
            kind()
    native.close()
