"""What the tests of subprocesses share: ``from children import started, within_limits``."""

import asyncio
import os
import sys

from helpers import PATIENCE


async def started(source, *args, **kwargs):
    """Start a Python child that runs *source*; return its asyncio.subprocess.Process."""
    return await asyncio.create_subprocess_exec(sys.executable, "-c", source, *args, **kwargs)


async def within_limits(awaitable):
    """Return what *awaitable* gives; a hang ends in TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        return await awaitable


def no_child_left():
    """True when this process has no child, neither running nor to be waited for."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False
