"""When to use what: ten calls of a web API in four ways, then work for the processor in three.

Calls wait: threads, a pool of threads and asyncio all let the waiting overlap.
Computing does not wait: threads share one interpreter lock (unless Python was built without it),
so only processes run side by side; the event loop stays free while they work.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from urllib.request import urlopen

import aiohttp
from common import options_of, stopwatch, web_api

CALLS = 10

# --- Ten calls ----------------------------------------------------------------------------------


def get_character(url: str) -> dict:
    """Make one call; the thread waits for the answer."""
    with urlopen(url, timeout=60) as response:
        return json.load(response)


def calls_in_sequence(urls: list[str]) -> list[dict]:
    return [get_character(url) for url in urls]


def calls_in_threads(urls: list[str]) -> list[dict]:
    characters: list[dict] = [{}] * len(urls)

    def call(index: int) -> None:
        characters[index] = get_character(urls[index])

    threads = [threading.Thread(target=call, args=(index,)) for index in range(len(urls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return characters


def calls_in_thread_pool(urls: list[str]) -> list[dict]:
    with ThreadPoolExecutor(max_workers=5) as pool:
        return list(pool.map(get_character, urls))


async def fetch_character(session: aiohttp.ClientSession, url: str) -> dict:
    """Make one call; the task waits for the answer, the thread goes on with other tasks."""
    async with session.get(url) as response:
        response.raise_for_status()
        return await response.json()


async def fetch_characters(urls: list[str]) -> list[dict]:
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        calls = [group.create_task(fetch_character(session, url)) for url in urls]
    return [call.result() for call in calls]


def calls_with_asyncio(urls: list[str]) -> list[dict]:
    return asyncio.run(fetch_characters(urls))


# --- Work for the processor ---------------------------------------------------------------------


def count_primes(numbers: range) -> int:
    """Count the primes among the numbers in the slowest way that is still reasonable."""
    return sum(
        number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))
        for number in numbers
    )


def primes_in_sequence(pieces: list[range], method: str | None) -> list[int]:
    return [count_primes(piece) for piece in pieces]


def primes_in_threads(pieces: list[range], method: str | None) -> list[int]:
    with ThreadPoolExecutor(max_workers=len(pieces)) as pool:
        return list(pool.map(count_primes, pieces))


async def heartbeat(beats: list[float]) -> None:
    """Note the time again and again, to show that the loop is free to do it."""
    while True:
        beats.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)


async def count_in_processes(pieces: list[range], method: str | None) -> list[int]:
    """Give each piece to a process, and wait for all of them in the event loop."""
    loop = asyncio.get_running_loop()
    beats: list[float] = []
    heart = asyncio.create_task(heartbeat(beats))
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(min(len(pieces), os.cpu_count() or 1), mp_context=context) as pool:
        counts = await asyncio.gather(
            *(loop.run_in_executor(pool, count_primes, piece) for piece in pieces)
        )
    heart.cancel()
    print(f"(the loop's heart beat {len(beats)} times meanwhile)", file=sys.stderr)
    return counts


def primes_in_processes(pieces: list[range], method: str | None) -> list[int]:
    return asyncio.run(count_in_processes(pieces, method))


# ------------------------------------------------------------------------------------------------


def compare(ways: tuple[Callable, ...], *args) -> list:
    """Do the same in several ways, and return the result, which must be the same."""
    results = []
    for way in ways:
        name = way.__name__.replace("_", " ")
        with stopwatch(name):
            results.append(way(*args))
        same = results[-1] == results[0]
        print(f"    {name:<24}{'same result' if results[1:] and same else 'done'}", flush=True)
        if not same:
            sys.exit(f"{name}: the result differs from the first one")
    return results[0]


def options() -> argparse.Namespace:
    parser = options_of(__doc__, calls_api=True)
    parser.add_argument(
        "--start-method",
        choices=multiprocessing.get_all_start_methods(),
        help="how the processes are started (default: what this Python prefers)",
    )
    return parser.parse_args()


def main() -> None:
    chosen = options()
    print(f"{CALLS} calls of a web API:")
    with web_api(chosen.api, chosen.latency) as api:
        urls = [f"{api}/characters/{number}" for number in range(1, CALLS + 1)]
        characters = compare(
            (calls_in_sequence, calls_in_threads, calls_in_thread_pool, calls_with_asyncio), urls
        )
    for character in characters:
        print(f"{character['id']:6}. {character['name']}, {character['book']}")

    limit = 40_000 if chosen.quick else 400_000
    pieces = [range(start, start + limit // 4) for start in range(0, limit, limit // 4)]
    print(f"the primes below {limit:,}, in {len(pieces)} pieces:")
    counts = compare(
        (primes_in_sequence, primes_in_threads, primes_in_processes), pieces, chosen.start_method
    )
    print(f"    {' + '.join(map(str, counts))} = {sum(counts)} primes")


if __name__ == "__main__":
    main()
