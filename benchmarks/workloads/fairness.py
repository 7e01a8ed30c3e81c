"""Echo beside something that never rests: whether I/O still gets its turn."""

from __future__ import annotations

import asyncio

from ..burner import Burner, speed_alone
from ..workload import TIMES, Goal, Load, Run
from .servers import add_server, serve_protocol

LOAD = Load(connections=10, size=1024)


async def beside_yielding_task(run: Run) -> asyncio.Server:
    """Protocol echo, while a task of the same loop never stops yielding."""

    async def restless() -> None:
        while True:
            await asyncio.sleep(0)

    server = await serve_protocol(run)
    run.background = asyncio.get_running_loop().create_task(restless())
    return server


async def beside_thread(run: Run) -> asyncio.Server:
    """Protocol echo, while another thread of the process computes without pause."""
    alone = speed_alone()
    burner = Burner()
    burner.start()
    run.at_end = lambda start, end: {"kept": burner.speed(start, end) / alone}
    return await serve_protocol(run)


async def beside_connections(run: Run) -> asyncio.Server:
    """Protocol echo with 1000 connections that never rest: what each waits for its reply."""
    return await serve_protocol(run)


add_server(
    "fairness",
    "echo-beside-yielding-task",
    f"Protocol 1 KiB {TIMES} 10 beside a yielding task",
    beside_yielding_task,
    LOAD,
    goal=Goal(rival=1.0, p99_rival=1.0),
)
add_server(
    "fairness",
    "echo-beside-yielding-task-1",
    "Protocol 1 KiB, one connection beside a yielding task",
    beside_yielding_task,
    Load(connections=1, size=1024),
)
add_server(
    "fairness",
    "echo-beside-thread",
    f"Protocol 1 KiB {TIMES} 10 beside a CPU-bound thread",
    beside_thread,
    LOAD,
    goal=Goal(rival=1.8, p99_us=1000, kept=0.45),
)
add_server(
    "fairness",
    "echo-beside-1000-connections",
    f"Protocol 1 KiB {TIMES} 1000, all busy",
    beside_connections,
    Load(connections=1000, size=1024),
    tags=["recv"],
)
