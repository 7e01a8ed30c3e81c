"""Loops in many threads at once, and what another thread may do to a loop that runs."""

import asyncio
import gc
import threading
import weakref

import pytest
from helpers import HANG, only_pyaio
from threads_at_work import in_threads

pytestmark = pytest.mark.usefixtures("short_turns_of_threads")

THREADS = 4


class Thing:
    """What can be referred to weakly."""


def ask(loop, function):
    """function() in the thread of the loop."""

    async def call():
        return function()

    return asyncio.run_coroutine_threadsafe(call(), loop).result(HANG)


# Each with a loop of its own


def test_each_thread_turns_its_own_loop(loop_factory):
    def work(number):
        got = []

        def chain(left):
            got.append(left)
            if left:
                loop.call_soon(chain, left - 1)
            else:
                loop.call_later(0.001, loop.stop)

        loop = loop_factory()
        loop.call_soon(chain, 3000)
        for delay in range(100):
            loop.call_later(delay / 1e5, got.append, "timer")
            loop.call_later(100, got.append, "never").cancel()
        loop.run_forever()
        loop.close()
        return got.count("timer"), [x for x in got if x != "timer"]

    assert in_threads(THREADS, work) == [(100, list(range(3000, -1, -1)))] * THREADS


def test_loops_are_made_run_and_closed_in_many_threads(loop_factory):
    def work(number):
        for _ in range(30):
            loop = loop_factory()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
        return loop.is_closed()

    assert all(in_threads(THREADS, work))


@only_pyaio  # asyncio asks first and sets then: two that come in between both run it
def test_one_thread_runs_a_loop_and_the_others_are_refused(loop):
    def stop_again_and_again():
        # Whoever comes when the others have ended runs the loop as well, and wants to be stopped.
        loop.stop()
        loop.call_later(0.01, stop_again_and_again)

    loop.call_later(0.01, stop_again_and_again)

    def work(number):
        try:
            loop.run_forever()
        except RuntimeError as exc:
            return str(exc)
        return None

    answers = in_threads(THREADS, work)
    assert set(answers) <= {None, "This event loop is already running"}
    assert None in answers


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_what_is_put_on_the_class_reaches_the_loops_of_all_threads(loop_class):
    seen = [0] * THREADS
    replaced = threading.Event()

    class Loop(loop_class):
        pass

    def call_soon(self, callback, *args, context=None):
        seen[self.number] += 1
        return loop_class.call_soon(self, callback, *args, context=context)

    def work(number):
        loop = Loop()
        loop.number = number
        if number == 0:
            loop.run_until_complete(asyncio.sleep(0.001))
            Loop.call_soon = call_soon
            replaced.set()
        else:
            while not replaced.is_set():
                loop.run_until_complete(asyncio.sleep(0))
        before = seen[number]
        loop.run_until_complete(loop.create_task(asyncio.sleep(0)))
        loop.close()
        return seen[number] - before

    assert all(in_threads(THREADS, work))


# Another thread's calls


@only_pyaio  # asyncio calls what cancel() has just taken away
def test_handles_are_cancelled_while_the_loop_runs_them(running):
    calls, lock = [], threading.Lock()

    def note(key):
        with lock:
            calls.append(key)

    def work(number):
        for i in range(1000):
            handle = running.call_soon_threadsafe(note, (number, i))
            if i % 2:
                handle.cancel()
                assert handle.cancelled()
            repr(handle)

    in_threads(THREADS, work)
    ask(running, int)
    assert len(calls) == len(set(calls))
    kept = {(number, i) for number in range(THREADS) for i in range(0, 1000, 2)}
    assert kept <= set(calls)


@only_pyaio  # asyncio calls what cancel() has just taken away
def test_one_handle_is_cancelled_by_all_at_once(running):
    handles = [running.call_soon_threadsafe(len, [Thing()]) for _ in range(2000)]
    in_threads(THREADS, lambda number: [handle.cancel() for handle in handles])
    assert all(handle.cancelled() for handle in handles)


def test_calls_of_a_loop_that_is_closed_are_taken_or_refused(loop_factory):
    for _ in range(3):
        loop = loop_factory()
        taken, things = [], []
        closed = threading.Event()

        def call(number, loop=loop, taken=taken, things=things, closed=closed):
            if number == 0:
                loop.run_until_complete(asyncio.sleep(0))
                loop.close()
                closed.set()
                return None
            while True:
                thing = Thing()
                things.append(weakref.ref(thing))
                late = closed.is_set()
                try:
                    loop.call_soon_threadsafe(taken.append, thing)
                except RuntimeError as exc:
                    return str(exc)
                assert not late

        answers = in_threads(THREADS, call)
        assert answers[1:] == ["Event loop is closed"] * (THREADS - 1)
        del loop, call
        taken.clear()
        gc.collect()
        assert [ref for ref in things if ref() is not None] == []


def test_the_order_of_one_thread_is_kept(running):
    got = []

    def work(number):
        for i in range(500):
            running.call_soon_threadsafe(got.append, (number, i))

    in_threads(THREADS, work)
    ask(running, int)
    for number in range(THREADS):
        assert [i for n, i in got if n == number] == list(range(500))


def test_call_soon_in_the_wrong_thread_runs_in_the_next_turn(running):
    """Outside of debug mode asyncio does not refuse it; it wakes nobody."""
    got = []
    in_threads(THREADS, lambda number: [running.call_soon(got.append, i) for i in range(100)])
    ask(running, int)
    assert sorted(got) == sorted(list(range(100)) * THREADS)


@only_pyaio  # asyncio's heap of timers is a list
def test_timers_are_set_and_cancelled_in_the_wrong_thread(running):
    fired = []

    def work(number):
        timers = [running.call_later(0.001, fired.append, i) for i in range(100)]
        for timer in timers[::2]:
            timer.cancel()
        return [timer.cancelled() for timer in timers].count(True)

    assert in_threads(THREADS, work) == [50] * THREADS
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), running).result(HANG)
    assert set(fired) >= set(range(1, 100, 2))


def test_debug_mode_is_asked_what_runs(running):
    running.set_debug(True)
    ended = threading.Event()

    def work(number):
        if number == 0:
            for _ in range(20):
                ask(running, int)
            ended.set()
        while not ended.is_set():
            repr(running._current_handle)

    in_threads(THREADS, work)
    ask(running, lambda: running.set_debug(False))


def test_the_queues_are_looked_at_while_the_loop_runs(running):
    ended = threading.Event()

    def work(number):
        if number == 0:
            for _ in range(20):
                ask(running, lambda: running.call_later(0.001, int))
            ended.set()
        while not ended.is_set():
            len(running._ready)
            running.time(), running.is_running(), running.is_closed(), running.get_debug()

    in_threads(THREADS, work)


def test_a_loop_goes_from_thread_to_thread(loop):
    got = []

    def work():
        loop.call_later(0.001, got.append, threading.get_ident())
        loop.run_until_complete(asyncio.sleep(0.005))

    for _ in range(5):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        work()
    assert len(got) == 10
