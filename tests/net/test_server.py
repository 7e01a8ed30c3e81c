"""asyncio.Server as the loops give it: serving, closing, waiting, what happens to its clients."""

import asyncio
import contextlib
import gc
import socket
import sys
import warnings

import pytest
from helpers import HandlerCalls
from peers import LOOPBACK, Accepting, Recorder, ended, finish, reset, turns, until

HAS_CLIENTS = sys.version_info >= (3, 13)
WAITS_FOR_CLIENTS = sys.version_info >= (3, 12, 1)


async def serve(factory=asyncio.Protocol, host=LOOPBACK, port=0, **kwargs):
    return await asyncio.get_running_loop().create_server(factory, host, port, **kwargs)


async def connect(server):
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
    return protocol


async def connected():
    """A server that has one connection, and both ends of that."""
    accepting = Accepting()
    server = await serve(accepting)
    near = await connect(server)
    return server, near, await accepting.connected()


def refused(address):
    with socket.socket() as sock:
        return sock.connect_ex(address) != 0


def test_is_an_abstract_server_of_its_loop(run):
    async def main():
        async with await serve() as server:
            assert isinstance(server, asyncio.AbstractServer)
            assert server.get_loop() is asyncio.get_running_loop()
            assert repr(server).startswith("<")

    run(main)


def test_sockets_are_transport_sockets_until_it_is_closed(run):
    async def main():
        server = await serve()
        (sock,) = server.sockets
        assert isinstance(server.sockets, tuple)
        assert isinstance(sock, asyncio.trsock.TransportSocket)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        assert sock.gettimeout() == 0
        server.close()
        assert server.sockets == ()

    run(main)


def test_serves_from_the_start(run):
    async def main():
        async with await serve() as server:
            assert server.is_serving()
        assert not server.is_serving()

    run(main)


def test_start_serving_false_listens_only_when_told(run):
    async def main():
        async with await serve(start_serving=False) as server:
            address = server.sockets[0].getsockname()
            assert not server.is_serving()
            assert refused(address)
            await server.start_serving()
            assert server.is_serving()
            await finish(await connect(server))
            await server.start_serving()
            assert server.is_serving()

    run(main)


def test_close_refuses_new_connections_and_keeps_the_old(run):
    async def main():
        server, near, far = await connected()
        address = server.sockets[0].getsockname()
        server.close()
        await turns()
        assert refused(address)
        near.transport.write(b"still here")
        assert await far.received(10) == b"still here"
        await finish(near, far)

    run(main)


def test_close_twice_is_harmless(run):
    async def main():
        server = await serve()
        server.close()
        server.close()
        await server.wait_closed()
        await server.wait_closed()
        assert not server.is_serving()

    run(main)


def test_close_from_inside_a_callback_of_a_connection(run):
    async def main():
        class Closing(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                server.close()
                transport.close()

        server = await serve(Closing)
        near = await connect(server)
        await ended(near.lost)
        await server.wait_closed()
        assert server.sockets == ()

    run(main)


@pytest.mark.skipif(not WAITS_FOR_CLIENTS, reason="wait_closed() waits since 3.12.1")
def test_wait_closed_waits_for_the_last_connection(run):
    async def main():
        server, near, far = await connected()
        server.close()
        waiting = asyncio.ensure_future(server.wait_closed())
        await turns(20)
        assert not waiting.done()
        far.transport.close()
        await ended(waiting)
        assert far.lost.done()
        await finish(near)

    run(main)


@pytest.mark.skipif(not WAITS_FOR_CLIENTS, reason="wait_closed() waits since 3.12.1")
def test_wait_closed_waits_for_close(run):
    async def main():
        server = await serve()
        waiting = asyncio.ensure_future(server.wait_closed())
        await turns(20)
        assert not waiting.done()
        server.close()
        await ended(waiting)

    run(main)


@pytest.mark.skipif(
    sys.version_info >= (3, 12),
    reason="3.12 has changed it",
)
def test_wait_closed_of_3_11_does_not_wait_for_connections(run):
    async def main():
        server, near, far = await connected()
        server.close()
        await server.wait_closed()
        assert not far.lost.done()
        await finish(near, far)

    run(main)


@pytest.mark.skipif(not HAS_CLIENTS, reason="servers know their clients since 3.13")
@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
def test_closing_the_clients_ends_every_connection(run, method):
    async def main():
        accepting = Accepting()
        server = await serve(accepting)
        near = [await connect(server) for _ in range(3)]
        await accepting.connected(3)
        server.close()
        getattr(server, method)()
        for protocol in accepting:
            assert await ended(protocol.lost) is None
        await ended(asyncio.ensure_future(server.wait_closed()))
        await finish(*near)

    run(main)


@pytest.mark.skipif(HAS_CLIENTS, reason="servers know their clients since 3.13")
@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
def test_older_versions_have_no_way_to_close_clients(run, method):
    async def main():
        async with await serve() as server:
            assert not hasattr(server, method)

    run(main)


def test_async_with_closes(run):
    async def main():
        async with await serve() as server:
            address = server.sockets[0].getsockname()
        assert not server.is_serving()
        assert refused(address)

    run(main)


def test_serve_forever_serves_until_it_is_cancelled(run):
    async def main():
        server = await serve(start_serving=False)
        task = asyncio.ensure_future(server.serve_forever())
        await until(server.is_serving)
        await finish(await connect(server))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not server.is_serving()
        assert server.sockets == ()

    run(main)


def test_close_cancels_serve_forever(run):
    async def main():
        server = await serve()
        task = asyncio.ensure_future(server.serve_forever())
        await turns()
        server.close()
        with pytest.raises(asyncio.CancelledError):
            await ended(task)

    run(main)


def test_two_serve_forever_at_once_are_a_runtime_error(run):
    async def main():
        async with await serve() as server:
            task = asyncio.ensure_future(server.serve_forever())
            await turns()
            with pytest.raises(RuntimeError, match="is already being awaited on serve_forever"):
                await server.serve_forever()
            assert server.is_serving()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main)


def test_serve_forever_on_a_closed_server_is_a_runtime_error(run):
    async def main():
        server = await serve()
        server.close()
        with pytest.raises(RuntimeError, match="is closed"):
            await server.serve_forever()

    run(main)


@contextlib.contextmanager
def sockets_closed_by_finalizers(loop_kind):
    """Let asyncio drop an accepted socket unclosed where its factory raised; pyaio closes it."""
    with warnings.catch_warnings():
        if loop_kind == "asyncio":
            warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.mark.parametrize("debug", [False, True])
def test_a_factory_that_raises_costs_one_connection(run, loop_kind, debug):
    calls = HandlerCalls()
    made = []

    def factory():
        made.append(Recorder())
        if len(made) == 1:
            raise ZeroDivisionError
        return made[-1]

    async def main():
        asyncio.get_running_loop().set_exception_handler(calls)
        async with await serve(factory) as server:
            first = await connect(server)
            if loop_kind == "pyaio":
                await ended(first.lost)
            second = await connect(server)
            await until(lambda: len(made) == 2 and made[1].made.done())
            await finish(first, second, made[1])

    with sockets_closed_by_finalizers(loop_kind):
        run(main, debug=debug)
        reported = [(call["message"], type(call["exception"])) for call in calls]
        calls.clear()  # the traceback holds asyncio's frame, and that the socket
    expected = ("Error on transport creation for incoming connection", ZeroDivisionError)
    assert reported == [expected] * debug


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit])
def test_a_factory_may_stop_the_program(loop, loop_kind, reports, failure):
    def factory():
        raise failure

    async def main():
        async with await serve(factory) as server:
            near = await connect(server)
            try:
                await asyncio.sleep(60)
            finally:
                await finish(near)

    task = loop.create_task(main())
    with sockets_closed_by_finalizers(loop_kind):
        with pytest.raises(failure):
            loop.run_until_complete(task)
        task.cancel()
        loop.run_until_complete(asyncio.wait([task]))
    if loop_kind == "asyncio":  # it accepts in a task, which nobody awaits
        assert ["never retrieved" in text for text in reports.take()] == [True]


def test_a_burst_of_200_connections(run):
    async def main():
        accepting = Accepting()
        async with await serve(accepting, backlog=250) as server:
            near = await asyncio.gather(*(connect(server) for _ in range(200)))
            await accepting.connected(200)
            for n, protocol in enumerate(near):
                protocol.transport.write(n.to_bytes(4, "big"))
            arrived = [await protocol.received(4) for protocol in accepting]
            assert sorted(arrived) == [n.to_bytes(4, "big") for n in range(200)]
            await finish(*near, *accepting)

    run(main)


def test_a_connection_reset_before_it_is_accepted_harms_nothing(run):
    async def main():
        accepting = Accepting()
        async with await serve(accepting) as server:
            for _ in range(10):
                reset(socket.create_connection(server.sockets[0].getsockname()))
            near = await connect(server)
            near.transport.write(b"x")
            await until(lambda: any(protocol.data == b"x" for protocol in accepting))
            await finish(near)
            for protocol in accepting:
                await ended(protocol.lost)

    run(main)


def test_an_unreferenced_server_survives_a_collection(run):
    async def main():
        accepting = Accepting()
        server = await serve(accepting)
        address = server.sockets[0].getsockname()
        number = server.sockets[0].fileno()
        del server
        gc.collect()
        loop = asyncio.get_running_loop()
        _, near = await loop.create_connection(Recorder, *address)
        far = await accepting.connected()
        await finish(near, far)
        find_server(number).close()

    run(main)


def find_server(number):
    """Return the asyncio server whose listening socket has this descriptor."""
    for candidate in gc.get_objects():
        with contextlib.suppress(ReferenceError):
            if isinstance(candidate, asyncio.AbstractServer) and any(
                sock.fileno() == number for sock in candidate.sockets
            ):
                return candidate
    raise AssertionError("the server is gone")


def test_a_loop_closed_with_a_server_open_ends_cleanly(loop_factory):
    loop = loop_factory()
    server = loop.run_until_complete(loop.create_server(asyncio.Protocol, LOOPBACK, 0))
    address = server.sockets[0].getsockname()
    server.close()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert refused(address)


def test_servers_take_weak_references(run):
    import weakref

    async def main():
        async with await serve() as server:
            assert weakref.ref(server)() is server

    run(main)
