"""Where asyncio of Python 3.14 and later keeps what debuggers read.

The interpreter publishes it for `python -m asyncio ps`: a table of offsets in the
ELF section .AsyncioDebug of the file that holds the _asyncio module. With it, our
tasks note in the same places which one runs, which ones there are and who awaits
whom, without a call. `_core._use_layout()` proves each offset on a task of
asyncio's own before it uses one; where there is no table (another kind of file, a
stripped one), nothing is lost but time.
"""

import _asyncio
import asyncio
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from pyaio import _core

# What is new in 3.14 is not in every version's type stubs.
_native: Any = _asyncio

# Three structs, each led by the size of what it describes: of a task, of the
# interpreter's state, of the thread's.
_TABLE = struct.Struct("=7Q2Q4Q")
_NAMES = (
    "task_size", "name", "awaited_by", "is_task", "awaited_by_is_set", "coro", "node",
    "interpreter_size", "interpreter_tasks_head",
    "thread_size", "running_loop", "running_task", "tasks_head",
)  # fmt: skip

# Of an ELF file for 64 bits: the place of the section headers, their size, number and
# the one with the names; and of a section header: name, offset, size.
_ELF_HEADER = struct.Struct("=16x2x2x4x8x8xQ4x2x2x2xHHH")
_ELF_SECTION = struct.Struct("=I4x8x8xQQ24x")
_SECTION = b".AsyncioDebug\0"


def _sections(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    place, size, count, names = _ELF_HEADER.unpack(file.read(_ELF_HEADER.size))
    file.seek(place)
    table = file.read(size * count)
    for number in (names, *range(count)):
        yield _ELF_SECTION.unpack_from(table, number * size)


def _read_table(path: str) -> dict[str, int]:
    """The table in the file, empty when it has none."""
    with open(path, "rb") as file:
        if file.read(5) != b"\x7fELF\x02":
            return {}
        file.seek(0)
        sections = _sections(file)
        _, place, size = next(sections)
        file.seek(place)
        names = file.read(size)
        for name, place, size in sections:
            if names.startswith(_SECTION, name) and size >= _TABLE.size:
                file.seek(place)
                return dict(zip(_NAMES, _TABLE.unpack(file.read(_TABLE.size)), strict=True))
    return {}


def _files() -> Iterator[str]:
    """The files that may hold the module: its own, or the interpreter's."""
    own = getattr(_asyncio, "__file__", None)
    if own is not None:
        yield own
        return
    yield "/proc/self/exe"
    with open("/proc/self/maps") as maps:
        mapped = {line.split(maxsplit=5)[-1].rstrip() for line in maps}
    yield from (path for path in mapped if "/libpython" in path)


class _Stage:
    """A loop that runs nothing: what a task asks of one while it is made."""

    def get_debug(self) -> bool:
        return False

    def call_soon(self, *args: Any, **kwargs: Any) -> Any:
        return None

    def call_exception_handler(self, context: Any) -> None:
        """Nothing: the task is destroyed while it is pending."""


def _prove(table: dict[str, int]) -> bool:
    """Show _core a task of asyncio's that is registered, current and awaited."""

    async def nothing() -> None:
        """Never runs."""

    stage: Any = _Stage()
    coro = nothing()
    name = "a name for the proof"
    running: Any = asyncio._get_running_loop()
    current = _native.current_task(running) if running is not None else None
    if current is not None:
        _native._leave_task(running, current)
    asyncio._set_running_loop(stage)
    try:
        task: Any = asyncio.Task(coro, loop=stage, name=name)
        task._log_destroy_pending = False
        _native.future_add_to_awaited_by(task, task)
        _native._enter_task(stage, task)
        try:
            return _core._use_layout(
                {**table, "loop": stage, "task": task, "task_coro": coro, "task_name": name}
            )
        finally:
            _native._leave_task(stage, task)
            _native.future_discard_from_awaited_by(task, task)
    finally:
        asyncio._set_running_loop(running)
        if current is not None:
            _native._enter_task(running, current)
        coro.close()


def adopt() -> bool:
    """Have our tasks use the layout; False where it is not known or not proved."""
    for path in _files():
        try:
            table = _read_table(path)
        except (OSError, struct.error):
            continue
        if table:
            return _prove(table)
    return False
