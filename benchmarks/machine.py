"""Where and with what a run was made: what results.json says, so that it can be repeated."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .peers import FREE_THREADED
from .sampling import ROOT, Cores

CPU_INFO = Path("/proc/cpuinfo")


def _cpu_model() -> str:
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None
    return float(round(size / 2**30, 1))


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _commit() -> dict[str, Any]:
    head = _git("rev-parse", "HEAD")
    if head is None:
        return {"commit": None}
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": head, "changed": bool(changed)}


def busy() -> float:
    """How much of the machine others use, by its load of the last minute; 0 where unknown."""
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except OSError:
        return 0.0


def about(command: list[str], versions: dict[str, dict[str, str]], cores: Cores) -> dict[str, Any]:
    """The head of results.json. Names no host and no path."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", "-m", "benchmarks", *command]),
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "processor": _cpu_model(),
            "cores": os.cpu_count(),
            "memory_gib": _memory_gib(),
            "libc": " ".join(platform.libc_ver()).strip(),
            "load_at_start": round(busy(), 2),
        },
        "cores": {"server": cores.server, "load": cores.load, "apart": cores.apart},
        "python": {
            "version": platform.python_version(),
            "implementation": sys.implementation.name,
            "compiler": platform.python_compiler(),
            "free_threaded": FREE_THREADED,
        },
        "versions": versions,
        "source": _commit(),
    }
