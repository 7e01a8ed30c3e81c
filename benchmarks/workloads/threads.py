"""The loop beside threads of the same process that want the interpreter."""

from __future__ import annotations

import asyncio
import time

from ..burner import Burner, speed_alone
from ..workload import PER_SECOND, QUICK, Goal, Run, workload


@workload(
    "threads",
    "turns beside a CPU-bound thread",
    unit=PER_SECOND,
    goal=Goal(kept=0.45),
    timed=True,
    pinned=False,
    level=QUICK,
)
async def turns_beside_thread(run: Run) -> int:
    """Turns of a task in sleep(0), while another thread computes without pause."""
    with run.paused():
        alone = speed_alone()
        burner = Burner()
        burner.start()
        await asyncio.sleep(0.02)
    done = 0
    start = end = time.monotonic()
    while end - start < run.seconds:
        await asyncio.sleep(0)
        done += 1
        end = time.monotonic()
    run.extra["kept"] = burner.speed(start, end) / alone
    burner.stop()
    return done
