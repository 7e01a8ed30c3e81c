"""Programs that people run: servers of HTTP under wrk, an HTTP client, WebSocket."""

from __future__ import annotations

import asyncio
from typing import Any

from ..workload import PER_SECOND, TIMES, Goal, Load, Run, workload
from .servers import BACKLOG, Service, add_server

CONNECTIONS = 50
HELLO = b"Hello, world!"


async def serve_aiohttp(run: Run) -> asyncio.Server:
    """aiohttp's server: a route that answers with so many bytes; wrk with 50 connections."""
    from aiohttp import web

    assert run.load is not None
    body = (HELLO * run.load.size)[: run.load.size]

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body)

    app = web.Application()
    app.router.add_get("/", answer)
    run.background = runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    loop = asyncio.get_running_loop()
    assert runner.server is not None
    return await loop.create_server(runner.server, "127.0.0.1", 0, backlog=BACKLOG)


async def serve_uvicorn(run: Run) -> Service:
    """uvicorn with httptools: an application that answers 13 bytes; wrk with 50 connections."""
    import uvicorn

    async def application(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": HELLO})

    config = uvicorn.Config(
        application,
        port=0,
        http="httptools",
        ws="none",
        lifespan="off",
        backlog=BACKLOG,
        log_level="error",
    )
    server = uvicorn.Server(config)
    task = asyncio.get_running_loop().create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
        if task.done():
            task.result()
            raise RuntimeError("uvicorn has ended")

    def close() -> None:
        server.should_exit = True

    run.background = task
    return Service(list(server.servers[0].sockets), close)


async def serve_websockets(run: Run) -> Any:
    """The package websockets: each message is sent back; 10 connections, 1 KiB, no compression."""
    from websockets.asyncio.server import ServerConnection, serve

    async def answer(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    return await serve(answer, "127.0.0.1", 0, compression=None)


def _add_http(key: str, title: str, serve: Any, size: int, **options: Any) -> None:
    packages = ("aiohttp",) if serve is serve_aiohttp else ("uvicorn", "httptools")
    load = Load(CONNECTIONS, size, mode="wrk")
    options |= {"needs_packages": packages, "tags": ["recv"], "share": True}
    add_server("apps", key, f"{title} {TIMES} {CONNECTIONS}", serve, load, **options)


_add_http(
    "aiohttp-13B", "aiohttp 13 B", serve_aiohttp, len(HELLO), goal=Goal(rival=1.07), headline=True
)
_add_http("aiohttp-10K", "aiohttp 10 KiB", serve_aiohttp, 10 * 1024)
_add_http("uvicorn-13B", "uvicorn, httptools 13 B", serve_uvicorn, len(HELLO), headline=True)


@workload(
    "apps",
    "aiohttp client",
    unit=PER_SECOND,
    beside="http",
    needs_packages=("aiohttp",),
    grain=10,
    tags=["transports", "recv"],
    share=True,
)
async def aiohttp_client(run: Run) -> int:
    """10 tasks of one aiohttp.ClientSession get 13 bytes each time from a server in C."""
    import aiohttp

    url = f"http://127.0.0.1:{run.port}/"

    async def get(session: aiohttp.ClientSession) -> int:
        right = 0
        for _ in range(run.n // 10):
            async with session.get(url) as response:
                right += await response.read() == HELLO
        return right

    async with aiohttp.ClientSession() as session:
        return sum(await asyncio.gather(*[get(session) for _ in range(10)]))


add_server(
    "apps",
    "websockets-1K-10",
    f"websockets echo 1 KiB {TIMES} 10",
    serve_websockets,
    Load(connections=10, mode="websocket"),
    needs_packages=("websockets",),
    tags=["recv"],
    share=True,
)
