"""The rounds: every peer in every workload, interleaved, every second round in reverse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from .build import BuildError
from .pace import AGAIN, DISTURBED, Pace
from .peers import OURS, PEERS, Peer
from .results import Results, Row
from .sampling import Sample, SampleError, Sampler
from .workload import Workload

OnSample = Callable[[str, Workload, Peer], None]
"""Told what comes next."""
Take = Callable[[Peer, Workload, int], Sample]
"""Takes the sample of a round."""


@dataclass(frozen=True)
class Plan:
    """Which peers are measured in which workloads, and how often."""

    workloads: list[Workload]
    peers: list[Peer]
    rounds: int
    with_shares: bool = True
    """Whether the rounds are followed by the runs that tell the loop's share."""

    def pairs(self) -> list[tuple[Workload, Peer]]:
        """One round, in its order."""
        return [(w, peer) for w in self.workloads for peer in self.peers if peer.measures(w)]

    def shares(self) -> list[tuple[Workload, Peer]]:
        """Where the loop's share is asked for, when the rounds are over."""
        pairs = self.pairs() if self.with_shares else []
        return [
            (workload, peer) for workload, peer in pairs if workload.share and peer.name == OURS
        ]

    @property
    def total(self) -> int:
        """How many samples that makes."""
        return len(self.pairs()) * self.rounds + len(self.shares())


def run(plan: Plan, sampler: Sampler, results: Results, on_sample: OnSample) -> bool:
    """Takes all samples and leaves them in `results`; returns whether it came to its end.

    A peer that fails in a workload is left out of it from there on. Ctrl-C ends the run, and
    what is there by then is kept.
    """
    results.peers = [peer.name for peer in plan.peers]
    pace = Pace(sampler.cores, repeats=plan.total)
    try:
        for round_ in range(plan.rounds):
            pairs = plan.pairs()
            for workload, peer in pairs if round_ % 2 == 0 else reversed(pairs):
                on_sample(f"round {round_ + 1}", workload, peer)
                _one(partial(_undisturbed, sampler, pace), results, workload, peer, round_)
        for workload, peer in plan.shares():
            on_sample("share", workload, peer)
            _share(sampler, results.row(workload), peer)
    except KeyboardInterrupt:
        return False
    return True


def _undisturbed(
    sampler: Sampler, pace: Pace, peer: Peer, workload: Workload, round_: int
) -> Sample:
    """A sample from while the machine was fast, or the least disturbed of several."""

    def look() -> Sample:
        before = pace.slowdown()
        sample = sampler.take(peer, workload, round_)
        return replace(sample, slowdown=max(before, pace.slowdown()))

    best = look()
    for _ in range(AGAIN):
        if best.slowdown < DISTURBED or pace.repeats == 0:
            break
        pace.repeats -= 1
        best = min(best, look(), key=lambda sample: sample.slowdown)
    return best


def _one(take: Take, results: Results, workload: Workload, peer: Peer, round_: int) -> None:
    row = results.row(workload)
    if peer.name in row.problems:
        return
    try:
        sample = take(peer, workload, round_)
    except (SampleError, BuildError) as problem:
        row.fail(peer.name, str(problem))
    else:
        row.samples.setdefault(peer.name, []).append(sample)


def _share(sampler: Sampler, row: Row, peer: Peer) -> None:
    if not row.samples.get(peer.name):
        return
    try:
        row.loop_share = sampler.take_share(peer, row.workload)
    except (SampleError, BuildError) as problem:
        row.problems[f"{peer.name}, its share"] = str(problem)


def prepared(names: list[str]) -> list[Peer]:
    """Peers by name, in the order of the table."""
    return [peer for name, peer in PEERS.items() if name in names]
