"""Runs every example on stock asyncio and on pyaio, compares what they print, tells the times.

    make demo                          sets everything up, and runs this
    make demo ARGS="--only tour"       --help tells what else it takes

Each example runs unchanged, in a process of its own: as "python example.py" and as
"python -m pyaio example.py", in turns. The web API that some of them call runs beside them, always
on stock asyncio, for all of them.
"""

import argparse
import contextlib
import itertools
import json
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.request import urlopen

FOLDER = Path(__file__).resolve().parents[1] / "examples"
sys.path.insert(0, str(FOLDER))

try:
    import aiohttp  # noqa: F401  the examples need it
    import demo_report as report
    from common import milliseconds, web_api
    from demo_programs import Run, run
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    import pyaio
except ImportError as error:
    sys.exit(f"demo: {error}. 'make demo' sets up all that it needs, and runs it.")


@dataclass(frozen=True)
class Example:
    name: str
    about: str
    calls_api: bool = False


EXAMPLES = (
    Example("fetch_four_ways.py", "posts and comments from a web API, four ways", calls_api=True),
    Example("tour.py", "tasks, waiting, futures, threads, locks"),
    Example("from_callbacks_to_async.py", "how Python came to async and await"),
    Example("producer_consumer.py", "500,000 actions on a queue"),
    Example("io_and_cpu.py", "ten API calls four ways, then work for the CPU", calls_api=True),
    Example("web_app.py", "JSON, streams, WebSocket: server and client"),
)

# How Python is told to run a program on each loop.
LOOPS = {"asyncio": [], "pyaio": ["-m", "pyaio"]}

WHICH_LOOP = """
import asyncio, sys
async def main():
    loop = asyncio.get_running_loop()
    ours = "pyaio" in sys.modules and isinstance(loop, sys.modules["pyaio"].Loop)
    print("pyaio" if ours else "asyncio", f"{type(loop).__module__}.{type(loop).__qualname__}")
asyncio.run(main())
"""


class Demo:
    """Runs the examples one by one, and keeps what is needed for the table and the verdict."""

    def __init__(self, options: argparse.Namespace, console: Console, api: str) -> None:
        self.options = options
        self.console = console
        self.api = api
        self.rows: list[tuple] = []
        self.failures: list[str] = []

    def python(self, loop: str, arguments: list[str]) -> Run:
        """Run Python on that loop."""
        return run([*LOOPS[loop], *arguments], FOLDER, self.options.time_limit)

    def command(self, example: Example) -> list[str]:
        """The arguments that run the example."""
        quick = ["--quick"] if self.options.quick else []
        api = ["--api", self.api] if example.calls_api else []
        return [str(FOLDER / example.name), *quick, *api]

    def held_back(self) -> float:
        """For how many seconds so far the web API has been holding back an answer at least."""
        try:
            with urlopen(f"{self.api}/stats", timeout=10) as response:
                return json.load(response)["held_back"]
        except OSError as error:
            sys.exit(f"demo: the web API does not answer any more: {error}")

    def check_loops(self) -> None:
        """Make sure that each command runs programs on the loop that its times will be told of."""
        for loop in LOOPS:
            done = self.python(loop, ["-c", WHICH_LOOP])
            name, _, kind = done.stdout.strip().partition(" ")
            if done.failure or name != loop:
                sentence = f"A program for {loop} {done.failure or f'ran on {kind}'}"
                report.show_failure(self.console, sentence, done)
                raise SystemExit(f"demo: {sentence}: there is nothing to compare.")

    def show(self, example: Example, step: Callable[[str], None]) -> None:
        """Run the example in all rounds, show what it printed, add a row to the table.

        Before each of its 1 + rounds * loops steps it calls step(), with what comes next.
        """
        step("how long does it take to start?")
        starts = self.starts(example)
        runs: dict[str, list[Run]] = {loop: [] for loop in LOOPS}
        held_back: dict[str, list[float]] = {loop: [] for loop in LOOPS}
        for loop in self.order(example):
            step(f"round {len(runs[loop]) + 1}, on {loop}")
            before = self.held_back()
            runs[loop].append(self.python(loop, self.command(example)))
            held_back[loop].append(self.held_back() - before)
            if failure := runs[loop][-1].failure:
                self.fail(f"{example.name} on {loop} {failure}", runs[loop][-1])
                return

        same = self.compare(example, runs)
        report.show_example(self.console, example.name, example.about, runs, same)
        times = [median(each.seconds for each in runs[loop]) for loop in LOOPS]
        waits = [median(held_back[loop]) for loop in LOOPS]
        self.rows.append((example.name, *times, starts, waits, same))

    def starts(self, example: Example) -> list[float]:
        """How long each loop takes to start Python and import what the example imports."""
        only_start = [str(FOLDER / example.name), "--help"]
        self.python("asyncio", only_start)  # from now on all modules are compiled
        return [self.python(loop, only_start).seconds for loop in LOOPS]

    def order(self, example: Example) -> Iterator[str]:
        """The loops in the order of their runs: each goes first in every second round."""
        first = EXAMPLES.index(example)
        for turn in range(first, first + self.options.rounds):
            yield from list(LOOPS) if turn % 2 == 0 else reversed(LOOPS)

    def compare(self, example: Example, runs: dict[str, list[Run]]) -> bool:
        """Whether all runs of the example printed the same; if not, say how they differ."""
        expected = runs["asyncio"][0]
        for loop in LOOPS:
            for got in runs[loop]:
                if got.stdout != expected.stdout:
                    diff = report.diff_of(expected, got, ("asyncio", loop))
                    others = "asyncio" if loop == "pyaio" else "another run on asyncio"
                    sentence = f"{example.name} on {loop} printed something else than {others}"
                    self.fail(sentence, got, diff)
                    return False
        return True

    def fail(self, sentence: str, program: Run, diff: str = "") -> None:
        self.failures.append(sentence)
        report.show_failure(self.console, sentence, program, diff)


def show_all(demo: Demo) -> None:
    """Run the chosen examples, with a progress bar below what they print."""
    options = demo.options
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=demo.console,
        transient=True,
    ) as progress:
        steps = 1 + len(LOOPS) * options.rounds  # for each example
        bar = progress.add_task("", total=len(options.only) * steps)
        for count, example in enumerate(options.only):
            steps_of_example = itertools.count(count * steps)

            def step(what: str, name: str = example.name, done: Iterator[int] = steps_of_example):
                progress.update(bar, completed=next(done), description=f"{name}: {what}")

            demo.show(example, step)


def example_named(text: str) -> Example:
    """An argparse type: the example of that name, with or without the .py at its end."""
    for example in EXAMPLES:
        if Path(text).stem == Path(example.name).stem:
            return example
    names = ", ".join(Path(example.name).stem for example in EXAMPLES)
    raise argparse.ArgumentTypeError(f"there is no example {text!r}; there are {names}")


def at_least_one(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__.partition("\n\n")[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="the examples do less, and run in a single round")
    add("--only", type=example_named, action="append", metavar="NAME", help="only that example")
    add("--latency", type=milliseconds, default=50, metavar="MS", help="of the web API (50)")
    add("--rounds", type=at_least_one, metavar="N", help="times are the median of N (3)")
    add("--time-limit", type=at_least_one, default=120, metavar="S", help="for one program (120)")
    options = parser.parse_args()
    options.only = options.only or list(EXAMPLES)
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


def main() -> None:
    options = parse_options()
    console = Console()
    # Ctrl-C, SIGTERM and a closed terminal all end it in the same way: what runs is killed first.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is reported, not dumped
    report.show_head(
        console,
        {
            "machine": report.machine(),
            "versions": report.versions(pyaio),
            "web API": f"answers after {options.latency:g} ms, on a port of this machine",
            "rounds": f"{options.rounds}, each program on both loops, in turns",
        },
    )
    with web_api(None, options.latency) as api:
        demo = Demo(options, console, api)
        demo.check_loops()
        show_all(demo)
    if demo.rows:
        report.show_times(console, demo.rows, options.rounds, options.latency)
    if demo.failures:
        sys.exit("demo: failed. " + ". ".join(demo.failures) + ". What they said is above.")
    console.print("Every example printed the same on asyncio and on pyaio.", style="bold green")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        with contextlib.suppress(BrokenPipeError):
            print("\ndemo: stopped; nothing is left running.", file=sys.stderr)
        sys.exit(130)
