"""How much of pyaio's time in a row is the loop's own: what a faster loop could still win.

The rest is Python code that runs alike on every loop: asyncio's own, a library's, the workload's.
It is found in a run of its own, of which nothing else is kept, since looking costs time.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from . import build

SECONDS = 2.0
"""How long such a run is at least: the CPU clock ticks some hundred times a second."""
KEY = "loop_share"


def found_by(take: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Calls it and adds the share to the `extra` of its result."""
    stacks = build.load(build.STACKS)
    core = importlib.import_module("pyaio._core").__file__
    stacks.start()
    result = take()
    of_loop, all_ = stacks.stop(core)
    if all_:
        result["extra"][KEY] = of_loop / all_
    return result
