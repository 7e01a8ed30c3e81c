"""What asyncio's datagram and pipe transports ask a selector for their repr()."""

import selectors
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyaio._loop import Loop


class SelectorView:
    """A loop's watched fds, to be looked at: get_key() of a selector."""

    def __init__(self, loop: "Loop") -> None:
        self._loop = loop

    def get_key(self, fileobj: int) -> selectors.SelectorKey:
        """Return the fd's key, KeyError when it is not watched."""
        events = self._loop._watched_events(fileobj)
        if not events:
            raise KeyError(f"{fileobj!r} is not registered")
        return selectors.SelectorKey(fileobj, fileobj, events, None)
