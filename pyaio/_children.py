"""How a loop hears of the end of its child processes on Python 3.11.

Since 3.12 asyncio watches a child through a pidfd on the loop. In 3.11 its default is a
thread a child (ThreadedChildWatcher): this module takes its place where the kernel has
pidfds, says what it says, and leaves every other watcher to asyncio.
"""

import asyncio
import contextvars
import os
import sys
import threading
from asyncio import events, unix_events
from asyncio.log import logger
from typing import TYPE_CHECKING, Any, NamedTuple

from pyaio._spawn import make_transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyaio._loop import Loop


class _Child(NamedTuple):
    pid: int
    parent: int  # who may wait for it: not a fork of the loop's process
    callback: "Callable[..., object]"
    args: tuple[Any, ...]


class Children:
    """The child processes of one loop that asyncio would watch from threads."""

    def __init__(self) -> None:
        # Not the loop: that is to die with its last reference, as asyncio's does.
        self._running: dict[int, _Child] = {}  # by pidfd, which is ours to close

    def are_ours(self) -> bool:
        """True where asyncio would watch the next child from a thread, and we need none."""
        return (
            sys.version_info < (3, 12)
            and hasattr(os, "pidfd_open")
            and type(events.get_child_watcher()) is unix_events.ThreadedChildWatcher
        )

    async def start(
        self, loop: "Loop", protocol: asyncio.SubprocessProtocol, *args: Any, **kwargs: Any
    ) -> asyncio.SubprocessTransport:
        """Start a process, as asyncio's _make_subprocess_transport()."""
        waiter = loop.create_future()
        transport = make_transport(loop, protocol, *args, waiter=waiter, **kwargs)
        self._watch(loop, transport.get_pid(), loop._child_watcher_callback, transport)
        try:
            await waiter
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            transport.close()
            await transport._wait()
            raise
        child: asyncio.SubprocessTransport = transport
        return child

    def _watch(self, loop: "Loop", pid: int, callback: "Callable[..., object]", *args: Any) -> None:
        child = _Child(pid, os.getpid(), callback, args)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:  # an old kernel, no descriptor left, or somebody has reaped it
            self._wait_in_thread(loop, child)
            return
        self._running[pidfd] = child
        # A thread would call back in a context of its own, in which nothing is set.
        contextvars.Context().run(loop._add_reader, pidfd, self._on_exit, loop, pidfd)

    def _on_exit(self, loop: "Loop", pidfd: int) -> None:
        child = self._running.pop(pidfd)
        loop._remove_reader(pidfd)
        os.close(pidfd)
        child.callback(child.pid, self._reap(loop, child.pid), *child.args)

    def _reap(self, loop: "Loop", pid: int) -> int:
        """Return the exit code of a child that has ended."""
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:
            logger.warning("Unknown child process pid %d, will report returncode 255", pid)
            return 255
        returncode = os.waitstatus_to_exitcode(status)
        if loop.get_debug():
            logger.debug("process %s exited with returncode %s", pid, returncode)
        return returncode

    def _wait_in_thread(self, loop: "Loop", child: _Child) -> None:
        """Leave the child to asyncio's watcher; also after the loop is closed."""
        watcher: Any = events.get_child_watcher()
        thread = threading.Thread(
            target=watcher._do_waitpid,
            args=(loop, child.pid, child.callback, child.args),
            name=f"asyncio-waitpid-{next(watcher._pid_counter)}",
            daemon=True,
        )
        watcher._threads[child.pid] = thread
        thread.start()

    def close(self, loop: "Loop") -> None:
        """Stop to watch, the loop being closed; what still runs will be reaped."""
        while self._running:
            pidfd, child = self._running.popitem()
            os.close(pidfd)
            if child.parent == os.getpid():
                self._wait_in_thread(loop, child)
