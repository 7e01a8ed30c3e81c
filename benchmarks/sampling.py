"""Takes one sample: one peer, one workload, in processes that live for this sample only."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from . import build
from .peers import FLOOR, Peer
from .workload import Load, Workload

ROOT = Path(__file__).resolve().parent.parent
WARMUP = 0.2  # seconds of load before counting starts
LIMIT = 120.0  # seconds that a process may take beyond what it was asked to measure
# What would make a loop slower than its users have it, and would do so for some peers only.
DEBUG_VARIABLES = ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONTRACEMALLOC", "PYTHONMALLOC")
ERROR_LINE = re.compile(r"[\w.]+(Error|Exception|Interrupt|Exit)(: |$)|load: |floor: ")


@dataclass(frozen=True)
class Sample:
    """What one round found for one peer in one workload."""

    round: int
    operations: int
    seconds: float
    cpu: float
    """CPU seconds of the loop's process while it was measured."""
    extra: dict[str, float] = field(default_factory=dict)
    """Latency, shares of cores, and what else the workload tells."""

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.operations / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU time of an operation, in microseconds."""
        return self.cpu / self.operations * 1e6

    def as_json(self) -> dict[str, Any]:
        """For results.json."""
        return {**asdict(self), "rate": self.rate, "cpu_us": self.cpu_us}


class SampleError(Exception):
    """A sample could not be taken; the text is the last that the process said."""


@dataclass(frozen=True)
class Cores:
    """Which core the loop's process stays on, and which the load; None where none is chosen."""

    server: int | None
    load: int | None

    @classmethod
    def choose(cls) -> Cores:
        """The last core for the server, as interrupts prefer the first; the first for the load."""
        if not hasattr(os, "sched_setaffinity"):
            return cls(None, None)
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[-1], usable[0])

    @property
    def apart(self) -> bool:
        """Whether server and load have a core each."""
        return self.server is not None and self.server != self.load


def environment(peer: Peer, workload: Workload) -> dict[str, str]:
    """The worker's environment: ours, without debug switches, with the peer's own settings."""
    kept = {key: value for key, value in os.environ.items() if key not in DEBUG_VARIABLES}
    return {**kept, **(peer.transport_environment if "transports" in workload.tags else {})}


def worker_command(peer: Peer, workload: Workload, *options: str) -> list[str]:
    """The command line of `worker.py`."""
    return [sys.executable, "-m", "benchmarks.worker", peer.name, workload.id, *options]


def _pin(cpu: int | None) -> list[str]:
    return [] if cpu is None else ["--cpu", str(cpu)]


@contextmanager
def _process(command: list[str], env: dict[str, str], limit: float) -> Iterator[Child]:
    """A child that is killed when it takes too long, and never outlives this block."""
    pipe = subprocess.PIPE
    # A file takes what a failing loop may say at length; a full pipe would stop it.
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=errors, text=True, env=env, cwd=ROOT
        ) as process,
    ):
        child = Child(process, errors, limit)
        watchdog = threading.Timer(limit, child.stop)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield child
        finally:
            watchdog.cancel()
            if process.poll() is None:
                process.kill()


@dataclass
class Child:
    """A running process, and where its stderr goes."""

    process: subprocess.Popen[str]
    errors: IO[str]
    limit: float
    """Seconds that it may take."""
    stopped: bool = False
    """It has taken longer."""

    def stop(self) -> None:
        """Kills it, as it has taken too long."""
        self.stopped = True
        self.process.kill()

    def line(self) -> dict[str, Any]:
        """The next line of JSON on its stdout."""
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        if not text:
            self.process.wait()
            raise SampleError(self.why())
        return self._read(text)

    def result(self, text: str = "") -> dict[str, Any]:
        """Writes to its stdin, lets it end, and reads the last line of JSON that it printed."""
        output, _ = self.process.communicate(text)
        if self.process.returncode != 0:
            raise SampleError(self.why())
        lines = output.strip().splitlines()
        return self._read(lines[-1]) if lines else {}

    def why(self) -> str:
        """Why it failed: the last line that names an error, else the last that it said."""
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        errors = [line for line in lines if ERROR_LINE.match(line)]
        last = (errors or lines or ["it said nothing"])[-1]
        status = self.process.returncode
        if self.stopped:
            return f"not done in {self.limit:.0f} s: {last}"
        return f"killed by signal {-status}: {last}" if status and status < 0 else last

    @staticmethod
    def _read(text: str) -> dict[str, Any]:
        try:
            return dict(json.loads(text))
        except ValueError:
            raise SampleError(f"it printed {text!r}, which is no result") from None


class Sampler:
    """Takes samples with the settings of one run."""

    def __init__(self, seconds: float, cores: Cores) -> None:
        self.seconds = seconds
        self.cores = cores

    def take(self, peer: Peer, workload: Workload, round_: int) -> Sample:
        """One sample. Raises SampleError when the process fails, BuildError without a compiler."""
        if workload.load is not None:
            return self._take_server(peer, workload, workload.load, round_)
        options = ["--seconds", str(self.seconds)]
        if workload.pinned:
            options += _pin(self.cores.server)
        command = worker_command(peer, workload, *options)
        with _process(command, environment(peer, workload), LIMIT + 20 * self.seconds) as child:
            found = child.result()
        return Sample(round=round_, **found)

    def _server_command(self, peer: Peer, workload: Workload) -> list[str]:
        if peer.name != FLOOR:
            return worker_command(peer, workload, *_pin(self.cores.server))
        program = build.build(build.FLOORS[workload.floor])
        return [str(program), *_pin(self.cores.server)[1:]]

    def _take_server(self, peer: Peer, workload: Workload, load: Load, round_: int) -> Sample:
        command = self._server_command(peer, workload)
        limit = LIMIT + self.seconds
        with _process(command, environment(peer, workload), limit) as server:
            load_command = self._load_command(load, server.line()["port"], server.process.pid)
            with _process(load_command, dict(os.environ), limit) as client:
                try:
                    found = client.result()
                except SampleError as problem:
                    raise self._blame(server, problem) from None
            window = json.dumps({"start": found["start"], "end": found["end"]})
            extra = server.result(window).get("extra", {})
        return _sample_of_load(found, extra, round_)

    @staticmethod
    def _blame(server: Child, problem: SampleError) -> SampleError:
        """The load failed; where the server has crashed, that is the reason."""
        try:
            server.process.wait(0.5)
        except subprocess.TimeoutExpired:
            return problem
        return SampleError(server.why())

    def _load_command(self, load: Load, port: int, server: int) -> list[str]:
        program = build.build(build.LOAD)
        options = {
            "port": port,
            "connections": load.connections,
            "size": load.size,
            "mode": load.mode,
            "seconds": self.seconds,
            "warmup": WARMUP,
            "pid": server,
        }
        command = [str(program)]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        return command + _pin(self.cores.load)


def _sample_of_load(found: dict[str, Any], extra: dict[str, float], round_: int) -> Sample:
    seconds = found["end"] - found["start"]
    shares = {
        "server_share": found["server_cpu"] / seconds,
        "load_share": found["load_cpu"] / seconds,
    }
    latency = {key: value for key, value in found.items() if key.endswith("_us")}
    return Sample(
        round=round_,
        operations=found["messages"],
        seconds=seconds,
        cpu=found["server_cpu"],
        extra={**latency, **shares, **extra},
    )
