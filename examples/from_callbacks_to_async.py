"""From callbacks to generators to async generators: how Python came to async and await.

1. callbacks: a loop calls functions, each of which arranges for the next one;
2. generators: functions that stop and go on, driven with next() and send() by hand;
3. generators as coroutines: a loop of our own that lets them take turns;
4. async def and await: the same on asyncio's loop, made and run by hand;
5. tasks that take turns with sleep(0);
6. async generators: functions that wait and yield.
"""

import asyncio
import types
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator

from common import options_of, stopwatch


def heading(text: str) -> None:
    print(f"\n--- {text}")


# --- 1. Callbacks -------------------------------------------------------------------------------


def count_down(loop: asyncio.AbstractEventLoop, number: int, done: Callable[[str], None]) -> None:
    """Count down, one number for each turn of the loop, and call done() with the last word.

    With callbacks a loop ("for") becomes a function that arranges for its own next call, a return
    value becomes a call, and what was local has to be handed from each call to the next.
    """
    print(number, end=" ")
    if number > 1:
        loop.call_later(0.01, count_down, loop, number - 1, done)
    else:
        loop.call_soon(done, "lift-off")


def with_callbacks() -> None:
    loop = asyncio.new_event_loop()

    def finish(word: str) -> None:
        print(word)
        loop.stop()

    try:
        loop.call_soon(count_down, loop, 5, finish)
        loop.run_forever()
    finally:
        loop.close()


# --- 2. Generators ------------------------------------------------------------------------------


def numbers_down(number: int) -> Generator[int, None, str]:
    """The same countdown, with its loop and its local variable back where they belong."""
    while number > 0:
        yield number
        number -= 1
    return "lift-off"


def running_mean() -> Generator[float, float, None]:
    """A generator can also be told things: send() makes yield return a value."""
    total = count = 0
    mean = 0.0
    while True:
        total += yield mean
        count += 1
        mean = total / count


def with_generators() -> None:
    countdown = numbers_down(3)
    print(next(countdown), next(countdown), next(countdown), end=" ")
    try:
        next(countdown)
    except StopIteration as stop:
        print(stop.value)

    mean = running_mean()
    next(mean)  # run to the first yield, where it can be sent something
    print("mean so far:", *(mean.send(value) for value in (10, 20, 60)))
    mean.close()


# --- 3. Generators as coroutines ----------------------------------------------------------------


def speaker(name: str, words: str) -> Generator[None, None, int]:
    """Say one word, let the others have a turn, say the next one."""
    for word in words.split():
        print(f"{name}: {word}")
        yield
    return len(words)


def conversation() -> Generator[None, None, int]:
    """yield from runs another generator inside this one, and gives its return value."""
    first = yield from speaker("Alice", "who are you")
    second = yield from speaker("Alice", "and why")
    return first + second


def take_turns(coroutines: list[Generator]) -> dict[int, object]:
    """The smallest event loop: resume each in its turn until all have returned."""
    results: dict[int, object] = {}
    ready = deque(enumerate(coroutines))
    while ready:
        index, coroutine = ready.popleft()
        try:
            coroutine.send(None)
        except StopIteration as stop:
            results[index] = stop.value
        else:
            ready.append((index, coroutine))
    return results


def with_turns() -> None:
    results = take_turns([conversation(), speaker("Caterpillar", "keep your temper")])
    print(f"letters said: {results[0]} and {results[1]}")


# --- 4. async def and await ---------------------------------------------------------------------


@types.coroutine
def one_turn() -> Generator[None, None, None]:
    """A generator that await accepts: a bare yield gives the loop one turn."""
    yield


async def square(number: int) -> int:
    await one_turn()
    return number * number


async def sum_of_squares(numbers: range) -> int:
    return sum([await square(number) for number in numbers])


def with_await() -> None:
    """Make a loop, give it tasks, run it until one is done, and close it: no asyncio.run()."""
    coroutine = sum_of_squares(range(3))
    turns = 0
    try:
        while True:
            coroutine.send(None)  # a coroutine is still driven as a generator is
            turns += 1
    except StopIteration as stop:
        print(f"driven by hand: {stop.value} after {turns} turns")

    loop = asyncio.new_event_loop()
    try:
        small = loop.create_task(sum_of_squares(range(10)), name="small")
        large = loop.create_task(sum_of_squares(range(1000)), name="large")
        print(f"small: {loop.run_until_complete(small)}; large is done: {large.done()}")
        print(f"large: {loop.run_until_complete(large)}; running: {loop.is_running()}")
    finally:
        loop.close()
    print(f"closed: {loop.is_closed()}")


# --- 5. Taking turns with sleep(0) --------------------------------------------------------------


async def hop(name: str, hops: int, track: list[str]) -> None:
    """sleep(0) does not sleep: it lets every other task that is ready have its turn first."""
    for _ in range(hops):
        track.append(name)
        await asyncio.sleep(0)


async def race(names: str, hops: int) -> list[str]:
    track: list[str] = []
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(hop(name, hops, track))
    return track


def with_sleep_0(hops: int) -> None:
    print(" ".join(asyncio.run(race("ABC", 4))))
    with stopwatch(f"3 tasks, {hops:,} turns each"):
        track = asyncio.run(race("ABC", hops))
    fair = all(track[turn : turn + 3] == ["A", "B", "C"] for turn in range(0, len(track), 3))
    print(f"{len(track):,} turns, always A, B, C: {fair}")


# --- 6. Async generators ------------------------------------------------------------------------


async def ticks(number: int) -> AsyncIterator[int]:
    """Waits and yields, and cleans up even if nobody wants the rest."""
    try:
        for tick in range(number):
            await asyncio.sleep(0)
            yield tick
    finally:
        await asyncio.sleep(0)
        print("(clock stopped)")


async def batches(source: AsyncIterator[int], size: int) -> AsyncIterator[list[int]]:
    """Async generators chain as generators do."""
    batch: list[int] = []
    async for item in source:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


async def use_async_generators() -> None:
    async for batch in batches(ticks(7), 3):
        print(batch)

    even = [tick async for tick in ticks(7) if tick % 2 == 0]
    print("even:", *even)

    clock = ticks(1_000_000)
    async for tick in clock:
        if tick == 3:
            break
    await clock.aclose()
    print("left at", tick)


async def look_once(clock: AsyncIterator[int]) -> int:
    return await anext(clock)


def with_async_generators() -> None:
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(use_async_generators())
        forgotten = ticks(10)
        print("looked once, saw", loop.run_until_complete(look_once(forgotten)))
        loop.run_until_complete(loop.shutdown_asyncgens())  # finds it, and lets it clean up
    finally:
        loop.close()


def main() -> None:
    options = options_of(__doc__).parse_args()
    heading("callbacks")
    with_callbacks()
    heading("generators")
    with_generators()
    heading("generators as coroutines, taking turns on a loop of our own")
    with_turns()
    heading("async def and await, on a loop made by hand")
    with_await()
    heading("tasks that take turns with sleep(0)")
    with_sleep_0(10_000 if options.quick else 100_000)
    heading("async generators")
    with_async_generators()


if __name__ == "__main__":
    main()
