"""Proves pyaio on each interpreter that it supports.

    make versions                           sets everything up, and runs this
    make versions ARGS="3.12 3.14"          --help tells what else it takes

For each version a copy of the sources, a virtual environment, a build in which warnings are
errors (since 3.14 another as if without the GIL); then pyaio's own tests, the interpreter's own
tests of asyncio (tests/stdlib), and the examples. At the end one table, and exit code 1 when
anything failed.

    PYAIO_CI_ALLOW_MISSING=1    an interpreter that cannot be got is no failure
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import interpreters  # noqa: E402

from tests.stdlib import summary  # noqa: E402

# What other targets have made is made anew for each version.
MADE = (".git", ".venv*", "build", "dist", "*.egg-info", "*.so", "__pycache__", ".*_cache")

NOT_RUN = "-"

# A collection takes ten times as long without the GIL, and there are some in each test; memory
# is not what tests/isolated counts. asyncio's own loop is the code that the build with the GIL
# has shown, and not all of it is safe without.
WITHOUT_GIL = ("--only-pyaio", "tests/engine", "tests/tasks", "tests/net")

# Of these there is no build without the GIL to be had: whether its compiler would take the sources
# is seen by what has the GIL. What comes out runs nowhere.
COMPILED_WITHOUT_GIL = ("3.14", "3.15")

# The page that holds the table, between two comments.
PAGE = ROOT / "docs" / "compatibility.md"
BEGIN, END = "<!-- versions: written by make versions -->", "<!-- end of versions -->"


def say(line):
    print(f"==> {line}", flush=True)


class Version:
    """One version's steps; what they bring is in its attributes, for the table."""

    def __init__(self, interpreter, folder, jobs):
        self.interpreter = interpreter
        self.folder = folder
        self.jobs = str(jobs)
        self.suite = NOT_RUN
        self.demo = NOT_RUN
        self.stdlib = None
        self.failures = []

    def run(self, name, *words):
        """Run a step, shown as it goes; True if it succeeded."""
        say(f"Python {self.interpreter.version}: {name}")
        started = time.monotonic()
        environment = {**os.environ, "PYAIO_WERROR": "1", "VENV": ".venv"}
        environment["PYTHON"] = self.interpreter.path
        with subprocess.Popen(
            self.interpreter.command(words, self.folder),
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
        ) as process:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                process.terminate()  # each step ends what it has started
                raise
        outcome = f"failed with exit code {code}" if code else "ok"
        say(f"Python {self.interpreter.version}: {name}: {outcome}, {_since(started)}")
        if code:
            self.failures.append(name)
        return code == 0

    def build(self):
        ignore = shutil.ignore_patterns(*MADE)
        shutil.copytree(ROOT, self.folder, ignore=ignore, symlinks=True)
        return self.run("build", "sh", "tools/setup.sh", "test", "demo")

    def compile_without_gil(self):
        command = ["setup.py", "-q", "build_ext", "--build-temp", "no-gil", "--build-lib", "no-gil"]
        options = ["CFLAGS=-DPy_GIL_DISABLED=1", "PYAIO_DEBUG=1"]
        self.run("compiles without the GIL", "env", *options, ".venv/bin/python", *command)

    def run_suite(self):
        options = ["-q", "-n", self.jobs, "--second-look", "--junitxml=suite.xml"]
        if self.interpreter.version.endswith("t"):
            options += WITHOUT_GIL
        good = self.run("own tests", ".venv/bin/python", "-m", "pytest", *options)
        self.suite = suite_outcome(self.folder / "suite.xml", good)

    def run_stdlib(self):
        options = ("--jobs", self.jobs, "--json", str(self.folder / "stdlib.json"))
        self.run("the interpreter's tests", ".venv/bin/python", "-m", "tests.stdlib", *options)
        report = self.folder / "stdlib.json"
        if report.exists():
            self.stdlib = json.loads(report.read_text())

    def run_demo(self):
        good = self.run("examples", ".venv/bin/python", "tools/demo.py", "--quick")
        self.demo = "ok" if good else "failed"

    def sweep(self):
        """Remove the folder: in a tree root has written there."""
        if self.interpreter.tree is not None:
            command = self.interpreter.command(
                ["find", ".", "-mindepth", "1", "-delete"], self.folder
            )
            subprocess.run(command, stdin=subprocess.DEVNULL)
        shutil.rmtree(self.folder)


def _since(started):
    return f"{time.monotonic() - started:.0f} s"


def suite_outcome(report, good):
    """What pytest's report says, in a few words; good: what failed did so by chance."""
    if not report.exists():
        return "failed"
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for suite in ET.parse(report).getroot().iter("testsuite"):
        for name in counts:
            counts[name] += int(suite.get(name, 0))
    failed = counts["failures"] + counts["errors"]
    passed = counts["tests"] - failed - counts["skipped"]
    how = "by chance" if failed and good else "failed"
    return f"{passed} passed, {failed} {how}"


def prove(version, options, work):
    """Run all steps on one version; the Version, or None where it cannot be got."""
    try:
        interpreter = interpreters.find(version)
    except interpreters.NotFound as error:
        say(f"Python {version} is missing: {error}")
        return None
    say(f"Python {version} is {interpreter}")
    one = Version(interpreter, work / version, options.jobs)
    try:
        if one.build():
            if version in COMPILED_WITHOUT_GIL:
                one.compile_without_gil()
            if version not in options.without_suite:
                one.run_suite()
            one.run_stdlib()
            one.run_demo()
    finally:
        one.sweep()
    return one


def lines_of(versions, form):
    """The table of all versions."""
    head = ["Python", *summary.COLUMNS, "excluded %", "own tests", "examples"]
    rows = [[name_of(name, one), *cells_of(one)] for name, one in versions.items()]
    return ["", *form(head, rows), ""]


def name_of(version, one):
    """The full version where it is known."""
    if one is None or not one.stdlib:
        return version
    return one.stdlib["python"] + ("t" if version.endswith("t") else "")


def write_page(versions):
    """Put the table into the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(lines_of(versions, summary.markdown))
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


def cells_of(one):
    if one is None:
        return ["missing", *[NOT_RUN] * (len(summary.COLUMNS) + 2)]
    totals = one.stdlib["totals"] if one.stdlib else None
    counts = summary.counts_and_share(totals) if totals else [NOT_RUN] * (len(summary.COLUMNS) + 1)
    return [*counts, one.suite, one.demo]


def parse_options():
    parser = argparse.ArgumentParser(prog="versions", description=__doc__.partition("\n\n")[0])
    add = parser.add_argument
    known = interpreters.VERSIONS
    add("versions", nargs="*", metavar="VERSION", help=f"only these of {', '.join(known)}")
    add("--jobs", type=int, default=len(os.sched_getaffinity(0)), metavar="N", help="side by side")
    add(
        "--without-suite",
        action="append",
        default=[],
        metavar="VERSION",
        help="do not run pyaio's own tests on this one",
    )
    add("--markdown", action="store_true", help="print the table as Markdown, too")
    add("--write-page", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    if unknown := set(options.versions) - set(known):
        parser.error(f"there is no {', '.join(sorted(unknown))}, only {', '.join(known)}")
    return options


def main():
    options = parse_options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    versions = {}
    with tempfile.TemporaryDirectory(prefix="pyaio-versions-") as work:
        for version in options.versions or interpreters.VERSIONS:
            versions[version] = prove(version, options, Path(work))
    print("\n".join(lines_of(versions, summary.table)), flush=True)
    if options.markdown:
        print("\n".join(lines_of(versions, summary.markdown)), flush=True)
    if options.write_page:
        write_page(versions)
    sys.exit(verdict(versions))


def verdict(versions):
    """The exit code, after a sentence for each version that is not proved."""
    code = 0
    for name, one in versions.items():
        if one is None:
            allowed = os.environ.get("PYAIO_CI_ALLOW_MISSING") == "1"
            say(f"Python {name} is missing{', as is allowed' if allowed else ''}")
            code = code if allowed else 1
        elif one.failures:
            say(f"Python {name} failed: {', '.join(one.failures)}")
            code = 1
    return code


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("versions: stopped; nothing is left running")
