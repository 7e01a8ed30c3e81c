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

from . import build, certificates, loads, share
from .peers import FLOOR, Peer
from .workload import Load, Workload

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 120.0  # seconds that a process may take beyond what it was asked to measure
# What would make a loop slower than its users have it, and would do so for some peers only.
DEBUG_VARIABLES = ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONTRACEMALLOC", "PYTHONMALLOC")
ERROR_LINE = re.compile(r"[\w.]+(Error|Exception|Interrupt|Exit)(: |$)|load: |floor-\w+: ")


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
    slowdown: float = 1.0
    """How many times slower than usual the machine was then; see pace.py."""

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.operations / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU time of an operation, in microseconds."""
        return self.cpu / self.operations * 1e6

    def figure(self, name: str) -> float | None:
        """The rate, `cpu_us`, or what is called so in `extra`; None where it was not measured."""
        if name in ("rate", "cpu_us"):
            return float(getattr(self, name))
        return self.extra.get(name)

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


def floor_command(name: str, cpu: int | None, identity: str = "") -> list[str]:
    """The command line of a server in C; with an identity it speaks TLS."""
    floor = build.FLOORS[name]
    command = [str(build.build(floor)), *floor.arguments, "" if cpu is None else str(cpu)]
    return [*command, identity] if identity else command


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

    def _said(self) -> list[str]:
        self.errors.seek(0)
        return [line.strip() for line in self.errors if line.strip()]

    def last_error(self) -> str:
        """The last line on its stderr that names an error; empty where none does."""
        errors = [line for line in self._said() if ERROR_LINE.match(line)]
        return errors[-1] if errors else ""

    def why(self) -> str:
        """Why it failed: the last line that names an error, else the last that it said."""
        last = self.last_error() or (self._said() or ["it said nothing"])[-1]
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
        return Sample(round=round_, **self._take(peer, workload))

    def take_share(self, peer: Peer, workload: Workload) -> float | None:
        """The loop's share of its process's time, in a run of its own. Raises as above."""
        longer = Sampler(max(self.seconds, share.SECONDS), self.cores)
        found = longer._take(peer, workload, "--share")
        value: float | None = found["extra"].get(share.KEY)
        return value

    def _take(self, peer: Peer, workload: Workload, *options: str) -> dict[str, Any]:
        if workload.load is not None:
            return self._take_server(peer, workload, workload.load, *options)
        if not workload.beside:
            return self._take_body(peer, workload, *options)
        with self._server_beside(workload) as port:
            return self._take_body(peer, workload, "--port", str(port), *options)

    def _take_body(self, peer: Peer, workload: Workload, *options: str) -> dict[str, Any]:
        pin = _pin(self.cores.server) if workload.pinned else []
        seconds = ["--seconds", str(self.seconds)]
        command = worker_command(peer, workload, *seconds, *pin, *options)
        with _process(command, environment(peer, workload), LIMIT + 20 * self.seconds) as child:
            return child.result()

    @contextmanager
    def _server_beside(self, workload: Workload) -> Iterator[int]:
        """A server in C on the load's core, for a client that is measured; yields its port."""
        command = floor_command(workload.beside, self.cores.load)
        with _process(command, dict(os.environ), LIMIT + 20 * self.seconds) as server:
            yield server.line()["port"]

    def _server_command(self, peer: Peer, workload: Workload, *options: str) -> list[str]:
        tls = workload.load is not None and workload.load.tls
        identity = str(certificates.make().identity) if tls else ""
        if peer.name == FLOOR:
            return floor_command(workload.floor, self.cores.server, identity)
        pin = _pin(self.cores.server)
        return worker_command(peer, workload, *pin, "--identity", identity, *options)

    def _take_server(
        self, peer: Peer, workload: Workload, load: Load, *options: str
    ) -> dict[str, Any]:
        command = self._server_command(peer, workload, *options)
        limit = LIMIT + self.seconds
        with _process(command, environment(peer, workload), limit) as server:
            address = server.line()
            load_command = loads.command(load, address, server.process.pid, self.seconds)
            load_command += _pin(self.cores.load)
            with _process(load_command, dict(os.environ), limit) as client:
                try:
                    report = client.result()
                except SampleError as problem:
                    raise self._blame(server, problem) from None
            window = json.dumps({"start": report["start"], "end": report["end"]})
            extra = server.result(window).get("extra", {})
        found = loads.figures(load, report)
        found["extra"] |= extra
        return found

    @staticmethod
    def _blame(server: Child, problem: SampleError) -> SampleError:
        """The load failed; what the server has said of it, or that it has crashed, says more."""
        try:
            server.process.wait(0.5)
        except subprocess.TimeoutExpired:
            said = server.last_error()
            return SampleError(f"{said} ({problem})") if said else problem
        return SampleError(server.why())
