"""Runs tests of one file of test.test_asyncio: the child process of processes.py.

    python -m tests.stdlib.one_file [--without FILE] LOOP MODULE RESULTS [TEST...]

LOOP is pyaio or asyncio. RESULTS gets a line of JSON for each thing that happens: the
ids of all tests in the file, a test's start, its end, the end of all. So whoever reads
it knows which test hangs, or took the process with it. FILE holds ids to leave out, one
a line; TESTs are the ids to run instead of all.
"""

import argparse
import faulthandler
import json
import os
import re
import signal
import unittest

#: Where the tests are. The runner's own tests have it changed, to a package of theirs.
PACKAGE = os.environ.get("PYAIO_STDLIB_TESTS", "test.test_asyncio")

# How unittest names what it could not set up, or tear down, for a class or a module.
FIXTURE = re.compile(r"(setUp|tearDown)(Class|Module) \((?P<name>[\w.]+)\)")


class Outcomes(unittest.TestResult):
    """Writes down how each test ended, by its id without the name of the package."""

    def __init__(self, tests, write):
        super().__init__()
        self.waiting = dict.fromkeys(tests)
        self.write = write
        self.notes = []

    def startTest(self, test):
        super().startTest(test)
        self.notes = []
        self.write({"test": short_id(test), "outcome": "started"})

    def stopTest(self, test):
        super().stopTest(test)
        self._end(short_id(test), self.notes)

    def addError(self, test, error):
        self._note(test, "failed", self._exc_info_to_string(error, test))

    addFailure = addError

    def addSkip(self, test, reason):
        self._note(test, "skipped", reason)

    def addUnexpectedSuccess(self, test):
        self._note(test, "failed", "unexpected success")

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self._note(test, "failed", self._exc_info_to_string(error, subtest))

    def _note(self, test, outcome, detail):
        fixture = FIXTURE.match(test.id())
        if fixture is None:
            self.notes.append((outcome, detail))
        else:
            self._end_of_fixture(test.id(), short_name(fixture["name"]), (outcome, detail))

    def _end_of_fixture(self, description, name, note):
        """A class or module was skipped or failed as a whole: so were its tests."""
        concerned = [test for test in self.waiting if test.startswith(name + ".")]
        for test in concerned or [description]:
            self._end(test, [note])

    def _end(self, test, notes):
        """The worst of what was noted counts; a skipped subtest does not skip the test."""
        self.waiting.pop(test, None)
        failures = [detail for outcome, detail in notes if outcome == "failed"]
        skips = [detail for outcome, detail in notes if outcome == "skipped"]
        outcome = "failed" if failures else "skipped" if skips else "passed"
        detail = "\n".join(failures or skips)
        self.write({"test": test, "outcome": outcome, "detail": detail})


def short_name(name):
    return name.replace(PACKAGE + ".", "")


def short_id(test):
    return short_name(test.id())


def all_tests(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from all_tests(test)
        else:
            yield test


def chosen(tests, options):
    """The ids that are to run."""
    names = {short_id(test) for test in tests}
    if options.tests:
        names &= set(options.tests)
    if options.without:
        with open(options.without) as file:
            names -= set(file.read().splitlines())
    return names


def run(options, results):
    def write(event):
        results.write(json.dumps(event) + "\n")

    if options.loop == "pyaio":
        from tests.stdlib import loop_swap

        loop_swap.install(options.module)
    suite = unittest.defaultTestLoader.loadTestsFromName(f"{PACKAGE}.{options.module}")
    tests = list(all_tests(suite))
    write({"tests": [short_id(test) for test in tests]})
    names = chosen(tests, options)
    kept = [test for test in tests if short_id(test) in names]
    outcomes = Outcomes(map(short_id, kept), write)
    unittest.TestSuite(kept).run(outcomes)
    for test in list(outcomes.waiting):
        write({"test": test, "outcome": "failed", "detail": "unittest left this test out"})
    write({"finished": True})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("loop", choices=("pyaio", "asyncio"))
    parser.add_argument("module")
    parser.add_argument("results")
    parser.add_argument("--without")
    parser.add_argument("tests", nargs="*")
    options = parser.parse_args()
    faulthandler.enable()
    # A shell starts its background jobs with it ignored, which is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(options.results, "a", buffering=1) as results:
        run(options, results)


if __name__ == "__main__":
    main()
