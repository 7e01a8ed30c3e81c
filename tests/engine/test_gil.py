"""The loop beside CPU-bound threads: each gets its share, the loop gives the GIL up to wait."""

import asyncio
import threading

import pytest
from helpers import HANG


@pytest.fixture
def spinner():
    """A thread that computes without ever waiting; `rounds[0]` counts."""
    rounds, ended = [0], threading.Event()

    def spin():
        while not ended.is_set():
            rounds[0] += 1

    thread = threading.Thread(target=spin)
    thread.start()
    yield rounds
    ended.set()
    thread.join()


def compute():
    """Work for many switch intervals: a thread that gets one now and then does not finish."""
    sum(i * i for i in range(3_000_000))


def test_a_busy_loop_lets_a_thread_finish(loop):
    done = threading.Event()

    def work():
        compute()
        done.set()

    def chain():
        if done.is_set():
            loop.stop()
        else:
            loop.call_soon(chain)

    thread = threading.Thread(target=work)
    chain()
    thread.start()
    loop.run_forever()
    thread.join()


def test_tasks_that_take_turns_let_a_thread_finish(run):
    async def main():
        thread = threading.Thread(target=compute)
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0)
        thread.join()

    run(main)


def test_a_busy_loop_without_python_code_lets_a_thread_finish(loop):
    # The chain is C only, so nothing but the loop itself looks for a switch request.
    def work():
        compute()
        loop.call_soon_threadsafe(loop.stop)

    def chain():
        loop.call_soon(loop.call_soon, chain)

    chain()
    thread = threading.Thread(target=work)
    thread.start()
    loop.run_forever()
    thread.join()


def test_a_waiting_loop_gives_the_gil_up(loop):
    got = []

    def work():
        got.append(sum(range(100_000)))
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=work)
    guard = loop.call_later(HANG, loop.stop)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    assert got and loop.time() < guard.when()
    guard.cancel()


def test_timers_fire_beside_a_cpu_bound_thread(loop, spinner):
    left = 50

    def again():
        nonlocal left
        left -= 1
        if left:
            loop.call_later(0.0001, again)
        else:
            loop.stop()

    again()
    loop.run_forever()
    assert left == 0


def test_tasks_run_beside_a_cpu_bound_thread(run, spinner):
    async def main():
        before = spinner[0]
        turns = 0
        while spinner[0] == before:  # until the thread has had its turn too
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert run(main) >= 0


def test_executor_calls_return_beside_a_cpu_bound_thread(run, spinner):
    async def main():
        return [await asyncio.to_thread(pow, 2, i) for i in range(10)]

    assert run(main) == [2**i for i in range(10)]
