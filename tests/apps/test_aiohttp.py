"""aiohttp's server and client on one loop, over plain TCP and over TLS."""

import asyncio
import contextlib
import hashlib
import io
import ssl

import pytest
from aiohttp import (
    ClientConnectionError,
    ClientSession,
    ClientTimeout,
    FormData,
    TCPConnector,
    WSMsgType,
    web,
)
from helpers import PATIENCE

TIMEOUT = ClientTimeout(total=PATIENCE)


@pytest.fixture(params=["tcp", "tls"])
def pair(request):
    """The contexts of server and client: None for plain TCP."""
    return request.getfixturevalue("contexts") if request.param == "tls" else (None, None)


async def hello(request):
    return web.json_response({"hello": request.match_info["name"], "secure": request.secure})


async def digest(request):
    """Answer with the SHA-256 of the body, read piece by piece."""
    found = hashlib.sha256()
    async for piece in request.content.iter_any():
        found.update(piece)
    return web.Response(text=found.hexdigest())


async def form(request):
    fields = await request.post()
    return web.json_response(
        {"text": fields["text"], "file": fields["file"].file.read().decode("ascii")}
    )


async def stream(request):
    """Answer in chunks, of which nobody knows the number beforehand."""
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for n in range(int(request.query["pieces"])):
        await response.write(b"%06d\n" % n)
    await response.write_eof()
    return response


async def echo_websocket(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            if message.data == "bye":
                await socket.close(code=4000, message=b"as you wish")
            else:
                await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def fail(request):
    raise ZeroDivisionError


async def peer(request):
    """Answer with what the transport knows about the client."""
    info = request.transport.get_extra_info
    return web.json_response({"peername": info("peername"), "tls": info("sslcontext") is not None})


@contextlib.asynccontextmanager
async def site(pair, *routes, **runner_options):
    """Serve *routes*; give (base address, runner, session)."""
    app = web.Application(client_max_size=64 << 20)
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, **runner_options)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=pair[0]).start()
    address = f"{'https' if pair[0] else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    connector = TCPConnector(ssl=pair[1] or True, limit=0)
    async with ClientSession(address, connector=connector, timeout=TIMEOUT) as session:
        try:
            yield session, runner
        finally:
            await runner.cleanup()
    if pair[0]:
        # The connector leaves the end of a TLS connection to the loop: let it come. It takes what
        # the kernel brings, for which short turns do not wait.
        for _ in range(20):
            await asyncio.sleep(0.001)


def test_get_json(run, pair):
    async def main():
        async with (
            site(pair, web.get("/hello/{name}", hello)) as (session, _),
            session.get("/hello/world") as response,
        ):
            assert response.status == 200
            assert response.headers["Content-Type"].startswith("application/json")
            return await response.json()

    assert run(main) == {"hello": "world", "secure": pair[0] is not None}


def test_keep_alive_uses_one_connection(run, pair):
    async def main():
        async with site(pair, web.get("/peer", peer)) as (session, _):
            seen = []
            for _ in range(20):
                async with session.get("/peer") as response:
                    seen.append(tuple((await response.json())["peername"]))
            return seen

    assert len(set(run(main))) == 1


def test_the_transport_knows_the_client(run, pair):
    async def main():
        async with (
            site(pair, web.get("/peer", peer)) as (session, _),
            session.get("/peer") as response,
        ):
            return await response.json()

    answer = run(main)
    assert answer["peername"][0] == "127.0.0.1"
    assert answer["tls"] == (pair[0] is not None)


@pytest.mark.parametrize("size", [0, 1, 100_000, 5_000_000])
def test_post_with_a_body(run, pair, size):
    body = bytes(n % 251 for n in range(1000)) * (size // 1000) + b"x" * (size % 1000)

    async def main():
        async with (
            site(pair, web.post("/digest", digest)) as (session, _),
            session.post("/digest", data=io.BytesIO(body)) as response,
        ):
            return await response.text()

    assert run(main) == hashlib.sha256(body).hexdigest()


def test_post_streamed_by_a_generator(run, pair):
    pieces = [bytes([n]) * 10_000 for n in range(100)]

    async def body():
        for piece in pieces:
            yield piece
            await asyncio.sleep(0)

    async def main():
        async with (
            site(pair, web.post("/digest", digest)) as (session, _),
            session.post("/digest", data=body()) as response,
        ):
            return await response.text()

    assert run(main) == hashlib.sha256(b"".join(pieces)).hexdigest()


def test_post_a_form_with_a_file(run, pair):
    async def main():
        data = FormData()
        data.add_field("text", "some text")
        data.add_field("file", b"content of the file", filename="name.txt")
        async with (
            site(pair, web.post("/form", form)) as (session, _),
            session.post("/form", data=data) as response,
        ):
            return await response.json()

    assert run(main) == {"text": "some text", "file": "content of the file"}


def test_chunked_streaming(run, pair):
    async def main():
        async with (
            site(pair, web.get("/stream", stream)) as (session, _),
            session.get("/stream", params={"pieces": 5000}) as response,
        ):
            assert response.headers["Transfer-Encoding"] == "chunked"
            return [line async for line in response.content]

    assert run(main) == [b"%06d\n" % n for n in range(5000)]


def test_a_client_that_leaves_in_the_middle_of_a_stream(run, pair):
    async def main():
        left = asyncio.Event()

        async def endless(request):
            response = web.StreamResponse()
            await response.prepare(request)
            try:
                while True:
                    await response.write(b"for ever\n" * 1000)
                    await asyncio.sleep(0)  # aiohttp writes on over TLS until it hears of the end
            finally:
                left.set()

        routes = web.get("/endless", endless), web.get("/hello/{name}", hello)
        async with site(pair, *routes) as (session, _):
            async with session.get("/endless") as response:
                assert await response.content.readline() == b"for ever\n"
                response.close()
            await asyncio.wait_for(left.wait(), PATIENCE)
            async with session.get("/hello/again") as response:
                return response.status

    assert run(main) == 200


def test_websocket_echo(run, pair):
    messages = ["text", "ünïcödé", "x" * 200_000]

    async def main():
        async with (
            site(pair, web.get("/ws", echo_websocket)) as (session, _),
            session.ws_connect("/ws") as socket,
        ):
            for message in messages:
                await socket.send_str(message)
                assert await socket.receive_str() == message
                await socket.send_bytes(message.encode())
                assert await socket.receive_bytes() == message.encode()
            await socket.send_str("bye")
            last = await socket.receive()
            assert last.type is WSMsgType.CLOSE
            return socket.close_code, last.extra

    assert run(main) == (4000, "as you wish")


def test_many_websocket_messages_in_flight(run, pair):
    async def main():
        async with (
            site(pair, web.get("/ws", echo_websocket)) as (session, _),
            session.ws_connect("/ws") as socket,
        ):

            async def send():
                for n in range(2000):
                    await socket.send_str(str(n))

            sending = asyncio.ensure_future(send())
            received = [await socket.receive_str() for _ in range(2000)]
            await sending
            return received

    assert run(main) == [str(n) for n in range(2000)]


def test_not_found_and_method_not_allowed(run, pair):
    async def main():
        async with (
            site(pair, web.get("/hello/{name}", hello)) as (session, _),
            session.get("/nowhere") as missing,
            session.post("/hello/x") as refused,
        ):
            return missing.status, refused.status

    assert run(main) == (404, 405)


def test_a_handler_that_raises_is_a_500(run, pair, caplog):
    async def main():
        async with (
            site(pair, web.get("/fail", fail)) as (session, _),
            session.get("/fail") as response,
        ):
            return response.status

    assert run(main) == 500
    assert "Error handling request" in caplog.text


def test_50_requests_at_once(run, pair):
    async def main():
        async with site(pair, web.get("/hello/{name}", hello)) as (session, _):

            async def get(n):
                async with session.get(f"/hello/{n}") as response:
                    return (await response.json())["hello"]

            return await asyncio.gather(*(get(n) for n in range(50)))

    assert run(main) == [str(n) for n in range(50)]


def test_a_file_is_sent(run, pair, tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(range(256)) * 8192)

    async def main():
        async def send(request):
            return web.FileResponse(path)

        async with (
            site(pair, web.get("/file", send)) as (session, _),
            session.get("/file") as response,
        ):
            return await response.read()

    assert run(main) == path.read_bytes()


def test_a_graceful_shutdown_lets_a_request_end(run, pair):
    async def main():
        entered, go_on = asyncio.Event(), asyncio.Event()

        async def slow(request):
            entered.set()
            await go_on.wait()
            return web.Response(text="finished")

        async with site(pair, web.get("/slow", slow), shutdown_timeout=PATIENCE) as (
            session,
            runner,
        ):
            getting = asyncio.ensure_future(session.get("/slow"))
            await entered.wait()
            stopping = asyncio.ensure_future(runner.cleanup())
            await asyncio.sleep(0)
            go_on.set()
            async with await getting as response:
                assert await response.text() == "finished"
            await stopping
            with pytest.raises(ClientConnectionError):
                await session.get("/slow")

    run(main)


def test_a_refused_connection(run, pair):
    async def main():
        async with site(pair, web.get("/hello/{name}", hello)) as (session, runner):
            await runner.cleanup()
            with pytest.raises(ClientConnectionError):
                await session.get("/hello/x")

    run(main)


def test_the_clients_timeout_ends_a_request(run, pair):
    async def main():
        async def never(request):
            await asyncio.Event().wait()

        routes = web.get("/never", never), web.get("/hello/{name}", hello)
        async with site(pair, *routes, shutdown_timeout=0.01) as (session, _):
            async with session.get("/hello/x") as response:  # it is not to end a handshake
                await response.read()
            with pytest.raises(asyncio.TimeoutError):
                await session.get("/never", timeout=ClientTimeout(total=0.05))

    run(main)


def test_an_untrusted_certificate_is_refused(run, contexts):
    async def main():
        async with site(contexts, web.get("/hello/{name}", hello)) as (session, _):
            stranger = ssl.create_default_context()
            with pytest.raises(ClientConnectionError, match=r"(?i)certificate"):
                await session.get("/hello/x", ssl=stranger)

    run(main)
