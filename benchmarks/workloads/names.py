"""Names and addresses."""

from __future__ import annotations

import asyncio

from ..workload import US, Run, workload


async def _resolve(run: Run, host: str) -> int:
    loop = asyncio.get_running_loop()
    done = 0
    for _ in range(run.n):
        found = await loop.getaddrinfo(host, 80, type=1)
        done += found[0][4][1] == 80
    return done


@workload("names", "getaddrinfo, 127.0.0.1", unit=US, pinned=False)
async def getaddrinfo_literal(run: Run) -> int:
    """loop.getaddrinfo() of an address, for which nobody has to be asked."""
    return await _resolve(run, "127.0.0.1")


@workload("names", "getaddrinfo, localhost", unit=US, pinned=False)
async def getaddrinfo_localhost(run: Run) -> int:
    """loop.getaddrinfo() of localhost, which is in the machine's own file."""
    return await _resolve(run, "localhost")
