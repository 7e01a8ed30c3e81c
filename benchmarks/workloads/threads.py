"""The loop beside threads of the same process that want the interpreter."""

from __future__ import annotations

import asyncio
import os
import threading
import time

from ..burner import Burner, speed_alone
from ..workload import PER_SECOND, QUICK, Goal, Run, workload

LOOPS = max(2, os.cpu_count() or 1)


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


@workload(
    "threads",
    "a loop in each of N threads",
    grain=LOOPS,
    pinned=False,
    free_threaded=True,
)
def loops_in_threads(run: Run) -> int:
    """As many threads as cores, a loop in each, with a task in sleep(0): one switch of one."""
    done = [0] * LOOPS

    async def switch() -> int:
        switched = 0
        for _ in range(run.n // LOOPS):
            await asyncio.sleep(0)
            switched += 1
        return switched

    def work(place: int) -> None:
        with asyncio.Runner(loop_factory=run.new_loop) as runner:
            done[place] = runner.run(switch())

    threads = [threading.Thread(target=work, args=(place,)) for place in range(LOOPS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done)
