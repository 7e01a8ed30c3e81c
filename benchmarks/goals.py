"""What is said of pyaio in a row: beside whom it stands where, which goals it reaches, how far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .peers import BASE, FLOOR, OURS, PEERS, UVLOOP
from .results import Row
from .stats import Summary
from .workload import TIMES, Goal


@dataclass(frozen=True)
class Verdict:
    """One figure of pyaio's, and the goal for it where there is one."""

    found: str
    """The figure, ready to read; "-" where it could not be measured."""
    against: str = ""
    goal: str = ""
    margin: float | None = None
    """By what share of the goal it is better, or where negative worse; None where there is no
    goal, or nothing to judge it by."""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None as with the margin."""
        return None if self.margin is None else self.margin >= 0

    def as_json(self) -> dict[str, Any]:
        """For results.json."""
        return {
            "against": self.against,
            "found": self.found,
            "goal": self.goal,
            "reached": self.reached,
            "margin": self.margin,
        }


def spread(figure: Summary) -> str:
    """How far the rounds were apart; nothing where there was only one."""
    return f" ±{figure.spread * 100:.0f}%" if figure.count > 1 else ""


def verdicts(row: Row) -> list[Verdict]:
    """pyaio beside asyncio, the best rival and the floor; then the goals of other kinds."""
    if not row.samples.get(OURS):
        return []
    goal, rival = row.workload.goal or Goal(), row.best_rival()
    wanted = [(goal.asyncio, BASE), (goal.rival, rival), (goal.floor, FLOOR)]
    if rival == BASE and goal.asyncio is None:
        wanted.pop(0)  # the next line says the same
    found = [_beside(row, wish, other) for wish, other in wanted]
    further = [
        _less(row, "p99_us", "p99", goal.p99_rival and 1 / goal.p99_rival, rival),
        _less(row, "p99_us", "p99", goal.p99_uvloop, UVLOOP),
        _less(row, "memory", "memory", goal.memory_uvloop, UVLOOP),
        _less(row, "cpu_us", "CPU", goal.cpu_least, row.least("cpu_us")),
        _p99(row, goal),
        _kept(row, goal),
    ]
    return [verdict for verdict in found + further if verdict is not None]


def _beside(row: Row, wanted: float | None, other: str | None) -> Verdict | None:
    ratio = row.ratio(OURS, other) if other else None
    wish = "" if wanted is None else f"{TIMES}{wanted:.3g}"
    against = PEERS[other].label if other else "any rival"
    if ratio is None:
        return Verdict("-", against, wish) if wish else None
    margin = None if wanted is None else ratio.median / wanted - 1
    return Verdict(f"{TIMES}{ratio.median:.2f}{spread(ratio)}", against, wish, margin)


def _p99(row: Row, goal: Goal) -> Verdict | None:
    found = row.extra(OURS, "p99_us")
    if goal.p99_us is None or found is None:
        return None
    return Verdict(f"p99 {found:.0f}", goal=f"{goal.p99_us:g}", margin=goal.p99_us / found - 1)


def _less(
    row: Row, figure: str, name: str, wanted: float | None, other: str | None
) -> Verdict | None:
    """A figure that is to be at most so many times another's."""
    if wanted is None:
        return None
    wish = f"{name} at most {TIMES}{wanted:.3g}"
    against = PEERS[other].label if other else "any rival"
    ratio = row.ratio(OURS, other, figure) if other else None
    if ratio is None:
        return Verdict("-", against, wish)
    found = f"{name} {TIMES}{ratio.median:.2f}{spread(ratio)}"
    return Verdict(found, against, wish, wanted / ratio.median - 1)


def _kept(row: Row, goal: Goal) -> Verdict | None:
    found = row.extra(OURS, "kept")
    if goal.kept is None or found is None:
        return None
    return Verdict(f"kept {found:.0%}", goal=f"{goal.kept:.0%}", margin=found / goal.kept - 1)
