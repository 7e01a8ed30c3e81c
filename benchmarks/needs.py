"""What the chosen workloads need of this machine: programs in C, packages, wrk, open files.

What is not there takes its rows out of the run, with one sentence that says what to do.
"""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from importlib.util import find_spec

from . import build, certificates
from .peers import FLOOR
from .workload import Workload

SPARE_FILES = 100
"""Files that a process has open beside its connections."""
NO_WRK = "There is no wrk. Debian, Ubuntu: apt-get install wrk; Alpine: apk add wrk."

Say = Callable[[str], None]


def allow_open_files(connections: int) -> bool:
    """Raises the limit as far as it may be, here and for all processes to come."""
    wanted = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
        except (ValueError, OSError):  # only root may raise the hard limit
            if hard < wanted:
                return False
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return True


def _build_error(make: Callable[[], object]) -> str:
    try:
        make()
    except build.BuildError as problem:
        return str(problem)
    return ""


def _lack(entry: Workload) -> str:
    """What this row lacks; empty when it can be measured."""
    load = entry.load
    for name in entry.needs_packages:
        if find_spec(name) is None:
            return f'There is no {name}: pip install -e ".[bench]"'
    if entry.beside:
        return _build_error(lambda: build.build(build.FLOORS[entry.beside]))
    if load is None:
        return ""
    if not allow_open_files(load.connections):
        return f"That takes {load.connections + SPARE_FILES} open files; see ulimit -n"
    if load.tls and (problem := _build_error(certificates.make)):
        return problem
    if load.mode == "wrk":
        return "" if shutil.which("wrk") else NO_WRK
    return _build_error(lambda: build.build(build.LOAD))


def measurable(chosen: list[Workload], names: list[str], say: Say) -> list[Workload]:
    """The workloads that can be measured. Takes the floor out of `names` where it cannot be."""
    lacks = {entry.id: _lack(entry) for entry in chosen}
    for problem in dict.fromkeys(filter(None, lacks.values())):
        rows = [key for key, lack in lacks.items() if lack == problem]
        shown = ", ".join(rows[:3]) + (f" and {len(rows) - 3} more" if len(rows) > 3 else "")
        say(f"Left out: {shown}. {problem}")
    chosen = [entry for entry in chosen if not lacks[entry.id]]
    floors = {entry.floor for entry in chosen if entry.floor}
    for floor in sorted(floors) if FLOOR in names else []:
        if problem := _build_error(lambda floor=floor: build.build(build.FLOORS[floor])):
            say(f"There is no floor: {problem}")
            names.remove(FLOOR)
            break
    return chosen
