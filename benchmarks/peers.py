"""The event loops that are compared: how to make one, which version it is, what it measures.

A peer that cannot be imported is left out, with the reason. `floor` is not a loop: it is what
the work costs without one, where a workload says what that is.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .workload import Workload

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
FIRST_SETTING = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
# The second, as the heap's end would shrink and grow by each block instead.
NEVER_MAPPED = {"MALLOC_MMAP_THRESHOLD_": "4000000", "MALLOC_TRIM_THRESHOLD_": "8000000"}


@dataclass(frozen=True)
class Peer:
    """One column of the report, one colour of the chart."""

    name: str
    colour: str
    make: Callable[[], LoopFactory] | None
    """Imports what is needed and returns the loop factory; None for the floor."""
    distribution: str = ""
    """The package whose version is shown; empty for the interpreter's own loop."""
    title: str = ""
    transport_environment: Mapping[str, str] = field(default_factory=dict)
    """Set in its process, in workloads with the tag `transports`: servers and pipes."""
    needs: frozenset[str] = frozenset()
    """Measured only in workloads with all of these tags."""
    named_only: bool = False
    """Measured only where --peers names it: fails in many workloads, or is far from the best."""

    @property
    def label(self) -> str:
        """What tables and charts call it."""
        return self.title or self.name

    def measures(self, workload: Workload) -> bool:
        """Whether the peer has a place in this row."""
        if self.make is None:
            return bool(workload.floor)
        if workload.free_threaded and not FREE_THREADED:
            return False
        return self.needs <= workload.tags and sys.version_info >= workload.needs


def _factory(module: str, name: str = "new_event_loop") -> Callable[[], LoopFactory]:
    """What a module makes its loops with, imported when it is asked for."""
    return lambda: getattr(importlib.import_module(module), name)


def _aiofastnet() -> LoopFactory:
    patch = importlib.import_module("aiofastnet").patch_loop
    return lambda: patch(asyncio.new_event_loop())


_ALL = (
    # asyncio allocates 256 KiB for each read. glibc maps and unmaps such a block each time, until
    # the program happens to free a larger one; then it keeps them, and asyncio's servers are
    # two or three times as fast. So that a figure does not hang on what the worker has imported,
    # there are both: glibc's first setting held, which is what a small program gets, and blocks
    # that are never mapped, which tells how much of what others win is only that.
    Peer("asyncio", "#9a9a9a", _factory("asyncio"), transport_environment=FIRST_SETTING),
    Peer(
        "asyncio-no-mmap",
        "#c9c9c9",
        _factory("asyncio"),
        title="asyncio, no mmap",
        transport_environment=NEVER_MAPPED,
        needs=frozenset({"transports", "recv"}),
    ),
    # Transports only: its scheduling is asyncio's own.
    Peer("aiofastnet", "#cc79a7", _aiofastnet, "aiofastnet", needs=frozenset({"transports"})),
    Peer("uvloop", "#e6a117", _factory("uvloop"), "uvloop"),
    Peer("rloop", "#56b4e9", _factory("rloop"), "rloop"),
    Peer("rsloop", "#0072b2", _factory("rsloop"), "rsloop"),
    Peer("zuvloop", "#009e73", _factory("zuvloop"), "zuvloop"),
    Peer("blazio", "#a6761d", _factory("blazio"), "blazio", named_only=True),
    Peer("zloop", "#7570b3", _factory("zloop"), "zloop", named_only=True),
    Peer("talyn", "#8dd3c7", _factory("talyn", "Loop"), "talyn", named_only=True),
    Peer("veloxloop", "#bc80bd", _factory("veloxloop", "VeloxLoop"), "veloxloop", named_only=True),
    Peer("pyaio", "#d1342f", _factory("pyaio"), "pyaio"),
    Peer("floor", "#333333", None, title="floor"),
)
PEERS = {peer.name: peer for peer in _ALL}
OURS, BASE, UVLOOP, FLOOR = "pyaio", "asyncio", "uvloop", "floor"
NOT_LOOPS = frozenset({FLOOR})
