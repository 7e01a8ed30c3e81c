"""The table in the terminal: a row for each workload, a column for each peer."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .peers import BASE, FLOOR, OURS, PEERS
from .results import Results, Row
from .stats import Summary
from .workload import TIMES, Unit

LEGEND = (
    "Time an operation or operations a second, median of the rounds ± half their reach. "
    "In network rows, below: CPU time of the server a message, 99th percentile of the latency."
)


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


def _spread(figure: Summary) -> str:
    return f" ±{figure.spread * 100:.0f}%" if figure.count > 1 else ""


def _cell(row: Row, peer: str) -> Text:
    """Everything that one peer did in one workload."""
    if peer in row.problems:
        return Text("failed", style="red")
    rate = row.rate(peer)
    if rate is None:
        return Text("-", style="dim")
    unit = row.workload.unit
    text = Text(amount(unit.show(rate.median), unit), style="bold" if peer == OURS else "")
    text.append(_spread(rate), style="dim")
    if peer in row.load_bound():
        text.append(" load!", style="yellow")
    for line in _second_lines(row, peer):
        text.append("\n" + line, style="dim")
    return text


def _second_lines(row: Row, peer: str) -> list[str]:
    lines = []
    cpu, p99 = row.cpu_us(peer), row.extra(peer, "p99_us")
    if p99 is not None and cpu is not None:
        lines.append(f"{number(cpu.median)} µs, p99 {number(p99)}")
    kept = row.extra(peer, "kept")
    if kept is not None:
        lines.append(f"thread keeps {kept:.0%}")
    return lines


def _ratio(figure: Summary | None, against: str = "") -> Text:
    if figure is None:
        return Text("-", style="dim")
    text = Text(f"{TIMES}{figure.median:.2f}", style="bold")
    text.append(_spread(figure), style="dim")
    if against:
        text.append(f"\n{PEERS[against].label}", style="dim")
    return text


def conditions(row: Row) -> list[tuple[str, bool | None]]:
    """The goals of a row and whether each is met; None where it could not be measured."""
    goal = row.workload.goal
    if goal is None:
        return []
    rival = row.best_rival()
    found: list[tuple[str, bool | None]] = []
    for wanted, other, name in (
        (goal.rival, rival, "best rival"),
        (goal.asyncio, BASE, "asyncio"),
        (goal.floor, FLOOR, "floor"),
    ):
        if wanted is not None:
            ratio = row.ratio(OURS, other) if other else None
            found.append((f"{TIMES}{wanted:.3g} {name}", ratio.median >= wanted if ratio else None))
    p99, kept = row.extra(OURS, "p99_us"), row.extra(OURS, "kept")
    if goal.p99_us is not None:
        found.append((f"p99 < {goal.p99_us:g} µs", None if p99 is None else p99 < goal.p99_us))
    if goal.kept is not None:
        found.append((f"keeps {goal.kept:.0%}", None if kept is None else kept >= goal.kept))
    return found


def _goals(row: Row) -> Text:
    verdicts = {True: ("met", "green"), False: ("not met", "red"), None: ("unknown", "dim")}
    text = Text()
    for index, (wanted, met) in enumerate(conditions(row)):
        word, style = verdicts[met]
        text.append(("\n" if index else "") + f"{wanted} ")
        text.append(word, style=style)
    return text


def _table(group: str, rows: list[Row], peers: list[str]) -> Table:
    table = Table(title=f"[bold]{group}[/]", title_justify="left", row_styles=["", "on grey7"])
    table.add_column("workload", overflow="fold")
    table.add_column("unit")
    shown = [name for name in peers if any(name in {*r.samples, *r.problems} for r in rows)]
    for name in shown:
        table.add_column(PEERS[name].label, justify="right", no_wrap=True)
    ours = OURS in shown
    if ours:
        table.add_column("pyaio to\nasyncio", justify="right", no_wrap=True)
        table.add_column("pyaio to\nbest rival", justify="right", no_wrap=True)
        table.add_column("goal", no_wrap=True)
    for row in rows:
        cells = [Text(row.workload.title), Text(row.workload.unit.name)]
        cells += [_cell(row, name) for name in shown]
        if ours:
            rival = row.best_rival()
            ratio = row.ratio(OURS, rival) if rival else None
            cells += [_ratio(row.ratio(OURS, BASE)), _ratio(ratio, rival or ""), _goals(row)]
        table.add_row(*cells)
    return table


def show(results: Results, console: Console) -> None:
    """Prints the tables, then what failed, then how many goals are met."""
    rows = results.measured_rows()
    for group, members in groupby(rows, key=lambda row: row.workload.group):
        console.print(_table(group, list(members), results.peers))
    console.print(LEGEND, style="dim")
    if any(row.load_bound() for row in rows):
        console.print("load!: the load generator was the limit, not the server.", style="yellow")
    for row in rows:
        for peer, problem in row.problems.items():
            console.print(f"[red]{peer} failed in {row.workload.id}:[/] ", Text(problem))
    verdicts = [met for row in rows for _, met in conditions(row) if met is not None]
    if verdicts:
        console.print(f"Goals met: {sum(verdicts)} of {len(verdicts)}.")
