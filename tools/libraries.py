"""Runs the own tests of libraries on pyaio, beside stock asyncio.

    make libraries                          sets everything up, and runs this
    make libraries ARGS="tornado uvicorn"   --help tells what else it takes

For each library of libraries_list.py a virtual environment in build/libraries, its tests from
its sdist, and two runs of them by pytest, on asyncio and on pyaio: half an hour on two cores.
At the end a table, and exit code 1 when a test fails on pyaio only, or a run proves nothing.
"""

import argparse
import os
import platform
import signal
import sys
import time

import libraries_run
from libraries_compare import compare
from libraries_list import LIBRARIES
from libraries_run import ROOT, Broken, Suite, say, seconds_since

sys.path.insert(0, str(ROOT))

from tests.stdlib import summary

COLUMNS = ("passed on asyncio", "passed on pyaio", "loops", "fail on both", "by chance")
HEAD = ["library", "Python", *COLUMNS, "fail on pyaio only"]
LINES = 30  # of a traceback, or of a list

# The page that holds the table, between two comments.
PAGE = ROOT / "docs" / "compatibility.md"
BEGIN, END = "<!-- libraries: written by make libraries -->", "<!-- end of libraries -->"


def prove(library, options, wheel):
    """Run a library's tests on both loops; the Comparison, or a sentence on what went wrong."""
    suite = Suite(library, options.jobs)
    try:
        suite.set_up(wheel)
        return compare(suite, *[run(suite, loop) for loop in ("asyncio", "pyaio")])
    except Broken as error:
        return str(error)


def run(suite, loop):
    say(f"{suite.library}: its tests on {loop}")
    started = time.monotonic()
    results = suite.run(loop)
    counts = ", ".join(f"{results.count(o)} {o}" for o in ("passed", "failed", "skipped"))
    made = f"{results.loops[loop]} loops of {loop}'s"
    say(f"{suite.library}: on {loop}: {counts}, {made}, {seconds_since(started)}")
    return results


def left_out(library):
    """Why a library cannot be tested on this machine; None if it can."""
    if library.needs_postgres and libraries_run.postgres_programs() is None:
        return "there is no PostgreSQL server here (initdb); Debian's package is postgresql"
    return None


# ---- what is told ----


def tell(library, found):
    """Print what failed; whether all is good."""
    if isinstance(found, str):
        say(f"{library} is not tested: {found}")
        return False
    for test in sorted(found.on_both)[:LINES]:
        say(f"{library}: fails on asyncio, too: {test}")
    if (more := len(found.on_both) - LINES) > 0:
        say(f"{library}: and so do {more} more")
    for test, reason in found.known.items():
        say(f"{library}: fails on pyaio, as is known: {test}: it {reason}")
    for test, detail in found.by_chance.items():
        say(f"{library}: FAILED BY CHANCE {test}: {detail_of(detail)}")
    for test, detail in found.on_pyaio_only.items():
        say(f"{library}: FAILED ON PYAIO ONLY {test}\n{detail_of(detail)}")
    for problem in found.problems:
        say(f"{library}: WRONG: {problem}")
    return found.is_good


def detail_of(detail):
    return "\n".join(f"    {line}" for line in detail.splitlines()[-LINES:])


def row_of(library, found):
    """A library's row in the table."""
    head = [str(library), platform.python_version()]
    if isinstance(found, str):
        return [*head, *["-"] * len(COLUMNS), "not tested"]
    counts = [found.asyncio.count("passed"), found.pyaio.count("passed")]
    counts += [found.pyaio.loops["pyaio"], len(found.on_both), len(found.by_chance)]
    known = [f"{test.rpartition('::')[2]}, which {reason}" for test, reason in found.known.items()]
    return [*head, *counts, "; ".join([*found.on_pyaio_only, *known]) or 0]


def with_rows(page, rows):
    """The text of the page with these rows, {library: row}; others stay as they were."""
    before, _, rest = page.partition(BEGIN)
    old, _, after = rest.partition(END)
    # A row starts with "| library version |"; whatever else starts with "|" names no library.
    there = {line.split()[1]: line[2:-2].split(" | ") for line in old.splitlines() if "|" in line}
    rows = there | rows
    table = summary.markdown(HEAD, [rows[each.name] for each in LIBRARIES if each.name in rows])
    return "\n".join([f"{before}{BEGIN}", *table, f"{END}{after}"])


def parse_options():
    parser = argparse.ArgumentParser(prog="libraries", description=__doc__.partition("\n\n")[0])
    add = parser.add_argument
    known = [library.name for library in LIBRARIES]
    add("libraries", nargs="*", metavar="LIBRARY", help=f"only these of {', '.join(known)}")
    add("--jobs", type=int, default=len(os.sched_getaffinity(0)), metavar="N", help="side by side")
    add("--write-page", action="store_true", help=f"put the rows into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    if unknown := set(options.libraries) - set(known):
        parser.error(f"there is no {', '.join(sorted(unknown))}, only {', '.join(known)}")
    return options


def main():
    options = parse_options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A shell starts its background jobs with it ignored, which the tests would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    wanted = [each for each in LIBRARIES if not options.libraries or each.name in options.libraries]
    say("build pyaio's wheel")
    wheel = libraries_run.build_wheel()
    rows, good = {}, True
    for library in wanted:
        if reason := left_out(library):
            say(f"{library} is left out: {reason}")
            continue
        found = prove(library, options, wheel)
        good = tell(library, found) and good
        rows[library.name] = row_of(library, found)
        if options.write_page:
            PAGE.write_text(with_rows(PAGE.read_text(), rows))
    print("\n".join(["", *summary.table(HEAD, rows.values())]), flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("libraries: stopped; nothing is left running")
    except Broken as error:
        sys.exit(f"libraries: {error}")
