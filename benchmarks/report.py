"""The table in the terminal: a row for each workload, a column for each peer."""

from __future__ import annotations

from itertools import groupby
from math import floor

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .goals import Verdict, spread, verdicts
from .peers import FLOOR, OURS, PEERS
from .results import Results, Row
from .stats import ENOUGH
from .workload import TIMES, Unit

LEGEND = (
    "Time an operation or operations a second: median of the rounds, ± half their reach. "
    "Below it, for servers: CPU time of the server a message; p50, p99: what 50 and 99 of 100 "
    "replies took, in µs; kB each: memory that a connection takes; for work that is not bound to "
    "one core: CPU time of the loop's process an operation. kept: the share of its speed alone "
    "that the other thread has. grown: what an operation costs beside one of the first row of its "
    "kind, for servers in CPU time. loop: the share of pyaio's time that the loop can change; the "
    "rest is Python code that every loop runs."
)
DISPENSABLE = (
    "asyncio-no-mmap",
    *(name for name, peer in PEERS.items() if peer.named_only),
    "aiofastnet",
    "rloop",
    "rsloop",
    "zuvloop",
    "uvloop",
    FLOOR,
)
"""Columns that a narrow terminal goes without, in this order; results.json has them all."""
STYLES = {True: "green", False: "red", None: "dim"}
TITLE_WIDTH = 16
"""What is left for the workloads' names, at least."""


def number(value: float) -> str:
    """Three figures that can be read: 0.42, 7.31, 118, 1 464, 37.6k, 1.20M."""
    if value >= 1e6:
        return f"{value / 1e6:.2f}M"
    if value >= 1e4:
        return f"{value / 1e3:.0f}k" if value >= 1e5 else f"{value / 1e3:.1f}k"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def amount(value: float, unit: Unit) -> str:
    """A figure in the unit of its row; times are written out, rates shortened."""
    return f"{value:.0f}" if unit.scale and value >= 100 else number(value)


def _cell(row: Row, peer: str) -> Text:
    """Everything that one peer did in one workload."""
    if peer in row.problems:
        return Text("failed", style="red")
    rate = row.rate(peer)
    if rate is None:
        return Text("-", style="dim")
    unit = row.workload.unit
    text = Text(amount(unit.show(rate.median), unit), style="bold" if peer == OURS else "")
    text.append(spread(rate), style="dim")
    if peer in row.load_bound():
        text.append(" load!", style="yellow")
    for line in _second_lines(row, peer):
        text.append("\n" + line, style="dim")
    return text


def _second_lines(row: Row, peer: str) -> list[str]:
    lines = []
    cpu, growth = row.cpu_us(peer), row.growth(peer)
    if cpu is not None and (row.workload.load or not row.workload.pinned):
        lines.append(f"{number(cpu.median)} µs CPU")
    for key in ("p50", "p99"):
        latency = row.extra(peer, f"{key}_us")
        if latency is not None:
            lines.append(f"{key} {number(latency)}")
    memory = row.extra(peer, "memory")
    if memory is not None:
        lines.append(f"{memory / 1000:.3g} kB each")
    if growth is not None:
        lines.append(f"grown {TIMES}{growth.median:.2f}")
    if peer == OURS and row.loop_share is not None:
        lines.append(f"loop {row.loop_share:.0%}")
    kept = row.extra(peer, "kept")
    if kept is not None:
        lines.append(f"kept {kept:.0%}")
    return lines


def _verdict_cell(row: Row) -> Text:
    lines = []
    for verdict in verdicts(row):
        line = Text(verdict.found, style="bold").append(f" {verdict.against}".rstrip(), "dim")
        if verdict.goal:
            line.append(f", goal {verdict.goal} ", "not bold dim")
            line.append(_judgement(verdict), f"not bold {STYLES[verdict.reached]}")
        lines.append(line)
    return Text("\n").join(lines)


def _judgement(verdict: Verdict) -> str:
    """Whether the goal is reached, and by how much."""
    if verdict.margin is None:
        return "unknown"
    # Rounded down, so that what is missed by little does not read as 0 %.
    margin = floor(verdict.margin * 100)
    return f"{'reached' if verdict.reached else 'not reached'}, {margin:+d}%"


def _title(row: Row) -> Text:
    return Text(row.workload.title).append(f" [{row.workload.unit.name}]", style="dim")


def _table(title: str, rows: list[Row], peers: list[str]) -> Table:
    table = Table(title=title, title_justify="left", row_styles=["", "on grey7"])
    table.add_column("workload")
    for name in peers:
        table.add_column(PEERS[name].label.replace(", ", ",\n"), justify="right", no_wrap=True)
    ours = OURS in peers
    if ours:
        table.add_column("pyaio beside", no_wrap=True)
    for row in rows:
        cells = [_cell(row, name) for name in peers]
        table.add_row(_title(row), *cells, *([_verdict_cell(row)] if ours else []))
    return table


def _fitting(group: str, rows: list[Row], peers: list[str], console: Console) -> Table:
    """The table of a group, without some rivals where the terminal is too narrow for all."""
    shown = [name for name in peers if any(name in {*r.samples, *r.problems} for r in rows)]
    to_drop = [name for name in DISPENSABLE if name in shown]
    left_out: list[str] = []
    wide = console.options.update(width=1000)
    spare = max(_title(row).cell_len for row in rows) - TITLE_WIDTH  # titles may wrap, no others
    while True:
        note = f" [dim](too narrow for {', '.join(left_out)})[/]" if left_out else ""
        columns = [name for name in shown if name not in left_out]
        table = _table(f"[bold]{group}[/]{note}", rows, columns)
        if not to_drop or console.measure(table, options=wide).maximum - spare <= console.width:
            return table
        left_out.append(to_drop.pop(0))


def show(results: Results, console: Console) -> None:
    """Prints the tables, then what failed, then which goals are reached."""
    rows = results.measured_rows()
    for group, members in groupby(rows, key=lambda row: row.workload.group):
        console.print(_fitting(group, list(members), results.peers, console))
    console.print(LEGEND, style="dim")
    if any(row.load_bound() for row in rows):
        console.print("load!: the load generator was the limit, not the server.", style="yellow")
    crowded, figures = sum(len(r.crowded()) for r in rows), sum(len(r.samples) for r in rows)
    if crowded:
        shared = f"{crowded} of {figures} figures come from processes that shared their core"
        console.print(f"{shared} with other work: repeat them on a quiet machine.", style="yellow")
    disturbed = sum(row.disturbed() for row in rows)
    if disturbed:
        taken = sum(len(samples) for row in rows for samples in row.samples.values())
        slow = f"{disturbed} of {taken} samples come from while the machine was slow"
        console.print(f"{slow}; they count where fewer than {ENOUGH} others are.", style="yellow")
    for row in rows:
        for peer, problem in row.problems.items():
            console.print(f"[red]{peer} failed in {row.workload.id}:[/] ", Text(problem))
    _show_goals(rows, console)


def _show_goals(rows: list[Row], console: Console) -> None:
    judged = [(row, verdict) for row in rows for verdict in verdicts(row) if verdict.goal]
    reached = sum(verdict.reached is True for _, verdict in judged)
    for row, verdict in judged:
        if not verdict.reached:
            line = Text(f"{row.workload.id}: {verdict.found} {verdict.against}".rstrip())
            line.append(f", goal {verdict.goal} ", "dim")
            console.print(line.append(_judgement(verdict), STYLES[verdict.reached]))
    if judged:
        console.print(f"Goals reached: {reached} of {len(judged)}.")
