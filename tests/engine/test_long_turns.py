"""Timers and clocks in rows of turns that always have something to run: turns are counted."""

import asyncio
import socket
import time

import pytest

#: How many turns a due timer may have to wait. The loop does not look at the clock in each of
#: them: not before 20 µs have passed, or, unless turns are long, in one of 16.
FEW = 20


#: How many turns what comes from outside may have to wait, however short they are.
MANY = 1024


async def turns_until(condition, seconds=0.0, at_most=200):
    """Go through turns of *seconds* until *condition()*; return how many it took."""
    for count in range(at_most):
        if condition():
            return count
        if seconds:
            time.sleep(seconds)
        await asyncio.sleep(0)
    return count


@pytest.mark.parametrize("short_turns_before", [0, 1, 30, 100])
def test_long_turns_delay_a_timer_by_few_of_them(run, short_turns_before):
    async def main():
        for _ in range(short_turns_before):
            await asyncio.sleep(0)
        fired = []
        asyncio.get_running_loop().call_later(0.005, fired.append, 1)
        return await turns_until(lambda: fired, seconds=0.02)

    # Due after the first; the next ones look at the clock, run what is due, and notice.
    assert run(main) <= 4


@pytest.mark.parametrize("overdue", [0.0, 0.005])
def test_a_due_timer_waits_for_few_short_turns(run, overdue):
    async def main():
        fired = []
        asyncio.get_running_loop().call_later(overdue, fired.append, 1)
        time.sleep(0.02)
        return await turns_until(lambda: fired)

    assert run(main) <= FEW


def test_a_replaced_clock_is_asked_in_each_turn(run):
    async def main():
        loop = asyncio.get_running_loop()
        now = loop.time()
        loop.time = lambda: now
        fired = []
        for delay in (10, 20, 30):
            loop.call_later(delay, fired.append, delay)
        took = []
        for count in range(1, 4):
            for _ in range(50):
                await asyncio.sleep(0)
            assert len(fired) == count - 1
            now += 10.5
            took.append(await turns_until(lambda wanted=count: len(fired) == wanted))
        del loop.time
        assert fired == [10, 20, 30]
        return took

    assert max(run(main)) <= 3


@pytest.mark.parametrize("delay", [-1, 0, -1.0, 0.0, False, -(10**9)])
def test_a_delay_of_zero_or_less_runs_in_the_next_turn(run, delay):
    async def main():
        for _ in range(3):
            await asyncio.sleep(0)
        fired = []
        asyncio.get_running_loop().call_later(delay, fired.append, 1)
        return await turns_until(lambda: fired)

    assert run(main) <= 2


def test_what_is_due_at_once_runs_after_what_is_ready(run):
    async def main():
        loop = asyncio.get_running_loop()
        got = []
        loop.call_at(loop.time() - 1, got.append, "past")
        loop.call_soon(got.append, "soon")
        loop.call_later(0, got.append, "zero")
        loop.call_later(False, got.append, "false")
        await turns_until(lambda: len(got) == 4)
        return got

    assert run(main) == ["soon", "past", "zero", "false"]


@pytest.mark.parametrize("quiet_turns_before", [0, 100, 20_000])
def test_bytes_wait_for_a_limited_number_of_short_turns(run, quiet_turns_before):
    """However long nothing has come: the loop looks less often then, but it looks."""

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            got = []
            loop.add_reader(ours, lambda: got.append(ours.recv(1)))
            for _ in range(quiet_turns_before):
                await asyncio.sleep(0)
            took = []
            for _ in range(3):
                theirs.send(b"x")
                took.append(await turns_until(lambda: got, at_most=2 * MANY))
                assert got == [b"x"]
                got.clear()
            loop.remove_reader(ours)
        return took

    assert max(run(main)) <= MANY + 2
