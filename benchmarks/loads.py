"""What loads a server: the command that does it, and how its report becomes a sample's figures.

The load is a program in C (`load/`), or wrk for HTTP (`wrk.py`, which prints the same report).
"""

from __future__ import annotations

import sys
from typing import Any

from . import build, certificates
from .workload import Load

WARMUP = 0.2  # seconds of load before counting starts
MANY = 1000  # connections from which on their memory stands out from the rest


def command(load: Load, address: dict[str, Any], server: int, seconds: float) -> list[str]:
    """The command that loads the server with this process id, for so long.

    The address is what the server has printed: its port, or the path of its socket.
    """
    options = {**address, "connections": load.connections, "size": load.size, "pid": server}
    options |= {"seconds": seconds, "warmup": WARMUP}
    if load.mode == "wrk":
        words = [sys.executable, "-m", "benchmarks.wrk"]
    else:
        words = [str(build.build(build.LOAD)), *_switches(load)]
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    return words


def _switches(load: Load) -> list[str]:
    """What only the program in C knows."""
    words = ["--mode", load.mode, "--active", str(load.active or load.connections)]
    words += ["--tls", str(certificates.make().authorities)] if load.tls else []
    words += ["--udp"] if load.udp else []
    words += ["--resume"] if load.resume else []
    return words


def figures(load: Load, report: dict[str, Any]) -> dict[str, Any]:
    """A report as the fields of a sample."""
    seconds = report["end"] - report["start"]
    extra = {key: value for key, value in report.items() if key.endswith("_us")}
    extra["server_share"] = report["server_cpu"] / seconds
    extra["load_share"] = report["load_cpu"] / seconds
    if load.connections >= MANY and "memory" in report:
        extra["memory"] = report["memory"]
    return {
        "operations": report["messages"],
        "seconds": seconds,
        "cpu": report["server_cpu"],
        "extra": extra,
    }
