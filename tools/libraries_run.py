"""Runs the own tests of one library: sets up what they need, and reads what they report.

Called by libraries.py. A Suite is a folder in build/libraries, which stays for the next time: a
virtual environment with the library from its wheel, and the tests from its sdist. How the tests
ended comes from libraries_plugin.py.
"""

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from libraries_list import RUNNER

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "libraries" / "{}.{}".format(*sys.version_info[:2])
PLUGIN = Path(__file__).with_name("libraries_plugin.py")

TEST_LIMIT = 120  # seconds for one test
RUN_LIMIT = 1800  # for all of them
LINES = 15  # of a log that are shown where a step failed

# What other targets have made is not built into the wheel.
MADE = (".git", ".venv*", "build", "dist", "*.egg-info", "*.so", "__pycache__", ".*_cache")

NEEDS_SETUP = {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


class Broken(Exception):
    """A step failed, and so nothing is known about the tests."""


def say(line):
    print(f"==> {line}", flush=True)


def run_step(what, words, log, folder=ROOT):
    """Run a command that has to succeed; Broken has the last lines that it wrote."""
    with log.open("a") as file:
        done = subprocess.run(
            list(map(str, words)),
            cwd=folder,
            env={**os.environ, **NEEDS_SETUP},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        raise Broken(f"{what} failed:\n{last_lines(log)}")


def last_lines(log):
    return "\n".join(log.read_text(errors="replace").splitlines()[-LINES:])


def build_wheel():
    """Build pyaio, as a user's pip does; returns the wheel's path."""
    folder = FOLDER / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    # From a copy: an older build in the checkout could lend a file that is no longer there.
    ignore = shutil.ignore_patterns(*MADE)
    shutil.copytree(ROOT, folder / "sources", ignore=ignore, symlinks=True)
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation")
    run_step("building pyaio", (*pip, "-w", folder, folder / "sources"), folder / "build.log")
    (wheel,) = folder.glob("*.whl")
    return wheel


# ---- PostgreSQL ----


def postgres_programs():
    """The folder of initdb and its like, also where Debian keeps them; None without a server."""
    if path := shutil.which("initdb"):
        return Path(path).resolve().parent
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(folders, key=lambda folder: int(folder.parent.name), default=None)


def as_another_user():
    """What a command of root has to start with, as initdb refuses to run as root.

    Interpreter and sources may be where only root looks: the right to look stays.
    """
    if os.geteuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    ids = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    return ["setpriv", *ids, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


# ---- what a run brought ----

WORSE = ("passed", "skipped", "failed")  # what counts, where the phases of a test differ


@dataclass
class Results:
    """How each test of a run ended, and how many loops were made; failure: of the run itself."""

    outcomes: dict[str, str] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    loops: Counter = field(default_factory=Counter)
    failure: str | None = None

    def named(self, outcome):
        return {test for test, its in self.outcomes.items() if its == outcome}

    def count(self, outcome):
        return len(self.named(outcome))


def read_events(lines):
    """The Results that those lines of libraries_plugin.py tell of."""
    results = Results()
    for event in map(json.loads, lines):
        if "loops" in event:
            results.loops.update(event["loops"])
            continue
        test, outcome = event["test"], event["outcome"]
        before = results.outcomes.get(test, "passed")
        results.outcomes[test] = max(before, outcome, key=WORSE.index)
        if outcome == "failed":
            results.details[test] = event["detail"]
    return results


# ---- a library's tests ----


class Suite:
    """The own tests of a library, to be run on either loop."""

    def __init__(self, library, jobs):
        self.library = library
        self.jobs = jobs if library.side_by_side else 0
        self.folder = FOLDER / f"{library.name}-{library.version}"
        self.python = self.folder / "venv" / "bin" / "python"
        self.log = self.folder / "setup.log"

    def set_up(self, wheel):
        """Make what is missing; what is there already costs no download."""
        stamp = self.folder / "key"
        key = repr((RUNNER, self.library.requirements, self.library.package, sys.version))
        if not stamp.exists() or stamp.read_text() != key:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            self._install()
            if self.library.package:
                self._unpack()
            stamp.write_text(key)
        self._pip("install", "--no-deps", "--force-reinstall", wheel)
        shutil.copy(PLUGIN, self._site_packages())

    def _install(self):
        say(f"{self.library}: install it, and what its tests need")
        run_step("the environment", (sys.executable, "-m", "venv", self.folder / "venv"), self.log)
        wanted = f"{self.library.name}=={self.library.version}"
        self._pip("install", wanted, *RUNNER, *self.library.requirements)

    def _unpack(self):
        """Unpack the sdist, without the library itself: it would be imported from there."""
        name, version = self.library.name, self.library.version
        only_source = ("--no-deps", "--no-binary", name)
        self._pip("download", *only_source, "-d", self.folder, f"{name}=={version}")
        (archive,) = self.folder.glob("*.tar.gz")
        self._sources().mkdir()
        words = ("tar", "-xzf", archive, "-C", self._sources(), "--strip-components=1")
        run_step("unpacking the sdist", words, self.log)
        shutil.rmtree(self._sources() / self.library.package)

    def _pip(self, *words):
        run_step(f"pip {words[0]}", (self.python, "-m", "pip", *words), self.log)

    def _sources(self):
        return self.folder / "sources"

    def _site_packages(self):
        return self.folder / "venv/lib/python{}.{}/site-packages".format(*sys.version_info[:2])

    # ---- running ----

    def run(self, loop):
        """Run all tests on that loop."""
        side_by_side = ["-n", str(self.jobs)] if self.jobs else []
        return self._run(loop, loop, [*side_by_side, self.library.tests])

    def run_alone(self, loop, test):
        """How one test ends, and why, in a process of its own; "missing" where it did not run."""
        results = self._run(loop, "alone", ["-p", "no:xdist", test])
        outcome = results.outcomes.get(test, "missing")
        return outcome, results.details.get(test) or results.failure or outcome

    def _run(self, loop, name, words):
        events, log = self.folder / f"{name}.jsonl", self.folder / f"{name}.log"
        events.unlink(missing_ok=True)
        events.touch()
        # With "=": pytest takes a path that stands alone for one of tests, and searches its
        # configuration there.
        ours = (f"--libraries-loop={loop}", f"--libraries-events={events}")
        failure = self._pytest(log, *ours, *words)
        with events.open() as lines:
            # A process that was killed may have left half a line.
            results = read_events(line for line in lines if line.endswith("\n"))
        results.failure = failure
        return results

    def _pytest(self, log, *words):
        """Run pytest to its end; returns how it failed, if not by tests that failed."""
        folder = self._sources() if self.library.package else self._site_packages()
        options = ["-p", "libraries_plugin", "-p", "no:cacheprovider", "--override-ini=addopts="]
        options += [f"--rootdir={folder}", f"--timeout={TEST_LIMIT}", "--timeout-method=signal"]
        options += ["-q", *self.library.options, *words]
        prefix = as_another_user() if self.library.needs_postgres else []
        with log.open("w") as file:
            # A process group, to be killed whole.
            process = subprocess.Popen(
                [*prefix, *map(str, [self.python, "-m", "pytest", *options])],
                cwd=folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            return _end_of(process, log)

    def _environment(self):
        environment = dict(os.environ)
        if self.library.needs_postgres:
            environment["PGINSTALLATION"] = str(postgres_programs())
        return environment


def _end_of(process, log):
    """Wait for pytest, and leave nothing of it running; returns how it failed."""
    try:
        code = process.wait(RUN_LIMIT)
    except subprocess.TimeoutExpired:
        return f"the tests did not end within {RUN_LIMIT} s; the last lines:\n{last_lines(log)}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if code in (0, 1):  # 1: tests failed
        return None
    return f"pytest ended with exit code {code}; the last lines:\n{last_lines(log)}"


def seconds_since(started):
    return f"{time.monotonic() - started:.0f} s"
