"""call_soon_threadsafe: from threads, from signal handlers, while the loop sleeps."""

import asyncio
import contextvars
import os
import signal
import threading

import pytest
from helpers import HANG, drain


def run_threads(targets):
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    return threads


def hang_guard(loop):
    """Stop a loop whose wake-up was lost, so that the test fails and does not hang."""
    return loop.call_later(HANG, loop.stop)


def test_ten_threads_lose_no_call(loop):
    got = []

    def count(item):
        got.append(item)
        if len(got) == 10_000:
            loop.stop()

    def send(name):
        for i in range(1000):
            loop.call_soon_threadsafe(count, (name, i))

    guard = hang_guard(loop)
    threads = run_threads([lambda name=name: send(name) for name in range(10)])
    loop.run_forever()
    guard.cancel()
    for thread in threads:
        thread.join()
    assert len(got) == 10_000
    for name in range(10):
        assert [i for n, i in got if n == name] == list(range(1000))


def test_a_sleeping_loop_wakes_for_each_call(loop):
    # One call at a time: each must wake the loop anew.
    got = []
    arrived = threading.Semaphore(0)

    def note(i):
        got.append(i)
        arrived.release()

    def send():
        for i in range(500):
            loop.call_soon_threadsafe(note, i)
            assert arrived.acquire(timeout=HANG)
        loop.call_soon_threadsafe(loop.stop)

    guard = hang_guard(loop)
    (thread,) = run_threads([send])
    loop.run_forever()
    guard.cancel()
    thread.join()
    assert got == list(range(500))


def test_two_threads_and_a_loop_play_ping_pong(loop):
    # Wake-ups that race with the loop going to sleep.
    left = {"a": 2000, "b": 2000}
    events = {"a": threading.Event(), "b": threading.Event()}

    def pong(name):
        left[name] -= 1
        if not any(left.values()):
            loop.stop()
        events[name].set()

    def ping(name):
        for _ in range(2000):
            loop.call_soon_threadsafe(pong, name)
            assert events[name].wait(HANG)
            events[name].clear()

    guard = hang_guard(loop)
    threads = run_threads([lambda: ping("a"), lambda: ping("b")])
    loop.run_forever()
    guard.cancel()
    for thread in threads:
        thread.join()
    assert left == {"a": 0, "b": 0}


def test_a_call_from_a_thread_stops_an_idle_loop(loop):
    guard = hang_guard(loop)
    (thread,) = run_threads([lambda: loop.call_soon_threadsafe(loop.stop)])
    loop.run_forever()
    thread.join()
    assert loop.time() < guard.when()
    guard.cancel()


def test_calls_before_the_loop_runs_are_kept(loop):
    got = []
    (thread,) = run_threads([lambda: loop.call_soon_threadsafe(got.append, 1)])
    thread.join()
    assert got == []
    drain(loop, 2)
    assert got == [1]


def test_calls_from_the_loops_own_thread_keep_the_order(loop):
    got = []
    for i in range(10):
        loop.call_soon_threadsafe(got.append, i)
    drain(loop, 2)
    assert got == list(range(10))


def test_calls_of_the_own_thread_run_in_turn_with_call_soon(loop):
    # asyncio has one queue for both; a caller in the loop's thread can see that.
    got = []
    loop.call_soon(got.append, "soon 1")
    loop.call_soon_threadsafe(got.append, "threadsafe")
    loop.call_soon(got.append, "soon 2")
    drain(loop, 2)
    assert got == ["soon 1", "threadsafe", "soon 2"]


def test_a_call_may_be_cancelled(loop):
    got = []
    handle = loop.call_soon_threadsafe(got.append, 1)
    handle.cancel()
    drain(loop, 2)
    assert got == []


@pytest.mark.parametrize("count", range(6))
def test_any_number_of_arguments(loop, count):
    got = []
    loop.call_soon_threadsafe(lambda *args: got.append(args), *range(count))
    drain(loop, 2)
    assert got == [tuple(range(count))]


def test_the_default_context_is_that_of_the_calling_thread(loop):
    var = contextvars.ContextVar("var", default="unset")
    given = contextvars.copy_context()
    given.run(var.set, "given")
    got = []

    def send():
        var.set("thread")
        loop.call_soon_threadsafe(lambda: got.append(var.get()))
        loop.call_soon_threadsafe(lambda: got.append(var.get()), context=given)

    (thread,) = run_threads([send])
    thread.join()
    drain(loop, 2)
    assert got == ["thread", "given"]


def test_an_exception_is_reported_and_the_loop_goes_on(loop, reports):
    got = []
    loop.call_soon_threadsafe(lambda: 1 / 0)
    loop.call_soon_threadsafe(got.append, 1)
    drain(loop, 2)
    assert got == [1]
    assert len(reports.take()) == 1


def test_a_closed_loop_refuses_calls_from_threads(loop):
    loop.close()
    got = []

    def send():
        try:
            loop.call_soon_threadsafe(print)
        except RuntimeError as error:
            got.append(str(error))

    (thread,) = run_threads([send])
    thread.join()
    assert got == ["Event loop is closed"]


def test_threads_that_call_while_the_loop_closes_get_an_error_or_nothing(loop_factory):
    # No crash, no hang, whatever the moment.
    for _ in range(50):
        loop = loop_factory()
        started = threading.Event()
        errors = []

        def send(loop=loop, started=started, errors=errors):
            started.set()
            try:
                while True:
                    loop.call_soon_threadsafe(int)
            except RuntimeError as error:
                errors.append(str(error))

        (thread,) = run_threads([send])
        assert started.wait(HANG)
        drain(loop, 1)
        loop.close()
        thread.join(HANG)
        assert errors == ["Event loop is closed"]


def test_calls_in_the_queue_when_the_loop_closes_are_dropped(loop):
    got = []
    (thread,) = run_threads([lambda: loop.call_soon_threadsafe(got.append, 1)])
    thread.join()
    loop.close()
    assert got == []


def test_a_signal_handler_may_call_it_while_the_loop_sleeps(loop):
    got = []

    def on_signal(signum, frame):
        loop.call_soon_threadsafe(got.append, signum)
        loop.call_soon_threadsafe(loop.stop)

    guard = hang_guard(loop)
    before = signal.signal(signal.SIGUSR1, on_signal)
    try:
        timer = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        loop.run_forever()
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    guard.cancel()
    assert got == [signal.SIGUSR1]


def test_a_signal_handler_that_interrupts_the_caller_loses_nothing(loop):
    # The handler runs between the bytecodes of a loop that itself calls call_soon_threadsafe.
    got = []
    before = signal.signal(signal.SIGVTALRM, lambda *_: loop.call_soon_threadsafe(got.append, "s"))
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)
    try:
        sent = 0
        while got.count("s") < 20:
            for _ in range(100):
                loop.call_soon_threadsafe(got.append, "c")
            sent += 100
            drain(loop, 1)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    drain(loop, 2)
    assert got.count("c") == sent


def test_a_thread_gets_results_by_run_coroutine_threadsafe(loop):
    got = []

    async def double(x):
        await asyncio.sleep(0)
        return 2 * x

    def ask():
        got.append(asyncio.run_coroutine_threadsafe(double(21), loop).result(HANG))
        loop.call_soon_threadsafe(loop.stop)

    (thread,) = run_threads([ask])
    loop.run_forever()
    thread.join()
    assert got == [42]


def test_a_finalizer_in_another_thread_may_call_it(loop):
    got = []

    class Caller:
        def __del__(self):
            loop.call_soon_threadsafe(got.append, 1)

    def drop():
        Caller()

    threads = run_threads([drop] * 5)
    for thread in threads:
        thread.join()
    drain(loop, 2)
    assert got == [1] * 5
