"""What finalizers do while the loop decides how long to sleep is seen before it does."""

import contextvars
import gc
import socket

import pytest
from helpers import HANG, drain, only_pyaio

held = contextvars.ContextVar("held")


class Finalized:
    """Calls *function* when it is freed."""

    def __init__(self, function):
        self.function = function

    def __del__(self):
        self.function()


def cancelled_timer(loop, delay, function):
    """Leave *loop* a cancelled timer; its context holds the last reference to a Finalized."""
    context = contextvars.Context()
    context.run(held.set, Finalized(function))
    loop.call_later(delay, print, context=context).cancel()


def run_guarded(loop):
    """Run *loop* until it is stopped; fail where only a timer could wake it."""
    guard = loop.call_later(HANG / 2, loop.stop)
    loop.run_forever()
    assert loop.time() < guard.when(), "the loop slept over it"
    guard.cancel()


# asyncio's own frame holds the timer that it drops until the next turn: it does sleep over it.
@only_pyaio
@pytest.mark.parametrize("delay", [0.0001, 1])
@pytest.mark.parametrize("how", ["call_soon", "call_soon_threadsafe", "call_later", "stop"])
def test_what_a_finalizer_schedules_runs(loop, how, delay):
    def schedule():
        freed.append(how)
        if how == "stop":
            loop.stop()
        elif how == "call_later":
            loop.call_later(0, loop.stop)
        else:
            getattr(loop, how)(loop.stop)

    freed = []
    loop.call_soon(cancelled_timer, loop, delay, schedule)
    run_guarded(loop)
    drain(loop)
    assert freed == [how]


# As above.
@only_pyaio
def test_a_reader_that_a_finalizer_adds_is_looked_at(loop):
    ours, peer = socket.socketpair()
    with ours, peer:
        peer.send(b"x")
        loop.call_soon(cancelled_timer, loop, 1, lambda: loop.add_reader(ours, loop.stop))
        run_guarded(loop)
        assert loop.remove_reader(ours) is True


@pytest.mark.parametrize("ran_before", [False, True])
def test_a_finalizer_may_add_and_remove_readers(loop, ran_before):
    def add_and_remove():
        freed.append(1)
        loop.add_reader(ours, print)
        loop.remove_reader(ours)
        loop.add_writer(peer, print)
        loop.remove_writer(peer)
        loop.call_soon_threadsafe(freed.append, 2)

    freed = []
    ours, peer = socket.socketpair()
    with ours, peer:
        if ran_before:
            drain(loop)
        for delay in (0, 0.0001, 0.001):
            loop.call_soon(cancelled_timer, loop, delay, add_and_remove)
        loop.call_later(0.005, loop.stop)
        loop.run_forever()
        drain(loop)
        assert sorted(freed) == [1, 1, 1, 2, 2, 2]
        # The watchers that are left work.
        got = []
        loop.add_reader(ours, lambda: (got.append(ours.recv(1)), loop.stop()))
        peer.send(b"x")
        run_guarded(loop)
        assert got == [b"x"]
        loop.remove_reader(ours)


# asyncio compares the objects as they are.
@only_pyaio
@pytest.mark.parametrize("count", [1, 200])
@pytest.mark.parametrize("cancelled", [False, True])
def test_a_time_with_float_and_a_finalizer(loop, count, cancelled):
    class When:
        alive = 0

        def __init__(self):
            When.alive += 1

        def __float__(self):
            return far

        def __del__(self):
            When.alive -= 1
            gc.collect()
            if not loop.is_closed():
                loop.call_at(far, print).cancel()

    far = loop.time() + 1e6
    for _ in range(3):
        handles = [loop.call_at(When(), print, i) for i in range(count)]
        assert {type(handle.when()) for handle in handles} == {When}  # as it was given
        while handles:
            handle = handles.pop()
            if cancelled:
                handle.cancel()
        del handle
        drain(loop)
    loop.close()
    gc.collect()
    assert When.alive == 0


# As above.
@only_pyaio
def test_a_time_whose_float_cancels_and_schedules(loop):
    class When:
        def __float__(self):
            for handle in handles:
                handle.cancel()
            handles[:] = [loop.call_later(3600, print) for _ in range(120)]
            return loop.time() - 1

        def __del__(self):
            gc.collect()

    handles, got = [], []
    for i in range(5):
        loop.call_at(When(), got.append, i)
    drain(loop)
    assert got == [0, 1, 2, 3, 4]
