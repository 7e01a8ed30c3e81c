"""What the tests share beside fixtures: counting what is open, child processes, small recorders.

Used by conftest.py (which builds the fixtures on it) and imported by name from any test:
``from helpers import open_fds``.
"""

import asyncio
import contextlib
import gc
import logging
import os
import re
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

import pytest

#: Time after which a test that waits counts as hung. Never part of what is asserted. Below the
#: time limit of pytest-timeout, which ends the process and leaves no time to clean up.
HANG = 30.0

#: How long a test waits for what has to come: less than the suite allows it in all, so that a
#: hang ends in a TimeoutError with a traceback and not with the end of the whole run.
PATIENCE = HANG / 3

#: What a child process has to run to have ``new_event_loop`` in its namespace, by loop kind.
CHILD_PRELUDE = {
    "pyaio": "from pyaio import new_event_loop\n",
    "asyncio": "from asyncio import SelectorEventLoop as new_event_loop\n",
}

#: A CPython that can do without the GIL.
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

#: A test, with a fixture of the loop, of what is pyaio's alone.
only_pyaio = pytest.mark.parametrize("loop_kind", ["pyaio"], indirect=True)

_EXECUTING = re.compile(r"Executing .* took ")


def loop_factory_of(kind):
    """Return the callable that makes loops of *kind* ("pyaio" or "asyncio").

    pyaio is imported here and not before, so the suite also runs where only asyncio is wanted
    (``-k asyncio``); where it cannot be imported, every test of kind "pyaio" fails.
    """
    if kind == "asyncio":
        return asyncio.SelectorEventLoop
    import pyaio

    return pyaio.new_event_loop


def loop_class_of(kind):
    """Return the class of loops of *kind*."""
    if kind == "asyncio":
        return asyncio.SelectorEventLoop
    import pyaio

    return pyaio.Loop


def open_fds():
    """Return the open descriptors of this process, as {number: what it is}."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the descriptor of the listing itself
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def count_fds():
    """Return how many descriptors this process has open."""
    return len(open_fds())


def leaked_threads(before, patience=HANG):
    """Return the threads that are not in *before* and do not end within *patience* seconds."""
    give_up = time.monotonic() + patience
    for thread in set(threading.enumerate()) - set(before):
        if thread is not threading.current_thread():
            thread.join(max(0.0, give_up - time.monotonic()))
    return [t for t in threading.enumerate() if t not in before]


def collect():
    """Collect garbage until nothing more is found: finalizers may leave new garbage behind.

    Return how much the collector finds again and again but cannot free: 0 unless a type's
    tp_clear is wrong.
    """
    for _ in range(10):
        stuck = gc.collect()
        if not stuck:
            break
    return stuck


def drain(loop, turns=3):
    """Run *turns* turns of a loop that is not running."""
    for _ in range(turns):
        loop.call_soon(loop.stop)
        loop.run_forever()


def cpu_while_idle(loop, seconds=0.2):
    """The share of the time that an idle loop spends computing: next to nothing. One that spins
    spends what a busy machine leaves it. What a hypervisor takes away from who runs counts as
    spent, too: the least of three looks is told.
    """
    shares = []
    while len(shares) < 3 and min(shares, default=1.0) > 0.02:
        loop.call_later(seconds, loop.stop)
        start = time.thread_time()
        loop.run_forever()
        shares.append((time.thread_time() - start) / seconds)
    return min(shares)


async def waits():
    """Have the loop open what its first wait opens. It waits at least once, however late it comes
    to some of these: who is delayed finds his timer due, and only looks.
    """
    for _ in range(4):
        await asyncio.sleep(0.01)


def wait_once(loop):
    loop.run_until_complete(waits())


def asleep(pid, thread=None):
    """Whether that thread of a process, or its main thread, waits for something."""
    stat = Path(f"/proc/{pid}/task/{thread or pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "S"


def wait_until(condition, what="the condition"):
    """Sleep in small steps until *condition()* is true; fail after HANG seconds."""
    give_up = time.monotonic() + HANG
    while not condition():
        if time.monotonic() > give_up:
            raise AssertionError(f"{what}: still not so after {HANG} s")
        time.sleep(0.001)


class Reports(logging.Handler):
    """Collects what a loop or a task reports on asyncio's logger, from WARNING up.

    A test that provokes reports fetches them with `take()`; what is left at its end fails it.
    "Executing … took … seconds" depends on the machine's load, so it is kept apart in `slow`.
    """

    def __init__(self):
        super().__init__(logging.WARNING)
        self.records = []
        self.slow = []

    def emit(self, record):
        slow = _EXECUTING.match(record.getMessage())
        (self.slow if slow else self.records).append(record)

    def take(self):
        """Return the messages collected so far and forget them."""
        taken, self.records = [r.getMessage() for r in self.records], []
        return taken


class HandlerCalls(list):
    """An exception handler that keeps each context."""

    @classmethod
    def of(cls, loop):
        """Return a new one, set as the handler of *loop*."""
        calls = cls()
        loop.set_exception_handler(calls)
        return calls

    def __call__(self, loop, context):
        self.append(context)

    @property
    def exceptions(self):
        return [context.get("exception") for context in self]


class Child:
    """A Python child process that a test talks to line by line; a context manager.

    Leaving the block kills what still runs, so no test leaves a process behind.
    """

    def __init__(self, args, *, env=None):
        self.process = subprocess.Popen(
            [sys.executable, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_env(env),
            bufsize=0,  # communicate() reads the descriptor, past the buffer of a file object
        )

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def expect(self, line):
        """Read one line of the child's output and check it; a dead child shows its errors."""
        got = self.process.stdout.readline().decode().rstrip("\n")
        if got != line:
            self.process.kill()
            errors = self.process.communicate(timeout=HANG)[1].decode()
            raise AssertionError(f"the child said {got!r}, not {line!r}; its errors:\n{errors}")

    def signal(self, signum=signal.SIGINT):
        self.process.send_signal(signum)

    def finish(self, input="", patience=HANG):
        """Wait for the end; return (exit code, rest of the output, errors)."""
        out, err = self.process.communicate(input.encode(), timeout=patience)
        return self.process.returncode, out.decode(), err.decode()


def child_env(extra=None):
    """The environment for a child: ours without what changes an interpreter's behaviour."""
    env = {k: v for k, v in os.environ.items() if k not in _NOT_INHERITED}
    env.update(extra or {})
    return env


_NOT_INHERITED = {
    "PYTHONASYNCIODEBUG",
    "PYTHONDEVMODE",
    "PYTHONWARNINGS",
    "PYTHONTRACEMALLOC",
    "PYTHONUNBUFFERED",
}


def run_python(*args, input=None, env=None, cwd=None, timeout=HANG):
    """Run a Python child to its end; return its CompletedProcess with text output."""
    return subprocess.run(
        [sys.executable, *args],
        input=input,
        capture_output=True,
        text=True,
        env=child_env(env),
        cwd=cwd,
        timeout=timeout,
    )
