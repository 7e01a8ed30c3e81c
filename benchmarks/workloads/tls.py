"""Echo under TLS 1.3."""

from __future__ import annotations

from ..workload import EXTRA, QUICK, STANDARD, TIMES, Goal, Load
from .servers import add_server, serve_buffered, serve_protocol, serve_read, serve_readline

KIB = 1024
CONNECTIONS = 10


def _load(size: int, connections: int = CONNECTIONS, mode: str = "echo") -> Load:
    return Load(connections, size, mode, tls=True)


add_server(
    "tls",
    "protocol-1K-10",
    f"TLS Protocol 1 KiB {TIMES} 10",
    serve_protocol,
    _load(KIB),
    goal=Goal(floor=0.97, rival=1.0),
    floor="server",
    level=QUICK,
    headline=True,
    tags=["recv"],
)
add_server(
    "tls",
    "protocol-64K-10",
    f"TLS Protocol 64 KiB {TIMES} 10",
    serve_protocol,
    _load(64 * KIB),
    goal=Goal(cpu_least=1.0),
    floor="server",
    headline=True,
    tags=["recv"],
)
add_server(
    "tls",
    "read-1K-10",
    f"TLS streams read 1 KiB {TIMES} 10",
    serve_read,
    _load(KIB),
    goal=Goal(rival=1.3),
    headline=True,
    tags=["recv"],
    share=True,
)
add_server(
    "tls",
    "buffered-1K-10",
    f"TLS BufferedProtocol 1 KiB {TIMES} 10",
    serve_buffered,
    _load(KIB),
)
add_server(
    "tls",
    "readline-1K-10",
    f"TLS streams readline 1 KiB {TIMES} 10",
    serve_readline,
    _load(KIB, mode="line"),
    level=EXTRA,
    tags=["recv"],
    share=True,
)
for _number in (1, 100):
    add_server(
        "tls",
        f"protocol-1K-{_number}",
        f"TLS Protocol 1 KiB {TIMES} {_number}",
        serve_protocol,
        _load(KIB, _number),
        floor="server",
        level=STANDARD if _number == 100 else EXTRA,
        tags=["recv"],
    )
