"""Servers with TLS: how connections are accepted, and whose they are until hands are shaken."""

import asyncio
import contextlib
import contextvars
import gc
import socket
import warnings

import pytest
from helpers import PATIENCE, HandlerCalls, only_pyaio
from peers import LOOPBACK, Accepting, Recorder, ended, finish, on_asyncio, until
from test_tls import secured
from test_tls_handshake import functions_called


async def serve(tls, factory=Recorder, **options):
    loop = asyncio.get_running_loop()
    return await loop.create_server(factory, LOOPBACK, 0, ssl=tls.server, **options)


async def connect(tls, server):
    """A connection with TLS."""
    address = server.sockets[0].getsockname()
    _, protocol = await asyncio.get_running_loop().create_connection(
        Recorder, *address, ssl=tls.client, server_hostname="localhost"
    )
    return protocol


async def connect_in_clear(server):
    """One that never shakes hands."""
    address = server.sockets[0].getsockname()
    _, protocol = await asyncio.get_running_loop().create_connection(Recorder, *address)
    return protocol


def accepting_tasks():
    """The tasks of connections that shake hands."""
    tasks = asyncio.all_tasks()
    return [task for task in tasks if task.get_coro().__name__ == "_accept_connection2"]


@only_pyaio
def test_a_connection_is_accepted_without_python(run, tls):
    accepting = {"accept", "_accept_connection"}
    assert not accepting & {*run(functions_called, tls)}
    assert accepting < {*on_asyncio(functions_called, tls)}


def test_a_burst_of_connections(run, tls):
    async def main():
        accepting = Accepting()
        async with await serve(tls, accepting) as server:
            clients = await asyncio.gather(*(connect(tls, server) for _ in range(30)))
            await accepting.connected(30)
            for client in clients:
                client.transport.write(b"hello")
            await until(lambda: all(bytes(far.data) == b"hello" for far in accepting))
            await finish(*clients, *accepting)

    run(main)


def test_a_handshake_is_a_task_and_ends_with_it(run, tls):
    async def main():
        async with await serve(tls) as server:
            near = await connect_in_clear(server)
            await until(accepting_tasks)
            (task,) = accepting_tasks()
            task.cancel()
            await ended(near.lost)
            assert task.done()

    run(main)


def test_a_run_that_ends_ends_the_handshakes(run, tls):
    # asyncio.run() cancels the tasks that are left; a transport would be left open.
    async def main():
        server = await serve(tls)
        client.connect(server.sockets[0].getsockname())
        await until(accepting_tasks)
        server.close()
        return accepting_tasks()

    with socket.socket() as client:
        (task,) = run(main)
        assert task.done()
        client.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""


def test_a_task_that_cannot_be_made_is_told(run, tls):
    class Broken:
        def __call__(self, *args, **kwargs):
            raise ZeroDivisionError

    async def main():
        loop = asyncio.get_running_loop()
        calls = HandlerCalls.of(loop)
        async with await serve(tls) as server:
            loop.set_task_factory(Broken())
            near = await connect_in_clear(server)
            await until(lambda: calls)
            loop.set_task_factory(None)
            await finish(near, await connect(tls, server))
            assert [type(call["exception"]) for call in calls] == [ZeroDivisionError]
            calls.clear()

    with warnings.catch_warnings():
        # The coroutine is never awaited, and the last reference closes the socket.
        warnings.simplefilter("ignore")
        run(main)
        gc.collect()


@pytest.mark.parametrize("name", ["_accept_connection", "_accept_connection2"])
def test_a_method_replaced_on_the_loop_is_called(run, tls, name):
    async def main():
        loop, calls = asyncio.get_running_loop(), []
        own = getattr(loop, name)

        def spy(*args, **kwargs):
            calls.append(name)
            return own(*args, **kwargs)

        setattr(loop, name, spy)
        async with secured(tls):
            assert calls

    run(main)


#: What each connection sees of the variables of those before it.
SEEN = contextvars.ContextVar("SEEN", default=0)


class Counting(Recorder):
    def __init__(self):
        super().__init__()
        SEEN.set(SEEN.get() + 1)
        self.seen = SEEN.get()


def test_each_connection_has_variables_of_its_own(run, tls):
    async def main():
        SEEN.set(10)
        accepting = Accepting(Counting)
        async with await serve(tls, accepting) as server:
            SEEN.set(20)
            clients = [await connect(tls, server) for _ in range(3)]
            await accepting.connected(3)
            assert [far.seen for far in accepting] == [11] * 3
            await finish(*clients, *accepting)

    run(main)
