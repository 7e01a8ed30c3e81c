"""What an operation costs as the number of tasks, timers, callbacks and connections grows.

Each size is ten times the one before. Flat is what to hope for; log n is what a heap of timers
costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..workload import NS, Load, Run, Workload, register
from .scheduling import fire_timers
from .servers import add_server, serve_protocol

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
AT_ONCE = 1_000_000
"""From this size on the number of operations is fixed, as the warm-up would take too long."""
CONNECTIONS = (1, 10, 100, 1_000, 10_000)
TIMERS, TIMERS_BATCH = 100_000, 1_000


async def tasks(run: Run, size: int) -> int:
    """So many tasks at once, each created, giving way once by sleep(0), and awaited."""
    loop = asyncio.get_running_loop()

    async def once() -> int:
        return await asyncio.sleep(0, 1)

    done = 0
    while done < run.n:
        alive = [loop.create_task(once()) for _ in range(min(size, run.n))]
        for task in alive:
            done += await task
    return done


async def timers(run: Run, size: int) -> int:
    """1000 timers set and fired, again and again, while so many others wait for later."""
    loop = asyncio.get_running_loop()

    def never() -> None:
        raise AssertionError("a timer fired that was set for the next hour")

    with run.paused():
        waiting = [loop.call_later(3600 + i * 7919 % size, never) for i in range(size)]
    done = await fire_timers(run, TIMERS_BATCH)
    with run.paused():
        for handle in waiting:
            handle.cancel()
        waiting.clear()
        # What a loop does about cancelled timers, and what their memory costs, is not measured.
        await asyncio.sleep(0)
    return done


async def callbacks(run: Run, size: int) -> int:
    """So many callbacks scheduled together by call_soon, then all of them run."""
    loop = asyncio.get_running_loop()
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1

    while done < run.n:
        for _ in range(min(size, run.n)):
            loop.call_soon(tick)
        await asyncio.sleep(0)  # comes back behind all of them
    return done


def _sized(body: Callable[[Run, int], Any], size: int) -> Callable[[Run], Any]:
    async def sized(run: Run) -> int:
        return int(await body(run, size))

    sized.__doc__ = body.__doc__
    return sized


def _short(size: int) -> str:
    return (
        f"{size // 1_000_000}M"
        if size >= 1_000_000
        else (f"{size // 1000}k" if size >= 1000 else str(size))
    )


def _add(key: str, title: str, body: Callable[[Run, int], Any], **options: Any) -> None:
    """Registers a row for each size."""
    first = f"growth/{key}-{_short(SIZES[0])}"
    for size in SIZES:
        amount: dict[str, int] = {"fixed": size} if size >= AT_ONCE else {"grain": size}
        register(
            Workload(
                "growth",
                f"{key}-{_short(size)}",
                title.format(f"{size:,}"),
                _sized(body, size),
                size=size,
                grows_from=first if size > SIZES[0] else "",
                **(amount | options),
            )
        )


_add("tasks", "{} tasks", tasks)
# Fixed for all sizes: each warm-up sets all the waiting timers anew.
_add("timers", "a timer beside {} others", timers, fixed=TIMERS, grain=TIMERS_BATCH)
_add("callbacks", "{} callbacks", callbacks)


async def connections(run: Run) -> asyncio.Server:
    """So many connections, each with a message of 1 KiB in flight: the server's CPU time."""
    return await serve_protocol(run)


for _count in CONNECTIONS:
    add_server(
        "growth",
        f"connections-{_short(_count)}",
        f"{_count:,} connection{'s' * (_count > 1)}",
        connections,
        Load(_count),
        unit=NS,
        size=_count,
        grows_from="growth/connections-1" if _count > 1 else "",
        tags=["recv"],
    )
