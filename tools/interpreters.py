"""Finds an interpreter of each version, and gets it where it is not here.

Asked in this order: PATH; pyenv; the packages of the Debian or Ubuntu at hand; a Debian
testing in a folder of its own (debian_tree.sh), where commands then run by chroot. It has
to be whole: with C headers, venv, and its own tests. One without the GIL, such as "3.13t",
is built from Debian's sources (free_threaded.sh).

    PYAIO_TREE      that folder (pyaio-debian-testing in the folder for temporary files)
    PYAIO_NO_GIL    where the one without the GIL is (pyaio-free-threaded, there, too)
"""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13", "3.13t", "3.14", "3.15")

TOOLS = Path(__file__).resolve().parent
TREE_SCRIPT = TOOLS / "debian_tree.sh"
FREE_THREADED_SCRIPT = TOOLS / "free_threaded.sh"

# What the tree needs besides an interpreter to build pyaio.
FOR_THE_BUILD = [
    "libuv1-dev",
    "gcc",
    "libc6-dev",
    "make",
    "pkg-config",
    "python3-pip",
    "python3-venv",
    "procps",
    "openssl",
]

IS_WHOLE = """
import ensurepip, os, sys, sysconfig, venv
import test.test_asyncio
threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
assert "%d.%d" % sys.version_info[:2] + threads == sys.argv[1]
assert os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
assert os.path.exists(os.path.join(os.path.dirname(test.test_asyncio.__file__), "test_tasks.py"))
print(sys.executable)
"""


class NotFound(Exception):
    """There is no such interpreter, and none could be got."""


@dataclass(frozen=True)
class Interpreter:
    """One version's python; with a tree, its path is one in there."""

    version: str
    path: str
    tree: Path | None = None

    def command(self, words, folder):
        """What runs these words in that folder, on the system of this interpreter."""
        if self.tree is None:
            return list(words)
        return _as_root(["sh", str(TREE_SCRIPT), "run", str(self.tree), str(folder), *words])

    def __str__(self):
        return f"{self.path} in {self.tree}" if self.tree else self.path


def find(version):
    """The Interpreter of a version such as "3.13"; NotFound says what to do."""
    without_gil = version.endswith("t")
    for search in (_here, _built) if without_gil else (_here, _debian, _tree):
        if found := search(version):
            return found
    raise NotFound(
        f"no Python {version} with C headers and its own tests was found or could be installed. "
        f"pyenv brings one: pyenv install {version}"
    )


def _here(version):
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    candidates = [f"python{version}", f"/usr/bin/python{version}"]
    line, threads = version.removesuffix("t"), version[len(version.removesuffix("t")) :]
    found = pyenv.glob(f"{line}.*{threads}/bin/python")
    candidates += sorted(map(str, found), reverse=True)
    for name in candidates:
        if path := _whole(Interpreter(version, name)):
            return Interpreter(version, path)
    return None


def _whole(interpreter):
    """The path of its executable; None when it is not there, or not whole."""
    command = [interpreter.path, "-c", IS_WHOLE, interpreter.version]
    try:
        done = subprocess.run(interpreter.command(command, "/"), capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _packages(version):
    return [f"python{version}-full", f"python{version}-dev", f"libpython{version}-testsuite"]


def _debian(version):
    """Debian's or Ubuntu's own, installed now."""
    if not _has_apt() or not _knows(_packages(version)):
        return None
    command = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-q"]
    done = subprocess.run(
        _as_root([*command, "--no-install-recommends", *_packages(version)]),
        stdin=subprocess.DEVNULL,
    )
    return _here(version) if done.returncode == 0 else None


def _knows(packages):
    """Whether apt can install all of them."""
    shown = subprocess.run(["apt-cache", "show", *packages], capture_output=True)
    return shown.returncode == 0


def _folder(variable, name):
    """Where something is made: what the environment says, or in the folder for such things."""
    return Path(os.environ.get(variable) or Path(tempfile.gettempdir(), name)).absolute()


def _tree(version):
    if not _has_apt():
        return None
    tree = _folder("PYAIO_TREE", "pyaio-debian-testing")
    command = ["sh", str(TREE_SCRIPT), "make", str(tree)]
    done = subprocess.run(
        _as_root([*command, *FOR_THE_BUILD, *_packages(version)]), stdin=subprocess.DEVNULL
    )
    if done.returncode:
        return None
    found = Interpreter(version, f"/usr/bin/python{version}", tree)
    return found if _whole(found) else None


def _built(version):
    """Without the GIL: made from sources."""
    if not _has_apt():
        return None
    folder = _folder("PYAIO_NO_GIL", "pyaio-free-threaded")
    command = ["sh", str(FREE_THREADED_SCRIPT), "make", str(folder)]
    done = subprocess.run(_as_root(command), stdin=subprocess.DEVNULL)
    built = Interpreter(version, str(folder / "bin" / f"python{version}"))
    return built if done.returncode == 0 and _whole(built) else None


def _has_apt():
    return shutil.which("apt-get") is not None


def _as_root(command):
    return command if os.getuid() == 0 else ["sudo", "-n", "-E", *command]
