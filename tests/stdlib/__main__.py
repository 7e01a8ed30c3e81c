"""Runs the interpreter's own test suite of asyncio, test.test_asyncio, on pyaio.

    make stdlib                                     sets everything up, and runs this
    make stdlib ARGS="test_tasks test_events"       --help tells what else it takes

excluded.toml names the few tests that do not count, with the reasons.
"""

import argparse
import importlib.util
import json
import os
import platform
import signal
import sys
from pathlib import Path

from tests.stdlib import exclusions, one_file, summary
from tests.stdlib.runner import Runner

VERSION = "{}.{}".format(*sys.version_info[:2])

NOT_HERE = f"""\
This interpreter, Python {VERSION} ({sys.executable}), comes without its tests: there is no
{one_file.PACKAGE}. On Debian and Ubuntu "apt-get install libpython{VERSION}-testsuite" brings
them, on Fedora "dnf install python3-test"; pyenv and the sources of CPython have them."""


def modules_here():
    """The paths of the test files of the interpreter, by the module's name."""
    try:
        spec = importlib.util.find_spec(one_file.PACKAGE)
    except ImportError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        sys.exit(NOT_HERE)
    folders = map(Path, spec.submodule_search_locations)
    return {path.stem: path for folder in folders for path in folder.glob("test_*.py")}


def largest_first(paths):
    """The modules in an order that leaves no long one to the end."""
    return sorted(paths, key=lambda module: paths[module].stat().st_size, reverse=True)


def chosen(names, paths, excluded):
    """The modules to run: those named, or all that count."""
    wanted = {name.removesuffix(".py") for name in names} or paths.keys() - excluded.modules.keys()
    if missing := sorted(wanted - paths.keys()):
        sys.exit(f"There is no {', '.join(missing)} in {one_file.PACKAGE} of Python {VERSION}.")
    return largest_first({name: paths[name] for name in wanted})


def say(line):
    print(line, flush=True)


def parse_options():
    parser = argparse.ArgumentParser(
        prog="python -m tests.stdlib", description=__doc__.partition("\n\n")[0]
    )
    add = parser.add_argument
    add("modules", nargs="*", metavar="MODULE", help="only these files, such as test_tasks")
    add("--jobs", type=int, default=len(os.sched_getaffinity(0)), metavar="N", help="side by side")
    add("--json", type=Path, metavar="FILE", help="also write everything to this file")
    add("--loop", choices=("pyaio", "asyncio"), default="pyaio", help="asyncio: to compare")
    add("--time-limit", type=float, default=60.0, metavar="S", help="for one test (60)")
    add("--excluded", type=Path, default=exclusions.FILE, metavar="FILE", help="not excluded.toml")
    add("--markdown", action="store_true", help="also print the sums as Markdown")
    return parser.parse_args()


def main():
    options = parse_options()
    paths = modules_here()
    excluded = exclusions.load(platform.python_version(), options.excluded)
    modules = chosen(options.modules, paths, excluded)
    say(f"{one_file.PACKAGE} of Python {platform.python_version()} on {options.loop}'s loop:")
    runner = Runner(options.loop, options.jobs, options.time_limit, excluded, say)
    run = runner.run(modules, complete=not options.modules)

    for lines in (summary.failures(run), ["", *summary.of_files(run)]):
        say("\n".join(lines))
    if options.markdown:
        say("\n".join(["", *summary.of_version(run)]))
    if options.json:
        options.json.write_text(json.dumps(summary.as_json(run, options.loop), indent=1))
    sys.exit(0 if run.is_good else 1)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; nothing is left running")
    except exclusions.WrongExclusions as error:
        sys.exit(f"excluded.toml: {error}")
