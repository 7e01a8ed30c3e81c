"""add_signal_handler and remove_signal_handler, and signals in a loop without them."""

import asyncio
import contextvars
import os
import signal
import sys
import threading
import time

import pytest
from helpers import HANG, HandlerCalls, asleep, drain, only_pyaio, wait_until

USR1, USR2 = signal.SIGUSR1, signal.SIGUSR2


@pytest.fixture(autouse=True)
def dispositions_are_restored():
    """Whatever a test does, signals and wake-up fd are afterwards as they were."""
    signals = (USR1, USR2, signal.SIGINT, signal.SIGHUP)
    before = {s: signal.getsignal(s) for s in signals}
    yield
    after = {s: signal.getsignal(s) for s in signals}
    for signum, handler in before.items():
        signal.signal(signum, handler)
    assert after == before
    assert signal.set_wakeup_fd(-1) == -1


def send(signum):
    os.kill(os.getpid(), signum)


def from_thread(signum):
    """A thread, to be started, that sends *signum* from outside while the loop sleeps."""

    def send_to_sleeper():
        time.sleep(0.01)
        # asyncio does not see what comes between its last look and its wait.
        main = threading.main_thread().native_id
        wait_until(lambda: asleep("self", main), "the loop sleeps")
        send(signum)

    return threading.Thread(target=send_to_sleeper)


def send_from_thread(signum):
    thread = from_thread(signum)
    thread.start()
    return thread


def run_until_stopped(loop):
    guard = loop.call_later(HANG, loop.stop)
    loop.run_forever()
    assert loop.time() < guard.when(), "the signal did not arrive"
    guard.cancel()


def test_a_handler_is_called_with_its_arguments(loop):
    got = []

    def handler(*args):
        got.append(args)
        loop.stop()

    assert loop.add_signal_handler(USR1, handler, 1, "two") is None
    loop.call_soon(send, USR1)
    run_until_stopped(loop)
    assert got == [(1, "two")]
    loop.remove_signal_handler(USR1)


def test_a_signal_wakes_a_sleeping_loop(loop):
    loop.add_signal_handler(USR1, loop.stop)
    timer = send_from_thread(USR1)
    run_until_stopped(loop)
    timer.join()
    loop.remove_signal_handler(USR1)


def test_a_signal_before_the_loop_runs_is_not_lost(loop):
    loop.add_signal_handler(USR1, loop.stop)
    send(USR1)
    run_until_stopped(loop)
    loop.remove_signal_handler(USR1)


def test_a_handler_runs_as_a_callback_of_the_loop(loop):
    # Not inside the interrupted callback, so it may do anything.
    got = []

    def callback():
        send(USR1)
        got.append("callback goes on")

    loop.add_signal_handler(USR1, lambda: (got.append("handler"), loop.stop()))
    loop.call_soon(callback)
    run_until_stopped(loop)
    assert got == ["callback goes on", "handler"]
    loop.remove_signal_handler(USR1)


def test_every_delivery_calls_the_handler(loop):
    got = []

    def handler():
        got.append(1)
        if len(got) == 100:
            loop.stop()
        else:
            send(USR1)

    loop.add_signal_handler(USR1, handler)
    send(USR1)
    run_until_stopped(loop)
    assert len(got) == 100
    loop.remove_signal_handler(USR1)


def test_different_signals_call_their_own_handlers(loop):
    got = []

    def note(name):
        got.append(name)
        if len(got) == 3:
            loop.stop()

    for signum, name in ((USR1, "usr1"), (USR2, "usr2"), (signal.SIGHUP, "hup")):
        loop.add_signal_handler(signum, note, name)
    for signum in (USR2, signal.SIGHUP, USR1):
        loop.call_soon(send, signum)
    run_until_stopped(loop)
    assert sorted(got) == ["hup", "usr1", "usr2"]
    for signum in (USR1, USR2, signal.SIGHUP):
        loop.remove_signal_handler(signum)


def test_a_second_handler_replaces_the_first(loop):
    got = []
    loop.add_signal_handler(USR1, got.append, "first")
    loop.add_signal_handler(USR1, lambda: (got.append("second"), loop.stop()))
    loop.call_soon(send, USR1)
    run_until_stopped(loop)
    assert got == ["second"]
    assert loop.remove_signal_handler(USR1) is True
    assert loop.remove_signal_handler(USR1) is False


def test_remove_tells_whether_there_was_one_and_restores_the_default(loop):
    signal.signal(USR1, signal.SIG_DFL)
    assert loop.remove_signal_handler(USR1) is False
    loop.add_signal_handler(USR1, print)
    assert signal.getsignal(USR1) not in (signal.SIG_DFL, signal.SIG_IGN)
    assert loop.remove_signal_handler(USR1) is True
    assert signal.getsignal(USR1) == signal.SIG_DFL


def test_remove_for_sigint_restores_keyboard_interrupt(loop):
    loop.add_signal_handler(signal.SIGINT, print)
    loop.remove_signal_handler(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_remove_leaves_the_other_handlers(loop):
    loop.add_signal_handler(USR1, print)
    loop.add_signal_handler(USR2, loop.stop)
    loop.remove_signal_handler(USR1)
    loop.call_soon(send, USR2)
    run_until_stopped(loop)
    loop.remove_signal_handler(USR2)


def test_a_handler_may_remove_itself(loop):
    got = []

    def handler():
        got.append(loop.remove_signal_handler(USR1))
        loop.stop()

    loop.add_signal_handler(USR1, handler)
    loop.call_soon(send, USR1)
    run_until_stopped(loop)
    assert got == [True]


def test_a_handler_may_be_added_while_the_loop_runs(run):
    async def main():
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        loop.add_signal_handler(USR1, arrived.set)
        send(USR1)
        await asyncio.wait_for(arrived.wait(), HANG)
        loop.remove_signal_handler(USR1)

    run(main)


def test_a_handler_for_sigint_replaces_keyboard_interrupt(loop):
    got = []
    loop.add_signal_handler(signal.SIGINT, lambda: (got.append("sigint"), loop.stop()))
    timer = send_from_thread(signal.SIGINT)
    run_until_stopped(loop)
    timer.join()
    assert got == ["sigint"]
    loop.remove_signal_handler(signal.SIGINT)


def test_an_exception_of_a_handler_is_reported_and_the_loop_goes_on(loop):
    calls = HandlerCalls.of(loop)
    loop.add_signal_handler(USR1, lambda: 1 / 0)
    loop.add_signal_handler(USR2, loop.stop)
    send(USR1)
    drain(loop, 3)
    send(USR2)
    run_until_stopped(loop)
    assert [type(e) for e in calls.exceptions] == [ZeroDivisionError]
    loop.remove_signal_handler(USR1)
    loop.remove_signal_handler(USR2)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_of_a_handler_leaves_run_forever(loop, kind):
    def leave():
        raise kind("from the handler")

    loop.add_signal_handler(USR1, leave)
    loop.call_soon(send, USR1)
    guard = loop.call_later(HANG, loop.stop)
    with pytest.raises(kind, match="from the handler"):
        loop.run_forever()
    guard.cancel()
    loop.remove_signal_handler(USR1)


def test_a_handler_runs_in_a_copy_of_the_context_of_its_registration(loop):
    var = contextvars.ContextVar("var", default="unset")
    got = []

    def register():
        var.set("registration")
        loop.add_signal_handler(USR1, lambda: (got.append(var.get()), loop.stop()))
        var.set("later")

    contextvars.copy_context().run(register)
    loop.call_soon(send, USR1)
    run_until_stopped(loop)
    assert got == ["registration"]
    loop.remove_signal_handler(USR1)


def test_a_handler_runs_beside_an_endless_chain(loop):
    def endless():
        loop.call_soon(endless)

    endless()
    loop.add_signal_handler(USR1, loop.stop)
    loop.call_later(0.001, send, USR1)
    run_until_stopped(loop)
    loop.remove_signal_handler(USR1)


def test_close_removes_the_handlers(loop):
    loop.add_signal_handler(USR1, print)
    loop.add_signal_handler(signal.SIGINT, print)
    loop.close()
    assert signal.getsignal(USR1) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_system_calls_are_restarted(loop):
    # The read in the thread must not fail with EINTR; see signal.siginterrupt.
    got = []
    r, w = os.pipe()
    loop.add_signal_handler(USR1, lambda: os.write(w, b"x"))

    def read():
        got.append(os.read(r, 1))
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=read)
    thread.start()
    loop.call_soon(send, USR1)
    run_until_stopped(loop)
    thread.join()
    assert got == [b"x"]
    loop.remove_signal_handler(USR1)
    os.close(r)
    os.close(w)


# Bad input


@pytest.mark.parametrize("signum", ["USR1", 1.5, None, b"1"])
def test_a_signal_that_is_no_int_is_a_type_error(loop, signum):
    with pytest.raises(TypeError):
        loop.add_signal_handler(signum, print)
    with pytest.raises(TypeError):
        loop.remove_signal_handler(signum)


@pytest.mark.parametrize("signum", [-1, 0, 1000, 10**30])
def test_a_signal_out_of_range_is_a_value_error(loop, signum):
    with pytest.raises(ValueError, match="invalid signal number"):
        loop.add_signal_handler(signum, print)
    with pytest.raises(ValueError):
        loop.remove_signal_handler(signum)
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
def test_a_signal_that_cannot_be_caught_is_a_runtime_error(loop, signum):
    with pytest.raises(RuntimeError, match=f"sig {int(signum)} cannot be caught"):
        loop.add_signal_handler(signum, print)


def test_a_coroutine_function_is_refused(loop):
    async def coroutine_function():
        pass

    with pytest.raises(TypeError, match="coroutines cannot be used with add_signal_handler"):
        loop.add_signal_handler(USR1, coroutine_function)


def test_a_coroutine_is_refused(loop):
    async def coroutine_function():
        pass

    coro = coroutine_function()
    with pytest.raises(TypeError):
        loop.add_signal_handler(USR1, coro)
    coro.close()


def test_only_the_main_thread_may_add_one(loop):
    errors = []

    def add():
        try:
            loop.add_signal_handler(USR1, print)
        except (RuntimeError, ValueError) as error:
            errors.append(type(error))

    thread = threading.Thread(target=add)
    thread.start()
    thread.join()
    assert errors == [RuntimeError]


# Handlers of signal.signal


def test_a_plain_handler_runs_at_once_in_a_sleeping_loop(loop):
    got = []

    def handler(signum, frame):
        got.append(signum)
        loop.call_soon_threadsafe(loop.stop)

    signal.signal(USR1, handler)
    timer = send_from_thread(USR1)
    run_until_stopped(loop)
    timer.join()
    signal.signal(USR1, signal.SIG_DFL)
    assert got == [USR1]


def test_a_plain_handler_that_raises_leaves_run_forever(loop):
    class Alarm(Exception):
        pass

    def handler(signum, frame):
        raise Alarm

    signal.signal(USR1, handler)
    timer = from_thread(USR1)
    guard = loop.call_later(HANG, loop.stop)
    with pytest.raises(Alarm):
        timer.start()  # here: the signal may come before the loop runs
        loop.run_forever()
    guard.cancel()
    timer.join()
    signal.signal(USR1, signal.SIG_DFL)
    drain(loop)


def test_a_plain_handler_that_raises_keeps_the_ready_entries(loop):
    def handler(signum, frame):
        raise KeyboardInterrupt

    def callback():
        send(USR1)
        for _ in range(1000):
            pass

    got = []
    signal.signal(USR1, handler)
    loop.call_soon(callback)
    loop.call_soon(got.append, 1)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    drain(loop, 1)
    signal.signal(USR1, signal.SIG_DFL)
    assert got == [1]


@only_pyaio
def test_a_signal_that_another_thread_receives_runs_its_handler(loop):
    # pyaio only: in asyncio a handler set by signal.signal waits until the loop next wakes up.
    got = []

    def handler(signum, frame):
        got.append(threading.get_ident())
        loop.call_soon_threadsafe(loop.stop)

    signal.signal(USR1, handler)
    timer = threading.Timer(0.01, lambda: signal.pthread_kill(threading.get_ident(), USR1))
    timer.start()
    run_until_stopped(loop)
    timer.join()
    signal.signal(USR1, signal.SIG_DFL)
    assert got == [threading.get_ident()]


# The wake-up fd


@pytest.fixture
def wakeup_fd():
    """A wake-up fd of the test's own."""
    r, w = os.pipe()
    os.set_blocking(w, False)
    signal.set_wakeup_fd(w)
    yield w
    signal.set_wakeup_fd(-1)
    os.close(r)
    os.close(w)


def test_the_wakeup_fd_is_restored_after_running(loop, wakeup_fd):
    drain(loop)
    assert signal.set_wakeup_fd(-1) == wakeup_fd


def test_the_wakeup_fd_is_restored_after_an_exit(loop, wakeup_fd):
    def leave():
        raise KeyboardInterrupt

    loop.call_soon(leave)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert signal.set_wakeup_fd(-1) == wakeup_fd


def test_the_wakeup_fd_of_a_closed_loop_is_not_left_after_an_interrupted_cleanup(loop_class):
    class Loop(loop_class):
        def _set_coroutine_origin_tracking(self, enabled):
            if ran:
                raise KeyboardInterrupt

    ran = []
    hooks = sys.get_asyncgen_hooks()
    loop = Loop()
    loop.call_later(0.001, lambda: (ran.append(1), loop.stop()))
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    sys.set_asyncgen_hooks(*hooks)  # cut off, too
    loop.close()
    assert signal.set_wakeup_fd(-1) == -1


def test_running_in_another_thread_does_not_touch_the_wakeup_fd(loop, wakeup_fd):
    thread = threading.Thread(target=drain, args=(loop,))
    thread.start()
    thread.join()
    assert signal.set_wakeup_fd(-1) == wakeup_fd


def test_no_wakeup_fd_is_left_after_the_last_handler(loop):
    loop.add_signal_handler(USR1, print)
    loop.add_signal_handler(USR2, print)
    drain(loop)
    loop.remove_signal_handler(USR1)
    loop.remove_signal_handler(USR2)
    assert signal.set_wakeup_fd(-1) == -1


def test_a_handler_works_between_two_runs_and_in_the_second(loop):
    got = []
    loop.add_signal_handler(USR1, lambda: (got.append(1), loop.stop()))
    drain(loop)
    send(USR1)
    run_until_stopped(loop)
    send(USR1)
    run_until_stopped(loop)
    assert got == [1, 1]
    loop.remove_signal_handler(USR1)


def test_two_loops_may_have_handlers_one_after_the_other(loop, loop_factory):
    loop.add_signal_handler(USR1, loop.stop)
    loop.call_soon(send, USR1)
    run_until_stopped(loop)
    loop.close()
    second = loop_factory()
    second.add_signal_handler(USR1, second.stop)
    second.call_soon(send, USR1)
    run_until_stopped(second)
    second.close()
