"""The table in the terminal: a row for each workload, a column for each peer."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .goals import spread, verdicts
from .peers import FLOOR, OURS, PEERS
from .results import Results, Row
from .workload import Unit

LEGEND = (
    "Time an operation or operations a second: median of the rounds, ± half their reach. "
    "Below it, for servers: CPU time of the server a message; p99: what 99 of 100 replies took, "
    "in µs. kept: the share of its speed alone that the other thread has."
)
DISPENSABLE = ("asyncio-no-mmap", "aiofastnet", "rloop", "rsloop", "zuvloop", "uvloop", FLOOR)
"""Columns that a narrow terminal goes without, in this order; results.json has them all."""
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
    cpu, p99 = row.cpu_us(peer), row.extra(peer, "p99_us")
    if p99 is not None and cpu is not None:
        lines += [f"{number(cpu.median)} µs", f"p99 {number(p99)}"]
    kept = row.extra(peer, "kept")
    if kept is not None:
        lines.append(f"kept {kept:.0%}")
    return lines


def _verdict_cell(row: Row) -> Text:
    words = {True: ("met", "green"), False: ("not met", "red"), None: ("unknown", "dim")}
    lines = []
    for verdict in verdicts(row):
        line = Text(verdict.found, style="bold").append(f" {verdict.against}".rstrip(), "dim")
        if verdict.goal:
            line.append(f", goal {verdict.goal} ", "not bold dim")
            word, style = words[verdict.met]
            line.append(word, f"not bold {style}")
        lines.append(line)
    return Text("\n").join(lines)


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
    """Prints the tables, then what failed, then how many goals are met."""
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
    for row in rows:
        for peer, problem in row.problems.items():
            console.print(f"[red]{peer} failed in {row.workload.id}:[/] ", Text(problem))
    judged = [verdict.met for row in rows for verdict in verdicts(row) if verdict.met is not None]
    if judged:
        console.print(f"Goals met: {sum(judged)} of {len(judged)}.")
