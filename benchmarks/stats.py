"""Medians and their spread, over the rounds of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from .sampling import Sample


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


def paired_ratio(ours: list[Sample], theirs: list[Sample], figure: str = "rate") -> Summary | None:
    """One of our figures (see Sample.figure) by theirs, each round for itself.

    So what slows a whole round cancels. Rounds that lack one of the two do not count.
    """
    mine, other = _by_round(ours, figure), _by_round(theirs, figure)
    return summary(mine[round_] / other[round_] for round_ in mine if other.get(round_))


def _by_round(samples: list[Sample], figure: str) -> dict[int, float]:
    found = {sample.round: sample.figure(figure) for sample in samples}
    return {round_: value for round_, value in found.items() if value is not None}
