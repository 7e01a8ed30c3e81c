"""Running a program, unchanged, as ``python -m pyaio`` does.

The program finds what it would find under ``python``: its own ``__main__``,
``sys.argv``, ``sys.path`` and exit code, tracebacks without frames of ours. Only
asyncio.run(), asyncio.Runner and asyncio.new_event_loop() give pyaio loops.
"""

import asyncio
import builtins
import io
import linecache
import os
import runpy
import sys
import types
import warnings
from importlib.machinery import BuiltinImporter, SourceFileLoader
from typing import Any, NoReturn

import pyaio

_USAGE = """\
usage: python -m pyaio [-h] [-V] (script | -m module | -c code | -) [args ...]

Run a Python program with asyncio's loops replaced by pyaio's.

  script     a file, or a directory or zip archive with a __main__.py
  -m module  a module, as python -m
  -c code    a program in one argument
  -          a program from standard input
  args       the program's own, in sys.argv
"""

# Whose frames, at the top of a traceback, are the runner's and not the program's.
_OUR_FILES = {__file__, os.path.join(os.path.dirname(__file__), "__main__.py")}


def use_pyaio_loops() -> None:
    """Have asyncio make pyaio loops for whoever names no factory."""
    if sys.version_info >= (3, 16):
        asyncio.events.new_event_loop = pyaio.new_event_loop
        asyncio.new_event_loop = pyaio.new_event_loop
        return
    with warnings.catch_warnings():
        # The program does not use a policy: we do.
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop_policy(pyaio.EventLoopPolicy())


def _hide_our_frames() -> None:
    """Have uncaught exceptions printed from the program's first frame on."""
    show = sys.excepthook

    def hook(
        kind: type[BaseException], exc: BaseException, traceback: types.TracebackType | None
    ) -> None:
        traceback = _after_our_frames(traceback)
        show(kind, exc.with_traceback(traceback), traceback)

    sys.excepthook = hook


def _after_our_frames(traceback: types.TracebackType | None) -> types.TracebackType | None:
    """What lies below the last frame of the runner at the traceback's top."""
    below = frame = traceback
    while frame is not None:
        filename = frame.tb_frame.f_code.co_filename
        frame = frame.tb_next
        if filename in _OUR_FILES:
            below = frame
        elif filename != "<frozen runpy>":
            break
    return below


def _new_main(filename: str | None) -> dict[str, Any]:
    """Put a fresh module in the place of ``__main__``; returns its namespace."""
    module = types.ModuleType("__main__")
    namespace = module.__dict__
    namespace["__builtins__"] = builtins
    if sys.version_info < (3, 14):
        namespace["__annotations__"] = {}
    if filename is None:
        namespace["__loader__"] = BuiltinImporter
    else:
        # multiprocessing's children import it by its path.
        namespace["__file__"] = filename
        namespace["__loader__"] = SourceFileLoader("__main__", filename)
        if sys.version_info < (3, 15):
            namespace["__cached__"] = None
    # Ours is kept alive: its functions are still running.
    sys.modules["__pyaio_main__"] = sys.modules["__main__"]
    sys.modules["__main__"] = module
    return namespace


def _run_code(source: str | bytes, shown: str, filename: str | None) -> None:
    namespace = _new_main(filename)
    exec(compile(source, shown, "exec", dont_inherit=True), namespace)


def _run_script(path: str) -> None:
    absolute = os.path.join(os.getcwd(), path)
    if os.path.isdir(path) or _is_archive(path):
        _new_main(None)
        sys.path[0] = absolute
        runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]
        return
    try:
        with io.open_code(absolute) as file:
            source = file.read()
    except OSError as exc:
        _fail(f"can't open file {absolute!r}: [Errno {exc.errno}] {exc.strerror}")
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    _run_code(source, absolute, absolute)


def _run_stdin() -> None:
    if not sys.flags.safe_path:
        sys.path[0] = ""
    namespace = _new_main(None)
    if sys.version_info < (3, 13):
        namespace.update(__file__="<stdin>", __cached__=None)
    exec(compile(sys.stdin.buffer.read(), "<stdin>", "exec", dont_inherit=True), namespace)


def _is_archive(path: str) -> bool:
    import zipfile

    return os.path.isfile(path) and not path.endswith(".py") and zipfile.is_zipfile(path)


def _fail(reason: str) -> NoReturn:
    """End as the interpreter does when it cannot start a program."""
    print(f"{sys.executable}: {reason}", file=sys.stderr)
    sys.exit(2)


def _argument(option: str, args: list[str]) -> str:
    if not args:
        _fail(f"argument expected for the {option} option\n{_USAGE}")
    return args[0]


def _split_option(args: list[str]) -> list[str]:
    """The arguments, as python reads them too: ``-mmodule`` is ``-m module``, behind ``--`` comes
    the script.
    """
    if args[:1] == ["--"]:
        return args[1:]
    if args and args[0][:2] in ("-c", "-m") and len(args[0]) > 2:
        return [args[0][:2], args[0][2:], *args[1:]]
    return args


def main() -> None:
    """The command line of ``python -m pyaio``: see the usage above."""
    # Without arguments: a program that is piped in, as python takes it.
    first, *rest = _split_option(sys.argv[1:]) or ["-h" if sys.stdin.isatty() else ""]
    if first in ("-h", "--help"):
        print(_USAGE, end="")
        return
    if first in ("-V", "--version"):
        print(f"pyaio {pyaio.__version__} (libuv {pyaio.libuv_version()})")
        return
    use_pyaio_loops()
    _hide_our_frames()
    if first == "-c":
        code = _argument("-c", rest)
        sys.argv[:] = ["-c", *rest[1:]]
        if not sys.flags.safe_path:
            sys.path[0] = ""
        if sys.version_info >= (3, 13):
            # python shows the lines of a command in tracebacks since then.
            linecache.cache["<string>"] = (len(code), None, code.splitlines(True), "<string>")
        _run_code(code, "<string>", None)
    elif first == "-m":
        module = _argument("-m", rest)
        sys.argv[:] = ["-m", *rest[1:]]
        _new_main(None)
        runpy._run_module_as_main(module)  # type: ignore[attr-defined]
    elif first in ("-", ""):
        sys.argv[:] = [first, *rest]
        _run_stdin()
    elif first.startswith("-"):
        _fail(f"unknown option {first}\n{_USAGE}")
    else:
        sys.argv[:] = [first, *rest]
        _run_script(first)
