"""The native half as asyncio's own code sees it: `_selector`, `_ready`, `_scheduled`.

Nothing here is in the way of a turn. It is for who looks inside a loop, as asyncio's
transports do for their repr(), and for who turns one from Python: a subclass with a
`_run_once()` of its own, a test that puts a clock before `_selector.select()`.
"""

import asyncio
import selectors
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyaio._loop import Loop


class SelectorView:
    """A loop's watched fds as a selector: looked at, and waited for."""

    def __init__(self, loop: "Loop") -> None:
        self._loop = loop

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self._tell_loop(name)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self._tell_loop(name)

    def _tell_loop(self, name: str) -> None:
        """Have the loop call our select() if somebody has replaced it."""
        if name == "select":
            self._loop._poll_natively("select" not in vars(self))

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait up to `timeout` seconds, None for ever; return what is ready.

        The loop's _process_events() makes that run.
        """
        token = self._loop._watch_signals()
        try:
            events = self._loop._select(timeout)
        finally:
            self._loop._unwatch_signals(token)
        return [(selectors.SelectorKey(fd, fd, mask, None), mask) for fd, mask in events]

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """Return the fd's key, KeyError when it is not watched."""
        events = self._loop._watched_events(fileobj)
        if not events:
            raise KeyError(f"{fileobj!r} is not registered")
        fd = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
        return selectors.SelectorKey(fileobj, fd, events, None)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return the keys of all that is watched now, by fd."""
        return {fd: self.get_key(fd) for fd in self._loop._watched_fds()}

    def close(self) -> None:
        """Nothing: the fds are the loop's."""


class ReadyView:
    """The ready queue, of which asyncio makes a collections.deque of handles."""

    def __init__(self, loop: "Loop") -> None:
        self._loop = loop

    def __len__(self) -> int:
        return self._loop._ready_count()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._loop._ready_list())

    def __getitem__(self, index: int) -> Any:
        return self._loop._ready_list()[index]

    def __repr__(self) -> str:
        return repr(self._loop._ready_list())

    def append(self, handle: asyncio.Handle) -> None:
        """Have an asyncio.Handle run in the next turn, once, unless it is cancelled."""
        if getattr(handle, "_scheduled", False):
            handle._scheduled = False  # type: ignore[attr-defined]
        self._loop._add_callback(handle)

    def popleft(self) -> asyncio.Handle:
        """Take out what would run first; IndexError when nothing would."""
        return self._loop._ready_pop()

    def clear(self) -> None:
        """Drop all."""
        for _ in range(len(self)):
            self._loop._ready_pop()


class ScheduledView(list[asyncio.TimerHandle]):
    """The timers at the time of asking, in the order of a heap.

    A timer leaves the loop when it is cancelled, fires, or is told that it is not
    scheduled any more, as asyncio tells those that it takes out of its list.
    """

    def __init__(self, loop: "Loop") -> None:
        super().__init__(loop._scheduled_list())
        self._loop = loop

    def append(self, handle: asyncio.TimerHandle) -> None:
        """Have the handle run at its time."""
        super().append(handle)
        self._loop._schedule(handle)
