"""Futures and tasks of loops in many threads, and what another thread may ask or do."""

import asyncio
import concurrent.futures
import contextlib
import gc
import threading

import pytest
from helpers import HANG, only_pyaio
from threads_at_work import in_threads

pytestmark = pytest.mark.usefixtures("short_turns_of_threads")

THREADS = 4


def on(loop, coro):
    """The result of a coroutine that the loop runs in its own thread."""
    return asyncio.run_coroutine_threadsafe(coro, loop).result(HANG)


# Each with a loop of its own


def test_tasks_and_futures_in_many_threads(loop_factory):
    async def child(i):
        await asyncio.sleep(0)
        if i % 3 == 0:
            raise ZeroDivisionError(i)
        if i % 3 == 1:
            asyncio.current_task().cancel()
            await asyncio.sleep(1)
        return i

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, "set")
        queue, got = asyncio.Queue(1), []

        async def consume():
            while (item := await queue.get()) is not None:
                got.append(item)

        consumer = asyncio.create_task(consume())
        for i in range(200):
            await queue.put(i)
        await queue.put(None)
        await consumer
        async with asyncio.timeout(HANG), asyncio.Lock():
            outcomes = await asyncio.gather(*(child(i) for i in range(300)), return_exceptions=True)
        kinds = [type(outcome).__name__ for outcome in outcomes]
        return await future, got, {kind: kinds.count(kind) for kind in sorted(set(kinds))}

    def work(number):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(main())

    counts = {"CancelledError": 100, "ZeroDivisionError": 100, "int": 100}
    assert in_threads(THREADS, work) == [("set", list(range(200)), counts)] * THREADS


def test_the_names_of_tasks_are_of_the_process(loop_factory):
    async def main():
        tasks = [asyncio.ensure_future(asyncio.sleep(0)) for _ in range(500)]
        await asyncio.gather(*tasks)
        return [task.get_name() for task in tasks]

    def work(number):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(main())

    names = [name for some in in_threads(THREADS, work) for name in some]
    assert len(set(names)) == len(names) == 500 * THREADS


def test_each_loop_finds_its_own_tasks_while_others_make_many(loop_factory):
    """Closing a Runner looks for the tasks that are left, among those of all threads."""

    async def forever():
        await asyncio.get_running_loop().create_future()

    async def main():
        left = [asyncio.create_task(forever()) for _ in range(5)]
        for _ in range(300):
            await asyncio.create_task(asyncio.sleep(0))
        return left, len(asyncio.all_tasks())

    def work(number):
        for _ in range(5):
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                left, count = runner.run(main())
            assert count == 6
            assert all(task.cancelled() for task in left)
        return number

    assert in_threads(THREADS, work) == list(range(THREADS))


# Another thread asks


def outcome_of(future):
    """What anybody finds out about a future, at any time."""
    while not future.done():
        repr(future)
    if future.cancelled():
        with pytest.raises(asyncio.CancelledError):
            future.result()
        return "cancelled"
    return future.exception() or future.result()


@pytest.mark.parametrize("end", ["result", "exception", "cancel"])
def test_a_future_is_asked_while_it_ends(running, end):
    async def make():
        return [asyncio.get_running_loop().create_future() for _ in range(100)]

    async def finish():
        for future in futures:
            if end == "result":
                future.set_result("result")
            elif end == "exception":
                future.set_exception(error)
            else:
                future.cancel()
            await asyncio.sleep(0)

    def work(number):
        if number == 0:
            return on(running, finish())
        return {outcome_of(future) for future in futures}

    error = ZeroDivisionError("exception")
    futures = on(running, make())
    expected = {"result": "result", "exception": error, "cancel": "cancelled"}[end]
    assert in_threads(THREADS, work)[1:] == [{expected}] * (THREADS - 1)


@only_pyaio  # asyncio's futures are one thread's without a GIL
@pytest.mark.parametrize("count", [1, 5])
def test_callbacks_are_taken_off_while_a_future_ends(running, count):
    """Each is called once or has been removed; of some both is said, when both come at once."""

    class Callback:
        calls = 0

        def __call__(self, future):
            self.calls += 1

    def finish():
        for future, _ in pairs:
            future.set_result(None)

    def work(number):
        if number == 0:
            running.call_soon_threadsafe(finish)
            return []
        return [
            [future.remove_done_callback(each) for each in callbacks] for future, callbacks in pairs
        ]

    async def make():
        pairs = []
        for _ in range(2000):
            future = asyncio.get_running_loop().create_future()
            callbacks = [Callback() for _ in range(count)]
            for each in callbacks:
                future.add_done_callback(each)
            pairs.append((future, callbacks))
        return pairs

    pairs = on(running, make())
    _, *removed = in_threads(THREADS, work)
    on(running, asyncio.sleep(0))
    for n, (_, callbacks) in enumerate(pairs):
        for i, each in enumerate(callbacks):
            said = [of_thread[n][i] for of_thread in removed]
            assert each.calls in (0, 1) and set(said) <= {0, 1}
            assert each.calls or any(said)


@only_pyaio  # as above
def test_tasks_are_cancelled_while_they_step(running):
    async def child():
        for _ in range(20):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        await asyncio.get_running_loop().create_future()

    async def make():
        return [asyncio.get_running_loop().create_task(child()) for _ in range(200)]

    def work(number):
        for task in tasks:
            while not task.done():
                running.call_soon_threadsafe(task.cancel, "from the loop")
                task.cancel(f"from {number}")
                repr(task)

    tasks = on(running, make())
    in_threads(THREADS, work)
    assert all(task.cancelled() for task in tasks)


def test_tasks_are_asked_while_they_run(running):
    async def child(i):
        for _ in range(3):
            await asyncio.sleep(0)
        return i

    async def make():
        return [asyncio.create_task(child(i)) for i in range(300)]

    def work(number):
        found = []
        for task in tasks:
            while not task.done():
                task.get_name(), task.get_loop(), task.cancelling(), task._fut_waiter
                task._callbacks, task.get_coro()
            found.append(task.result())
        return found

    tasks = on(running, make())
    assert in_threads(THREADS, work) == [list(range(300))] * THREADS


def test_a_name_that_many_ask_for_is_one(running):
    async def make():
        return [asyncio.create_task(asyncio.sleep(0)) for _ in range(300)]

    tasks = on(running, make())
    names = in_threads(THREADS, lambda number: [task.get_name() for task in tasks])
    assert names == [names[0]] * THREADS


def test_all_tasks_of_another_loop(running):
    async def many():
        waiting = [asyncio.create_task(asyncio.Event().wait()) for _ in range(20)]
        for _ in range(500):
            await asyncio.create_task(asyncio.sleep(0))
        for task in waiting:
            task.cancel()

    def work(number):
        if number == 0:
            on(running, many())
            ended.set()
            return True
        while not ended.is_set():
            assert all(task.get_loop() is running for task in asyncio.all_tasks(running))
            asyncio.current_task(running)
        return True

    ended = threading.Event()
    assert all(in_threads(THREADS, work))


# Another thread acts, as asyncio lets it


def test_coroutines_come_from_many_threads(running):
    async def double(i):
        await asyncio.sleep(0)
        return 2 * i

    def work(number):
        calls = [asyncio.run_coroutine_threadsafe(double(i), running) for i in range(200)]
        return [call.result(HANG) for call in calls]

    assert in_threads(THREADS, work) == [[2 * i for i in range(200)]] * THREADS


def test_coroutines_are_cancelled_from_many_threads(running):
    def work(number):
        calls = [asyncio.run_coroutine_threadsafe(asyncio.sleep(HANG), running) for _ in range(100)]
        for call in calls:
            call.cancel()
        concurrent.futures.wait(calls, HANG)
        return all(call.cancelled() for call in calls)

    assert all(in_threads(THREADS, work))
    on(running, asyncio.sleep(0))


def test_executors_answer_many_loops(loop_factory):
    async def main():
        loop = asyncio.get_running_loop()
        calls = (loop.run_in_executor(pool, int, str(i)) for i in range(100))
        return await asyncio.gather(*calls)

    def work(number):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(main())

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        assert in_threads(THREADS, work) == [list(range(100))] * THREADS


# Garbage of one loop, found in another thread


@pytest.fixture
def no_collections():
    """None but the test's own: one that comes by itself may come too early."""
    gc.disable()
    yield
    gc.enable()


def test_a_finalizer_in_another_thread_ends_what_a_task_awaits(running, no_collections):
    """A collector runs the `finally` of a coroutine that nobody refers to any more."""

    async def holder(lock, cycle):
        async with lock:
            await asyncio.get_running_loop().create_future()

    async def hold(lock):
        coro = holder(lock, cycle := [])
        cycle.append(coro)
        coro.send(None)

    async def wait(lock):
        async with lock:
            return "released"

    async def one_waits(lock):
        while not lock._waiters:
            await asyncio.sleep(0)

    async def main():
        lock = asyncio.Lock()
        await hold(lock)
        return lock

    for _ in range(8):
        lock = on(running, main())
        waiting = asyncio.run_coroutine_threadsafe(wait(lock), running)
        on(running, one_waits(lock))
        collector = threading.Thread(target=gc.collect)
        collector.start()
        collector.join()
        running.call_soon_threadsafe(int)  # a finalizer wakes nobody, as on asyncio
        assert waiting.result(HANG) == "released"


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_pending_tasks_of_a_closed_loop_die_in_another_thread(loop_factory):
    reports = []

    async def forever():
        await asyncio.get_running_loop().create_future()

    def make(number):
        loop = loop_factory()
        loop.set_exception_handler(lambda loop, context: reports.append(context["message"]))
        tasks = [loop.create_task(forever()) for _ in range(50)]
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        return tasks

    made = in_threads(THREADS, make)
    while made:
        thread = threading.Thread(target=made.pop().clear)
        thread.start()
        thread.join()
    gc.collect()
    assert reports == ["Task was destroyed but it is pending!"] * 50 * THREADS
