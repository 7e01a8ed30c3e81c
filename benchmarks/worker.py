"""One peer, one workload, one process: `python -m benchmarks.worker PEER WORKLOAD`.

Prints one line of JSON on stdout. A server prints two: its port, and when its stdin has ended
what it found out. `sampling.py` starts this and reads the lines. Nothing but the standard
library, the peer and the workloads is imported here, so that it starts fast.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import inspect
import json
import math
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from . import (
    peers,
    workloads,  # noqa: F401  (fills the table)
)
from .workload import TABLE, Run, Workload

Body = Callable[[Run], Any]
NewRun = Callable[[int, float], Run]

STDIN = 0


def _measured(run: Run, started: float, cpu: float, done: int) -> dict[str, Any]:
    return {
        "operations": done,
        "seconds": time.perf_counter() - started - run.paused_seconds,
        "cpu": time.process_time() - cpu - run.paused_cpu,
        "extra": run.extra,
    }


def _check(run: Run, done: int, timed: bool) -> None:
    if (done != run.n and not timed) or done <= 0:
        raise RuntimeError(f"{done} operations were done, not {run.n}")


async def _call(body: Body, run: Run, timed: bool) -> dict[str, Any]:
    """Runs a body in a task of its own, and sees to it that the work was really done.

    Awaited right here it would be some coroutines deep, and each of its switches would go
    through all of them.
    """
    loop = asyncio.get_running_loop()
    gc.collect()
    started, cpu = time.perf_counter(), time.process_time()
    done = await loop.create_task(body(run))
    result = _measured(run, started, cpu, done)
    _check(run, done, timed)
    return result


def _call_plain(body: Body, run: Run) -> dict[str, Any]:
    """The same for a body that makes its own loops, or needs none."""
    gc.collect()
    started, cpu = time.perf_counter(), time.process_time()
    done = body(run)
    result = _measured(run, started, cpu, done)
    _check(run, done, False)
    return result


class Sizing:
    """How many operations to do: grows until a tenth of the time is filled, then scales.

    These runs are the warm-up as well: nothing of them is counted.
    """

    def __init__(self, workload: Workload, seconds: float) -> None:
        self.workload = workload
        self.seconds = seconds
        self.n = workload.grain
        if workload.fixed:
            self.n = self._rounded(workload.fixed / 20)
        self.ready = workload.timed

    def _rounded(self, n: float) -> int:
        grain = self.workload.grain
        return max(1, math.ceil(n / grain)) * grain

    def learn(self, result: dict[str, Any]) -> None:
        """Takes in a warm-up run and sets the next number of operations."""
        if self.workload.fixed:
            self.n, self.ready = self.workload.fixed, True
            return
        elapsed = max(result["seconds"], 1e-9)
        if elapsed >= self.seconds / 10:
            self.n, self.ready = self._rounded(self.n * self.seconds / elapsed), True
        else:
            growth = min(10.0, max(2.0, self.seconds / 8 / elapsed))
            self.n = self._rounded(self.n * growth)

    def accepts(self, result: dict[str, Any]) -> bool:
        """Whether a run was long enough; if not, it was one more to learn from.

        So it is when something else had the core while the speed was found out.
        """
        workload = self.workload
        if workload.fixed or workload.timed or result["seconds"] >= self.seconds / 3:
            return True
        self.learn(result)
        return False


async def _measure_inside(workload: Workload, sizing: Sizing, new_run: NewRun) -> Any:
    if workload.timed:
        await _call(workload.body, new_run(0, sizing.seconds / 10), True)
    while True:
        while not sizing.ready:
            sizing.learn(await _call(workload.body, new_run(sizing.n, 0), False))
        run = new_run(sizing.n, sizing.seconds)
        result = await _call(workload.body, run, workload.timed)
        if sizing.accepts(result):
            return result


def _measure_plain(body: Body, sizing: Sizing, new_run: NewRun) -> dict[str, Any]:
    while True:
        while not sizing.ready:
            sizing.learn(_call_plain(body, new_run(sizing.n, 0)))
        result = _call_plain(body, new_run(sizing.n, sizing.seconds))
        if sizing.accepts(result):
            return result


def _driven(workload: Workload) -> Body:
    """The floor: the same coroutine, with nothing but a loop in C to send it None."""
    from . import build  # no other peer has what it imports in its process

    drive = build.load(build.FLOORS[workload.floor]).drive
    return lambda run: drive(workload.body(run))


def measure(peer: peers.Peer, workload: Workload, seconds: float, port: int) -> dict[str, Any]:
    """One sample of a workload that needs no load from outside."""
    sizing = Sizing(workload, seconds)
    new_loop = peer.make() if peer.make else asyncio.new_event_loop
    new_run = partial(Run, new_loop=new_loop, port=port)
    if peer.make is None:
        return _measure_plain(_driven(workload), sizing, new_run)
    if not inspect.iscoroutinefunction(workload.body):
        return _measure_plain(workload.body, sizing, new_run)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_measure_inside(workload, sizing, new_run))


def _end_of_stdin(loop: asyncio.AbstractEventLoop) -> asyncio.Future[str]:
    """What is written to stdin until it is closed: that ends the server.

    Read by the loop itself: with a second thread, each system call and each allocation of the
    process would cost more than in a server that has none.
    """
    ended: asyncio.Future[str] = loop.create_future()
    parts: list[bytes] = []

    def on_readable() -> None:
        part = os.read(STDIN, 4096)
        if part:
            parts.append(part)
            return
        loop.remove_reader(STDIN)
        ended.set_result(b"".join(parts).decode())

    loop.add_reader(STDIN, on_readable)
    return ended


def _address(server: Any) -> dict[str, Any]:
    """Where it listens, as the load generator calls it."""
    name = server.sockets[0].getsockname()
    return {"path": name} if isinstance(name, str) else {"port": name[1]}


async def _serve(workload: Workload, run: Run) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    server = await workload.body(run)
    ended = _end_of_stdin(loop)
    print(json.dumps(_address(server)), flush=True)
    window = json.loads(await ended or "{}")
    server.close()
    await asyncio.sleep(0.01)  # the connections, closed by the load, end before the loop does
    return run.at_end(window["start"], window["end"]) if run.at_end and window else {}


def serve(peer: peers.Peer, workload: Workload, identity: str) -> dict[str, Any]:
    """A server for the load generator, until stdin ends; returns its own findings."""
    assert peer.make is not None
    new_loop = peer.make()
    run = Run(0, 0, new_loop, workload.load, identity=identity)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return {"extra": runner.run(_serve(workload, run))}


def take(peer: peers.Peer, options: argparse.Namespace) -> dict[str, Any]:
    """One sample, of a server or of a body."""
    workload = TABLE[options.workload]
    if workload.load is not None:
        return serve(peer, workload, options.identity)
    return measure(peer, workload, options.seconds, options.port)


def main() -> None:
    """Reads the command line, does it, prints the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker")
    parser.add_argument("peer", choices=peers.PEERS)
    parser.add_argument("workload", nargs="?", choices=TABLE)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--cpu", type=int, help="the core to stay on")
    parser.add_argument("--identity", default="", help="of a TLS server: key and certificate")
    parser.add_argument("--port", type=int, default=0, help="where the server beside listens")
    parser.add_argument("--share", action="store_true", help="also tell the loop's share")
    parser.add_argument("--probe", action="store_true", help="only tell the peer's version")
    options = parser.parse_args()
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    peer = peers.PEERS[options.peer]
    if options.probe:
        from .probing import versions  # slow to load, and not needed otherwise

        result: dict[str, Any] = versions(peer.name)
    elif options.share:
        from .share import found_by

        result = found_by(lambda: take(peer, options))
    else:
        result = take(peer, options)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
