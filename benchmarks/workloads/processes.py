"""Child processes: how fast they start and are waited for, how fast their pipes are."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE

from ..workload import US, Goal, Run, Unit, workload

TOGETHER = 16
MIB = 1024 * 1024
BULK = 4  # MiB


@workload(
    "processes",
    "spawn + wait, true",
    unit=US,
    goal=Goal(rival=1.1),
    pinned=False,
    tags=["transports"],
)
async def spawn_true(run: Run) -> int:
    """The program `true`, started with nothing redirected, and waited for."""
    done = 0
    for _ in range(run.n):
        process = await asyncio.create_subprocess_exec("true")
        done += await process.wait() == 0
    return done


async def _through_cat(data: bytes) -> bool:
    """Whether `cat` gives back what it is given, and ends well."""
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    output, _ = await process.communicate(data)
    return output == data and process.returncode == 0


@workload(
    "processes",
    "spawn + communicate, 16 cat",
    unit=US,
    goal=Goal(rival=1.2),
    grain=TOGETHER,
    pinned=False,
    tags=["transports"],
)
async def spawn_cat_16(run: Run) -> int:
    """16 times `cat` at once, each with 1 KiB through its pipes; an operation is one of them."""
    data = b"x" * 1024
    done = 0
    while done < run.n:
        done += sum(await asyncio.gather(*[_through_cat(data) for _ in range(TOGETHER)]))
    return done


@workload(
    "processes",
    "4 MiB through cat",
    unit=Unit("MiB/s"),
    goal=Goal(rival=1.2),
    grain=BULK,
    pinned=False,
    tags=["transports", "recv"],
)
async def cat_4m(run: Run) -> int:
    """`cat` started, 4 MiB through its pipes by communicate(); an operation is a MiB."""
    data = bytes(range(256)) * (BULK * MIB // 256)
    done = 0
    while done < run.n:
        done += BULK * await _through_cat(data)
    return done
