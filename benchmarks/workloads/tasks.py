"""Tasks, futures, and asyncio's own primitives on top of them."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

from ..workload import QUICK, Goal, Run, Unit, workload

MANY = 100  # awaitables in a gather or a TaskGroup


class Yield:
    """The smallest thing that gives way to the loop: `await Yield()` is one bare yield."""

    def __await__(self) -> Generator[None, None, None]:
        yield


@workload(
    "tasks",
    "bare yield",
    goal=Goal(rival=2, asyncio=4, floor=1 / 1.35),
    floor="send",
    level=QUICK,
    headline=True,
)
async def bare_yield(run: Run) -> int:
    """A task that gives way by a bare yield: one switch an operation."""
    done = 0
    once = Yield()
    for _ in range(run.n):
        await once
        done += 1
    return done


@workload(
    "tasks",
    "sleep(0)",
    goal=Goal(rival=1.6),
    floor="send",
    level=QUICK,
    headline=True,
)
async def sleep_0(run: Run) -> int:
    """One task in asyncio.sleep(0): one switch an operation."""
    done = 0
    for _ in range(run.n):
        await asyncio.sleep(0)
        done += 1
    return done


async def _sleeper(n: int) -> int:
    done = 0
    for _ in range(n):
        await asyncio.sleep(0)
        done += 1
    return done


async def _sleepers(run: Run, count: int) -> int:
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(_sleeper(run.n // count)) for _ in range(count)]
    return sum(await asyncio.gather(*tasks))


@workload("tasks", "sleep(0), 100 tasks", goal=Goal(rival=1.6), grain=100 * 100)
async def sleep_0_100(run: Run) -> int:
    """100 tasks that take turns by asyncio.sleep(0), at least 100 times each."""
    return await _sleepers(run, 100)


@workload("tasks", "sleep(0), 10,000 tasks", goal=Goal(rival=1.6), grain=10_000 * 10)
async def sleep_0_10k(run: Run) -> int:
    """10,000 tasks that take turns by asyncio.sleep(0), at least 10 times each."""
    return await _sleepers(run, 10_000)


@workload("tasks", "10,000 sleeping tasks", goal=Goal(rival=1.25), grain=10_000)
async def sleeping_10k(run: Run) -> int:
    """10,000 tasks, each created, asleep for 1 ms, and awaited."""
    loop = asyncio.get_running_loop()

    async def sleeper() -> int:
        return await asyncio.sleep(0.001, 1)

    done = 0
    while done < run.n:
        tasks = [loop.create_task(sleeper()) for _ in range(10_000)]
        for task in tasks:
            done += await task
    return done


@workload("tasks", "future set + await", goal=Goal(rival=2.2), level=QUICK, headline=True)
async def future_await(run: Run) -> int:
    """A new future, its result set by a callback, awaited: two turns of the loop."""
    loop = asyncio.get_running_loop()
    done = 0
    for _ in range(run.n):
        future = loop.create_future()
        loop.call_soon(future.set_result, 1)
        done += await future
    return done


async def _one() -> int:
    return 1


@workload("tasks", "create_task + await", goal=Goal(rival=2), level=QUICK, headline=True)
async def create_task_await(run: Run) -> int:
    """A task that returns at once, created and awaited."""
    loop = asyncio.get_running_loop()
    done = 0
    for _ in range(run.n):
        done += await loop.create_task(_one())
    return done


@workload("tasks", "create_task + await, eager", needs=(3, 12))
async def create_task_eager(run: Run) -> int:
    """As create-task-await, with asyncio.eager_task_factory."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    done = 0
    try:
        for _ in range(run.n):
            done += await loop.create_task(_one())
    finally:
        loop.set_task_factory(None)
    return done


@workload(
    "tasks",
    "gather of 100",
    share=True,
    goal=Goal(rival=1.25),
    grain=MANY,
    level=QUICK,
    headline=True,
)
async def gather_100(run: Run) -> int:
    """asyncio.gather of 100 coroutines that return at once; an operation is one of them."""
    done = 0
    while done < run.n:
        done += sum(await asyncio.gather(*[_one() for _ in range(MANY)]))
    return done


@workload("tasks", "TaskGroup of 100", share=True, grain=MANY)
async def task_group_100(run: Run) -> int:
    """A TaskGroup with 100 tasks that return at once; an operation is one of them."""
    done = 0
    while done < run.n:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_one()) for _ in range(MANY)]
        done += sum(task.result() for task in tasks)
    return done


@workload(
    "tasks", "Queue(1) ping-pong", share=True, goal=Goal(rival=1.5), level=QUICK, headline=True
)
async def queue_ping_pong(run: Run) -> int:
    """One task puts, another gets, through a queue that holds one item: they take turns."""
    items: asyncio.Queue[int] = asyncio.Queue(1)

    async def produce() -> None:
        for _ in range(run.n):
            await items.put(1)

    producer = asyncio.get_running_loop().create_task(produce())
    done = 0
    for _ in range(run.n):
        done += await items.get()
    await producer
    return done


@workload("tasks", "two Queues, round trip", share=True)
async def queues_round_trip(run: Run) -> int:
    """Two tasks send one item to and fro through two queues of size 1: a round trip."""
    there: asyncio.Queue[int] = asyncio.Queue(1)
    back: asyncio.Queue[int] = asyncio.Queue(1)

    async def answer() -> None:
        for _ in range(run.n):
            await back.put(await there.get())

    other = asyncio.get_running_loop().create_task(answer())
    done = 0
    for _ in range(run.n):
        await there.put(1)
        done += await back.get()
    await other
    return done


@workload("tasks", "Event ping-pong", share=True)
async def event_ping_pong(run: Run) -> int:
    """Two tasks wake each other by asyncio.Event: a round trip."""
    ping, pong = asyncio.Event(), asyncio.Event()

    async def answer() -> None:
        for _ in range(run.n):
            await ping.wait()
            ping.clear()
            pong.set()

    other = asyncio.get_running_loop().create_task(answer())
    done = 0
    for _ in range(run.n):
        ping.set()
        await pong.wait()
        pong.clear()
        done += 1
    await other
    return done


async def _contend(run: Run, guard: asyncio.Lock | asyncio.Semaphore, workers: int) -> int:
    """Tasks that all want the guard and give way once while they hold it."""

    async def worker(turns: int) -> int:
        held = 0
        for _ in range(turns):
            async with guard:
                await asyncio.sleep(0)
                held += 1
        return held

    return sum(await asyncio.gather(*[worker(run.n // workers) for _ in range(workers)]))


@workload("tasks", "Lock, 10 tasks", share=True, grain=10)
async def lock_contended(run: Run) -> int:
    """10 tasks contend for a Lock and give way once inside it: one acquisition."""
    return await _contend(run, asyncio.Lock(), 10)


@workload("tasks", "Semaphore(3), 10 tasks", share=True, grain=10)
async def semaphore_contended(run: Run) -> int:
    """10 tasks contend for a Semaphore(3) and give way once inside it: one acquisition."""
    return await _contend(run, asyncio.Semaphore(3), 10)


@workload("tasks", "wait_for(sleep(0))", share=True, goal=Goal(rival=1.4))
async def wait_for(run: Run) -> int:
    """asyncio.wait_for around asyncio.sleep(0), with a limit of 10 s that is never reached."""
    done = 0
    for _ in range(run.n):
        done += await asyncio.wait_for(asyncio.sleep(0, 1), 10)
    return done


@workload("tasks", "timeout()", share=True)
async def timeout(run: Run) -> int:
    """asyncio.sleep(0) inside asyncio.timeout(10), which is never reached."""
    done = 0
    for _ in range(run.n):
        async with asyncio.timeout(10):
            done += await asyncio.sleep(0, 1)
    return done


ACTIONS = 500_000


@workload(
    "tasks",
    "500,000 queue actions",
    share=True,
    unit=Unit("s", 1.0, ACTIONS),
    goal=Goal(rival=1.35, asyncio=2.8),
    fixed=ACTIONS,
    grain=4,
    level=QUICK,
    headline=True,
)
async def queue_actions(run: Run) -> int:
    """Two producers and a consumer on one Queue, each put and get followed by sleep(0)."""
    items: asyncio.Queue[int] = asyncio.Queue()
    count = run.n // 4  # a producer's puts; the consumer gets both producers' items
    done = total = 0

    async def produce() -> None:
        nonlocal done
        for i in range(count):
            await items.put(i)
            done += 1
            await asyncio.sleep(0)

    async def consume() -> None:
        nonlocal done, total
        for _ in range(2 * count):
            total += await items.get()
            done += 1
            await asyncio.sleep(0)

    await asyncio.gather(produce(), produce(), consume())
    assert total == count * (count - 1)
    return done
