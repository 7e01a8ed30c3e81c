"""Runs one program at a time for the demo, with a limit of time, and leaves nothing running.

Each program is the leader of a session of its own. Whatever happens, a time limit, a failure or
Ctrl-C, the whole of that session is killed before run() returns.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

LAST_WORDS = 2.0  # seconds that a program has to dump its stack when the time is up

# What the stopwatch of the examples writes: a name, and a time in seconds.
TIMING = re.compile(r"^(?P<part>\S.*?)\s+(?P<seconds>\d+\.\d+) s$", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What a program did: the command, how it ended, what it wrote, how long it took."""

    command: list[str]
    returncode: int
    stdout: str
    stderr: str
    seconds: float
    timed_out: bool

    @property
    def parts(self) -> dict[str, float]:
        """The times that the program itself told, by name."""
        return {match["part"]: float(match["seconds"]) for match in TIMING.finditer(self.stderr)}

    @property
    def remarks(self) -> list[str]:
        """All else that it wrote to standard error, with the numbers taken out."""
        return re.sub(r"0x[0-9a-f]+|\d+", "#", TIMING.sub("", self.stderr)).split("\n")

    @property
    def failure(self) -> str | None:
        """How it failed, as the rest of a sentence; None if it did not."""
        if self.timed_out:
            return f"did not end within {self.seconds:.0f} s and was stopped"
        if self.returncode < 0:
            return f"was killed by {signal.Signals(-self.returncode).name}"
        if self.returncode > 0:
            return f"ended with exit code {self.returncode}"
        return None


def run(arguments: list[str], folder: Path, limit: float) -> Run:
    """Run Python with these arguments in the folder, for no longer than the limit in seconds."""
    command = [sys.executable, *arguments]
    start = time.perf_counter()
    program = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},  # a crash or SIGABRT shows the stack
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="backslashreplace",
        start_new_session=True,
    )
    timed_out = False
    try:
        try:
            stdout, stderr = program.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            timed_out = True
            stdout, stderr = last_words(program)
        seconds = time.perf_counter() - start
    finally:
        kill_session(program)
    return Run(command, program.returncode, stdout, stderr, seconds, timed_out)


def last_words(program: subprocess.Popen) -> tuple[str, str]:
    """Ask a program that takes too long to dump its stack, kill it, return all that it wrote."""
    program.send_signal(signal.SIGABRT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(LAST_WORDS)
    kill_session(program)
    return program.communicate()


def kill_session(program: subprocess.Popen) -> None:
    """Kill the program and all that it has started; no harm if they have ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, signal.SIGKILL)
    program.wait()
