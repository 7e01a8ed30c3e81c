"""Callbacks and timers: what the loop does when no coroutine and no socket is involved."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from ..workload import QUICK, US, Goal, Run, workload

BATCH = 1000
THREADSAFE_BATCH = 100
TIMER_SPREAD = 0.001  # seconds between the first timer's time and the last one's


@workload(
    "scheduling", "call_soon chain", goal=Goal(rival=1.4, asyncio=4), level=QUICK, headline=True
)
async def call_soon_chain(run: Run) -> int:
    """A callback that schedules itself again: one turn of the loop an operation."""
    loop = asyncio.get_running_loop()
    finished = loop.create_future()
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if done < run.n:
            loop.call_soon(step)
        else:
            finished.set_result(None)

    loop.call_soon(step)
    await finished
    return done


def _by_call_soon(loop: asyncio.AbstractEventLoop, callback: Any) -> None:
    for _ in range(BATCH):
        loop.call_soon(callback)


def _by_call_soon_1(loop: asyncio.AbstractEventLoop, callback: Any) -> None:
    for _ in range(BATCH):
        loop.call_soon(callback, None)


def _by_call_soon_3(loop: asyncio.AbstractEventLoop, callback: Any) -> None:
    for _ in range(BATCH):
        loop.call_soon(callback, None, None, None)


def _by_call_soon_threadsafe(loop: asyncio.AbstractEventLoop, callback: Any) -> None:
    for _ in range(THREADSAFE_BATCH):
        loop.call_soon_threadsafe(callback)


async def _batches(run: Run, schedule: Callable[..., None], arguments: int = 0) -> int:
    """Batches of callbacks; the last callback of each is followed by the next batch."""
    loop = asyncio.get_running_loop()
    finished = loop.create_future()
    done = 0

    def tick_0() -> None:
        nonlocal done
        done += 1

    def tick_1(_: Any) -> None:
        nonlocal done
        done += 1

    def tick_3(_a: Any, _b: Any, _c: Any) -> None:
        nonlocal done
        done += 1

    callback: Any = {0: tick_0, 1: tick_1, 3: tick_3}[arguments]

    def batch() -> None:
        if done == run.n:
            finished.set_result(None)
            return
        schedule(loop, callback)
        loop.call_soon(batch)

    loop.call_soon(batch)
    await finished
    return done


@workload(
    "scheduling",
    "call_soon, batch of 1000",
    goal=Goal(rival=1.25),
    grain=BATCH,
    level=QUICK,
    headline=True,
)
async def call_soon_batch(run: Run) -> int:
    """1000 callbacks scheduled together, then all of them run."""
    return await _batches(run, _by_call_soon)


@workload("scheduling", "call_soon, batch, 1 argument", goal=Goal(rival=1.25), grain=BATCH)
async def call_soon_batch_1(run: Run) -> int:
    """As call-soon-batch, each callback with one argument."""
    return await _batches(run, _by_call_soon_1, 1)


@workload("scheduling", "call_soon, batch, 3 arguments", goal=Goal(rival=1.25), grain=BATCH)
async def call_soon_batch_3(run: Run) -> int:
    """As call-soon-batch, each callback with three arguments."""
    return await _batches(run, _by_call_soon_3, 3)


@workload(
    "scheduling",
    "call_soon_threadsafe, own thread",
    goal=Goal(rival=1.2),
    grain=THREADSAFE_BATCH,
    level=QUICK,
)
async def call_soon_threadsafe(run: Run) -> int:
    """100 callbacks scheduled together by call_soon_threadsafe from the loop's own thread."""
    return await _batches(run, _by_call_soon_threadsafe)


@workload(
    "scheduling",
    "call_soon_threadsafe, other thread",
    goal=Goal(rival=1.2),
    grain=THREADSAFE_BATCH,
    pinned=False,
)
async def call_soon_threadsafe_from_thread(run: Run) -> int:
    """Another thread schedules 100 callbacks, waits until they ran, and so on."""
    loop = asyncio.get_running_loop()
    ran: queue.SimpleQueue[None] = queue.SimpleQueue()
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if done % THREADSAFE_BATCH == 0:
            ran.put(None)

    def other_thread() -> None:
        for _ in range(run.n // THREADSAFE_BATCH):
            for _ in range(THREADSAFE_BATCH):
                loop.call_soon_threadsafe(tick)
            ran.get()
        loop.call_soon_threadsafe(finished.set_result, None)

    finished = loop.create_future()
    thread = threading.Thread(target=other_thread)
    thread.start()
    await finished
    thread.join()
    return done


@workload("scheduling", "call_later(10).cancel()", goal=Goal(rival=1.2), grain=BATCH, headline=True)
async def call_later_cancel(run: Run) -> int:
    """A timer that is set and cancelled at once; the loop turns after every 1000."""
    loop = asyncio.get_running_loop()
    done = 0

    def never() -> None:
        raise AssertionError("a cancelled timer fired")

    while done < run.n:
        for _ in range(BATCH):
            handle = loop.call_later(10, never)
            handle.cancel()
            done += 1
        assert handle.cancelled()
        await asyncio.sleep(0)
    return done


async def fire_timers(run: Run, count: int) -> int:
    """Sets `count` timers in mixed order, then lets them fire; waiting is not measured.

    Delays are above 1 ms, because some loops treat less as no delay at all; the loop is then
    kept busy until the last is due, so that only setting and firing is in the figure.
    """
    loop = asyncio.get_running_loop()
    delays = [0.0011 + (i * 7919 % count) / count * TIMER_SPREAD for i in range(count)]
    done = 0

    def fire() -> None:
        nonlocal done
        done += 1
        if done % count == 0:
            finished.set_result(None)

    while done < run.n:
        finished = loop.create_future()
        for delay in delays:
            loop.call_later(delay, fire)
        with run.paused():
            time.sleep(0.004)
        await finished
    return done


@workload(
    "scheduling",
    "timers firing, 10,000",
    goal=Goal(rival=1.3),
    grain=10_000,
    level=QUICK,
    headline=True,
)
async def timers_10k(run: Run) -> int:
    """10,000 timers set in mixed order, and fired."""
    return await fire_timers(run, 10_000)


@workload("scheduling", "timers firing, 100,000", goal=Goal(rival=1.3), grain=100_000)
async def timers_100k(run: Run) -> int:
    """100,000 timers set in mixed order, and fired."""
    return await fire_timers(run, 100_000)


@workload("scheduling", "timers firing, 1,000,000", goal=Goal(rival=1.3), fixed=1_000_000)
async def timers_1m(run: Run) -> int:
    """1,000,000 timers set in mixed order, and fired."""
    return await fire_timers(run, run.n)


@workload("scheduling", "loop start + close", unit=US, goal=Goal(rival=1.0), level=QUICK)
def loop_start_close(run: Run) -> int:
    """A new loop, one coroutine that returns at once, close."""

    async def nothing() -> int:
        return 1

    done = 0
    for _ in range(run.n):
        loop = run.new_loop()
        done += loop.run_until_complete(nothing())
        loop.close()
    return done


async def _call_in_executor(run: Run) -> int:
    loop = asyncio.get_running_loop()
    done = 0
    for _ in range(run.n):
        done += await loop.run_in_executor(None, int, 1)
    return done


@workload("scheduling", "run_in_executor", unit=US, goal=Goal(rival=1.1))
async def run_in_executor(run: Run) -> int:
    """A function that does nothing, run in the default executor and awaited."""
    return await _call_in_executor(run)


@workload("scheduling", "run_in_executor, two cores", unit=US, pinned=False)
async def run_in_executor_two_cores(run: Run) -> int:
    """The same where the system may choose another core for the thread, as it mostly does.

    More than half of it is then the time that a sleeping core takes to wake up, twice a call.
    """
    return await _call_in_executor(run)
