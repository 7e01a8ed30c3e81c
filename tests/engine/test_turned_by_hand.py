"""A loop that is turned from Python: by _run_once(), by a selector or a clock put before its own,
and what asyncio's private queues show."""

import asyncio
import contextlib
import selectors
import signal
import socket
import sys
import threading
import time
from asyncio import base_events
from unittest import mock

import pytest
from helpers import HANG, PATIENCE, drain, only_pyaio, wait_until


@contextlib.contextmanager
def running(loop):
    """What run_forever() sets up around its turns, on any version."""
    loop._thread_id = threading.get_ident()
    asyncio._set_running_loop(loop)
    try:
        yield
    finally:
        asyncio._set_running_loop(None)
        loop._thread_id = None


def turn_until(loop, future):
    while not future.done():
        loop._run_once()
    loop.call_soon(int)
    loop._run_once()
    return future.result()


async def echo_once():
    """A server, a client, a few bytes each way."""

    async def serve(reader, writer):
        writer.write(await reader.readexactly(4))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"echo")
    got = await reader.read()
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    return got


# _run_once() as a method


def test_run_once_runs_what_was_ready_and_not_what_that_adds(loop):
    got = []
    loop.call_soon(lambda: (got.append(1), loop.call_soon(got.append, 2)))
    loop._run_once()
    assert got == [1]
    loop._run_once()
    assert got == [1, 2]


def test_run_once_waits_for_a_timer(loop):
    got = []
    loop.call_later(0.002, got.append, 1)
    give_up = time.monotonic() + HANG
    while not got and time.monotonic() < give_up:
        loop._run_once()
    assert got == [1]


def test_run_once_lets_out_what_run_forever_lets_out(loop):
    loop.call_soon(sys.exit, 3)
    with pytest.raises(SystemExit):
        loop._run_once()


def test_run_once_within_a_callback_takes_the_rest_of_the_turn(loop, loop_kind):
    if loop_kind == "asyncio":
        pytest.skip("asyncio's outer turn goes on with an empty queue: IndexError")
    got = []
    loop.call_soon(lambda: (loop._run_once(), got.append("outer")))
    loop.call_soon(got.append, "inner")
    loop._run_once()
    assert got == ["inner", "outer"]
    drain(loop, 1)


# asyncio lets two threads take events from each other.
@only_pyaio
@pytest.mark.parametrize("how", ["run_forever", "_run_once"])
def test_a_loop_that_polls_in_a_thread_is_not_turned_by_another(loop, how):
    def is_refused():
        loop.call_soon(loop.stop)
        try:
            getattr(loop, how)()
        except RuntimeError as error:
            assert "polls, in another thread" in str(error)
            return True
        return False

    def turn():
        while not ended.is_set():
            with contextlib.suppress(RuntimeError):
                loop._run_once()

    ended = threading.Event()
    thread = threading.Thread(target=turn)
    thread.start()
    try:
        wait_until(is_refused, "the thread polls")
    finally:
        ended.set()
        loop._write_to_self()
        thread.join()


def test_a_loop_turned_by_hand_does_all_its_work(loop):
    with running(loop):
        assert loop.is_running()
        assert turn_until(loop, loop.create_task(echo_once())) == b"echo"
    assert not loop.is_running()


def test_the_setup_of_run_forever_can_be_used_alone(loop, loop_kind):
    if loop_kind == "asyncio" and sys.version_info < (3, 13):
        pytest.skip("asyncio has them since 3.13")
    hooks = sys.get_asyncgen_hooks()
    loop._run_forever_setup()
    try:
        assert asyncio.get_running_loop() is loop and loop.is_running()
        assert sys.get_asyncgen_hooks() != hooks
        assert turn_until(loop, loop.create_task(echo_once())) == b"echo"
    finally:
        loop._run_forever_cleanup()
    assert sys.get_asyncgen_hooks() == hooks
    assert asyncio._get_running_loop() is None and not loop.is_running()
    assert loop.run_until_complete(asyncio.sleep(0, "again")) == "again"


def test_a_refused_run_leaves_the_running_loop_alone(loop, loop_kind):
    async def main():
        with pytest.raises(RuntimeError, match="already running"):
            loop.run_forever()
        return asyncio.get_running_loop() is loop and loop.is_running()

    if loop_kind == "asyncio" and sys.version_info[:3] == (3, 13, 0):
        pytest.skip("asyncio of 3.13.0 forgets that it runs")
    assert loop.run_until_complete(main())


# _run_once() replaced


def test_a_subclass_that_replaces_run_once_is_called_for_every_turn(loop_class):
    class Counting(loop_class):
        turns = 0

        def _run_once(self):
            self.turns += 1
            super()._run_once()

    loop = Counting()

    async def main():
        before = loop.turns
        for _ in range(200):
            await asyncio.sleep(0)
        return loop.turns - before

    assert loop.run_until_complete(main()) == 200
    loop.close()


def test_run_once_replaced_on_the_instance_and_given_back(loop):
    original, turns = loop._run_once, []
    loop._run_once = lambda: (turns.append(1), original())
    drain(loop, 3)
    assert len(turns) == 3
    del loop._run_once
    drain(loop, 3)
    assert len(turns) == 3


def test_run_once_replaced_while_the_loop_runs(loop):
    turns = []

    async def main():
        original = loop._run_once
        loop._run_once = lambda: (turns.append(1), original())
        for _ in range(5):
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert len(turns) >= 5


def test_an_exception_of_run_once_leaves_run_forever(loop):
    loop._run_once = mock.Mock(side_effect=ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        loop.run_forever()
    assert not loop.is_running()


class Asyncios:
    """asyncio's own _run_once(), in Python, on top of the loop's queues."""

    def _run_once(self):
        base_events.BaseEventLoop._run_once(self)


def test_asyncios_own_run_once_drives_the_loop(loop_class):
    loop = type("Turned", (Asyncios, loop_class), {})()

    async def main():
        waits = [asyncio.sleep(0.001 * i, i) for i in range(5)]
        assert await asyncio.gather(*waits) == list(range(5))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(loop.create_future(), 0.001)
        assert await loop.run_in_executor(None, int) == 0
        await loop.shutdown_default_executor()
        return await echo_once()

    for debug in False, True:
        loop.set_debug(debug)
        assert loop.run_until_complete(main()) == b"echo"
        loop._default_executor = None
        loop._executor_shutdown_called = False
    loop.close()


def test_asyncios_own_run_once_drops_cancelled_timers(loop_class):
    loop = type("Turned", (Asyncios, loop_class), {})()
    timers = [loop.call_later(HANG * (1 + i % 2), int) for i in range(200)]
    for timer in timers[:150]:
        timer.cancel()
    drain(loop, 1)
    left = loop._scheduled
    assert {timer for timer in left if not timer.cancelled()} == {*timers[150:]}
    assert len(left) <= 100
    loop.close()


def test_a_nested_loop_of_turns_in_python(loop):
    """What programs do that run a loop within itself: all by asyncio's attributes."""

    def nested(loop, future):
        while not future.done():
            for event in loop._selector.select(0) or ():
                loop._process_events([event])
                break
            scheduled = loop._scheduled
            while scheduled and scheduled[0]._when <= loop.time():
                handle = scheduled[0]
                base_events.heapq.heappop(scheduled)
                handle._scheduled = False
                loop._ready.append(handle)
            for _ in range(len(loop._ready)):
                handle = loop._ready.popleft()
                if not handle._cancelled:
                    handle._run()
        return future.result()

    got = []

    def callback():
        near, far = socket.socketpair()
        for end in near, far:
            end.setblocking(False)
        future = loop.create_future()
        loop.add_reader(far, lambda: future.set_result(far.recv(9)))
        loop.call_later(0.001, near.send, b"hello")
        got.append(nested(loop, future))
        loop.remove_reader(far)
        near.close()
        far.close()
        loop.stop()

    loop.call_soon(callback)
    loop.run_forever()
    assert got == [b"hello"]


# Polls


class VirtualTime(selectors.BaseSelector):
    """A selector with nothing to wait for, which moves a clock instead."""

    def __init__(self):
        self.now = 0.0
        self.waits = []

    def select(self, timeout=None):
        assert timeout is not None, "nothing would ever happen"
        self.waits.append(timeout)
        self.now += timeout
        return []

    register = unregister = get_map = None


def test_a_selector_of_somebodys_is_asked_for_every_wait(loop_class):
    class Loop(loop_class):
        def time(self):
            return clock.now

    clock = VirtualTime()
    loop = Loop()
    own, loop._selector = loop._selector, clock
    loop.run_until_complete(asyncio.sleep(3600))
    assert clock.now == 3600.0
    assert 3600 in clock.waits
    loop._selector = own
    loop.close()


def test_select_replaced_on_the_selector_sees_the_waits(loop):
    # How virtual clocks are made by some: the wait is taken over, the look is left.
    select, waited = loop._selector.select, []

    def skip(timeout):
        waited.append(timeout)
        return select(0)

    now = loop.time()
    with (
        mock.patch.object(loop, "time", lambda: now + sum(filter(None, waited))),
        mock.patch.object(loop._selector, "select", skip),
    ):
        loop.run_until_complete(asyncio.sleep(3600))
        assert loop.run_until_complete(echo_once()) == b"echo"
    assert 3599 < sum(filter(None, waited)) < 3602
    seen = len(waited)
    drain(loop)
    assert len(waited) == seen


@pytest.mark.parametrize("turned_by", ["the loop", "asyncio's _run_once()"])
def test_a_call_between_the_decision_to_wait_and_the_wait_ends_it(loop_class, turned_by):
    bases = (loop_class,) if turned_by == "the loop" else (Asyncios, loop_class)
    loop = type("Turned", bases, {})()
    select, left = loop._selector.select, [1, 2]

    def call_first(timeout):
        if left and timeout != 0:
            left.pop()
            function = int if left else loop.stop
            thread = threading.Thread(target=loop.call_soon_threadsafe, args=(function,))
            thread.start()
            thread.join()
        return select(timeout)

    guard = loop.call_later(PATIENCE, loop.stop)
    with mock.patch.object(loop._selector, "select", call_first):
        loop.run_forever()
    assert loop.time() < guard.when(), "nothing ended the wait"
    guard.cancel()
    loop.close()


def test_a_timer_within_the_clocks_resolution_fires(loop):
    # Sums of floats miss by a little: 0.1 + 0.2 is more than 0.3.
    got = []
    loop._clock_resolution = 1e-9
    with mock.patch.object(loop, "time", lambda: 0.3):
        loop.call_at(0.1 + 0.2, got.append, 1)
        loop.call_at(0.31, got.append, 2).cancel()
        drain(loop, 1)
    assert got == [1]


def test_process_events_replaced_sees_what_is_polled(loop_class):
    class Loop(loop_class):
        def _process_events(self, event_list):
            masks.extend(mask for _, mask in event_list)
            super()._process_events(event_list)

    masks = []
    loop = Loop()
    near, far = socket.socketpair()
    with near, far:
        near.send(b"x")
        loop.add_reader(far, loop.stop)
        loop.run_forever()
        loop.remove_reader(far)
    assert masks == [selectors.EVENT_READ]
    loop.close()


def test_a_stopped_loop_polls_without_waiting(loop):
    waits = []
    loop._selector.select = lambda timeout: waits.append(timeout) or ()
    loop.stop()
    loop.run_forever()
    assert waits == [0]


def test_write_to_self_replaced_is_called_by_call_soon_threadsafe(loop):
    with mock.patch.object(loop, "_write_to_self") as wake:
        loop.call_soon(int)
        assert wake.call_count == 0
        loop.call_soon_threadsafe(int)
        assert wake.call_count == 1
    drain(loop)


def test_the_selector_knows_what_is_watched(loop):
    near, far = socket.socketpair()
    with near, far:
        loop.add_reader(far, int)
        loop.add_writer(far, int)
        both = selectors.EVENT_READ | selectors.EVENT_WRITE
        assert loop._selector.get_map()[far.fileno()].events == both
        assert loop._selector.get_key(far.fileno()).events == both
        loop.remove_reader(far)
        loop.remove_writer(far)
        assert far.fileno() not in loop._selector.get_map()
        with pytest.raises(KeyError):
            loop._selector.get_key(far.fileno())


def test_internals_of_a_closed_loop(loop):
    assert loop._internal_fds == 1
    loop.close()
    assert loop._internal_fds == 0
    assert loop._selector is None and loop._csock is None and loop._ssock is None


# The queues


def test_ready_shows_what_runs_next(loop):
    handles = [loop.call_soon(int), loop.call_soon(float)]
    foreign = asyncio.Handle(str, (), loop)
    loop._add_callback(foreign)
    assert list(loop._ready) == [*handles, foreign]
    assert len(loop._ready) == 3 and loop._ready and foreign in loop._ready
    drain(loop, 1)
    assert not loop._ready and list(loop._ready) == []


def test_ready_shows_a_task_that_is_about_to_run(loop):
    task = loop.create_task(asyncio.sleep(0))
    assert len(loop._ready) == 1
    loop.run_until_complete(task)


def test_scheduled_shows_the_timers(loop):
    timers = [loop.call_later(HANG + i, int) for i in range(5, 0, -1)]
    assert loop._scheduled[0] is timers[-1]
    assert sorted(loop._scheduled) == timers[::-1]
    assert loop._timer_cancelled_count == 0
    timers[0].cancel()
    assert loop._timer_cancelled_count == 1
    for timer in timers[1:]:
        timer.cancel()


def test_what_is_appended_to_the_queues_runs(loop):
    got = []
    loop._ready.append(asyncio.Handle(got.append, (1,), loop))
    loop._scheduled.append(asyncio.TimerHandle(loop.time() - 1, got.append, (2,), loop))
    drain(loop, 1)
    assert got == [1, 2]


def test_a_foreign_handle_that_is_cancelled_while_it_waits_does_not_run(loop, reports):
    got = []
    ready = asyncio.Handle(got.append, (1,), loop)
    loop._add_callback(ready)
    ready.cancel()
    drain(loop, 1)
    assert got == []


def test_popped_and_cleared_entries_do_not_run(loop):
    got = []
    first, second = loop.call_soon(got.append, 1), loop.call_soon(got.append, 2)
    assert loop._ready.popleft() is first
    assert list(loop._ready) == [second]
    loop._ready.clear()
    with pytest.raises(IndexError):
        loop._ready.popleft()
    drain(loop, 1)
    assert got == []


# asyncio looks at it only when a timer is cancelled.
@only_pyaio
def test_a_timer_that_is_told_it_is_not_scheduled_leaves_the_loop(loop):
    timers = [loop.call_later(HANG - i % 7, int) for i in range(20)]
    for timer in timers[::2]:
        timer._scheduled = False
    assert {*loop._scheduled} == {*timers[1::2]}
    for timer in timers[1::2]:
        timer.cancel()


# Handles


def test_private_run_of_a_cancelled_handle_is_reported(loop, reports):
    handle = loop.call_soon(int)
    handle.cancel()
    calls = []
    loop.set_exception_handler(lambda loop, context: calls.append(context))
    handle._run()
    (context,) = calls
    assert isinstance(context["exception"], TypeError) and context["handle"] is handle
    assert context["message"].startswith("Exception in callback None")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="3.14 has made them safe for threads")
@pytest.mark.parametrize("ask", ["cancel", "cancelled"])
def test_a_threadsafe_handle_waits_for_the_end_of_its_run(loop, ask):
    started, asked, order = threading.Event(), threading.Event(), []

    def callback():
        started.set()
        assert asked.wait(HANG)
        time.sleep(0.01)  # the other threads are in the midst of it now
        order.append("callback")

    def other():
        assert started.wait(HANG)
        asked.set()
        getattr(handle, ask)()
        order.append("other")

    threads = [threading.Thread(target=other) for _ in range(3)]
    handle = loop.call_soon_threadsafe(callback)
    assert isinstance(handle, asyncio.events._ThreadSafeHandle)
    for thread in threads:
        thread.start()
    drain(loop, 1)
    for thread in threads:
        thread.join()
    assert order == ["callback", "other", "other", "other"]
    assert handle.cancelled() is (ask == "cancel")


def test_a_threadsafe_handle_may_cancel_itself(loop):
    got = []
    handle = loop.call_soon_threadsafe(lambda: (handle.cancel(), got.append(1)))
    drain(loop, 1)
    assert got == [1] and handle.cancelled()


def test_a_task_is_of_the_loop_that_makes_it(loop):
    coro = asyncio.sleep(0)
    with pytest.raises(TypeError, match="loop"):
        loop.create_task(coro, loop=loop)
    coro.close()


def test_slow_callbacks_are_reported_by_the_logger_of_base_events(loop):
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    with mock.patch.object(base_events, "logger") as logger:
        loop.call_soon(loop.stop)
        loop.run_forever()
    text, *values = logger.warning.call_args[0]
    assert (text % tuple(values)).startswith("Executing <Handle ")


def test_signal_handlers_at_the_interpreters_end_are_said_to_be_left(loop):
    loop.add_signal_handler(signal.SIGUSR1, int)
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    before = signal.getsignal(signal.SIGUSR1)
    try:
        with (
            mock.patch("asyncio.unix_events.sys") as fake,
            pytest.warns(ResourceWarning, match="skipping signal handlers removal"),
        ):
            fake.is_finalizing.return_value = True
            loop.close()
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
    assert before is not signal.SIG_DFL and wakeup != -1


def test_no_task_is_current_after_a_turn_by_hand(loop):
    async def restless():
        for _ in range(5):
            await asyncio.sleep(0)

    tasks = [loop.create_task(restless()) for _ in range(2)]
    with running(loop):
        loop._run_once()
        assert asyncio.current_task(loop) is None
    loop.run_until_complete(asyncio.gather(*tasks))


def test_a_timer_of_another_loop_is_a_timer_like_any(loop_factories):
    # Queued by hand, in numbers: each loop counts the cancelled ones of its own heap.
    make = loop_factories["pyaio"]
    with contextlib.closing(make()) as here, contextlib.closing(make()) as there:
        strangers = [there.call_later(1000 + i, print) for i in range(400)]
        for timer in strangers:
            timer._scheduled = False  # takes it out of its loop's heap
            here._schedule(timer)
            timer.cancel()
        for timer in [here.call_later(2000, print) for _ in range(600)]:
            timer.cancel()
        here.call_soon(here.stop)
        here.run_forever()
        assert len(here._scheduled) <= 500  # half of them may wait to be swept
