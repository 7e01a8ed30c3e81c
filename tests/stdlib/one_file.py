"""Runs tests of one file of test.test_asyncio: the child process of __main__.py.

    python -m tests.stdlib.one_file LOOP MODULE RESULT [--without FILE] [TEST...]

LOOP is pyaio or asyncio; RESULT a JSON file, rewritten after each test, so that a
file that hangs tells which test it was; FILE holds ids to leave out, one a line;
TESTs are the ids to run instead of all.
"""

import argparse
import faulthandler
import json
import sys
import unittest


class Outcomes(unittest.TestResult):
    """Notes how each test ended, by its id without the name of the package."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.outcomes = {}
        self.details = {}

    def startTest(self, test):
        super().startTest(test)
        self._note(test, "started")
        with open(self.path, "w") as file:
            json.dump({"outcomes": self.outcomes, "details": self.details}, file)

    def stopTest(self, test):
        super().stopTest(test)
        if self.outcomes[short_id(test)] == "started":
            self._note(test, "passed")

    def addSuccess(self, test):
        self._note(test, "passed")

    def addError(self, test, error):
        self._note(test, "failed", self._exc_info_to_string(error, test))

    addFailure = addError

    def addSkip(self, test, reason):
        self._note(test, "skipped", reason)

    def addExpectedFailure(self, test, error):
        self._note(test, "passed")

    def addUnexpectedSuccess(self, test):
        self._note(test, "failed", "unexpected success")

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self._note(test, "failed", self._exc_info_to_string(error, subtest))

    def _note(self, test, outcome, detail=None):
        name = short_id(test)
        if self.outcomes.get(name) == "failed":
            return  # the first word counts: a tear-down can fail, too
        self.outcomes[name] = outcome
        if detail is not None:
            self.details[name] = detail


def short_id(test):
    return test.id().replace("test.test_asyncio.", "")


def all_tests(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from all_tests(test)
        else:
            yield test


def with_fixtures(tests, kept):
    """The suite with the tests of these ids only, its order kept."""
    return unittest.TestSuite(test for test in all_tests(tests) if short_id(test) in kept)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("loop", choices=("pyaio", "asyncio"))
    parser.add_argument("module")
    parser.add_argument("result")
    parser.add_argument("--without")
    parser.add_argument("tests", nargs="*")
    options = parser.parse_args()
    faulthandler.enable()

    if options.loop == "pyaio":
        from tests.stdlib import loop_swap

        loop_swap.install()
    suite = unittest.defaultTestLoader.loadTestsFromName(f"test.test_asyncio.{options.module}")
    names = {short_id(test) for test in all_tests(suite)}
    if options.tests:
        names &= set(options.tests)
    if options.without:
        with open(options.without) as file:
            names -= set(file.read().split())
    result = Outcomes(options.result)
    with_fixtures(suite, names)(result)
    with open(options.result, "w") as file:
        json.dump(
            {"outcomes": result.outcomes, "details": result.details, "finished": True}, file
        )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
