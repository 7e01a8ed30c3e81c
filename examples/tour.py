"""A tour of asyncio: what it offers, one small function for each thing.

coroutines, tasks, TaskGroup, gather, wait, wait_for and timeout, futures by hand, blocking code
in a thread, and what tasks use to keep out of each other's way: Lock, Event, Semaphore, Condition,
Barrier, Queue. Nothing here hangs on how fast anything is, so it prints the same on every run.
"""

import asyncio
import time
from collections.abc import Awaitable

from common import options_of, stopwatch

PAUSE = 0.01  # seconds
FOREVER = 3600.0


def say(text: str) -> None:
    print(f"    {text}")


async def brew(drink: str, seconds: float = PAUSE) -> str:
    """Stands for anything that takes a while without keeping the processor busy."""
    await asyncio.sleep(seconds)
    return f"a cup of {drink}"


async def spill(drink: str) -> str:
    await asyncio.sleep(PAUSE)
    raise ValueError(f"the {drink} is on the floor")


async def coroutines() -> None:
    """Calling a coroutine function does not run it: awaiting it does."""
    coroutine = brew("tea")
    say(f"called: {type(coroutine).__name__}")
    say(f"awaited: {await coroutine}")


async def tasks() -> None:
    """A task runs in the background while the one who made it goes on."""
    task = asyncio.create_task(brew("coffee"), name="kitchen")
    say(f"{task.get_name()} has started: done is {task.done()}")
    task.add_done_callback(lambda done: say(f"callback of {done.get_name()}"))
    say(f"result: {await task}")

    task = asyncio.create_task(brew("cocoa", FOREVER))
    await asyncio.sleep(0)
    task.cancel("kitchen closed")
    try:
        await task
    except asyncio.CancelledError:
        say(f"cancelled: {task.cancelled()}")


async def task_groups() -> None:
    """A TaskGroup waits for all of its tasks; if one fails, it cancels the rest."""
    async with asyncio.TaskGroup() as group:
        cups = [group.create_task(brew(drink)) for drink in ("tea", "coffee", "cocoa")]
    say(", ".join(cup.result() for cup in cups))

    try:
        async with asyncio.TaskGroup() as group:
            slow = group.create_task(brew("tea", FOREVER))
            group.create_task(spill("coffee"))
    except* ValueError as failures:
        say(f"failed: {failures.exceptions[0]}; the slow one was cancelled: {slow.cancelled()}")


async def gathering() -> None:
    """gather() returns the results in the order in which they were asked for."""
    cups = await asyncio.gather(brew("tea", 3 * PAUSE), brew("coffee"), brew("cocoa", 2 * PAUSE))
    say(", ".join(cups))
    outcomes = await asyncio.gather(brew("tea"), spill("coffee"), return_exceptions=True)
    say(", ".join(repr(outcome) for outcome in outcomes))


async def waiting() -> None:
    """wait() waits until one is done, until one has failed, or for all."""

    async def follow(previous: asyncio.Task, then: Awaitable[str]) -> str:
        await asyncio.wait({previous})
        return await then

    def names(some: set[asyncio.Task]) -> str:
        return ", ".join(sorted(task.get_name() for task in some)) or "nobody"

    for mode in (asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED):
        first = asyncio.create_task(brew("tea"), name="1st")
        second = asyncio.create_task(follow(first, spill("coffee")), name="2nd")
        third = asyncio.create_task(follow(second, brew("cocoa")), name="3rd")
        done, pending = await asyncio.wait({first, second, third}, return_when=mode)
        say(f"{mode + ':':<17} done: {names(done)}; pending: {names(pending)}")
        await asyncio.wait({first, second, third})
        say(f"{'':<17} the 2nd failed, for {second.exception()}")


async def as_they_come() -> None:
    """as_completed() hands out the results as they come in."""
    oven_is_free = asyncio.Event()

    async def bread() -> str:
        await oven_is_free.wait()
        return "bread, which had to wait for the oven"

    async def chestnuts() -> str:
        await asyncio.sleep(PAUSE)
        oven_is_free.set()
        return "chestnuts"

    for next_dish in asyncio.as_completed([bread(), chestnuts()]):
        say(await next_dish)


async def limits_of_time() -> None:
    """wait_for() and timeout() cancel what takes too long."""
    say(await asyncio.wait_for(brew("tea"), timeout=FOREVER))
    try:
        await asyncio.wait_for(brew("coffee", FOREVER), timeout=PAUSE)
    except TimeoutError:
        say("wait_for: no coffee in time")

    try:
        async with asyncio.timeout(PAUSE) as limit:
            await brew("cocoa", FOREVER)
    except TimeoutError:
        say(f"timeout: no cocoa in time; expired: {limit.expired()}")

    async with asyncio.timeout(None) as limit:
        limit.reschedule(asyncio.get_running_loop().time() + FOREVER)
        say(f"timeout, put off: {await brew('cocoa')}")

    tea = asyncio.create_task(brew("tea", 2 * PAUSE))
    try:
        await asyncio.wait_for(asyncio.shield(tea), timeout=0)
    except TimeoutError:
        say(f"shield: the wait is over, the task is not: {await tea}")


async def futures() -> None:
    """A future is a result that somebody has promised, and will give by hand."""
    loop = asyncio.get_running_loop()
    promise = loop.create_future()
    loop.call_later(PAUSE, promise.set_result, "a letter")
    say(f"promised: done is {promise.done()}")
    say(f"kept: {await promise}")

    broken = loop.create_future()
    loop.call_soon(broken.set_exception, LookupError("no such address"))
    try:
        await broken
    except LookupError as error:
        say(f"broken: {error}")


async def threads() -> None:
    """Code that blocks goes to a thread, and the loop stays free meanwhile."""

    def block() -> str:
        time.sleep(5 * PAUSE)
        return "the answer of a blocking function"

    def report(loop: asyncio.AbstractEventLoop, inbox: asyncio.Queue) -> None:
        loop.call_soon_threadsafe(inbox.put_nowait, "a message from another thread")

    loop = asyncio.get_running_loop()
    blocking = asyncio.create_task(asyncio.to_thread(block))
    say(f"meanwhile: {await brew('tea', 0)}")
    say(await blocking)
    say(await loop.run_in_executor(None, "from the default executor".title))

    inbox: asyncio.Queue[str] = asyncio.Queue()
    await asyncio.to_thread(report, loop, inbox)
    say(await inbox.get())

    def order_from_outside() -> str:
        return asyncio.run_coroutine_threadsafe(brew("coffee"), loop).result()

    say(f"ordered by another thread: {await asyncio.to_thread(order_from_outside)}")


async def lock() -> None:
    """With a Lock, no two tasks are in the same piece of code at a time."""

    async def deposit(account: dict, guard: asyncio.Lock | None) -> None:
        if guard is None:
            balance = account["balance"]
            await asyncio.sleep(0)
            account["balance"] = balance + 1
        else:
            async with guard:
                await deposit(account, None)

    for guard in (None, asyncio.Lock()):
        account = {"balance": 0}
        await asyncio.gather(*(deposit(account, guard) for _ in range(100)))
        how = "with a lock" if guard else "without"
        say(f"100 deposits of 1 {how}: {account['balance']}")


async def event() -> None:
    """An Event wakes everybody who waits for it."""
    doors_open = asyncio.Event()

    async def guest(name: str) -> None:
        await doors_open.wait()
        say(f"{name} enters")

    async with asyncio.TaskGroup() as group:
        for name in ("Mole", "Ratty", "Badger"):
            group.create_task(guest(name))
        await asyncio.sleep(PAUSE)
        say("the doors open")
        doors_open.set()


async def semaphore() -> None:
    """A Semaphore lets a certain number in at a time."""
    boats = asyncio.Semaphore(3)
    out = most = 0

    async def row() -> None:
        nonlocal out, most
        async with boats:
            out += 1
            most = max(most, out)
            await asyncio.sleep(PAUSE / 2)
            out -= 1

    await asyncio.gather(*(row() for _ in range(10)))
    say(f"10 rowers, never more than {most} boats out")


async def condition() -> None:
    """With a Condition, a task waits until what others do makes something true."""
    stock = 0
    changed = asyncio.Condition()

    async def buy(name: str, amount: int) -> None:
        nonlocal stock
        async with changed:
            await changed.wait_for(lambda: stock >= amount)
            stock -= amount
            say(f"{name} takes {amount}, {stock} left")

    async with asyncio.TaskGroup() as group:
        group.create_task(buy("Dorothy", 5))
        group.create_task(buy("Scarecrow", 2))
        for _ in range(4):
            await asyncio.sleep(PAUSE)
            async with changed:
                stock += 2
                changed.notify_all()


async def barrier() -> None:
    """A Barrier holds tasks back until all have come."""
    start = asyncio.Barrier(3)

    async def runner(name: str) -> None:
        say(f"{name} is ready")
        async with start as position:
            say(f"{name} runs, number {position}")

    await asyncio.gather(*(runner(name) for name in ("Ishmael", "Queequeg", "Starbuck")))


async def queue() -> None:
    """A Queue with a limit makes who is ahead wait for who is behind."""
    belt: asyncio.Queue[int] = asyncio.Queue(maxsize=2)

    async def pack() -> list[int]:
        packed = []
        while len(packed) < 6:
            packed.append(await belt.get())
            belt.task_done()
        return packed

    packer = asyncio.create_task(pack())
    for number in range(6):
        await belt.put(number)
    await belt.join()
    say(f"packed: {await packer}")


STOPS = (
    coroutines,
    tasks,
    task_groups,
    gathering,
    waiting,
    as_they_come,
    limits_of_time,
    futures,
    threads,
    lock,
    event,
    semaphore,
    condition,
    barrier,
    queue,
)


async def main() -> None:
    """Take the tour."""
    for stop in STOPS:
        print(f"* {stop.__doc__}")
        # In a task of its own: what a stop cancels must not reach the next one.
        await asyncio.create_task(stop())


if __name__ == "__main__":
    options_of(__doc__).parse_args()
    with stopwatch("the tour"):
        asyncio.run(main())
