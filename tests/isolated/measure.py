"""Runs in the child processes: what a process holds, and whether repeated rounds add to it."""

import asyncio
import ctypes
import gc
import os
import resource
import sys

PAGE = resource.getpagesize()


#: Under the address sanitizer, what is allocated: it keeps freed memory resident for a while.
sanitizers_count = getattr(ctypes.CDLL(None), "__sanitizer_get_current_allocated_bytes", None)
if sanitizers_count is not None:
    sanitizers_count.restype = ctypes.c_size_t


def resident():
    """Return the bytes of memory that the process has resident."""
    if sanitizers_count is not None:
        return sanitizers_count()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * PAGE


def descriptors():
    """Return how many descriptors are open."""
    return len(os.listdir("/proc/self/fd")) - 1


def held():
    """Return (descriptors, blocks of Python's allocator, resident bytes) after a collection."""
    for _ in range(5):
        if not gc.collect():
            break
    return descriptors(), sys.getallocatedblocks(), resident()


def allow_descriptors(count):
    """Raise the limit of descriptors to *count*; return False where the machine forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        return False
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    return True


def wait_once(loop):
    """Have *loop* open what its first wait opens: whether a round waits depends on the machine."""
    loop.run_until_complete(asyncio.sleep(0.05))


def check_steady(round_, *, things, warm=3, rounds=6, blocks=0.1, size=64):
    """Fail if rounds of *things* things each leave descriptors or memory behind.

    What grows by *blocks* allocator blocks or by *size* bytes for each thing is a leak; the free
    lists and arenas of the first *warm* rounds are not, nor are some 240 blocks and 2 MiB of noise.
    A leak comes again with more rounds; the end of a connection that is late, or of a thread, or
    what a busy machine has once let pile up, does not: the least of three growths counts.
    """
    gc.collect()
    gc.freeze()  # what has been imported is not gone through in each of a round's collections
    for _ in range(warm):
        round_()
        before = held()
    limits = [0, 240 + blocks * things * rounds, (2 << 20) + size * things * rounds]
    least = [float("inf")] * len(limits)
    for _ in range(3):
        for _ in range(rounds):
            round_()
            after = held()
        grown = [now - then for now, then in zip(after, before, strict=True)]
        before, least = after, list(map(min, least, grown))
        if all(growth <= limit for growth, limit in zip(least, limits, strict=True)):
            return
    what = ["descriptors", "allocator blocks", "resident bytes"]
    for name, growth, limit in zip(what, least, limits, strict=True):
        assert growth <= limit, f"{growth} {name} more after {rounds} rounds of {things}"
