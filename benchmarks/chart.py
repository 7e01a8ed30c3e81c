"""The chart: how many times stock asyncio's rate each loop reaches, as bars, PNG and SVG.

`chart` shows the headline workloads; `chart-GROUP` every workload of a group that has more.
`chart-growth` is drawn as lines: the cost of an operation over the number of what grows.
"""

from __future__ import annotations

import textwrap
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot: there may be no display

import matplotlib.pyplot as plt
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator

from .peers import BASE, NOT_LOOPS, OURS, PEERS
from .report import amount, number
from .results import Results, Row
from .workload import TIMES

WIDTH = 9.0  # inches
BAR = 0.16  # inches a bar takes
GAP = 0.16  # inches between two workloads
LEGEND_COLUMNS, LEGEND_LINE = 6, 0.19  # and inches a line of it takes
HEAD, FOOT, BETWEEN = 0.95, 0.55, 0.62  # inches above, below and between the panels
LEFT, RIGHT = 0.25, 0.98  # of the width: where the bars start, where the panels end
TITLE = 26  # characters of a workload's name in a line
MARGIN = 0.015  # of the width
LINES_HEIGHT = 3.9  # inches of the picture of growth
FAR = 3.0  # a bar this many times as long as nine of ten others is cut off
ROOM = 1.25  # the axis is longer than the longest bar, so that its figures fit
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "svg.fonttype": "none",  # text stays text: it is small, sharp, and can be searched
    "svg.hashsalt": "pyaio",  # the same data gives the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}


def _ratio(row: Row, peer: str) -> float | None:
    ratio = row.ratio(peer, BASE)
    return ratio.median if ratio else None


def _loops(rows: list[Row], peers: list[str]) -> list[str]:
    """The peers that have a bar somewhere, fastest colour last as in the table."""
    return [
        name
        for name in peers
        if name not in NOT_LOOPS and any(_ratio(row, name) is not None for row in rows)
    ]


def _members(row: Row, peers: list[str]) -> list[str]:
    return [name for name in peers if _ratio(row, name) is not None]


def _longest(rows: list[Row], peers: list[str]) -> float:
    """The longest bar that is drawn whole: one far beyond all others is cut off."""
    values = sorted(_ratio(row, name) or 0.0 for row in rows for name in _members(row, peers))
    usual = max(1.0, values[int(len(values) * 0.9)])
    return 1.5 * usual if values[-1] > FAR * usual else max(1.0, values[-1])


def _height(rows: list[Row], peers: list[str]) -> float:
    return sum(len(_members(row, peers)) * BAR + GAP for row in rows)


def _times(ratio: float) -> str:
    return f"{TIMES}{ratio:.2f}" if ratio < 9.95 else f"{TIMES}{ratio:.0f}"


def _draw_bar(axes: Any, row: Row, name: str, y: float, longest: float) -> None:
    ratio, rate = _ratio(row, name), row.rate(name)
    assert ratio is not None and rate is not None
    length, unit = min(ratio, longest), row.workload.unit
    axes.barh(y, length, BAR * 0.86, color=PEERS[name].colour, zorder=2)
    if ratio > longest:  # a cut through the bar: it is longer than it is drawn
        axes.text(length * 0.97, y, "//", va="center", ha="center", color="white", fontsize=8)
    times = axes.annotate(
        _times(ratio),
        (length, y),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        fontweight="bold" if name == OURS else "normal",
    )
    axes.annotate(
        f"{amount(unit.show(rate.median), unit)} {unit.name}".replace(" /", "/"),
        (1, 0.5),
        xycoords=times,
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=7,
        color="#777777",
    )


def _draw_panel(axes: Any, group: str, rows: list[Row], peers: list[str]) -> None:
    """One group: its workloads from top to bottom, a bar for each peer."""
    longest, top, middles = _longest(rows, peers), 0.0, []
    for row in rows:
        members = _members(row, peers)
        for place, name in enumerate(members):
            _draw_bar(axes, row, name, top + GAP / 2 + (place + 0.5) * BAR, longest)
        middles.append(top + (GAP + len(members) * BAR) / 2)
        top += GAP + len(members) * BAR
    axes.axvline(1, color=PEERS[BASE].colour, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    axes.set_yticks(middles, [textwrap.fill(row.workload.title, TITLE) for row in rows])
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.tick_params(axis="x", labelsize=8, colors="#777777")
    axes.set_xlim(0, longest * ROOM)
    axes.set_ylim(top, 0)
    axes.set_title(
        group, loc="left", fontsize=10.5, fontweight="bold", x=(MARGIN - LEFT) / (RIGHT - LEFT)
    )


def _legend(figure: Any, peers: list[str], versions: dict[str, Any]) -> None:
    handles = []
    for name in peers:
        version = versions.get(name, {}).get("version", "")
        label = f"{PEERS[name].label} {version}".strip()
        handles.append(Patch(color=PEERS[name].colour, label=label))
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.008, 1 - 0.42 / figure.get_figheight()),
        ncols=LEGEND_COLUMNS,
        frameon=False,
        fontsize=8.5,
        handlelength=1.0,
        columnspacing=1.4,
    )


def _footer(about: dict[str, Any]) -> str:
    machine, python, rounds = about["machine"], about["python"], about["settings"]["rounds"]
    middle = f"median of {rounds} rounds" if rounds > 1 else "1 round"
    return (
        f"CPython {python['version']} · {machine['cores']} cores, {machine['processor']}, "
        f"{machine['system'].split('-')[0]} · {middle}"
    )


def _save(figure: Any, files: list[Path]) -> None:
    for file in files:
        metadata = {"Date": None} if file.suffix == ".svg" else None
        figure.savefig(file, dpi=160, metadata=metadata)
    plt.close(figure)


def draw(rows: list[Row], results: Results, title: str, files: list[Path]) -> None:
    """Draws some rows, a panel for each group, and saves the picture under each name."""
    peers = _loops(rows, results.peers)
    panels = [(g, list(part)) for g, part in groupby(rows, key=lambda r: r.workload.group)]
    heights = [_height(part, peers) for _, part in panels]
    head = HEAD + LEGEND_LINE * ((len(peers) - 1) // LEGEND_COLUMNS)
    total = head + FOOT + sum(heights) + BETWEEN * (len(panels) - 1)
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(WIDTH, total))
        y = total - head
        for (group, part), height in zip(panels, heights, strict=True):
            box = (LEFT, (y - height) / total, RIGHT - LEFT, height / total)
            _draw_panel(figure.add_axes(box), group, part, peers)
            y -= height + BETWEEN
        figure.text(MARGIN, 1 - 0.14 / total, title, fontsize=12, fontweight="bold", va="top")
        _legend(figure, peers, results.about["versions"])
        figure.text(MARGIN, 0.1 / total, _footer(results.about), fontsize=7, color="#777777")
        _save(figure, files)


def _draw_lines(axes: Any, rows: list[Row], peers: list[str]) -> None:
    """One kind of growth: a line for each peer, both axes logarithmic."""
    for name in peers:
        costs = {row.workload.size: row.cost(name) for row in rows}
        points = [(size, cost) for size, cost in costs.items() if cost is not None]
        axes.loglog(
            [size for size, _ in points],
            [cost for _, cost in points],
            color=PEERS[name].colour,
            linewidth=2.2 if name == OURS else 1.4,
            marker="o",
            markersize=4,
        )
    axes.set_title(rows[0].workload.key.partition("-")[0], loc="left", fontsize=10.5)
    axes.set_xlabel("how many", fontsize=8, color="#777777")
    axes.tick_params(labelsize=8, colors="#777777", which="both")
    axes.yaxis.set_major_formatter(lambda value, _: number(value))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", color="#eeeeee")


def draw_growth(rows: list[Row], results: Results, files: list[Path]) -> None:
    """Draws how costs grow, a panel for each kind, and saves the picture under each name."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row.workload.grows_from or row.workload.id, []).append(row)
    peers = [name for name in results.peers if any(row.rate(name) for row in rows)]
    height = LINES_HEIGHT + LEGEND_LINE * ((len(peers) - 1) // LEGEND_COLUMNS)
    with plt.rc_context(STYLE):
        figure, (panels,) = plt.subplots(1, len(kinds), figsize=(WIDTH, height), squeeze=False)
        for axes, members in zip(panels, kinds.values(), strict=True):
            _draw_lines(axes, members, peers)
        panels[0].set_ylabel("ns an operation", fontsize=8)
        head = 1 - (height - LINES_HEIGHT + HEAD) / height
        figure.subplots_adjust(left=0.07, right=RIGHT, top=head, bottom=0.2, wspace=0.18)
        title = "growth: what an operation costs (lower is faster)"
        figure.text(MARGIN, 1 - 0.14 / height, title, fontsize=12, fontweight="bold", va="top")
        _legend(figure, peers, results.about["versions"])
        figure.text(MARGIN, 0.1 / height, _footer(results.about), fontsize=7, color="#777777")
        _save(figure, files)


def _files(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}.png", folder / f"{name}.svg"]


def draw_all(results: Results, folder: Path) -> list[Path]:
    """The charts of a run; returns the files. None when nothing can be set beside asyncio."""
    measured = results.measured_rows()
    growing = [row for row in measured if row.workload.size and row.samples]
    written = _files(folder, "chart-growth") if growing else []
    if growing:
        draw_growth(growing, results, written)
    rows = [row for row in measured if row.samples.get(BASE) and not row.workload.size]
    if not rows:
        return written
    headline = [row for row in rows if row.workload.headline] or rows
    pictures = {"chart": (headline, "Speed beside stock asyncio (longer is faster)")}
    for group, part in groupby(rows, key=lambda row: row.workload.group):
        whole = list(part)
        if len(whole) > sum(row in headline for row in whole):
            pictures[f"chart-{group}"] = (whole, f"{group}: speed beside stock asyncio")
    for name, (shown, title) in pictures.items():
        files = _files(folder, name)
        draw(shown, results, title, files)
        written += files
    return written
