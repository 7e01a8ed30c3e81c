"""The web API that the examples call: a small aiohttp server whose answers take a while.

    python web_api.py --port 8080 --latency 50

    /posts    /posts/1    /posts/1/comments    /characters    /characters/1    /stats

It prints its address and serves until Ctrl-C. The examples start it by themselves, as a process
of its own (see common.py). Each answer is held back for the latency, as a server far away would
do it; /stats answers at once and tells for how long the API has been holding answers back.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import threading
import time

import web_api_data as data
from aiohttp import web
from common import milliseconds


class HeldBack:
    """Counts requests, and the time in which the answer to one at least was being held back."""

    def __init__(self) -> None:
        self.requests = 0
        self.seconds = 0.0
        self._holding = 0
        self._since = 0.0

    def __enter__(self) -> None:
        self.requests += 1
        self._holding += 1
        if self._holding == 1:
            self._since = time.perf_counter()

    def __exit__(self, *exc: object) -> None:
        self._holding -= 1
        if self._holding == 0:
            self.seconds += time.perf_counter() - self._since


LATENCY = web.AppKey("latency", float)
HELD_BACK = web.AppKey("held_back", HeldBack)


@web.middleware
async def hold_back(request: web.Request, handler) -> web.StreamResponse:
    """Let every request but one for /stats wait for the latency."""
    if request.path != "/stats":
        with request.app[HELD_BACK]:
            await asyncio.sleep(request.app[LATENCY])
    return await handler(request)


def number_in(request: web.Request, limit: int) -> int:
    """The number in the request's path, or 404 where there is nothing of that number."""
    number = int(request.match_info["number"])
    if not 1 <= number <= limit:
        raise web.HTTPNotFound(text=f"there are only 1 to {limit}\n")
    return number


async def get_posts(request: web.Request) -> web.Response:
    return web.json_response([data.post(number) for number in range(1, data.POSTS + 1)])


async def get_post(request: web.Request) -> web.Response:
    return web.json_response(data.post(number_in(request, data.POSTS)))


async def get_comments(request: web.Request) -> web.Response:
    return web.json_response(data.comments(number_in(request, data.POSTS)))


async def get_characters(request: web.Request) -> web.Response:
    return web.json_response(data.CHARACTERS)


async def get_character(request: web.Request) -> web.Response:
    number = number_in(request, len(data.CHARACTERS))
    return web.json_response(data.CHARACTERS[number - 1])


async def get_stats(request: web.Request) -> web.Response:
    held_back = request.app[HELD_BACK]
    return web.json_response({"requests": held_back.requests, "held_back": held_back.seconds})


def make_app(latency: float) -> web.Application:
    """The application; latency in seconds."""
    app = web.Application(middlewares=[hold_back])
    app[LATENCY] = latency
    app[HELD_BACK] = HeldBack()
    app.router.add_get("/posts", get_posts)
    app.router.add_get(r"/posts/{number:\d{1,9}}", get_post)
    app.router.add_get(r"/posts/{number:\d{1,9}}/comments", get_comments)
    app.router.add_get("/characters", get_characters)
    app.router.add_get(r"/characters/{number:\d{1,9}}", get_character)
    app.router.add_get("/stats", get_stats)
    return app


def end_of_input() -> asyncio.Future:
    """A future that is done when standard input ends, that is when whoever started us has gone."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def read_to_the_end() -> None:
        # os.read, because Python ends badly while a thread is inside of sys.stdin.
        while os.read(sys.stdin.fileno(), 4096):
            pass
        with contextlib.suppress(RuntimeError):  # the loop may have been closed by Ctrl-C
            loop.call_soon_threadsafe(ended.set_result, None)

    threading.Thread(target=read_to_the_end, daemon=True).start()
    return ended


async def serve(options: argparse.Namespace) -> None:
    """Serve until cancelled, or until standard input ends if that was asked for."""
    runner = web.AppRunner(make_app(options.latency / 1000), shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", options.port).start()
        host, port = runner.addresses[0]
        print(f"http://{host}:{port}", flush=True)
        await (end_of_input() if options.until_eof else asyncio.Event().wait())
    finally:
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description="The web API that the examples call.")
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    parser.add_argument("--latency", type=milliseconds, default=50, metavar="MS")
    parser.add_argument("--until-eof", action="store_true", help="stop when standard input ends")
    try:
        asyncio.run(serve(parser.parse_args()))
    except KeyboardInterrupt:
        pass
    except (OSError, OverflowError) as error:
        sys.exit(f"web_api: cannot serve: {error}")


if __name__ == "__main__":
    main()
