"""An idle loop uses no CPU. A loop that spins uses all the time it waits; half of that fails."""

import os
import signal
import threading
import time

import pytest
from helpers import HANG, cpu_while_idle, drain, only_pyaio

IDLE = 0.2


def test_a_loop_that_waits_for_a_timer_uses_no_cpu(loop):
    loop.call_later(3600, print)
    assert cpu_while_idle(loop) < 0.5


def test_a_loop_that_was_woken_by_a_thread_sleeps_again(loop):
    thread = threading.Timer(0.005, loop.call_soon_threadsafe, (int,))
    thread.start()
    assert cpu_while_idle(loop) < 0.5
    thread.join()


def test_a_loop_that_was_woken_by_a_signal_sleeps_again(loop):
    loop.add_signal_handler(signal.SIGUSR1, int)
    thread = threading.Timer(0.005, os.kill, (os.getpid(), signal.SIGUSR1))
    thread.start()
    assert cpu_while_idle(loop) < 0.5
    thread.join()
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_loop_with_cancelled_timers_sleeps(loop):
    for i in range(1000):
        loop.call_later(0.001 * (i % 10), print).cancel()
    assert cpu_while_idle(loop) < 0.5


def test_a_loop_with_a_frequent_timer_sleeps_between(loop):
    def again():
        loop.call_later(0.01, again)

    again()
    assert cpu_while_idle(loop) < 0.5


def test_a_reader_without_data_uses_no_cpu(loop):
    r, w = os.pipe()
    loop.add_reader(r, print)
    assert cpu_while_idle(loop) < 0.5
    loop.remove_reader(r)
    os.close(r)
    os.close(w)


def test_a_removed_writer_on_a_duplicate_uses_no_cpu(loop):
    r, w = os.pipe()
    copy = os.dup(w)
    loop.add_writer(w, int)
    loop.add_writer(copy, int)
    drain(loop)
    loop.remove_writer(w)
    loop.remove_writer(copy)
    assert cpu_while_idle(loop) < 0.5
    for fd in (r, w, copy):
        os.close(fd)


def test_a_loop_without_anything_sleeps_until_it_is_stopped(loop):
    def stop():
        time.sleep(IDLE)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=stop)
    start = time.thread_time()
    thread.start()
    loop.run_forever()
    used = time.thread_time() - start
    thread.join()
    assert used < IDLE / 2


@pytest.mark.parametrize("delay", [3600, 1e300])
def test_a_long_wait_ends_with_a_call_from_a_thread(loop, delay):
    far = loop.call_later(delay, print)
    thread = threading.Timer(0.005, loop.call_soon_threadsafe, (loop.stop,))
    thread.start()
    guard = loop.call_later(HANG, loop.stop)
    loop.run_forever()
    thread.join()
    assert loop.time() < guard.when()
    far.cancel()
    guard.cancel()


@only_pyaio
def test_the_end_of_the_pipe_of_signals_uses_no_cpu(loop):
    """Somebody has put another file in the place of its write end."""
    drain(loop)
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), loop._csock.fileno(), inheritable=False)
    assert cpu_while_idle(loop) < 0.5
