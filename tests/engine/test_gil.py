"""The loop beside CPU-bound threads: each gets its share, the loop gives the GIL up to wait."""

import asyncio
import sys
import threading

import pytest
from helpers import FREE_THREADED, HANG, PATIENCE, only_pyaio

has_a_gil = pytest.mark.skipif(FREE_THREADED, reason="without a GIL there is no share of it")


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


@pytest.fixture(params=[0.005, 0.003333, 0.0123])
def interval(request):
    """A switch interval that the program has chosen, some of which floats cannot say exactly."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(request.param)
    yield sys.getswitchinterval()
    sys.setswitchinterval(before + 5e-7)  # which cuts off what is less than 1e-6


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


async def until_the_interval_is_longer(interval):
    """Waits beside a thread that computes until the loop has asked for more of the GIL."""
    async with asyncio.timeout(PATIENCE):
        while sys.getswitchinterval() <= interval:
            await asyncio.sleep(0.0001)


@has_a_gil
def test_the_switch_interval_is_the_programs_after_a_run(run, loop_kind, spinner, interval):
    async def main():
        if loop_kind == "pyaio":
            for _ in range(10):  # each time it is put back before the wait
                await until_the_interval_is_longer(interval)
                await asyncio.sleep(0.001)
        else:
            await asyncio.sleep(0.001)

    run(main)
    assert sys.getswitchinterval() == interval


@has_a_gil
@only_pyaio  # asyncio leaves it alone
def test_an_exception_that_leaves_the_run_gives_the_switch_interval_back(loop, spinner, interval):
    def leave(task):
        raise KeyboardInterrupt

    task = loop.create_task(until_the_interval_is_longer(interval))
    task.add_done_callback(leave)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert sys.getswitchinterval() == interval


@has_a_gil
def test_a_switch_interval_set_by_the_program_in_a_callback_stays(
    run, loop_kind, spinner, interval
):
    async def main():
        if loop_kind == "pyaio":
            await until_the_interval_is_longer(interval)
        sys.setswitchinterval(0.0025)
        chosen = sys.getswitchinterval()
        await asyncio.sleep(0.01)
        return chosen

    chosen = run(main)
    assert sys.getswitchinterval() == chosen


@has_a_gil
@only_pyaio  # asyncio leaves it alone
def test_two_loops_in_two_threads_give_the_switch_interval_back(loop_factory, spinner, interval):
    def work():
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            for _ in range(5):
                runner.run(until_the_interval_is_longer(interval))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.getswitchinterval() == interval


FORKING = """
import asyncio, os, sys, threading, warnings

warnings.simplefilter("ignore")  # the thread is the point, and the child leaves at once
ended = threading.Event()

def spin():
    while not ended.is_set():
        pass

async def main():
    for _ in range(int(sys.argv[1])):
        if sys.getswitchinterval() > 0.005:
            break
        await asyncio.sleep(0.0001)
    pid = os.fork()
    if pid == 0:
        os._exit(sys.getswitchinterval() != 0.005)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

thread = threading.Thread(target=spin)
thread.start()
loop = new_event_loop()
print(loop.run_until_complete(main()), sys.getswitchinterval())
loop.close()
ended.set()
thread.join()
"""


def test_a_child_forked_in_a_callback_has_the_programs_switch_interval(child, loop_kind):
    with child(FORKING, args=["1000" if loop_kind == "pyaio" else "3"]) as process:
        assert process.finish() == (0, "0 0.005\n", "")
