"""Compiles the C programs beside this file when they are needed, into `build/benchmarks/`.

Two of them are no programs but extension modules, built for the running interpreter.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "build" / "benchmarks"
COMMON = ("common/process.c", "common/lifetime.c")
CONNECTED = (*COMMON, "common/channel.c", "common/tls.c")
FLAGS = ["-std=c11", "-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra"]


# What brings a pkg-config package, on Debian and Ubuntu, on Fedora, on Alpine.
BROUGHT_BY = {
    "libuv": ("libuv1-dev", "libuv-devel", "libuv-dev"),
    "openssl": ("libssl-dev", "openssl-devel", "openssl-dev"),
}


class BuildError(Exception):
    """A program cannot be built; the text says why, and what to install."""


@dataclass(frozen=True)
class Program:
    """A C program: its files, and the pkg-config package that it is linked with."""

    name: str
    sources: tuple[str, ...]
    """Patterns, relative to this folder."""
    package: str = ""
    module: bool = False
    """An extension module for the running interpreter."""
    arguments: tuple[str, ...] = ()
    """Of a floor: what comes before the core to run on."""

    @property
    def file_name(self) -> str:
        """Each interpreter has extension modules of its own."""
        suffix = sysconfig.get_config_var("EXT_SUFFIX") if self.module else ""
        return f"{self.name}{suffix}"


LOAD = Program("load", ("load/*.c", *CONNECTED), "openssl")


STACKS = Program("stacks", ("stacks/stacks.c",), module=True)


def _server(answer: str) -> Program:
    return Program("floor-server", ("floor/server.c", *CONNECTED), "openssl", arguments=(answer,))


def _datagrams(answer: str) -> Program:
    return Program("floor-datagram", ("floor/datagram.c", *COMMON), arguments=(answer,))


FLOORS = {
    "send": Program("send", ("floor/send.c",), module=True),
    "echo": Program("floor-echo", ("floor/echo.c", *COMMON), "libuv"),
    "server": _server("echo"),
    "http": _server("http"),
    "datagrams": _datagrams("echo"),
    "burst": _datagrams("burst"),
}


def _compiler() -> list[str]:
    command = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(command[0]) is None:
        raise BuildError(
            f"There is no C compiler ({command[0]}); it builds the load generator and the floors. "
            "Debian, Ubuntu: apt-get install gcc libc6-dev; Fedora: dnf install gcc; "
            "Alpine: apk add build-base."
        )
    return command


def _package(name: str) -> list[str]:
    """Compiler and linker flags of a pkg-config package."""
    command = ["pkg-config", "--cflags", "--libs", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        apt, dnf, apk = BROUGHT_BY[name]
        raise BuildError(
            f"pkg-config does not find {name}. Debian, Ubuntu: apt-get install pkg-config {apt}; "
            f"Fedora: dnf install pkgconf {dnf}; Alpine: apk add pkgconf {apk}."
        ) from None
    return shlex.split(done.stdout)


def _module_flags() -> list[str]:
    folder = sysconfig.get_path("include")
    if not Path(folder, "Python.h").exists():
        raise BuildError(f"Python.h, which extension modules are built with, is not in {folder}.")
    # macOS leaves the interpreter's symbols to be found when the module is loaded.
    late = ["-undefined", "dynamic_lookup"] if sysconfig.get_platform().startswith("mac") else []
    return ["-shared", "-fPIC", f"-I{folder}", *late]


def _digest(command: list[str], files: list[Path]) -> str:
    digest = hashlib.sha256("\0".join(command).encode())
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


@cache
def build(program: Program) -> Path:
    """The program, compiled if its sources, its flags or the compiler's name have changed.

    Raises BuildError with one sentence that helps.
    """
    sources = sorted(file for pattern in program.sources for file in HERE.glob(pattern))
    folders = {HERE / "common", *(file.parent for file in sources)}
    headers = sorted(header for folder in folders for header in folder.glob("*.h"))
    target = FOLDER / program.file_name
    stamp = FOLDER / f"{program.file_name}.digest"
    command = [*_compiler(), *FLAGS, *map(str, sources), "-o", str(target)]
    command += _package(program.package) if program.package else []
    command += _module_flags() if program.module else []
    digest = _digest(command, [*sources, *headers])
    if target.exists() and stamp.exists() and stamp.read_text() == digest:
        return target
    FOLDER.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"{program.name} does not compile:\n{done.stderr.strip()}")
    stamp.write_text(digest)
    return target


@cache
def load(program: Program) -> Any:
    """The extension module, built if it has to be, and imported. Raises BuildError."""
    file = str(build(program))
    loader = ExtensionFileLoader(program.name, file)
    spec = spec_from_file_location(program.name, file, loader=loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module
