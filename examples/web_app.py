"""A web server with aiohttp, and its client: JSON, streaming both ways, and a chat by WebSocket.

Server and client share one loop here: it serves, uses what it serves, prints what it saw and stops.
With --serve PORT it only serves, until Ctrl-C:

    GET, POST /notes and GET /notes/1   documents in JSON
    GET /numbers?to=5                   lines, sent one by one as they are made
    POST /sum                           adds the lines of a body while they are coming in
    GET /chat?name=Alice                a WebSocket; what one says, everybody hears
"""

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from common import options_of, stopwatch

# --- The server: JSON ---------------------------------------------------------------------------

NOTES = web.AppKey("notes", list)
GUESTS = web.AppKey("guests", set)


async def list_notes(request: web.Request) -> web.Response:
    return web.json_response(request.app[NOTES])


async def add_note(request: web.Request) -> web.Response:
    """Keep a note; refuse what is not one."""
    try:
        text = (await request.json())["text"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise web.HTTPBadRequest(text='expected {"text": "..."}\n') from None
    notes = request.app[NOTES]
    notes.append({"id": len(notes) + 1, "text": text})
    return web.json_response(notes[-1], status=201)


async def get_note(request: web.Request) -> web.Response:
    number = int(request.match_info["number"])
    notes = request.app[NOTES]
    if not 1 <= number <= len(notes):
        raise web.HTTPNotFound(text=f"no note {number}\n")
    return web.json_response(notes[number - 1])


# --- The server: streaming ----------------------------------------------------------------------


async def send_numbers(request: web.Request) -> web.StreamResponse:
    """Send a body of a length that nobody knows beforehand, as fast as the client reads it."""
    try:
        last = int(request.query.get("to", "10"))
    except ValueError:
        raise web.HTTPBadRequest(text="to: expected a number\n") from None
    response = web.StreamResponse()
    response.content_type = "text/plain"
    await response.prepare(request)
    for number in range(1, last + 1):
        await response.write(b"%d\n" % number)
    await response.write_eof()
    return response


async def sum_of_body(request: web.Request) -> web.Response:
    """Read a body line by line: only one line of it is ever kept."""
    lines = total = 0
    async for line in request.content:
        lines += 1
        total += int(line)
    return web.json_response({"lines": lines, "sum": total})


# --- The server: WebSocket ----------------------------------------------------------------------


async def chat(request: web.Request) -> web.WebSocketResponse:
    """One guest of the chat: welcome them, pass on what they say, and tell when they leave."""
    guests = request.app[GUESTS]
    name = request.query.get("name", "somebody")
    socket = web.WebSocketResponse(heartbeat=30)
    await socket.prepare(request)
    guests.add(socket)
    await tell_everybody(guests, {"event": "joined", "name": name, "guests": len(guests)})
    try:
        async for message in socket:
            if message.type == aiohttp.WSMsgType.TEXT:
                await tell_everybody(guests, {"event": "said", "name": name, "text": message.data})
            elif message.type == aiohttp.WSMsgType.BINARY:
                await socket.send_bytes(message.data[::-1])
    finally:
        guests.remove(socket)
        await tell_everybody(guests, {"event": "left", "name": name, "guests": len(guests)})
    return socket


async def tell_everybody(guests: set[web.WebSocketResponse], message: dict) -> None:
    """Send the message to all who are still there."""
    sending = [socket.send_json(message) for socket in guests if not socket.closed]
    await asyncio.gather(*sending, return_exceptions=True)


async def dismiss_guests(app: web.Application) -> None:
    """A server that stops says goodbye, rather than wait for its guests to leave."""
    goodbyes = [socket.close(code=aiohttp.WSCloseCode.GOING_AWAY) for socket in app[GUESTS]]
    await asyncio.gather(*goodbyes)


async def start_server(port: int) -> tuple[web.AppRunner, str]:
    """Start the server; return what stops it, and its address."""
    app = web.Application()
    app[NOTES] = []
    app[GUESTS] = set()
    app.on_shutdown.append(dismiss_guests)
    app.add_routes(
        [
            web.get("/notes", list_notes),
            web.post("/notes", add_note),
            web.get(r"/notes/{number:\d{1,9}}", get_note),
            web.get("/numbers", send_numbers),
            web.post("/sum", sum_of_body),
            web.get("/chat", chat),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    host, port = runner.addresses[0]
    return runner, f"http://{host}:{port}"


# --- The client ---------------------------------------------------------------------------------


async def use_json(session: aiohttp.ClientSession) -> None:
    for text in ("buy rope", "ask about the map"):
        async with session.post("/notes", json={"text": text}) as response:
            print(f"POST /notes: {response.status} {await response.json()}")
    async with session.post("/notes", data=b"{not json") as response:
        print(f"POST /notes with nonsense: {response.status} {(await response.text()).strip()}")
    for number in (2, 3):
        async with session.get(f"/notes/{number}") as response:
            print(f"GET /notes/{number}: {response.status} {(await response.text()).strip()}")


async def use_json_a_lot(session: aiohttp.ClientSession, requests: int) -> None:
    """Ask again and again, with 20 tasks that share the session and its connections."""

    async def ask(times: int) -> int:
        notes = 0
        for _ in range(times):
            async with session.get("/notes") as response:
                notes += len(await response.json())
        return notes

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(requests // 20)) for _ in range(20)]
    print(f"GET /notes {requests:,} times: {sum(task.result() for task in tasks):,} notes")


async def use_streams(session: aiohttp.ClientSession, lines: int) -> None:
    total = 0
    async with session.get("/numbers", params={"to": lines}) as response:
        async for line in response.content:
            total += int(line)
        chunked = response.headers.get("Transfer-Encoding")
    print(f"GET /numbers ({chunked}): the sum of {lines:,} lines is {total:,}")

    async def squares() -> AsyncIterator[bytes]:
        for number in range(1, lines + 1):
            yield b"%d\n" % (number * number)

    async with session.post("/sum", data=squares()) as response:
        answer = await response.json()
    print(f"POST /sum: the sum of {answer['lines']:,} squares is {answer['sum']:,}")


@contextlib.asynccontextmanager
async def join(
    session: aiohttp.ClientSession, name: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Enter the chat, leave it at the end of the block."""
    async with session.ws_connect("/chat", params={"name": name}) as socket:
        print(f"{name} hears:", await socket.receive_json())
        yield socket


async def use_chat(session: aiohttp.ClientSession, riddles: int) -> None:
    """Two guests and a short visit by a third, and then the two have a lot to say."""
    async with join(session, "Alice") as alice, join(session, "Hatter") as hatter:
        async with join(session, "Dormouse") as dormouse:
            await dormouse.send_bytes(b"ezoons")
            print("Dormouse hears:", await dormouse.receive_bytes())
        for guest, count in ((alice, 3), (hatter, 2)):
            missed = [await guest.receive_json() for _ in range(count)]
            print("meanwhile:", *(f"{each['name']} {each['event']}," for each in missed))

        for number in range(1, riddles + 1):
            await alice.send_str(f"riddle {number}")
            riddle = await hatter.receive_json()
            await hatter.send_str(f"no answer to {riddle['text']}")
            await hatter.receive_json()  # everybody hears everything, themselves too
            await alice.receive_json()
            answer = await alice.receive_json()
        print(f"after {riddles:,} riddles {answer['name']} has {answer['text']}")


async def serve_and_use(quick: bool) -> None:
    """Server and client in one loop; a part of the work is done many times over."""
    scale = 1 if quick else 10
    runner, address = await start_server(0)
    try:
        async with aiohttp.ClientSession(address) as session:
            await use_json(session)
            with stopwatch("requests"):
                await use_json_a_lot(session, 200 * scale)
            with stopwatch("streams"):
                await use_streams(session, 2_000 * scale)
            with stopwatch("chat"):
                await use_chat(session, 100 * scale)
    finally:
        await runner.cleanup()


async def serve_until_cancelled(port: int) -> None:
    runner, address = await start_server(port)
    print(f"serving at {address}; Ctrl-C stops it", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def options() -> argparse.Namespace:
    parser = options_of(__doc__)
    parser.add_argument("--serve", type=int, metavar="PORT", help="only serve (0: any free port)")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    if chosen.serve is None:
        asyncio.run(serve_and_use(chosen.quick))
        return
    try:
        asyncio.run(serve_until_cancelled(chosen.serve))
    except KeyboardInterrupt:
        print("stopped")
    except (OSError, OverflowError) as error:
        sys.exit(f"cannot serve: {error}")


if __name__ == "__main__":
    main()
