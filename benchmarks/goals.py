"""What is said of pyaio in a row: beside whom it stands where, and whether a goal is met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .peers import BASE, FLOOR, OURS, PEERS
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
    met: bool | None = None
    """None where there is no goal, or nothing to judge it by."""

    def as_json(self) -> dict[str, Any]:
        """For results.json."""
        return {"against": self.against, "found": self.found, "goal": self.goal, "met": self.met}


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
    return [verdict for verdict in found if verdict is not None] + _further(row, goal)


def _beside(row: Row, wanted: float | None, other: str | None) -> Verdict | None:
    ratio = row.ratio(OURS, other) if other else None
    wish = "" if wanted is None else f"{TIMES}{wanted:.3g}"
    against = PEERS[other].label if other else "any rival"
    if ratio is None:
        return Verdict("-", against, wish) if wish else None
    met = None if wanted is None else ratio.median >= wanted
    return Verdict(f"{TIMES}{ratio.median:.2f}{spread(ratio)}", against, wish, met)


def _further(row: Row, goal: Goal) -> list[Verdict]:
    p99, kept = row.extra(OURS, "p99_us"), row.extra(OURS, "kept")
    found = []
    if goal.p99_us is not None and p99 is not None:
        met = p99 < goal.p99_us
        found.append(Verdict(f"p99 {p99:.0f}", goal=f"{goal.p99_us:g}", met=met))
    if goal.kept is not None and kept is not None:
        met = kept >= goal.kept
        found.append(Verdict(f"kept {kept:.0%}", goal=f"{goal.kept:.0%}", met=met))
    return found
