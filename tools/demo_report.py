"""What the demo shows on the terminal: the machine, each example, failures, the table of times."""

import difflib
import importlib.metadata
import os
import platform
import shlex
from pathlib import Path
from statistics import median

from demo_programs import Run
from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

LONGEST = 60  # lines of a diff or of standard error that are shown


def machine() -> str:
    """The machine's size, in one line."""
    with_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if with_affinity else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.release()} on {platform.machine()}"
    return f"{cores} cores, {memory:.1f} GiB of memory, {system}"


def versions(pyaio) -> str:
    """The versions of all that takes part, in one line."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    aiohttp = importlib.metadata.version("aiohttp")
    return f"{python}, pyaio {pyaio.__version__}, libuv {pyaio.libuv_version()}, aiohttp {aiohttp}"


def show_head(console: Console, facts: dict[str, str]) -> None:
    """The page's head: what runs where."""
    grid = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        grid.add_row(Text(name, style="bold"), Text(value))
    console.print(Panel(grid, title="asyncio programs on asyncio and on pyaio", style="cyan"))


def show_example(
    console: Console, name: str, about: str, runs: dict[str, list[Run]], same: bool
) -> None:
    """What the example printed, and the times that it told itself, on both loops."""
    content = [Text(runs["pyaio"][0].stdout.rstrip("\n"))]
    if parts := times_of_parts(runs):
        content += [Text(), Padding(parts, (0, 0, 0, 2))]
    only = sorted(set(runs["pyaio"][0].remarks) - set(runs["asyncio"][0].remarks))
    if only:
        content.append(Text("\nto standard error, on pyaio only:", style="yellow"))
        content.append(Text("\n".join(only[:LONGEST]), style="yellow"))
    verdict = "same output on both" if same else "output differs"
    console.print(
        Panel(
            Group(*content),
            title=f"[bold]{name}[/]: {about}",
            subtitle=verdict,
            border_style="green" if same else "red",
        )
    )


def times_of_parts(runs: dict[str, list[Run]]) -> Table | None:
    """A table of the times that the example told itself; None if it told none."""
    table = Table(box=None, pad_edge=False, header_style="dim", style="dim")
    table.add_column("its own times, in seconds", min_width=32)
    for loop in runs:
        table.add_column(loop, justify="right")
    for part in runs["asyncio"][0].parts:
        times = [median_of_part(runs[loop], part) for loop in runs]
        table.add_row(part, *(f"{seconds:.3f}" for seconds in times))
    return table if table.row_count else None


def median_of_part(runs: list[Run], part: str) -> float:
    return median(run.parts.get(part, float("nan")) for run in runs)


def show_failure(console: Console, sentence: str, run: Run, diff: str = "") -> None:
    """What went wrong, how to repeat it, and what the program said about it."""
    content = []
    if "-c" not in run.command:
        content.append(Text(f"To repeat it:  {shlex.join(run.command)}"))
    if diff:
        content.append(Text(f"\n{diff}"))
    if run.stderr.strip():
        last = run.stderr.rstrip().split("\n")[-LONGEST:]
        content += [Text("\nWhat it wrote to standard error:", style="bold"), Text("\n".join(last))]
    console.print(Panel(Group(*content), title=f"[bold]{sentence}[/]", border_style="red"))


def diff_of(expected: Run, got: Run, names: tuple[str, str]) -> str:
    """How the output of two runs differs, in the form that diff -u has."""
    lines = list(
        difflib.unified_diff(
            expected.stdout.splitlines(), got.stdout.splitlines(), *names, lineterm=""
        )
    )
    if len(lines) > LONGEST:
        lines[LONGEST:] = [f"... and {len(lines) - LONGEST} lines more"]
    return "\n".join(lines) or "they differ in the ends of lines only"


def show_times(console: Console, rows: list[tuple], rounds: int, latency: float) -> None:
    """The table at the end. Each row: name, asyncio, pyaio, start, held back, same output."""
    table = Table(title="Times in seconds", box=box.SIMPLE_HEAD, collapse_padding=True)
    table.add_column("example", vertical="bottom", no_wrap=True)
    for column in ("asyncio", "pyaio", "ratio", "start of\nPython", "API held\nback"):
        table.add_column(column, vertical="bottom", justify="right", no_wrap=True)
    table.add_column("same\noutput", justify="center")
    for name, stock, ours, start, held_back, same in rows:
        table.add_row(
            Path(name).stem,
            f"{stock:.2f}",
            f"{ours:.2f}",
            f"[bold]{stock / ours:.2f}[/]",
            pair(start),
            pair(held_back) if any(held_back) else "-",
            "[green]yes[/]" if same else "[bold red]no[/]",
        )
    console.print(table)
    console.print(
        f"Of the whole process, median of {rounds} round{'s' * (rounds > 1)}."
        " ratio: asyncio / pyaio. Included: the start of Python with the imports (asyncio/pyaio),"
        " measured with --help; and the time in which the web API held an answer back,"
        f" {latency:g} ms each (asyncio/pyaio): that is waiting, which no event loop can shorten.",
        style="dim",
    )


def pair(both: list[float]) -> str:
    return "/".join(f"{seconds:.2f}" for seconds in both)
