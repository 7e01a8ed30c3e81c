"""Connections as such: how fast they come and go, and what they take while they rest."""

from __future__ import annotations

from typing import Any

from ..workload import EXTRA, QUICK, STANDARD, TIMES, Goal, Load
from .servers import add_server, serve_protocol, serve_read

AT_ONCE = 10
"""Connections that come and go at a time; and that have a message, of those that rest."""


def _add_accept(key: str, title: str, goal: Goal | None, level: str, **load: bool) -> None:
    add_server(
        "connections",
        key,
        title,
        serve_protocol,
        Load(connections=AT_ONCE, size=64, mode="accept", **load),
        goal=goal,
        floor="server",
        level=level,
        headline=goal is not None,
        tags=["recv"],
    )


def _add_idle(key: str, title: str, serve: Any, count: int, level: str, **load: bool) -> None:
    """A row in which a few of many connections have a message at a time, each in its turn."""
    limits = Goal(memory_uvloop=1.0, p99_uvloop=1.0 if count >= 10_000 else None)
    short = f"{count // 1000}k"
    add_server(
        "connections",
        f"{key}-{short}",
        f"{title}, {count:,} that rest",
        serve,
        Load(connections=count, active=AT_ONCE, **load),
        goal=limits,
        level=level,
    )


_add_accept("accept", "accept, one echo, close", Goal(floor=0.94), QUICK)
_add_accept(
    "accept-tls",
    "accept, full TLS handshake, one echo, close",
    Goal(floor=0.97),
    STANDARD,
    tls=True,
)
_add_accept(
    "accept-tls-resumed",
    "accept, TLS resumed, one echo, close",
    None,
    STANDARD,
    tls=True,
    resume=True,
)
_add_idle("idle-protocol", f"Protocol 1 KiB {TIMES} {AT_ONCE}", serve_protocol, 1000, STANDARD)
_add_idle("idle-protocol", f"Protocol 1 KiB {TIMES} {AT_ONCE}", serve_protocol, 10_000, STANDARD)
_add_idle("idle-streams", f"streams read 1 KiB {TIMES} {AT_ONCE}", serve_read, 1000, STANDARD)
_add_idle("idle-streams", f"streams read 1 KiB {TIMES} {AT_ONCE}", serve_read, 10_000, STANDARD)
_add_idle("idle-tls", f"TLS 1 KiB {TIMES} {AT_ONCE}", serve_protocol, 1000, STANDARD, tls=True)
_add_idle("idle-tls", f"TLS 1 KiB {TIMES} {AT_ONCE}", serve_protocol, 10_000, EXTRA, tls=True)
