"""`python -m benchmarks`: reads the options, prepares, measures, and shows the result."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import (
    machine,
    needs,
    peers,
    probing,
    runner,
    storage,
    workloads,  # noqa: F401  (fills the table)
)
from .results import Results
from .sampling import ROOT, Cores, Sampler
from .workload import EXTRA, QUICK, STANDARD, TABLE, Workload, select

try:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
except ImportError:
    sys.exit('The benchmarks show their results by rich: pip install -e ".[bench]"')

QUICK_PEERS = (peers.BASE, "uvloop", peers.OURS, peers.FLOOR)
BUSY = 0.3  # share of the machine that others may use before it is worth a warning


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures pyaio beside stock asyncio and every other event loop that is "
        "installed, each in processes of its own.",
    )
    add = parser.add_argument
    add("patterns", nargs="*", metavar="WORKLOAD", help="a group, a name, or wildcards: 'echo/*'")
    add("--group", default="", metavar="G,…", help="groups with commas between, as tasks,threads")
    add("--list", action="store_true", help="show the workloads and which peers there are")
    add("--quick", action="store_true", help="few workloads, asyncio, uvloop and pyaio: a minute")
    add("--all", action="store_true", help="also every size and number of connections")
    add("--rounds", type=_at_least(1, int), help="samples of each peer and workload (5; quick: 3)")
    add("--seconds", type=_at_least(0.01, float), help="length of a sample (0.3; quick: 0.15)")
    add("--peers", help="names with commas between; default: all but the younger ones")
    add("--output", type=Path, default=ROOT / "build" / "bench", metavar="DIR", help="build/bench")
    add("--redraw", type=Path, metavar="FILE", help="show a results.json again, measure nothing")
    pages = "put it into the pages: the headlines (readme) or all rows (performance)"
    add("--write-page", choices=("readme", "performance"), help=pages)
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (0.15 if options.quick else 0.3)
    try:
        options.workloads = select(options.patterns + _groups(options), _levels(options))
        options.chosen = _peer_names(options)
    except ValueError as problem:
        parser.error(str(problem))
    return options


def _at_least(low: float, kind: type) -> type:
    def convert(text: str) -> float:
        value: float = kind(text)
        if not low <= value < 1e6:
            raise argparse.ArgumentTypeError(f"{text} is not at least {low}")
        return value

    return convert  # type: ignore[return-value]


def _levels(options: argparse.Namespace) -> set[str]:
    if options.all:
        return {QUICK, STANDARD, EXTRA}
    return {QUICK} if options.quick else {QUICK, STANDARD}


def _groups(options: argparse.Namespace) -> list[str]:
    there_are = {entry.group: None for entry in TABLE.values()}  # a set that keeps its order
    names = [name.strip() for name in options.group.split(",") if name.strip()]
    unknown = [name for name in names if name not in there_are]
    if unknown:
        raise ValueError(f"no group {unknown[0]!r}; there are {', '.join(there_are)}")
    return names


def _peer_names(options: argparse.Namespace) -> list[str]:
    if options.peers:
        names = [name.strip() for name in options.peers.split(",") if name.strip()]
        unknown = [name for name in names if name not in peers.PEERS]
        if unknown:
            raise ValueError(f"no peer {unknown[0]!r}; there are {', '.join(peers.PEERS)}")
        return names
    if options.quick:
        return list(QUICK_PEERS)
    return [name for name, peer in peers.PEERS.items() if not peer.named_only]


def show_list(console: Console) -> None:
    """--list."""
    for entry in TABLE.values():
        console.print(f"{entry.id:42} [dim]{entry.level:9}[/] {escape(entry.about)}")
    console.print()
    for name in peers.PEERS:
        found = probing.probe(name)
        version = " ".join(found.versions.values())
        console.print(f"{name:16} {'not here: ' + found.problem if found.problem else version}")


def usable_peers(names: list[str], explicit: bool, console: Console) -> list[probing.Probe]:
    """Those that work; a line for each that does not. Ours must, if it was not left out."""
    probes = [probing.probe(name) for name in names]
    for found in probes:
        if found.problem:
            console.print(f"[yellow]{found.name} is left out:[/] {escape(found.problem)}")
            if found.name == peers.OURS:
                hint = "" if explicit else " Without it: --peers asyncio,uvloop,floor"
                sys.exit(f"pyaio cannot be imported. In the checkout: make setup.{hint}")
    return [found for found in probes if not found.problem]


def _progress(console: Console) -> Progress:
    # Drawn by hand between samples: a thread that redraws would run beside what is measured.
    return Progress(
        TextColumn("[bold]{task.fields[doing]:48.48}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        auto_refresh=False,
    )


def measure(plan: runner.Plan, sampler: Sampler, results: Results, console: Console) -> bool:
    """Runs the plan under a progress bar; False when it was interrupted."""
    with _progress(console) as progress:
        bar = progress.add_task("", total=plan.total, doing="")
        taken = 0

        def on_sample(what: str, entry: Workload, peer: peers.Peer) -> None:
            nonlocal taken
            doing = f"{what}: {entry.key}, {peer.label}"
            progress.update(bar, completed=taken, doing=doing, refresh=True)
            taken += 1

        whole = runner.run(plan, sampler, results, on_sample)
        progress.update(bar, completed=taken, doing="done" if whole else "stopped", refresh=True)
    return whole


def finish(results: Results, options: argparse.Namespace, console: Console, save: bool) -> None:
    """Table, JSON, charts and pages."""
    from . import chart, pages, report  # slow to load, and not needed before

    folder = options.output

    report.show(results, console)
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "results.json"] if save else []
    if save:
        storage.save(results, written[0])
    written += chart.draw_all(results, folder)
    if options.write_page:
        written += pages.write(results, folder, whole=options.write_page == "performance")
    shown = ", ".join(file.name for file in written)
    console.print(f"Written to {_short(folder)}: {shown}", soft_wrap=True)


def _short(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def run(options: argparse.Namespace, arguments: list[str], console: Console) -> int:
    """Everything from the peers to the chart; the exit status."""
    cores = Cores.choose()
    probes = usable_peers(options.chosen, bool(options.peers), console)
    names = [found.name for found in probes]
    chosen = needs.measurable(
        options.workloads, names, lambda text: console.print(f"[yellow]{escape(text)}[/]")
    )
    plan = runner.Plan(chosen, runner.prepared(names), options.rounds, not options.quick)
    if not plan.total:
        sys.exit("No workload of this choice can be measured by these peers.")
    if not cores.apart and any(entry.load for entry in chosen):
        console.print("[yellow]Server and load share the cores here: read network rows so.[/]")
    if machine.busy() > BUSY:
        console.print("[yellow]The machine is busy with other work: figures will vary.[/]")
    about = machine.about(arguments, {found.name: found.versions for found in probes}, cores)
    about["settings"] = {"rounds": options.rounds, "seconds": options.seconds}
    results = Results(about, [])
    whole = measure(plan, Sampler(options.seconds, cores), results, console)
    finish(results, options, console, save=True)
    failed = [row for row in results.measured_rows() if peers.OURS in row.problems]
    return 1 if failed or not whole else 0


def main() -> int:
    """The program."""
    arguments = sys.argv[1:]
    options = parse(arguments)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)
    if options.list:
        show_list(console)
        return 0
    if options.redraw:
        finish(storage.load(options.redraw), options, console, save=False)
        return 0
    return run(options, arguments, console)


if __name__ == "__main__":
    sys.exit(main())
