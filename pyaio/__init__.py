"""pyaio: asyncio's event loop in C.

Any asyncio program runs on it unchanged::

    import pyaio
    pyaio.run(main())

or, with a loop factory, ``asyncio.Runner(loop_factory=pyaio.new_event_loop)``,
or, without touching the program at all, ``python -m pyaio program.py``.
"""

import sys

from pyaio._core import Future, Task, __version__, libuv_version
from pyaio._loop import Loop
from pyaio._run import new_event_loop, run

if sys.version_info >= (3, 14):
    from pyaio import _layout

    _layout.adopt()

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyaio._policy import EventLoopPolicy, install, uninstall

__all__ = (
    "EventLoopPolicy",
    "Future",
    "Loop",
    "Task",
    "__version__",
    "install",
    "libuv_version",
    "new_event_loop",
    "run",
    "uninstall",
)

_OF_POLICY = ("EventLoopPolicy", "install", "uninstall")


def __getattr__(name: str) -> object:
    # asyncio deprecates policies in 3.14 and drops them in 3.16: whoever asks
    # for one meets what the running version says of it, an import does not.
    if name in _OF_POLICY:
        from pyaio import _policy

        return getattr(_policy, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
