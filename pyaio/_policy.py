"""The event loop policy, for what still asks one for its loops.

asyncio deprecates policies in 3.14 and removes them in 3.16: there the names of
this module raise, with the way to go.
"""

import asyncio
import sys
import warnings

from pyaio._loop import Loop

if sys.version_info >= (3, 16):
    raise AttributeError(
        "asyncio has no event loop policies since Python 3.16: use pyaio.run(), or "
        "pyaio.new_event_loop as the loop factory of asyncio.run() or asyncio.Runner"
    )

with warnings.catch_warnings():
    # The warning is for who uses a policy, not for who can offer one.
    warnings.simplefilter("ignore", DeprecationWarning)
    _DefaultEventLoopPolicy = asyncio.DefaultEventLoopPolicy


class EventLoopPolicy(_DefaultEventLoopPolicy):
    """An asyncio event loop policy whose loops are pyaio's.

    In everything else, child watchers among it, asyncio's default policy.
    """

    _loop_factory = Loop


def install() -> None:
    """Make pyaio's policy the process-wide one, so that asyncio.run() and
    asyncio.new_event_loop() give pyaio loops.

    As asyncio.set_event_loop_policy(), whose DeprecationWarning it shows since
    3.14.
    """
    asyncio.set_event_loop_policy(EventLoopPolicy())


def uninstall() -> None:
    """Undo install(): asyncio goes back to its default policy."""
    asyncio.set_event_loop_policy(None)
