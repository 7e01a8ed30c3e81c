"""UDP: a server that answers ten clients, and one that is sent bursts."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from ..workload import QUICK, TIMES, Goal, Load, Run
from .servers import Service, add_server

SIZE = 512
BURST = 32
"""Datagrams in a burst, of which the last is sent back; `load/burst.c` says so too."""


class EchoDatagrams(asyncio.DatagramProtocol):
    """Sends back what it is handed."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once, with the socket."""
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Called with each datagram."""
        self.transport.sendto(data, addr)


class CountDatagrams(EchoDatagrams):
    """Counts what it is handed, and sends back the last one of each burst."""

    count = 0

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Called with each datagram."""
        self.count += 1
        if self.count % BURST == 0:
            self.transport.sendto(data, addr)


async def _serve(factory: type[EchoDatagrams]) -> Service:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(factory, local_addr=("127.0.0.1", 0))
    return Service([transport.get_extra_info("socket")], transport.close)


async def serve_echo(run: Run) -> Service:
    """A DatagramProtocol that sends back what it is handed."""
    return await _serve(EchoDatagrams)


async def serve_burst(run: Run) -> Service:
    """A DatagramProtocol that only counts; datagrams come in bursts of 32."""
    return await _serve(CountDatagrams)


add_server(
    "datagrams",
    "udp-512B-10",
    f"UDP echo 512 B {TIMES} 10",
    serve_echo,
    Load(connections=10, size=SIZE, udp=True),
    goal=Goal(floor=0.95, rival=1.0),
    floor="datagrams",
    level=QUICK,
    headline=True,
    tags=["recv"],
)
add_server(
    "datagrams",
    "udp-burst-512B",
    "UDP 512 B, bursts one way",
    serve_burst,
    Load(connections=1, size=SIZE, udp=True, mode="burst"),
    floor="burst",
    tags=["recv"],
)
