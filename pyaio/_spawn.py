"""Child processes started by posix_spawn(3), where that does what Popen would do.

asyncio's transport and Popen are made as ever, but for the one method of Popen that starts the
child. That learns by a pipe whether the child has become the program, which posix_spawn() knows.
Whatever posix_spawn() cannot do, or does not manage to do, is that method's again, errors included.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from asyncio import unix_events
from pathlib import PosixPath, PurePosixPath
from types import BuiltinFunctionType, MethodType, SimpleNamespace
from typing import Any, NamedTuple

from pyaio import _core
from pyaio._asyncio_hooks import is_function_of, with_globals

_TRANSPORT: Any = unix_events._UnixSubprocessTransport  # type: ignore[attr-defined]
_POPEN: Any = subprocess.Popen

#: What stands for a name or a word, and has no code of the program's.
_TEXTS = frozenset({str, bytes, PosixPath, PurePosixPath})
_TEXTS_OR_NONE = _TEXTS | {type(None)}
_SWITCHES = frozenset({bool})


class _Request(NamedTuple):
    """What Popen._execute_child() is given, in every version so far."""

    args: Any
    executable: Any
    preexec_fn: Any
    close_fds: Any
    pass_fds: Any
    cwd: Any
    env: Any
    startupinfo: Any
    creationflags: Any
    shell: Any
    p2cread: Any
    p2cwrite: Any
    c2pread: Any
    c2pwrite: Any
    errread: Any
    errwrite: Any
    restore_signals: Any
    gid: Any
    gids: Any
    uid: Any
    umask: Any
    start_new_session: Any
    process_group: Any


# ---- is all of it asyncio's and the standard library's own? ----


def _in_use() -> tuple[Any, ...]:
    """What stands between create_subprocess_exec() and the child."""
    return (
        unix_events._UnixSubprocessTransport,  # type: ignore[attr-defined]
        subprocess.Popen,
        _own(_TRANSPORT, "_start"),
        _own(_POPEN, "_execute_child"),
        _own(_POPEN, "_posix_spawn"),
        getattr(subprocess, "_fork_exec", None),
        getattr(os, "posix_spawn", None),
    )


def _own(owner: Any, name: str) -> Any:
    """What the class has by itself; None also where something else stands in its place."""
    return getattr(owner, "__dict__", {}).get(name)


def _is_as_written(found: tuple[Any, ...]) -> bool:
    transport, popen, start, execute_child, posix_spawn, *builtins = found
    return (
        isinstance(transport, type)
        and isinstance(popen, type)
        and is_function_of(start, unix_events, "_UnixSubprocessTransport._start")
        and is_function_of(execute_child, subprocess, "Popen._execute_child")
        and is_function_of(posix_spawn, subprocess, "Popen._posix_spawn")
        and all(isinstance(function, BuiltinFunctionType) for function in builtins)
        and _parameters(execute_child) == ("self", *_Request._fields)
    )


def _parameters(function: Any) -> tuple[str, ...]:
    code = function.__code__
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    return names


#: As it was at the import; None where something had been replaced by then, or the C library
#: has not what it takes.
_AS_WRITTEN: tuple[Any, ...] | None = _in_use()
if not (hasattr(_core, "_spawn") and _is_as_written(_in_use())):
    _AS_WRITTEN = None


def is_native() -> bool:
    """Whether children may be started here: nothing is replaced, and nobody has turned vfork()
    and its like off, as the documentation of subprocess says how to.
    """
    return (
        _in_use() == _AS_WRITTEN
        and getattr(subprocess, "_USE_POSIX_SPAWN", False)
        and getattr(subprocess, "_USE_VFORK", True)
    )


# ---- the transport and its Popen ----


def make_transport(*args: Any, **kwargs: Any) -> Any:
    """asyncio's transport of a child, with the arguments of its class."""
    if not is_native():
        return unix_events._UnixSubprocessTransport(*args, **kwargs)  # type: ignore[attr-defined]
    transport = _TRANSPORT.__new__(_TRANSPORT)
    transport._start = functools.partial(_start, transport)
    try:
        transport.__init__(*args, **kwargs)
    finally:
        del transport._start
    return transport


def _start(transport: Any, args: Any, **kwargs: Any) -> None:
    """As _UnixSubprocessTransport._start()."""
    popen = _POPEN.__new__(_POPEN)
    popen._execute_child = functools.partial(_execute_child, popen)
    try:
        popen.__init__(args, universal_newlines=False, **kwargs)
    finally:
        del popen._execute_child
    transport._proc = popen


def _find_way() -> tuple[Any, Any] | None:
    """asyncio's way to the transport of a child, and the same to make_transport()."""
    make = vars(unix_events._UnixSelectorEventLoop).get("_make_subprocess_transport")
    name = "_UnixSelectorEventLoop._make_subprocess_transport"
    if not is_function_of(make, unix_events, name):
        return None
    return make, with_globals(make, _UnixSubprocessTransport=make_transport)


_WAY = _find_way()


def natively(make: Any) -> Any:
    """A loop's _make_subprocess_transport(); asyncio's own by make_transport()."""
    if _WAY is not None and getattr(make, "__func__", None) is _WAY[0]:
        return MethodType(_WAY[1], make.__self__)
    return make


# ---- the child ----


def _execute_child(popen: Any, *given: Any) -> None:
    """As Popen._execute_child()."""
    request = _Request(*given)
    if not _is_plain(request):
        _POPEN._execute_child(popen, *given)
        return
    pid = _spawn(request)
    if pid is None:
        _execute_child_unaudited(popen, *given)
        return
    popen.pid = pid
    popen._child_created = True
    popen._close_pipe_fds(*given[_FIRST_FD : _FIRST_FD + 6])


_FIRST_FD = _Request._fields.index("p2cread")


def _execute_child_unaudited(popen: Any, *given: Any) -> None:
    """Popen's own, for a child of which the audit hooks have heard and which did not start."""
    silent = SimpleNamespace(**{**vars(sys), "audit": lambda *args: None})
    repeat = with_globals(_POPEN._execute_child, sys=silent, _USE_POSIX_SPAWN=False)
    repeat(popen, *given)


def _is_plain(request: _Request) -> bool:
    """Whether nothing is asked for that posix_spawn() cannot do, or that Popen would refuse."""
    words = (request.args,) if request.shell else request.args
    switches = (request.close_fds, request.restore_signals, request.start_new_session)
    return (
        request.preexec_fn is None
        and request.gid is None
        and request.gids is None
        and request.uid is None
        and request.pass_fds == ()
        and request.umask == -1
        and _SWITCHES.issuperset(map(type, switches))
        and type(words) is tuple
        and _TEXTS.issuperset(map(type, words))
        and _TEXTS_OR_NONE.issuperset((type(request.executable), type(request.cwd)))
        and not (request.shell and request.executable)
        and (request.env is None or type(request.env) is dict)
    )


def _spawn(request: _Request) -> int | None:
    """Start a child and return its pid; None if it could not be started."""
    args = ("/bin/sh", "-c", request.args) if request.shell else request.args
    program = args[0] if request.executable is None else request.executable
    cwd, env = request.cwd, request.env
    sys.audit("subprocess.Popen", program, list(args), cwd, env)
    if _would_be_spawned_by_popen(request, os.fsencode(program)):
        sys.audit("os.posix_spawn", program, list(args), os.environ if env is None else env)
    return _core._spawn(
        os.fsencode(program),
        list(map(os.fsencode, args)),
        env,
        os.fsencode(os.environ.get("PATH", os.defpath) if env is None else os.defpath),
        None if cwd is None else os.fsencode(cwd),
        (request.p2cread, request.c2pwrite, request.errwrite),
        request.close_fds,
        request.restore_signals,
        request.start_new_session,
        request.process_group,
    )


def _would_be_spawned_by_popen(request: _Request, program: bytes) -> bool:
    """Whether Popen itself would call os.posix_spawn(), which has an event of its own."""
    return (
        b"/" in program
        and (not request.close_fds or getattr(subprocess, "_HAVE_POSIX_SPAWN_CLOSEFROM", False))
        and request.cwd is None
        and {0, 1, 2}.isdisjoint((request.p2cread, request.c2pwrite, request.errwrite))
        and not request.start_new_session
        and request.process_group == -1
    )
