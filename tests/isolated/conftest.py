"""What the tests of this folder share: children that import `measure` from here."""

import os
from pathlib import Path

import pytest

#: glibc moves its thresholds as a program runs, and what it then keeps looks like a leak.
STEADY_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


@pytest.fixture
def measured(child):
    """`measured(source, *flags, args=())`: run *source* in a child; return the lines it prints."""

    def measured(source, *flags, args=()):
        folder = Path(__file__).parent
        paths = [str(folder), str(folder.parent), os.environ.get("PYTHONPATH", "")]
        env = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), **STEADY_MALLOC}
        with child(source, *flags, env=env, args=args) as process:
            code, out, errors = process.finish(patience=50)  # hard work, on a busy machine
        assert (code, errors) == (0, ""), f"exit code {code}\n{out}\n{errors}"
        return out.splitlines()

    return measured
