"""uvicorn: an ASGI application, its lifespan, its WebSockets, and the loop by its import string."""

import asyncio
import contextlib
import io
import signal
import socket

import pytest
import uvicorn
from aiohttp import ClientSession, ClientTimeout
from helpers import PATIENCE
from websockets.asyncio.client import connect


class Application:
    """Echoes bodies and WebSocket messages; notes its lifespan and its clients."""

    def __init__(self):
        self.events = []
        self.clients = []

    async def __call__(self, scope, receive, send):
        await getattr(self, scope["type"])(scope, receive, send)

    async def lifespan(self, scope, receive, send):
        for name in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{name}"
            self.events.append(name)
            await send({"type": f"lifespan.{name}.complete"})

    async def http(self, scope, receive, send):
        self.clients.append(scope["client"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            body = message.get("body", b"")
            await send({"type": "http.response.body", "body": body, "more_body": more})

    async def websocket(self, scope, receive, send):
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})
        self.events.append(message["type"])


@contextlib.asynccontextmanager
async def served(app, **options):
    """Serve *app* on this loop; give the address of the server."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        config = uvicorn.Config(
            app, http="h11", ws="websockets-sansio", log_config=None, access_log=False, **options
        )
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve(sockets=[sock]))
        try:
            async with asyncio.timeout(PATIENCE):
                while not (server.started or serving.done()):
                    await asyncio.sleep(0.001)
            yield f"127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            async with asyncio.timeout(PATIENCE):
                await serving


def session():
    return ClientSession(timeout=ClientTimeout(total=PATIENCE))


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_a_body_goes_there_and_back(run, size):
    async def main():
        app, payload = Application(), b"x" * size
        async with served(app) as address, session() as client:
            for _ in range(3):
                async with client.post(f"http://{address}/", data=io.BytesIO(payload)) as answer:
                    assert await answer.read() == payload
        # One connection served all three, and the application was told its address.
        assert len(app.clients) == 3 and len(set(app.clients)) == 1
        assert app.clients[0][0] == "127.0.0.1"
        assert app.events == ["startup", "shutdown"]

    run(main)


def test_many_requests_at_once(run):
    async def main():
        app = Application()
        async with served(app) as address, session() as client:

            async def ask(n):
                async with client.post(f"http://{address}/", data=str(n) * 1000) as answer:
                    return await answer.text()

            return await asyncio.gather(*(ask(n) for n in range(50)))

    assert run(main) == [str(n) * 1000 for n in range(50)]


def test_a_connection_becomes_a_websocket(run):
    """The protocol is replaced in the middle of the connection."""

    async def main():
        app = Application()
        async with served(app) as address, connect(f"ws://{address}/") as client:
            for text in ("hello", "x" * 100_000):
                await client.send(text)
                assert await client.recv() == text.upper()
        return app.events

    assert run(main) == ["startup", "websocket.disconnect", "shutdown"]


def test_a_slow_reader_holds_its_response_up(run):
    """Flow control: the application's send() waits while the transport's queue is full."""
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for n in range(200):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            sent.append(n)
        await send({"type": "http.response.body", "body": b""})

    async def main():
        async with served(app, lifespan="off") as address:
            host, port = address.split(":")
            reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 16)
            writer.write(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
            await reader.readline()
            async with asyncio.timeout(PATIENCE):
                while not sent:
                    await asyncio.sleep(0.001)
            before = 0
            while len(sent) != before:
                before = len(sent)
                await asyncio.sleep(0.05)
            assert len(sent) < 200
            received = 0
            while data := await reader.read(1 << 20):
                received += len(data)
            assert len(sent) == 200
            assert received > 200 * 100_000
            writer.close()
            await writer.wait_closed()

    run(main)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_loop_by_its_import_string_and_the_end_by_a_signal(child, loop_kind, signum):
    factory = {"pyaio": "pyaio:new_event_loop", "asyncio": "asyncio:SelectorEventLoop"}[loop_kind]
    source = """
    import asyncio, sys, uvicorn

    async def app(scope, receive, send):
        await receive()
        print(type(asyncio.get_running_loop()).__module__.split(".")[0], flush=True)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            print("started", flush=True)

    config = uvicorn.Config(app, port=0, loop=sys.argv[1], log_config=None)
    try:
        Server(config).run()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    """
    with child(source, args=(factory,)) as process:
        process.expect(loop_kind)
        process.expect("started")
        process.signal(signum)
        process.expect("shut down")
        code, out, errors = process.finish()
    ends = {signal.SIGINT: (0, "interrupted\n"), signal.SIGTERM: (-signal.SIGTERM, "")}
    assert (code, out) == ends[signum], errors
