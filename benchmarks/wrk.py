"""Loads an HTTP server by wrk, and prints the report that the load generator in C prints.

`python -m benchmarks.wrk --port N --pid PID ...`; `loads.py` starts it. wrk counts in whole seconds
and answers are checked by their status and their number of bytes only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("load") / "wrk.lua"


def cpu_seconds(pid: int) -> float:
    """CPU time of another process: Linux makes the number of its clock from its id."""
    return time.clock_gettime((~pid << 3) | 2)


def children_cpu() -> float:
    """CPU time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def attack(options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """One run of wrk; what it has found."""
    command = ["wrk", "--threads", "1", "--connections", str(options.connections)]
    command += ["--duration", f"{max(1, round(seconds))}s", "--latency", "--script", str(SCRIPT)]
    command += [f"http://127.0.0.1:{options.port}/"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"load: wrk: {done.stderr.strip() or done.stdout.strip()}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if found["errors"] or found["bytes"] < found["messages"] * options.size:
        sys.exit(f"load: wrk found errors or too few bytes: {found}")
    return found


def report(options: argparse.Namespace) -> dict[str, Any]:
    """A run to warm up, then one that counts, with both CPU clocks around it."""
    attack(options, options.warmup)
    server_cpu, load_cpu = cpu_seconds(options.pid), children_cpu()
    start = time.monotonic()
    found = attack(options, options.seconds)
    return {
        "start": start,
        "end": start + found.pop("seconds"),
        "server_cpu": cpu_seconds(options.pid) - server_cpu,
        "load_cpu": children_cpu() - load_cpu,
        **found,
    }


def main() -> None:
    """Reads the command line, loads, prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wrk")
    for name in ("port", "pid", "connections", "size", "cpu"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("seconds", "warmup"):
        parser.add_argument(f"--{name}", type=float)
    options = parser.parse_args()
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    print(json.dumps(report(options)))


if __name__ == "__main__":
    main()
