"""How fast the machine is right now.

Other machines may share its cores, and no counter here tells of them: for seconds and minutes
the same loop in Python takes 1.6 to 1.8 times as long. So it is timed before and after each sample.
"""

from __future__ import annotations

import bisect
import os
import time

from .sampling import Cores

COUNT = 20_000  # additions: some 0.5 ms
TIMES = 5  # of which the fastest counts: an interrupt is no slow machine
FASTEST = 0.1
"""The share of the looks that may be faster than the machine is: a core that has rested runs
faster for a moment, and the fastest look of all would be a figure that never comes again."""
DISTURBED = 1.3
"""Slower than that by this factor, a sample is taken again. A core that is shared is slower by 1.6
and more; by up to 1.2 one is that has slept or has run something else just before."""
AGAIN = 3
"""Times for one sample; all in all no more than there are samples: a run takes twice as long."""


def _one_look() -> float:
    start = time.perf_counter()
    total = 0
    for i in range(COUNT):
        total += i
    return time.perf_counter() - start


class Pace:
    """Compares the cores' speed with the fastest that was usual so far."""

    def __init__(self, cores: Cores, repeats: int) -> None:
        chosen = {core for core in (cores.server, cores.load) if core is not None}
        self._cores = sorted(chosen)
        self._looks: dict[int, list[float]] = {}  # by core; sorted
        self.repeats = repeats
        """How many samples may still be taken again."""

    def slowdown(self) -> float:
        """How many times slower than usual the slower core is: 1.0 and more."""
        if not self._cores:
            return self._on_core(-1)
        before = os.sched_getaffinity(0)
        try:
            return max(self._pinned(core) for core in self._cores)
        finally:
            os.sched_setaffinity(0, before)

    def _pinned(self, core: int) -> float:
        os.sched_setaffinity(0, {core})
        return self._on_core(core)

    def _on_core(self, core: int) -> float:
        took = min(_one_look() for _ in range(TIMES))
        looks = self._looks.setdefault(core, [])
        bisect.insort(looks, took)
        return max(1.0, took / looks[int(len(looks) * FASTEST)])
