"""What a workload is: its name, its body, its goal; and the table of all of them.

The files in `workloads/` fill the table with `@workload` and `register`. `worker.py` runs the
bodies, in a process of its own for each; everything else only reads the descriptions, so this
module imports nothing that is slow to load.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

TIMES = "\N{MULTIPLICATION SIGN}"
QUICK, STANDARD, EXTRA = "quick", "standard", "extra"
"""Levels: run by `--quick` and by default; by default; only with `--all` or by name."""


@dataclass(frozen=True)
class Unit:
    """How a rate (operations a second) is shown: as it is, or as the time an operation takes."""

    name: str
    scale: float = 0.0
    """Units of time in a second; 0 where the rate itself is shown."""
    per: int = 1
    """How many operations the shown time is for, or make one of what the shown rate counts."""

    def show(self, rate: float) -> float:
        """The figure that people read, from operations a second."""
        return self.scale * self.per / rate if self.scale else rate / self.per


NS = Unit("ns", 1e9)
US = Unit("µs", 1e6)
PER_SECOND = Unit("/s")


@dataclass(frozen=True)
class Goal:
    """What pyaio must reach; each field that is set is a condition of its own."""

    rival: float | None = None
    """Times the rate of the best other loop in the same run."""
    asyncio: float | None = None
    """Times the rate of stock asyncio."""
    floor: float | None = None
    """Share of the floor's rate: a server in C, or the bare interpreter."""
    p99_us: float | None = None
    """Latency that 99 of 100 messages stay below."""
    p99_rival: float | None = None
    """How many times shorter p99 is than that of the rival with the best rate; 1: as good."""
    p99_uvloop: float | None = None
    """At most this many times uvloop's p99."""
    memory_uvloop: float | None = None
    """At most this many times the memory that a connection takes of uvloop."""
    cpu_least: float | None = None
    """At most this many times the least CPU time a message of all, the floor among them."""
    kept: float | None = None
    """Share of its speed alone that a CPU-bound thread keeps."""


@dataclass(frozen=True)
class Load:
    """What the load does to a server; `load/main.c` and `wrk.py` have it as options."""

    connections: int
    size: int = 1024
    """Bytes of a message; of what wrk is answered."""
    mode: str = "echo"
    """One of those of `load/main.c`, or wrk."""
    active: int = 0
    """How many connections have a message in flight at a time; 0: all."""
    unix: bool = False
    udp: bool = False
    tls: bool = False
    resume: bool = False
    """TLS sessions are resumed."""


@dataclass(frozen=True)
class Workload:
    """One row of the report."""

    group: str
    key: str
    title: str
    body: Callable[[Run], Any]
    """A coroutine function or a function that does `run.n` operations and returns how many
    were really done; with `load`, a coroutine function that returns a listening server."""
    unit: Unit = NS
    goal: Goal | None = None
    level: str = STANDARD
    headline: bool = False
    """Belongs into the chart that shows the whole picture."""
    grain: int = 1
    """Operations come in batches of this many."""
    fixed: int = 0
    """Exactly this many operations, instead of as many as fill the time."""
    timed: bool = False
    """The body runs for `run.seconds` and counts; `run.n` is not used."""
    pinned: bool = True
    """The process stays on one core; not so where the work has threads."""
    load: Load | None = None
    floor: str = ""
    """The least that this work can cost, by its name in `build.FLOORS`: for a load a server in C,
    else `send`, the body's coroutine sent None by a loop in C; empty where there is none."""
    size: int = 0
    """How many there are of what grows; 0 where nothing does."""
    beside: str = ""
    """A server in C, by its name in `build.FLOORS`, that runs on the load's core while a body
    without a load is measured; its port is `run.port`."""
    needs_packages: tuple[str, ...] = ()
    """Modules that have to be installed, apart from the standard library."""
    grows_from: str = ""
    """The row (its id) of the smallest size, which shows how the cost has grown since."""
    needs: tuple[int, int] = (3, 11)
    """The first Python version that has it."""
    share: bool = False
    """Much of it is Python code that no loop can change: the report tells how much."""
    free_threaded: bool = False
    """Only for interpreters that are built without the GIL."""
    tags: frozenset[str] = field(default_factory=frozenset)

    @property
    def id(self) -> str:
        """Unique name, as `--list` prints it."""
        return f"{self.group}/{self.key}"

    @property
    def about(self) -> str:
        """One sentence: what an operation is."""
        return (getattr(self.body, "__doc__", None) or "").strip().split("\n")[0]


class Run:
    """What a body is handed: how much to do, and where to leave what it found out."""

    def __init__(
        self,
        n: int,
        seconds: float,
        new_loop: Callable[[], asyncio.AbstractEventLoop],
        load: Load | None = None,
        *,
        port: int = 0,
        identity: str = "",
    ) -> None:
        self.n = n
        self.seconds = seconds
        self.new_loop = new_loop
        self.load = load
        self.port = port
        """Where the server `beside` listens."""
        self.identity = identity
        """PEM file of the server's key and certificate; empty without TLS."""
        self.extra: dict[str, float] = {}
        """Figures beside the rate, for the report."""
        self.at_end: Callable[[float, float], dict[str, float]] | None = None
        """For servers: gets the window (monotonic seconds), returns more for `extra`."""
        self.background: object = None
        """For servers: what has to live as long as the process."""
        self.paused_seconds = 0.0
        self.paused_cpu = 0.0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens in this block is not measured."""
        started, cpu = time.perf_counter(), time.process_time()
        yield
        self.paused_seconds += time.perf_counter() - started
        self.paused_cpu += time.process_time() - cpu


TABLE: dict[str, Workload] = {}


def register(entry: Workload) -> Workload:
    """Adds a workload to the table; its name must be new."""
    if entry.id in TABLE:
        raise ValueError(f"two workloads are called {entry.id}")
    TABLE[entry.id] = entry
    return entry


def workload(
    group: str, title: str, **options: Any
) -> Callable[[Callable[[Run], Any]], Callable[[Run], Any]]:
    """Decorator: makes a body a workload; its key is the function's name."""

    def add(body: Callable[[Run], Any]) -> Callable[[Run], Any]:
        key = options.pop("key", body.__name__.replace("_", "-"))
        tags = frozenset(options.pop("tags", ()))
        register(Workload(group, key, title, body, tags=tags, **options))
        return body

    return add


def select(patterns: list[str], levels: set[str]) -> list[Workload]:
    """Workloads by pattern (a group, a name, or wildcards), else those of the given levels.

    Of a group those of the levels are taken, or the standard ones where it has none of them.
    Raises ValueError for a pattern that fits nothing.
    """
    if not patterns:
        return [entry for entry in TABLE.values() if entry.level in levels]
    chosen: dict[str, Workload] = {}
    for pattern in patterns:
        found = {entry.id: entry for entry in TABLE.values() if _fits(entry, pattern)}
        if not found:
            raise ValueError(f"no workload fits {pattern!r}; --list shows them all")
        if pattern in {entry.group for entry in TABLE.values()}:
            found = _of_levels(found, levels) or _of_levels(found, {STANDARD})
        chosen.update(found)
    return [entry for entry in TABLE.values() if entry.id in chosen]


def _of_levels(entries: dict[str, Workload], levels: set[str]) -> dict[str, Workload]:
    return {key: entry for key, entry in entries.items() if entry.level in levels}


def _fits(entry: Workload, pattern: str) -> bool:
    return pattern in (entry.group, entry.key) or fnmatch(entry.id, pattern)
