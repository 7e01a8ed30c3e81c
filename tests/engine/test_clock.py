"""A replaced loop.time() moves the timers: on the instance, in a subclass, on the class."""

import time
from unittest import mock

from helpers import drain


class Clock:
    """A clock that a test sets by hand."""

    def __init__(self, now=1_000_000.0):
        self.now = now

    def __call__(self):
        return self.now


def moved_by(loop, clock, seconds):
    """Let `clock` jump, and give the loop two turns."""
    clock.now += seconds
    drain(loop, 2)


def check_that_timers_follow(loop, clock):
    got = []
    handle = loop.call_later(1000, got.append, "late")
    loop.call_later(10, got.append, "early")
    loop.call_at(clock.now + 500, got.append, "middle")
    assert handle.when() == clock.now + 1000
    drain(loop, 2)
    assert got == []
    moved_by(loop, clock, 10)
    assert got == ["early"]
    moved_by(loop, clock, 989)
    assert got == ["early", "middle"]
    moved_by(loop, clock, 1)
    assert got == ["early", "middle", "late"]


def test_a_clock_on_the_instance_moves_the_timers(loop):
    loop.time = clock = Clock()
    check_that_timers_follow(loop, clock)


def test_a_clock_of_a_subclass_moves_the_timers(loop_class):
    class Subclass(loop_class):
        clock = Clock()

        def time(self):
            return self.clock()

    loop = Subclass()
    check_that_timers_follow(loop, loop.clock)
    loop.close()


def test_a_clock_patched_on_the_class_moves_the_timers(loop, loop_class):
    clock = Clock()
    with mock.patch.object(loop_class, "time", lambda self: clock()):
        check_that_timers_follow(loop, clock)


def test_a_clock_that_stands_still_holds_the_timers(loop):
    now = loop.time()
    loop.time = lambda: now
    got = []
    loop.call_later(0.0005, got.append, "fired")
    for _ in range(3):
        loop.call_soon(time.sleep, 0.001)
        drain(loop, 2)
    assert got == []
    now += 0.0005
    drain(loop, 2)
    assert got == ["fired"]


def test_a_clock_that_is_taken_away_gives_the_real_one_back(loop):
    with mock.patch.object(loop, "time", Clock()):
        assert loop.time() == 1_000_000.0
    assert time.monotonic() <= loop.time() + 1
    loop.call_later(0.001, loop.stop)
    loop.run_forever()


def test_timers_scheduled_before_the_patch_follow_the_new_clock(loop):
    got = []
    loop.call_later(3600, got.append, 1)
    drain(loop, 1)
    real = loop.time
    loop.time = lambda: real() + 3600
    drain(loop, 2)
    assert got == [1]


def test_a_clock_patched_inside_a_callback_counts_from_the_next_poll(loop):
    got = []

    def patch():
        real = loop.time
        loop.time = lambda: real() + 3600

    loop.call_later(3600, got.append, 1)
    loop.call_soon(patch)
    drain(loop, 3)
    assert got == [1]


def test_a_clock_that_raises_leaves_run_forever(loop):
    def broken():
        raise ZeroDivisionError("clock")

    loop.call_later(3600, print)
    loop.time = broken
    loop.call_soon(loop.stop)
    try:
        loop.run_forever()
    except ZeroDivisionError:
        raised = True
    else:
        raised = False
    del loop.time
    assert raised
    drain(loop)


def test_a_clock_in_whole_seconds_serves(loop):
    # As of mocks that return an int.
    now = 100
    loop.time = lambda: now
    got = []
    handle = loop.call_later(5, got.append, 1)
    assert handle.when() == 105
    now = 105
    drain(loop, 2)
    assert got == [1]
