"""The rounds: every peer in every workload, interleaved, every second round in reverse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .build import BuildError
from .peers import PEERS, Peer
from .results import Results
from .sampling import SampleError, Sampler
from .workload import Workload

OnSample = Callable[[str, Workload, Peer], None]
"""Told what comes next."""


@dataclass(frozen=True)
class Plan:
    """Which peers are measured in which workloads, and how often."""

    workloads: list[Workload]
    peers: list[Peer]
    rounds: int

    def pairs(self) -> list[tuple[Workload, Peer]]:
        """One round, in its order."""
        return [(w, peer) for w in self.workloads for peer in self.peers if peer.measures(w)]

    @property
    def total(self) -> int:
        """How many samples that makes."""
        return len(self.pairs()) * self.rounds


def run(plan: Plan, sampler: Sampler, results: Results, on_sample: OnSample) -> bool:
    """Takes all samples and leaves them in `results`; returns whether it came to its end.

    A peer that fails in a workload is left out of it from there on. Ctrl-C ends the run, and
    what is there by then is kept.
    """
    results.peers = [peer.name for peer in plan.peers]
    try:
        for round_ in range(plan.rounds):
            pairs = plan.pairs()
            for workload, peer in pairs if round_ % 2 == 0 else reversed(pairs):
                on_sample(f"round {round_ + 1}", workload, peer)
                _one(sampler, results, workload, peer, round_)
    except KeyboardInterrupt:
        return False
    return True


def _one(sampler: Sampler, results: Results, workload: Workload, peer: Peer, round_: int) -> None:
    row = results.row(workload)
    if peer.name in row.problems:
        return
    try:
        sample = sampler.take(peer, workload, round_)
    except (SampleError, BuildError) as problem:
        row.fail(peer.name, str(problem))
    else:
        row.samples.setdefault(peer.name, []).append(sample)


def prepared(names: list[str]) -> list[Peer]:
    """Peers by name, in the order of the table."""
    return [peer for name, peer in PEERS.items() if name in names]
