"""Making a loop and running a program on it."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pyaio._loop import Loop

_T = TypeVar("_T")


def new_event_loop() -> Loop:
    """Return a new event loop: the loop factory that asyncio.Runner, uvicorn,
    anyio and pytest-asyncio take."""
    return Loop()


def run(
    main: Coroutine[Any, Any, _T],
    *,
    debug: bool | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> _T:
    """Run a coroutine on a new pyaio loop and return its result.

    As asyncio.run(), on every Python from 3.11: `debug` sets the loop's debug
    mode (None leaves it to PYTHONASYNCIODEBUG and -X dev), `loop_factory` makes
    another loop than pyaio.new_event_loop(). Raises what `main` raises,
    ValueError for what is no coroutine, and RuntimeError inside of a running
    loop.
    """
    if sys.version_info < (3, 12) and not asyncio.iscoroutine(main):
        # asyncio.run() of 3.11 looks before it makes a loop; Runner does not.
        raise ValueError(f"a coroutine was expected, got {main!r}")
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("asyncio.run() cannot be called from a running event loop")
    with asyncio.Runner(debug=debug, loop_factory=loop_factory or new_event_loop) as runner:
        return runner.run(main)
