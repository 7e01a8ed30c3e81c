"""Medians and their spread, over the rounds of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from .pace import DISTURBED
from .sampling import Sample

ENOUGH = 3
"""Rounds from while the machine was fast, beside which the others do not count."""


@dataclass(frozen=True)
class Summary:
    """The middle of some figures and how far they reach."""

    median: float
    low: float
    high: float
    count: int

    @property
    def spread(self) -> float:
        """Half of the reach, as a share of the median: 0.05 is ±5 %."""
        return (self.high - self.low) / 2 / self.median if self.median else 0.0

    def as_json(self) -> dict[str, float]:
        """For results.json."""
        return {
            "median": self.median,
            "low": self.low,
            "high": self.high,
            "spread": self.spread,
        }


def summary(values: Iterable[float]) -> Summary | None:
    """The summary of some figures; None of none."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Summary(median(ordered), ordered[0], ordered[-1], len(ordered))


def steady(*peers: list[Sample]) -> list[tuple[Sample, ...]]:
    """The samples of each round that all have, but for rounds in which the machine was slow.

    Where fewer than ENOUGH would be left, these count, too.
    """
    by_round = [{sample.round: sample for sample in samples} for samples in peers]
    shared = sorted(set.intersection(*(set(found) for found in by_round)))
    rounds = [tuple(found[round_] for found in by_round) for round_ in shared]
    quiet = [each for each in rounds if max(s.slowdown for s in each) < DISTURBED]
    return quiet if len(quiet) >= ENOUGH else rounds


def paired_ratio(ours: list[Sample], theirs: list[Sample], figure: str = "rate") -> Summary | None:
    """One of our figures (see Sample.figure) by theirs, each round for itself.

    So what slows a whole round cancels. Rounds that lack one of the two do not count.
    """
    pairs = [(mine.figure(figure), other.figure(figure)) for mine, other in steady(ours, theirs)]
    return summary(mine / other for mine, other in pairs if mine is not None and other)
