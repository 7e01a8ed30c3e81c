"""The future that run_in_executor() returns, which follows that of an executor.

asyncio chains the two by code for futures of all kinds, which costs nearly as much as all
else that run_in_executor() does in Python. What it does for these two kinds stands here; for
whatever is unusual its own functions are called.
"""

import asyncio
from asyncio import events, futures
from concurrent.futures import Future as ExecutorFuture
from concurrent.futures._base import FINISHED
from typing import TYPE_CHECKING, Any

from pyaio import _core

if TYPE_CHECKING:
    from pyaio._loop import Loop

_futures: Any = futures


def _asyncios_way() -> tuple[Any, ...]:
    return _futures.wrap_future, _futures._chain_future, _futures._copy_future_state


#: Whoever has put others in the place of these is to be asked.
_ASYNCIOS_OWN = _asyncios_way()


def follow(source: Any, loop: "Loop") -> asyncio.Future[Any]:
    """asyncio.wrap_future(source, loop=loop)."""
    if type(source) is not ExecutorFuture or _asyncios_way() != _ASYNCIOS_OWN:
        return futures.wrap_future(source, loop=loop)
    destination: asyncio.Future[Any] = loop.create_future()
    if type(destination) is _core.Future:
        _chain(source, destination, loop)
    else:
        _futures._chain_future(source, destination)
    return destination


def _chain(source: Any, destination: asyncio.Future[Any], loop: "Loop") -> None:
    """Copy the end of the source to the destination, and a cancellation back."""

    def cancel_source(destination: asyncio.Future[Any]) -> None:
        if destination.cancelled():
            source.cancel()

    def end_destination(source: Any) -> None:
        if destination.cancelled():
            return
        if events._get_running_loop() is loop:
            # It was done before it was chained, or shutdown() has cancelled it: versions
            # differ on whether to copy that at once.
            _futures._chain_future(source, destination)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(_copy, source, destination)

    destination.add_done_callback(cancel_source)
    source.add_done_callback(end_destination)


def _copy(source: Any, destination: asyncio.Future[Any]) -> None:
    """As asyncio, which asks a source under its lock three times, also a finished one."""
    if source._state == FINISHED and source._exception is None and not destination.done():
        destination.set_result(source._result)
    else:
        _futures._copy_future_state(source, destination)
