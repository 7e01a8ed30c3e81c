"""Runs the files of test.test_asyncio in processes of their own, and reads what they report.

run_file() runs a file to its end, whatever its tests do: a test that hangs or takes the
process with it has failed, and the rest goes on in a new process. run_alone() runs one
test in a process for itself.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Those that run now, so that stop_all() finds them.
_alive: set[subprocess.Popen] = set()

LAST_WORDS = 10.0  # seconds that a hanging process has to dump its stacks
OUTPUT_KEPT = 4000  # characters of what a process wrote that are told when it died


@dataclass
class Result:
    """How a test ended: passed, skipped or failed, and why; broken if it did not even start."""

    outcome: str
    detail: str = ""
    lost: bool = False  # its process ended with it, or had to be ended


@dataclass
class FileRun:
    """What is known of one file: the ids of all its tests, and how those that ran ended."""

    tests: list[str] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class _Process:
    """What one process has reported until its end."""

    tests: list[str] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)
    running: str | None = None
    finished: bool = False
    failure: str | None = None  # how the process itself failed; None if it did not

    def read(self, lines):
        for event in map(json.loads, lines):
            if "tests" in event:
                self.tests = event["tests"]
            elif "finished" in event:
                self.finished = True
            elif event["outcome"] == "started":
                self.running = event["test"]
            else:
                self.running = None
                self.results[event["test"]] = Result(event["outcome"], event["detail"])


def run_file(loop, module, without=(), limit=60.0):
    """Run all tests of a file but those; *limit* is in seconds, for each test."""
    started = time.monotonic()
    whole = FileRun()
    while True:
        process = _run(loop, module, limit, without={*without, *whole.results})
        whole.tests = whole.tests or process.tests
        whole.results |= process.results
        if process.failure is None:
            break
        name = process.running or f"{module} (the process)"
        whole.results[name] = Result("failed", process.failure, lost=True)
        if process.running is None:
            break  # it died while no test ran: a new process would do the same
    whole.seconds = time.monotonic() - started
    return whole


def run_alone(loop, test, limit=60.0):
    """Run one test in a process of its own, and return its Result."""
    process = _run(loop, test.partition(".")[0], limit, only=[test])
    if test in process.results:
        return process.results[test]
    if process.running == test:
        return Result("failed", process.failure, lost=True)
    return Result("broken", process.failure or f"there is no test {test} any more")


def _run(loop, module, limit, without=(), only=()):
    # Tests write into the current directory: it is one of their own.
    with tempfile.TemporaryDirectory(prefix="pyaio-stdlib-", ignore_cleanup_errors=True) as folder:
        without_file, results, output = (Path(folder, n) for n in ("without", "results", "output"))
        without_file.write_text("\n".join(without))
        results.touch()
        scratch = Path(folder, "scratch")
        scratch.mkdir()
        command = [sys.executable, "-m", "tests.stdlib.one_file"]
        command += ["--without", str(without_file), loop, module, str(results), *only]
        with output.open("wb") as file:
            ending = _wait(_start(command, scratch, file), results, limit)
        process = _Process()
        with results.open() as lines:
            # A process that was killed may have left half a line.
            process.read(line for line in lines if line.endswith("\n"))
        if ending is None and not process.finished:
            ending = "the process ended before its tests did"
        if ending is not None:
            said = output.read_text(errors="replace")[-OUTPUT_KEPT:]
            process.failure = f"{ending}; it wrote:\n{said}"
        return process


def _start(command, folder, output):
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    # A process group, to be killed whole. Not a session: its leader would get the first
    # terminal that a test opens, and a SIGHUP when it closes it.
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    _alive.add(process)
    return process


def stop_all():
    """Kill what runs: for who is told to stop."""
    for process in list(_alive):
        _kill(process)


def _kill(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _wait(process, results, limit):
    """Wait for the end of a process that reports at least every *limit* seconds.

    Returns how it failed, None if it did not. Leaves nothing of it running.
    """
    size, deadline = 0, time.monotonic() + limit
    try:
        while time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return _how_it_failed(process.wait(0.2))
            if results.stat().st_size != size:
                size, deadline = results.stat().st_size, time.monotonic() + limit
        process.send_signal(signal.SIGABRT)  # faulthandler then tells where it is
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LAST_WORDS)
        return f"nothing happened for {limit:g} s"
    finally:
        _kill(process)
        process.wait()
        _alive.discard(process)


def _how_it_failed(code):
    if code == 0:
        return None
    if code < 0:
        return f"the process was killed by {signal.Signals(-code).name}"
    return f"the process ended with exit code {code}"
