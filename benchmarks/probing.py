"""Which peers can take part, and in which version."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata

from .peers import NOT_LOOPS, PEERS


def versions(name: str) -> dict[str, str]:
    """What the JSON says about a peer; makes a loop, to be sure that it works."""
    peer = PEERS[name]
    assert peer.make is not None
    peer.make()().close()
    module = sys.modules.get(peer.distribution)
    if module is None:  # the interpreter's own loop
        return {}
    # A package that is built in its folder and not installed has no metadata.
    version = getattr(module, "__version__", None) or metadata.version(peer.distribution)
    known = {"version": str(version)}
    if hasattr(module, "libuv_version"):
        known["libuv"] = str(module.libuv_version())
    return known


@dataclass(frozen=True)
class Probe:
    """What is known of a peer before anything is measured."""

    name: str
    versions: dict[str, str]
    problem: str = ""
    """Why it cannot take part; empty when it can."""


def probe(name: str) -> Probe:
    """Tries a peer in a process of its own, which a crash at import cannot spread from."""
    if name in NOT_LOOPS:
        return Probe(name, {})
    command = [sys.executable, "-m", "benchmarks.worker", name, "--probe"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except subprocess.TimeoutExpired:
        return Probe(name, {}, "its import or a new loop takes more than 30 s")
    if done.returncode == 0:
        return Probe(name, json.loads(done.stdout))
    lines = done.stderr.strip().splitlines()
    return Probe(name, {}, lines[-1] if lines else f"exit status {done.returncode}")
