"""A wake-up fd that the program has set: it gets its signals while a loop runs."""

import os
import signal
import socket

import pytest
from helpers import HANG, drain, only_pyaio

USR1 = signal.SIGUSR1


@pytest.fixture
def wakeup():
    """The reading end of the program's wake-up fd; SIGUSR1 has a handler that does nothing."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    before = signal.signal(USR1, lambda *args: None)
    assert signal.set_wakeup_fd(writer.fileno()) == -1
    yield reader
    assert signal.set_wakeup_fd(-1) == writer.fileno()
    signal.signal(USR1, before)
    reader.close()
    writer.close()


def test_it_gets_the_numbers_of_signals(loop, wakeup):
    def receive():
        got.extend(wakeup.recv(10))
        loop.stop()

    got = []
    loop.add_reader(wakeup, receive)
    guard = loop.call_later(HANG / 2, loop.stop)
    for count in range(1, 4):
        loop.call_later(0.001, os.kill, os.getpid(), USR1)
        loop.run_forever()
        assert got == [USR1] * count
    assert loop.time() < guard.when()
    guard.cancel()
    loop.remove_reader(wakeup)


def test_it_gets_them_in_a_loop_that_does_not_sleep(loop, wakeup):
    loop.call_soon(os.kill, os.getpid(), USR1)
    drain(loop, 5)
    assert wakeup.recv(10) == bytes([USR1])


def test_it_gets_them_before_and_after_the_run_once(loop, wakeup):
    os.kill(os.getpid(), USR1)
    drain(loop)
    os.kill(os.getpid(), USR1)
    assert wakeup.recv(10) == bytes([USR1, USR1])


def test_one_that_was_closed_meanwhile_is_no_error(loop):
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    assert signal.set_wakeup_fd(writer.fileno()) == -1
    loop.call_soon(writer.close)
    drain(loop)
    signal.set_wakeup_fd(-1)
    drain(loop)
    assert signal.set_wakeup_fd(-1) == -1
    reader.close()


# asyncio forgets it for the fd of its own that add_signal_handler() needs.
@only_pyaio
def test_it_gets_them_beside_a_handler_added_before_the_first_wait(loop, wakeup):
    def add():
        loop.add_signal_handler(signal.SIGUSR2, loop.stop)

    loop.call_soon(add)
    loop.call_later(0.001, os.kill, os.getpid(), USR1)
    loop.call_later(0.002, os.kill, os.getpid(), signal.SIGUSR2)
    guard = loop.call_later(HANG / 2, loop.stop)
    loop.run_forever()
    assert loop.time() < guard.when()
    guard.cancel()
    assert wakeup.recv(10) == bytes([USR1, signal.SIGUSR2])
    loop.call_soon(loop.remove_signal_handler, signal.SIGUSR2)
    drain(loop)


def test_one_that_the_program_has_taken_back_gets_nothing_more(loop):
    def take_back():
        signal.set_wakeup_fd(-1)
        loop.add_signal_handler(USR1, loop.stop)
        os.kill(os.getpid(), USR1)

    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno())
        loop.call_later(0.001, take_back)  # in a wait, which has taken it over
        loop.run_forever()
        loop.remove_signal_handler(USR1)
        with pytest.raises(BlockingIOError):
            reader.recv(1)
        assert signal.set_wakeup_fd(-1) == -1


# asyncio forgets it.
@only_pyaio
def test_one_that_the_program_sets_in_a_run_stays(loop):
    def replace():
        signal.set_wakeup_fd(writer.fileno())
        loop.add_signal_handler(signal.SIGUSR2, loop.stop)
        os.kill(os.getpid(), signal.SIGUSR2)

    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        loop.call_later(0.001, replace)
        loop.run_forever()
        loop.call_soon(loop.remove_signal_handler, signal.SIGUSR2)
        drain(loop)
        assert reader.recv(10) == bytes([signal.SIGUSR2])
        assert signal.set_wakeup_fd(-1) == writer.fileno()
