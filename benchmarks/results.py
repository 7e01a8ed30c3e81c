"""All samples of a run, and what can be asked of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .pace import DISTURBED
from .peers import NOT_LOOPS, OURS
from .sampling import Sample
from .stats import Summary, paired_ratio, steady, summary
from .workload import TABLE, Workload

CORE_FULL = 0.9  # of a core; a process that has less and never waits shares the core


@dataclass
class Row:
    """What was found for one workload."""

    workload: Workload
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    """By peer; a peer that failed in any round has no samples."""
    problems: dict[str, str] = field(default_factory=dict)
    """By peer: why it failed."""
    loop_share: float | None = None
    """Share of our process's time that is the loop's and the kernel's, not that of the Python
    code which every loop runs; None where it was not asked for."""
    smallest: Row | None = None
    """The row that the cost of this one has grown from; None where nothing grows."""

    def _steady(self, peer: str) -> list[Sample]:
        return [sample for (sample,) in steady(self.samples.get(peer, []))]

    def rate(self, peer: str) -> Summary | None:
        """Operations a second."""
        return summary(sample.rate for sample in self._steady(peer))

    def cpu_us(self, peer: str) -> Summary | None:
        """CPU time an operation, in microseconds."""
        return summary(sample.cpu_us for sample in self._steady(peer))

    def extra(self, peer: str, key: str) -> float | None:
        """Median of a further figure; None where it was not measured."""
        values = [s.extra[key] for s in self._steady(peer) if key in s.extra]
        return median(values) if values else None

    def ratio(self, peer: str, other: str, figure: str = "rate") -> Summary | None:
        """How many times a figure of the other, paired by round."""
        return paired_ratio(self.samples.get(peer, []), self.samples.get(other, []), figure)

    def growth(self, peer: str) -> Summary | None:
        """How many times what an operation costs in the row of the smallest size."""
        if self.smallest is None:
            return None
        first, here = self.smallest.samples.get(peer, []), self.samples.get(peer, [])
        if self.workload.load is not None:
            return paired_ratio(here, first, "cpu_us")
        return paired_ratio(first, here)

    def cost(self, peer: str) -> float | None:
        """What an operation costs, in ns: its time; of a server the CPU time."""
        rate, cpu = self.rate(peer), self.cpu_us(peer)
        if rate is None or cpu is None:
            return None
        return 1e3 * cpu.median if self.workload.load else 1e9 / rate.median

    def best_rival(self) -> str | None:
        """The fastest loop that is not ours."""
        rates = {
            name: median(sample.rate for sample in self._steady(name))
            for name, samples in self.samples.items()
            if name != OURS and name not in NOT_LOOPS and samples
        }
        return max(rates, key=rates.__getitem__) if rates else None

    def least(self, figure: str) -> str | None:
        """Whoever has the least of it, ours not among them; the floor may be."""
        found = {
            name: median(values)
            for name in self.samples
            if name != OURS
            and (values := [v for s in self._steady(name) if (v := s.figure(figure))])
        }
        return min(found, key=found.__getitem__) if found else None

    def load_bound(self) -> list[str]:
        """Peers whose figure is the load generator's limit rather than their own."""
        bound = []
        for name in self.samples:
            load, server = self.extra(name, "load_share"), self.extra(name, "server_share")
            if load is not None and server is not None and load >= 0.95 > server:
                bound.append(name)
        return bound

    def crowded(self) -> list[str]:
        """Peers that did not have their core to themselves: other work was running there.

        A server with ten connections and more keeps its own core or the load's busy; a body
        without load never waits for anything.
        """
        return [name for name, samples in self.samples.items() if samples and self._waits(name)]

    def disturbed(self) -> int:
        """How many samples come from while the machine was slow, for all that was tried."""
        taken = [sample for samples in self.samples.values() for sample in samples]
        return sum(sample.slowdown >= DISTURBED for sample in taken)

    def _waits(self, peer: str) -> bool:
        server, load = self.extra(peer, "server_share"), self.extra(peer, "load_share")
        if server is not None and load is not None and self.workload.load is not None:
            return self.workload.load.connections >= 10 and max(server, load) < CORE_FULL
        shares = [sample.cpu / sample.seconds for sample in self.samples[peer]]
        return self.workload.pinned and median(shares) < CORE_FULL

    def fail(self, peer: str, problem: str) -> None:
        """Takes the peer out of this row."""
        self.samples.pop(peer, None)
        self.problems[peer] = problem


@dataclass
class Results:
    """A run: where and with what it was made, and a row for each workload."""

    about: dict[str, Any]
    """Machine, versions, commit, command, settings; see machine.py."""
    peers: list[str]
    rows: dict[str, Row] = field(default_factory=dict)

    def row(self, workload: Workload) -> Row:
        """The row of a workload, made when it is first asked for."""
        if workload.id not in self.rows:
            first = workload.grows_from
            smallest = self.row(TABLE[first]) if first else None
            self.rows[workload.id] = Row(workload, smallest=smallest)
        return self.rows[workload.id]

    def measured_rows(self) -> list[Row]:
        """Rows with at least one figure or failure, in the table's order."""
        order = list(TABLE)
        found = [row for row in self.rows.values() if row.samples or row.problems]
        return sorted(found, key=lambda row: order.index(row.workload.id))
