"""Fetch posts and their comments from a web API in four ways, and compare what they need.

1. one request after another;
2. a thread for each post;
3. coroutines made of plain generators, driven by hand: what an event loop does, on one page;
4. asyncio and aiohttp, with gather.

The last two have all requests under way at the same time in a single thread: each fetch notes
the thread that it runs in, and the summary tells.
"""

import asyncio
import json
import selectors
import socket
import ssl
import sys
import threading
from collections.abc import Generator
from urllib.parse import urlsplit
from urllib.request import urlopen

import aiohttp
from common import options_of, stopwatch, web_api

Threads = set[str]  # the names of the threads in which requests were made


def note_thread(threads: Threads) -> None:
    threads.add(threading.current_thread().name)


# --- 1. One request after another ---------------------------------------------------------------


def get_json(url: str, threads: Threads):
    """Fetch one document; the thread waits until it is here."""
    note_thread(threads)
    with urlopen(url, timeout=60) as response:
        return json.load(response)


def get_post_with_comments(api: str, number: int, threads: Threads) -> dict:
    """Fetch one post, and then its comments."""
    post = get_json(f"{api}/posts/{number}", threads)
    post["comments"] = get_json(f"{api}/posts/{number}/comments", threads)
    return post


def one_after_another(api: str, numbers: range, threads: Threads) -> list[dict]:
    return [get_post_with_comments(api, number, threads) for number in numbers]


# --- 2. Threads ---------------------------------------------------------------------------------


def in_threads(api: str, numbers: range, threads: Threads) -> list[dict]:
    """The same function, but a thread for each post, so that the waiting overlaps."""
    posts: dict[int, dict] = {}

    def work(number: int) -> None:
        posts[number] = get_post_with_comments(api, number, threads)

    workers = [
        threading.Thread(target=work, args=(number,), name=f"post-{number}") for number in numbers
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [posts[number] for number in numbers]


# --- 3. Generators driven by hand ---------------------------------------------------------------

# A generator can stop in the middle of a function and go on later: all that a coroutine needs.
# Ours stop wherever they would have to wait, and yield what they wait for: a socket and an event.
Waits = Generator[tuple[socket.socket, int], None, object]


def when_ready(sock: socket.socket, event: int, operation, *args) -> Waits:
    """Try the operation until the socket is ready for it, giving way between the tries."""
    while True:
        try:
            return operation(*args)
        except (BlockingIOError, ssl.SSLWantReadError):
            yield sock, event


def connect(scheme: str, host: str, port: int) -> Waits:
    """Open a connection that never blocks, with TLS where the address asks for it."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.connect_ex(address)
        yield sock, selectors.EVENT_WRITE
        if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, f"cannot connect to {host}:{port}")
        if scheme == "https":
            context = ssl.create_default_context()
            sock = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
            yield from when_ready(sock, selectors.EVENT_READ, sock.do_handshake)
    except BaseException:
        sock.close()
        raise
    return sock


def get_json_in_turns(url: str, threads: Threads) -> Waits:
    """Fetch one document, giving way whenever there is nothing to do but wait."""
    note_thread(threads)
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    sock = yield from connect(parts.scheme, parts.hostname, port)
    with sock:
        request = f"GET {parts.path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode()
        yield from when_ready(sock, selectors.EVENT_WRITE, sock.send, request)
        answer = b""
        while data := (yield from when_ready(sock, selectors.EVENT_READ, sock.recv, 65536)):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.partition(b"\r\n")[0].decode()
    if status.split()[1:2] != ["200"]:
        raise OSError(f"{url}: {status}")
    return json.loads(body)


def get_post_in_turns(api: str, number: int, threads: Threads) -> Waits:
    """get_post_with_comments() once more: "yield from" is what "await" was called before 3.5."""
    post = yield from get_json_in_turns(f"{api}/posts/{number}", threads)
    post["comments"] = yield from get_json_in_turns(f"{api}/posts/{number}/comments", threads)
    return post


def drive(coroutines: list[Waits]) -> list:
    """An event loop: resume every coroutine whose socket is ready, until all have returned."""
    results: dict[int, object] = {}
    with selectors.DefaultSelector() as selector:

        def resume(index: int) -> None:
            try:
                sock, event = coroutines[index].send(None)
            except StopIteration as stop:
                results[index] = stop.value
            else:
                selector.register(sock, event, index)

        for index in range(len(coroutines)):
            resume(index)
        while selector.get_map():
            for key, _ in selector.select():
                selector.unregister(key.fileobj)
                resume(key.data)
    return [results[index] for index in range(len(coroutines))]


def generators_by_hand(api: str, numbers: range, threads: Threads) -> list[dict]:
    return drive([get_post_in_turns(api, number, threads) for number in numbers])


# --- 4. asyncio and aiohttp ---------------------------------------------------------------------


async def fetch_json(session: aiohttp.ClientSession, url: str, threads: Threads):
    note_thread(threads)
    async with session.get(url) as response:
        response.raise_for_status()
        return await response.json()


async def fetch_post(
    session: aiohttp.ClientSession, api: str, number: int, threads: Threads
) -> dict:
    """Fetch one post and its comments, both at the same time."""
    post, comments = await asyncio.gather(
        fetch_json(session, f"{api}/posts/{number}", threads),
        fetch_json(session, f"{api}/posts/{number}/comments", threads),
    )
    return {**post, "comments": comments}


async def fetch_posts(api: str, numbers: range, threads: Threads) -> list[dict]:
    async with aiohttp.ClientSession() as session:
        return await asyncio.gather(
            *(fetch_post(session, api, number, threads) for number in numbers)
        )


def asyncio_and_aiohttp(api: str, numbers: range, threads: Threads) -> list[dict]:
    return asyncio.run(fetch_posts(api, numbers, threads))


# ------------------------------------------------------------------------------------------------

WAYS = (one_after_another, in_threads, generators_by_hand, asyncio_and_aiohttp)


def summary(posts: list[dict], threads: Threads) -> str:
    comments = sum(len(post["comments"]) for post in posts)
    who = f"1, {min(threads)}" if len(threads) == 1 else f"{len(threads)}"
    return f"{len(posts):3} posts, {comments:3} comments; threads: {who}"


def main() -> None:
    options = options_of(__doc__, calls_api=True).parse_args()
    numbers = range(1, (4 if options.quick else 12) + 1)
    fetched = []
    with web_api(options.api, options.latency) as api:
        for way in WAYS:
            name = way.__name__.replace("_", " ")
            threads: Threads = set()
            with stopwatch(name):
                posts = way(api, numbers, threads)
            fetched.append(posts)
            print(f"{name:<19}{summary(posts, threads)}", flush=True)

    for post in fetched[-1]:
        author = post["comments"][0]["author"]
        print(f"{post['id']:3}. {post['title']:<32}first comment by {author}")
    if any(posts != fetched[0] for posts in fetched):
        sys.exit("The four ways did not fetch the same.")
    print("All four ways fetched the same.")


if __name__ == "__main__":
    main()
