"""The websockets library: a server and its clients on one loop, over TCP, TLS and Unix sockets."""

import asyncio
import contextlib

import pytest
from helpers import PATIENCE
from websockets.asyncio.client import connect, unix_connect
from websockets.asyncio.server import broadcast, serve, unix_serve
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def address_of(server):
    return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@contextlib.asynccontextmanager
async def connected(handler, **options):
    """A client of a server that runs *handler*; both ends take the options."""
    async with (
        serve(handler, "127.0.0.1", 0, **options) as server,
        connect(f"ws://{address_of(server)}", **options) as client,
    ):
        yield client


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_536, 3_000_000])
def test_echo(run, contexts, secure, size):
    async def main():
        server_ssl, client_ssl = contexts if secure else (None, None)
        async with serve(echo, "127.0.0.1", 0, ssl=server_ssl, max_size=None) as server:
            assert server.is_serving()
            uri = f"{'wss' if secure else 'ws'}://{address_of(server)}"
            async with asyncio.timeout(PATIENCE):
                async with connect(uri, ssl=client_ssl, max_size=None) as client:
                    await client.send(b"b" * size)
                    assert await client.recv() == b"b" * size
                    await client.send("t" * size)
                    assert await client.recv() == "t" * size
                    assert client.remote_address == server.sockets[0].getsockname()
        assert not server.is_serving()

    run(main)


def test_unix_sockets(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def main():
        async with unix_serve(echo, "socket"), unix_connect("socket") as client:
            await client.send("hello")
            return await client.recv()

    assert run(main) == "hello"


def test_a_message_in_many_fragments(run):
    async def main():
        async def fragments():
            for n in range(100):
                yield f"{n} "

        async with connected(echo) as client:
            await client.send(fragments())
            return await client.recv()

    assert run(main) == "".join(f"{n} " for n in range(100))


def test_many_messages_in_flight(run):
    """More than either side's buffers hold: both pause and resume."""

    async def main():
        async with connected(echo, write_limit=1000) as client:

            async def send():
                for n in range(1000):
                    await client.send(f"{n}:" + "x" * 2000)

            sending = asyncio.ensure_future(send())
            async with asyncio.timeout(PATIENCE):
                got = [int((await client.recv()).split(":")[0]) for _ in range(1000)]
                await sending
        return got

    assert run(main) == list(range(1000))


def test_pings(run):
    async def main():
        async with connected(echo, ping_interval=0.01) as client:
            async with asyncio.timeout(PATIENCE):
                for _ in range(5):
                    waiter = await client.ping()
                    await waiter
            assert client.latency > 0

    run(main)


def test_closing_codes_are_told(run):
    async def main():
        async def handler(connection):
            await connection.recv()
            await connection.close(4000, "as you wish")

        async with connected(handler) as client:
            await client.send("bye")
            with pytest.raises(ConnectionClosedError):
                await client.recv()
            return client.close_code, client.close_reason

    assert run(main) == (4000, "as you wish")


def test_a_client_that_is_aborted_is_told_to_the_handler(run):
    async def main():
        told = asyncio.get_running_loop().create_future()

        async def handler(connection):
            try:
                await connection.recv()
            except ConnectionClosedError as exc:
                told.set_result(exc.rcvd)

        async with serve(handler, "127.0.0.1", 0) as server:
            client = await connect(f"ws://{address_of(server)}")
            client.transport.abort()
            async with asyncio.timeout(PATIENCE):
                assert await told is None
            await client.wait_closed()

    run(main)


def test_closing_the_server_closes_its_connections(run):
    async def main():
        async with serve(echo, "127.0.0.1", 0) as server:
            clients = [await connect(f"ws://{address_of(server)}") for _ in range(10)]
            broadcast(server.connections, "to all")
            async with asyncio.timeout(PATIENCE):
                assert {await client.recv() for client in clients} == {"to all"}
                server.close()
                for client in clients:
                    with pytest.raises(ConnectionClosedOK):
                        await client.recv()
                    await client.wait_closed()
                await server.wait_closed()
        return {client.close_code for client in clients}

    assert run(main) == {1001}
