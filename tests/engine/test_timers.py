"""call_later and call_at: order, extreme delays, never early, clean-up."""

import asyncio
import contextlib
import contextvars
import heapq
import math
import time
import weakref
from fractions import Fraction

import pytest
from helpers import HandlerCalls, drain, only_pyaio
from hypothesis import given, settings
from hypothesis import strategies as st

RESOLUTION = time.get_clock_info("monotonic").resolution


def run_for(loop, delay):
    loop.call_later(delay, loop.stop)
    loop.run_forever()


def test_timers_fire_in_the_order_of_their_times(loop):
    got = []
    start = loop.time()
    for ms in (5, 1, 4, 2, 3):
        loop.call_at(start + ms / 1000, got.append, ms)
    loop.call_at(start + 0.006, loop.stop)
    loop.run_forever()
    assert got == [1, 2, 3, 4, 5]


def test_timers_overdue_together_fire_in_the_order_of_their_times(loop):
    got = []
    start = loop.time()
    for ms in (-5, -1, -4, -2, -3):
        loop.call_at(start + ms / 1000, got.append, ms)
    drain(loop, 2)
    assert got == [-5, -4, -3, -2, -1]


def test_timers_of_one_time_all_fire_in_one_turn(loop):
    got = []
    start = loop.time()
    for i in range(100):
        loop.call_at(start, got.append, i)
    drain(loop, 2)
    assert sorted(got) == list(range(100))


@only_pyaio
def test_timers_of_one_time_fire_in_the_order_of_scheduling(loop):
    # pyaio only: asyncio leaves the order of ties to heapq, which does not keep it.
    got = []
    start = loop.time()
    for i in range(100):
        loop.call_at(start, got.append, i)
    drain(loop, 2)
    assert got == list(range(100))


@pytest.mark.parametrize("delay", [0, -0.0, -1, -1e300, -math.inf, False])
def test_a_delay_of_zero_or_less_fires_soon(loop, delay):
    got = []
    loop.call_later(delay, got.append, 1)
    drain(loop, 2)
    assert got == [1]


def test_a_delay_of_zero_does_not_overtake_call_soon(loop):
    got = []
    loop.call_later(0, got.append, "later")
    loop.call_soon(got.append, "soon")
    drain(loop, 2)
    assert got == ["soon", "later"]


@pytest.mark.parametrize("delay", [math.inf, 1e300, 1e20, 1e12, 2**63, 2**31, 86400 * 365 * 300])
def test_a_huge_delay_neither_overflows_nor_fires(loop, delay):
    got = []
    handle = loop.call_later(delay, got.append, "early")
    assert handle.when() >= delay
    loop.call_later(0.001, got.append, "other")
    run_for(loop, 0.003)
    assert got == ["other"]
    handle.cancel()


@pytest.mark.parametrize("when", [math.inf, 1e300, 2**63])
def test_call_at_a_far_time_neither_overflows_nor_fires(loop, when):
    got = []
    handle = loop.call_at(when, got.append, "early")
    assert handle.when() == when
    run_for(loop, 0.002)
    assert got == []
    handle.cancel()


@pytest.mark.parametrize("when", [0, 0.0, -1, -1e300, -math.inf, -(2**70)])
def test_call_at_a_past_time_fires_soon(loop, when):
    got = []
    loop.call_at(when, got.append, 1)
    drain(loop, 2)
    assert got == [1]


@pytest.mark.parametrize("delay", [0.001, 1, Fraction(1, 1000), True])
def test_numbers_of_other_kinds_are_delays(loop, delay):
    before = loop.time()
    handle = loop.call_later(delay, print)
    assert before + delay <= handle.when() <= loop.time() + delay
    handle.cancel()


@pytest.mark.parametrize("delay", [None, "1", b"1", [], object(), {}])
def test_a_delay_that_is_no_number_is_a_type_error(loop, delay):
    with pytest.raises(TypeError):
        loop.call_later(delay, print)
    with pytest.raises(TypeError):
        loop.call_later(delay)
    drain(loop)


def test_a_time_of_none_is_a_type_error(loop):
    with pytest.raises(TypeError):
        loop.call_at(None, print)
    drain(loop)


@pytest.mark.parametrize("delay", [0.0001, 0.0009, 0.001, 0.0015, 0.0101])
def test_no_timer_fires_early(loop, delay):
    early = []

    def check(handle_when):
        if loop.time() + RESOLUTION < handle_when:
            early.append(handle_when - loop.time())

    for i in range(20):
        when = loop.time() + delay + i * 0.00013
        loop.call_at(when, check, when)
    run_for(loop, delay + 0.004)
    assert early == []


def test_a_sleep_is_never_short(run):
    async def main():
        for delay in (0.0001, 0.001, 0.0017, 0.005):
            loop = asyncio.get_running_loop()
            start = loop.time()
            await asyncio.sleep(delay)
            assert loop.time() + RESOLUTION >= start + delay

    run(main)


def test_loop_time_is_the_monotonic_clock(loop):
    before = time.monotonic()
    now = loop.time()
    assert isinstance(now, float)
    assert before <= now <= time.monotonic()


def test_loop_time_moves_on_within_a_callback(loop):
    got = []

    def busy():
        start = loop.time()
        while loop.time() - start < 0.002:
            pass
        got.append(loop.time() - start >= 0.002)

    loop.call_soon(busy)
    drain(loop, 1)
    assert got == [True]


def test_a_timer_scheduled_by_a_busy_callback_counts_from_now(loop):
    got = []

    def fire():
        got.append(loop.time() + RESOLUTION >= ended + 0.002)
        loop.stop()

    def busy():
        nonlocal ended
        time.sleep(0.005)
        ended = loop.time()
        loop.call_later(0.002, fire)

    ended = None
    loop.call_soon(busy)
    loop.run_forever()
    assert got == [True]


@pytest.mark.parametrize("count", range(6))
def test_any_number_of_arguments(loop, count):
    got = []
    loop.call_later(0, lambda *args: got.append(args), *range(count))
    drain(loop, 2)
    assert got == [tuple(range(count))]


def test_a_timer_runs_in_its_context(loop):
    var = contextvars.ContextVar("var", default="unset")
    context = contextvars.copy_context()
    context.run(var.set, "given")
    got = []
    loop.call_later(0, lambda: got.append(var.get()), context=context)
    loop.call_at(0, lambda: got.append(var.get()))
    drain(loop, 2)
    assert sorted(got) == ["given", "unset"]


def test_an_exception_in_a_timer_is_reported_with_its_handle(loop):
    calls = HandlerCalls.of(loop)
    handle = loop.call_later(0, lambda: 1 / 0)
    run_for(loop, 0.001)
    (context,) = calls
    assert isinstance(context["exception"], ZeroDivisionError)
    assert context["handle"] is handle


def test_a_timer_added_by_a_timer_fires(loop):
    got = []

    def again(left):
        got.append(left)
        if left:
            loop.call_later(0, again, left - 1)
        else:
            loop.stop()

    loop.call_later(0, again, 200)
    loop.run_forever()
    assert got == list(range(200, -1, -1))


def test_a_timer_cancelled_by_an_earlier_one_of_its_turn_does_not_fire(loop):
    got = []
    start = loop.time()
    loop.call_at(start - 2, lambda: late.cancel())
    late = loop.call_at(start - 1, got.append, 1)
    drain(loop, 2)
    assert got == []


def test_arguments_are_dropped_after_firing(loop):
    class Argument:
        pass

    argument = Argument()
    alive = weakref.ref(argument)
    loop.call_later(0, lambda a: None, argument)
    del argument
    assert alive() is not None
    drain(loop, 2)
    assert alive() is None


def test_cancelled_timers_do_not_pile_up(loop):
    class Timer:
        pass

    handles = [loop.call_later(3600, print) for _ in range(1000)]
    alive = weakref.WeakSet(handles)
    for handle in handles:
        handle.cancel()
    del handle, handles
    drain(loop)
    assert len(alive) <= 100


def test_pending_timers_are_dropped_when_the_loop_closes(loop):
    class Argument:
        pass

    argument = Argument()
    alive = weakref.ref(argument)
    loop.call_later(3600, print, argument)
    loop.call_soon(print, argument)
    del argument
    loop.close()
    assert alive() is None


def test_a_finalizer_may_schedule_and_cancel(loop):
    # Runs while the loop lets go of a cancelled or fired entry.
    got = []

    class Argument:
        def __del__(self):
            other.cancel()
            loop.call_later(0, got.append, "from the finalizer")

    others = [loop.call_later(3600 + i, print) for i in range(150)]
    other = others[75]
    handles = [loop.call_later(0, print, Argument()), loop.call_later(3600, print, Argument())]
    for handle in handles:
        handle.cancel()
    loop.call_later(0, lambda a: None, Argument())
    del handle, handles
    drain(loop, 5)
    assert got == ["from the finalizer"] * 3
    assert other.cancelled()


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(-20, 20), st.booleans()), max_size=60))
def test_any_mix_of_timers_fires_in_sorted_order(loop, timers):
    """Each timer: its time in units of 50 µs from now, and whether it is cancelled."""
    fired = []
    start = loop.time()
    expected = []
    for units, cancel in timers:
        when = start + units * 5e-5
        handle = loop.call_at(when, fired.append, when)
        if cancel:
            handle.cancel()
        else:
            expected.append(when)
    loop.call_at(start + 0.0011, loop.stop)
    loop.run_forever()
    assert fired == sorted(expected)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 59)), min_size=1, max_size=60))
def test_timers_may_cancel_each_other(loop, timers):
    """Each timer: its time in units of 50 µs from now, and the number of the one it cancels."""
    fired, handles = [], []
    start = loop.time()

    def fire(number, victim):
        assert number not in cancelled
        fired.append(handles[number].when())
        if victim not in done:
            cancelled.add(victim)
        done.add(number)
        handles[victim].cancel()

    cancelled, done = set(), set()
    for number, (units, victim) in enumerate(timers):
        call = (fire, number, victim % len(timers))
        handles.append(loop.call_at(start + units * 5e-5, *call))
    loop.call_at(start + 0.0021, loop.stop)
    loop.run_forever()
    assert fired == sorted(fired)
    assert done | cancelled == set(range(len(timers)))


#: Milliseconds: pyaio keeps the timers of the next second apart from the others.
DELAYS = st.sampled_from([0, 1, 300, 499, 500, 501, 999, 1000, 1001, 1500, 60_000])
STEPS = st.one_of(
    st.tuples(st.just("set"), DELAYS),
    st.tuples(st.just("pass"), DELAYS),
    st.tuples(st.just("cancel"), st.integers(0, 1 << 16)),
    st.tuples(st.just("take out"), st.integers(0, 1 << 16)),
)


class Timers:
    """Timers by a clock that is moved by hand, beside what is expected of them."""

    def __init__(self, loop):
        self.loop = loop
        self.now = 1000.0
        self.waiting = []  # handles
        self.fired = []
        loop.time = lambda: self.now

    def step(self, action, number):
        if action == "set":
            # No two at one time: asyncio does not tell in which order they fire.
            when = self.now + number / 1000 + len(self.waiting) / 2**20
            self.waiting.append(self.loop.call_at(when, self.fired.append, when))
        elif action == "pass":
            self.fire(number / 1000)
        elif self.waiting:
            handle = self.waiting.pop(number % len(self.waiting))
            if action == "cancel":
                handle.cancel()
            else:
                self.take_out(handle)

    def fire(self, seconds):
        self.now += seconds
        self.fired.clear()
        due = sorted(h.when() for h in self.waiting if h.when() <= self.now)
        self.waiting = [handle for handle in self.waiting if handle.when() > self.now]
        drain(self.loop, 2)
        assert self.fired == due

    def take_out(self, handle):
        """As asyncio's own code takes one out; there a list has to forget it, too."""
        handle._scheduled = False
        if type(self.loop._scheduled) is list:
            self.loop._scheduled.remove(handle)
            heapq.heapify(self.loop._scheduled)

    def end(self):
        assert {*self.loop._scheduled} >= {*self.waiting}
        if self.waiting:
            assert self.loop._scheduled[0].when() <= min(h.when() for h in self.waiting)
        self.fire(3600)
        assert not self.waiting
        del self.loop.time


@settings(max_examples=200)
@given(st.lists(STEPS, max_size=120))
def test_near_and_far_timers_fire_in_order_as_time_passes(loop_factory, steps):
    # A loop for each example: what is near goes by the latest time that it has seen.
    with contextlib.closing(loop_factory()) as loop:
        timers = Timers(loop)
        for action, number in steps:
            timers.step(action, number)
        timers.end()


def test_a_clock_that_jumps_ahead_and_comes_back_leaves_the_order(loop):
    timers = Timers(loop)
    for jump in (1_000_000, -1_000_000):
        timers.now += jump
        drain(loop, 2)
    for _ in range(5):
        for delay in (1001, 1, 60_000, 300):
            timers.step("set", delay)
        timers.step("pass", 400)
    timers.end()


def test_thousands_of_timers_that_come_near_at_once_fire_in_order(loop):
    # More than move over in one poll.
    timers = Timers(loop)
    for i in range(5000):
        timers.step("set", 60_000 + i * 7919 % 5000 / 100)
    for _ in range(3):
        timers.step("pass", 19_980)
        timers.step("set", 0)
        timers.step("set", 105)  # amid them, when the first have moved
    timers.step("pass", 200)
    timers.end()


@only_pyaio
def test_a_finalizer_may_cancel_the_timers_of_a_loop_that_closes(loop):
    # pyaio only: asyncio counts them when they are gone.
    class Argument:
        def __del__(self):
            for timer in timers:
                timer.cancel()

    loop.call_later(1000, print, Argument())
    timers = [loop.call_later(2000 + i, print) for i in range(200)]
    loop.close()
    assert loop._scheduled == []
    assert loop._timer_cancelled_count == 0


def test_near_and_far_timers_by_the_hundreds(loop):
    # Enough for the cancelled ones to be swept while others are near and far.
    timers = Timers(loop)
    for i in range(1000):
        timers.step("set", i * 7919 % 3000)
        if i % 3:
            timers.step("cancel", i * 104729)
        if i % 50 == 0:
            timers.step("pass", 250)
    timers.end()


@only_pyaio
def test_timers_of_one_time_keep_their_order_from_far_to_near(loop):
    # pyaio only: asyncio leaves the order of ties to heapq.
    now = 1000.0
    loop.time = lambda: now
    got = []
    for i in range(20):
        loop.call_at(1002.0, got.append, i)
    now = 1001.5
    drain(loop, 2)
    for i in range(20, 40):
        loop.call_at(1002.0, got.append, i)
    now = 1002.0
    drain(loop, 2)
    assert got == list(range(40))
    del loop.time
