"""What a loop opens to wait, when it does, and what ends its waits."""

import asyncio
import concurrent.futures
import contextlib
import os
import signal
import socket
import threading
import time

import pytest
from helpers import (
    PATIENCE,
    asleep,
    cpu_while_idle,
    drain,
    only_pyaio,
    open_fds,
    wait_once,
    wait_until,
)


@pytest.fixture
def kind_whose_polls_survive(loop_kind, request):
    """Not libuv: it aborts when a fd is closed between its uv_poll_start() and its poll."""
    if loop_kind == "pyaio":
        request.getfixturevalue("epoll_backend")


@contextlib.contextmanager
def guarded(loop):
    """Inside, a loop that nothing ends is stopped after a while, and the test fails."""
    guard = loop.call_later(PATIENCE, loop.stop)
    yield
    assert loop.time() < guard.when(), "nothing ended the wait"
    guard.cancel()


def is_idle(loop):
    """Whether *loop* waits without using the CPU."""
    return cpu_while_idle(loop) < 0.5


def opened(before):
    return sorted(what for fd, what in open_fds().items() if before.get(fd) != what)


# ---- what is opened ----


@only_pyaio
def test_a_loop_that_never_waits_opens_its_epoll_set_only(epoll_backend, loop_factory):
    before = open_fds()
    loop = loop_factory()
    assert opened(before) == ["anon_inode:[eventpoll]"]

    async def main():
        for _ in range(1000):
            await asyncio.sleep(0)
        return opened(before)

    assert loop.run_until_complete(main()) == ["anon_inode:[eventpoll]"]
    loop.close()
    assert opened(before) == []


@only_pyaio
def test_a_loop_that_waits_in_a_thread_opens_nothing_for_signals(epoll_backend, loop):
    before = open_fds()
    thread = threading.Thread(target=wait_once, args=(loop,))
    thread.start()
    thread.join()
    assert opened(before) == ["anon_inode:[eventfd]"]


@only_pyaio
def test_what_a_wait_has_opened_serves_all_that_follow(loop):
    wait_once(loop)
    before = open_fds()
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0.001))
    assert opened(before) == []


def test_an_epoll_set_that_somebody_has_replaced_is_an_error(child, loop_kind):
    source = """
    import asyncio, os, sys

    loop = new_event_loop()
    if sys.argv[1:] == ["pyaio"]:
        from pyaio import _core

        if _core.backend != "epoll":
            sys.exit("skip")  # libuv ends the process
    links = {int(n): os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")[:-1]}
    number = next(n for n, what in links.items() if "eventpoll" in what)
    os.dup2(os.open(os.devnull, os.O_RDONLY), number)

    async def main():
        await asyncio.sleep(0.001)

    task = loop.create_task(main())
    try:
        loop.run_forever()
    except OSError as exc:
        print(exc.strerror)
    os._exit(0 if sys.stdout.flush() is None else 1)
    """
    with child(source, args=(loop_kind,)) as process:
        code, out, errors = process.finish()
    if errors == "skip\n":
        pytest.skip("libuv ends the process")
    assert (code, out) == (0, "Invalid argument\n"), errors


# ---- what ends a wait ----


def test_a_wake_up_reaches_a_loop_that_has_never_waited(loop_factory):
    for pause in range(50):
        loop = loop_factory()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(loop.stop,))
        with guarded(loop):
            loop.call_soon(thread.start)
            loop.call_soon(sum, range(pause * 100))
            loop.run_forever()
        thread.join()
        loop.close()


def test_write_to_self_before_a_run_ends_the_first_wait(loop):
    loop._write_to_self()
    with guarded(loop):
        loop._run_once()  # would wait for the guard


def test_write_to_self_of_a_thread_ends_a_wait(loop):
    thread = threading.Timer(0.005, loop._write_to_self)
    thread.start()
    with guarded(loop):
        loop._run_once()  # would wait for the guard
    thread.join()


@pytest.mark.parametrize("delay", [0.00001, 0.0003, 0.00101, 0.0029])
def test_a_wait_is_never_short(loop, delay):
    fired = []
    for _ in range(20):
        due = loop.time() + delay
        loop.call_at(due, lambda due=due: (fired.append(loop.time() - due), loop.stop()))
        loop.run_forever()
    # asyncio lets timers fire early by the resolution of its clock.
    assert min(fired) >= -time.get_clock_info("monotonic").resolution


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
def test_a_kernel_without_waits_in_ns_will_do(child, error):
    """A filter of system calls, as old kernels and some containers have one."""
    source = f"""
    import asyncio, ctypes, errno, os, struct, sys

    EPOLL_PWAIT2 = 441
    libc = ctypes.CDLL(None, use_errno=True)
    steps = [
        (0x20, 0, 0, 0),                                  # load the number of the call
        (0x15, 0, 1, EPOLL_PWAIT2),                       # is it that one?
        (0x06, 0, 0, 0x00050000 | errno.{error}),         # then it fails
        (0x06, 0, 0, 0x7FFF0000),                         # others pass
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    filter = ctypes.create_string_buffer(struct.pack("HP", len(steps), ctypes.addressof(code)))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, filter, 0, 0):
        print("no filters")
        sys.exit()
    assert libc.syscall(EPOLL_PWAIT2, -1, 0, 0, 0, 0, 0) == -1
    assert ctypes.get_errno() == errno.{error}

    loop = new_event_loop()
    early = []
    for _ in range(20):
        due = loop.time() + 0.0003
        loop.call_at(due, lambda: early.append(loop.time() < due - 1e-9))
        loop.run_until_complete(asyncio.sleep(0.0005))
    loop.close()
    print(any(early), len(early))
    """
    with child(source) as process:
        code, out, errors = process.finish()
    if out == "no filters\n":
        pytest.skip("this kernel or container takes no filters of system calls")
    assert (code, out, errors) == (0, "False 20\n", "")


# ---- signals ----


@pytest.fixture
def alarm():
    """`alarm(handler)` handles SIGALRM; undone afterwards."""
    before = signal.getsignal(signal.SIGALRM)
    yield lambda handler: signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_signal_before_at_or_in_the_first_wait_is_handled(loop_factory, alarm):
    for delay in range(1, 400, 4):
        loop = loop_factory()
        loop.add_signal_handler(signal.SIGALRM, loop.stop)
        with guarded(loop):
            loop.call_soon(signal.setitimer, signal.ITIMER_REAL, delay * 1e-6)
            loop.run_forever()
        loop.close()


# asyncio: what comes between its last look and the wait has to wait.
@only_pyaio
def test_a_plain_handler_runs_before_at_and_in_the_first_wait(loop_factory, alarm):
    for delay in range(1, 400, 4):
        loop = loop_factory()
        alarm(lambda *_, loop=loop: loop.call_soon_threadsafe(loop.stop))
        with guarded(loop):
            loop.call_soon(signal.setitimer, signal.ITIMER_REAL, delay * 1e-6)
            loop.run_forever()
        loop.close()


@only_pyaio
def test_a_plain_handler_runs_between_two_waits(loop, alarm):
    alarm(lambda *_: loop.call_soon_threadsafe(loop.stop))
    for delay in range(1, 400, 4):
        with guarded(loop):
            loop.call_later(0.0001, signal.setitimer, signal.ITIMER_REAL, delay * 1e-6)
            loop.call_later(0.0002, int)
            loop.run_forever()


def test_the_wakeup_fd_is_the_programs_while_nothing_waits(loop):
    r, w = os.pipe()
    os.set_blocking(w, False)
    signal.set_wakeup_fd(w)
    seen = []

    def look():
        seen.append(signal.set_wakeup_fd(-1))
        signal.set_wakeup_fd(seen[-1])

    loop.call_soon(look)
    drain(loop)
    assert seen == [w] and signal.set_wakeup_fd(-1) == w
    os.close(r)
    os.close(w)


# ---- watching while the loop waits ----


def waits(loop, thread):
    """Until the loop of *thread* sleeps, or is about to."""
    wait_until(lambda: asleep("self", thread.native_id), "the loop waits")


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def waiting(loop, pair):
    """The loop, waiting in a thread of its own until it is stopped, before the pair is closed."""
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    waits(loop, thread)
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_a_reader_that_another_thread_adds_is_called(waiting, pair):
    called = threading.Event()
    waiting.add_reader(pair[0], lambda: (pair[0].recv(1), called.set()))
    pair[1].send(b"x")
    assert called.wait(PATIENCE)
    assert waiting.remove_reader(pair[0])


def test_a_writer_that_another_thread_adds_to_a_reader_is_called(waiting, pair):
    called = threading.Event()
    waiting.add_reader(pair[0], print)
    waiting.add_writer(pair[0], lambda: (waiting.remove_writer(pair[0]), called.set()))
    assert called.wait(PATIENCE)
    assert waiting.remove_reader(pair[0])


def test_a_reader_that_another_thread_removes_is_not_called(waiting, pair):
    called = []
    waiting.add_reader(pair[0], called.append, 1)
    assert waiting.remove_reader(pair[0])
    pair[1].send(b"x")
    done = threading.Event()
    waiting.call_soon_threadsafe(waiting.call_later, 0.001, done.set)
    assert done.wait(PATIENCE) and called == []


@pytest.mark.parametrize("method", ["add_reader", "add_writer"])
def test_what_another_thread_cannot_add_is_refused_at_once(waiting, method, tmp_path):
    with open(tmp_path / "file", "wb") as file, pytest.raises(PermissionError):
        getattr(waiting, method)(file, print)
    assert waiting.call_soon_threadsafe(int)


@pytest.mark.usefixtures("kind_whose_polls_survive")
def test_a_socket_that_another_thread_closes_does_no_harm(waiting, pair):
    called = threading.Event()
    waiting.add_reader(pair[0], print)
    waiting.remove_reader(pair[0])
    pair[0].close()
    pair[1].close()
    waiting.call_soon_threadsafe(called.set)
    assert called.wait(PATIENCE)


# ---- many at once ----


@pytest.mark.parametrize("count", [1, 128, 129, 300])
def test_all_that_is_ready_is_called_in_one_turn(loop, count):
    called = set()
    pairs = [socket.socketpair() for _ in range(count)]
    for ours, theirs in pairs:
        loop.add_reader(ours, called.add, ours)
        theirs.send(b"x")
    for _ in range(2):
        called.clear()
        drain(loop, 1)
        assert len(called) == count
    for ours, theirs in pairs:
        loop.remove_reader(ours)
        ours.close()
        theirs.close()


# ---- open files that outlive their number ----


def stray(loop, sock):
    """Have the loop watch a number of *sock*'s file that is then closed behind its back."""
    number = os.dup(sock.fileno())
    called = []
    loop.add_reader(number, called.append, number)
    drain(loop)
    os.close(number)
    return number, called


# asyncio and libuv use all the CPU: the file is ready for ever, and they cannot take it out.
@only_pyaio
def test_a_file_that_outlives_its_number_uses_no_cpu(epoll_backend, loop, pair):
    number, called = stray(loop, pair[0])
    loop.remove_reader(number)
    pair[1].send(b"x")
    assert is_idle(loop) and called == []


# asyncio and libuv call who has the number now.
@only_pyaio
@pytest.mark.parametrize("removed", [True, False])
def test_a_file_that_outlives_its_number_is_not_taken_for_the_next_one(
    epoll_backend, loop, pair, removed
):
    number, called = stray(loop, pair[0])
    ours, theirs = socket.socketpair()
    if ours.fileno() != number:
        os.dup2(ours.fileno(), number, inheritable=False)
        ours.close()
    if removed:
        loop.remove_reader(number)
    loop.add_reader(number, called.append, "the next one")
    pair[1].send(b"x")
    assert is_idle(loop) and called == []
    theirs.send(b"y")
    while not called:
        loop.call_later(0.001, loop.stop)
        loop.run_forever()
    assert set(called) == {"the next one"}
    loop.remove_reader(number)
    ours.detach()
    os.close(number)
    theirs.close()


@only_pyaio
def test_others_are_watched_on_when_strays_are_thrown_out(epoll_backend, loop, pair):
    number, called = stray(loop, pair[0])
    loop.remove_reader(number)
    ours, theirs = socket.socketpair()
    loop.add_reader(ours, lambda: (called.append(ours.recv(9)), loop.stop()))
    pair[1].send(b"x")
    drain(loop, 5)
    theirs.send(b"y")
    with guarded(loop):
        loop.run_forever()
    thread = threading.Timer(0.005, loop.call_soon_threadsafe, (loop.stop,))
    with guarded(loop):
        thread.start()
        loop.run_forever()
    thread.join()
    assert called == [b"y"]
    loop.remove_reader(ours)
    ours.close()
    theirs.close()


# As above.
@only_pyaio
def test_a_loop_whose_eventfd_has_the_number_of_a_stray_is_still_woken(
    epoll_backend, loop_factory, pair
):
    def work():
        loop = loop_factory()
        number, _ = stray(loop, pair[0])
        loop.remove_reader(number)
        with guarded(loop):
            wait_once(loop)
        taken.append(open_fds()[number])
        loop.add_reader(pair[1], print)  # without any, nothing is looked for
        pair[1].send(b"x")
        loop.call_soon(pair[0].recv, 1)  # the stray is seen once
        drain(loop, 1)
        thread = threading.Timer(0.005, loop.call_soon_threadsafe, (loop.stop,))
        with guarded(loop):
            thread.start()
            loop.run_forever()
        thread.join()
        loop.remove_reader(pair[1])
        loop.close()

    taken = []
    # In a thread: in the main one, the pipe of signals would take the number.
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        executor.submit(work).result()
    assert taken == ["anon_inode:[eventfd]"]


# asyncio has one set for ever.
@only_pyaio
@pytest.mark.parametrize("why", ["a fork", "strays"])
def test_a_new_set_is_not_watched_for_the_number_that_it_takes(epoll_backend, child, why):
    source = f"""
    import os, socket

    (stale, _), (other, peer) = socket.socketpair(), socket.socketpair()
    loop = new_event_loop()

    def turns(count):
        for _ in range(count):
            loop.call_later(0.001, loop.stop)
            loop.run_forever()

    loop.add_reader(stale, print, "stale")
    turns(1)
    if {why!r} == "a fork":
        pid = os.fork()
        if pid:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        stale.close()
    else:
        copy, number = other.dup(), other.fileno()
        loop.add_reader(other, print, "other")
        turns(1)
        stale.close()
        other.close()
        loop.remove_reader(number)
        peer.send(b"x")
    turns(5)
    print(len([fd for fd in os.listdir("/proc/self/fd")
               if os.path.realpath("/proc/self/fd/" + fd).endswith("[eventpoll]")]))
    loop.close()
    """
    with child(source) as process:
        assert process.finish() == (0, "1\n", "")


def test_a_removed_reader_of_a_duplicate_uses_no_cpu(loop, pair):
    copy = pair[0].dup()
    loop.add_reader(copy, print)
    drain(loop)
    loop.remove_reader(copy)
    copy.close()
    pair[1].send(b"x")
    assert is_idle(loop)
