"""Puts the tables of a run into the pages that show them, so that no figure is typed.

A page has a place for them between two comments; what stands there is written anew.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from .peers import FLOOR, OURS, PEERS
from .report import amount, number
from .results import Results, Row
from .sampling import ROOT
from .workload import TIMES

README = ROOT / "README.md"
PERFORMANCE = ROOT / "docs" / "performance.md"
CHART = ROOT / "docs" / "images" / "chart.svg"
PLACE = re.compile(r"(<!-- benchmarks: .*? -->\n).*?(<!-- end of benchmarks -->)", re.DOTALL)


def write(results: Results, folder: Path, whole: bool) -> list[Path]:
    """The headline rows and the chart for the README or, `whole`, all rows for the page on
    performance; *folder* has the chart. Returns what was written.
    """
    rows = results.measured_rows()
    if whole:
        return [_fill(PERFORMANCE, [_made_by(results.about), "", *_groups(rows, results.peers)])]
    headlines = [row for row in rows if row.workload.headline]
    shutil.copy(folder / "chart.svg", CHART)
    table = _table(headlines, results.peers)
    return [_fill(README, [_made_by(results.about), "", *table]), CHART]


def _fill(page: Path, lines: Iterable[str]) -> Path:
    text = "\n".join(lines).rstrip()
    page.write_text(PLACE.sub(lambda place: f"{place[1]}\n{text}\n\n{place[2]}", page.read_text()))
    return page


def _groups(rows: list[Row], peers: list[str]) -> Iterable[str]:
    for group, members in groupby(rows, key=lambda row: row.workload.group):
        yield from (f"### {group}", "", *_table(list(members), peers), "")


def _table(rows: list[Row], peers: list[str]) -> Iterable[str]:
    shown = [name for name in peers if any(name in {*r.samples, *r.problems} for r in rows)]
    labels = [PEERS[name].label for name in shown]
    yield "| workload | " + " | ".join(labels) + " | beside asyncio | beside the best rival |"
    yield "|---|" + "---|" * (len(shown) + 2)
    for row in rows:
        cells = [_cell(row, name) for name in shown]
        yield "| " + " | ".join([row.workload.title, *cells, *_beside(row)]) + " |"


def _cell(row: Row, peer: str) -> str:
    rate = row.rate(peer)
    if rate is None:
        return "failed" if peer in row.problems else "-"
    unit = row.workload.unit
    space = " " if unit.scale else ""
    figures = [amount(unit.show(rate.median), unit) + space + unit.name]
    cpu, p99, kept = row.cpu_us(peer), row.extra(peer, "p99_us"), row.extra(peer, "kept")
    if cpu is not None and row.workload.load:
        figures.append(f"{number(cpu.median)} µs CPU")
    if p99 is not None:
        figures.append(f"p99 {number(p99)} µs")
    if kept is not None:
        figures.append(f"the thread {kept:.0%}")
    text = "<br>".join(figures)
    return f"**{text}**" if peer == OURS else text


def _beside(row: Row) -> tuple[str, str]:
    rival = row.best_rival()
    return _times(row, "asyncio"), f"{_times(row, rival)} {PEERS[rival].label}" if rival else "-"


def _times(row: Row, other: str) -> str:
    ratio = row.ratio(OURS, other)
    return f"{TIMES}{ratio.median:.2f} ±{ratio.spread:.0%}" if ratio else "-"


def _made_by(about: dict[str, Any]) -> str:
    """Where the figures come from, in a sentence."""
    machine, versions = about["machine"], about["versions"]
    system = re.sub(r"(\d+\.\d+)\S*", r"\1", machine["system"])
    loops = [
        f"{PEERS[name].label} {found['version']}"
        for name, found in versions.items()
        if "version" in found and name not in (OURS, FLOOR, "asyncio")
    ]
    libuv = versions.get(OURS, {}).get("libuv", "")
    words = re.sub(r"\s*--output \S+", "", about["command"].removeprefix("python -m benchmarks"))
    return (
        f"{machine['cores']} cores of an {machine['processor']}, {system}, "
        f"CPython {about['python']['version']}, libuv {libuv}, {', '.join(loops)}; the median of "
        f'{about["settings"]["rounds"]} rounds of `make bench ARGS="{words.strip()}"`.'
    )
