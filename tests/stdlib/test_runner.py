"""The runner of the interpreter's own tests, on small test packages made up here."""

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent

import exclusions
import helpers
import processes
import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Seconds without news after which a test counts as hung here: far more than a start of Python.
LIMIT = 10.0


CASE = """\
import asyncio, os, time, unittest
class Case(unittest.TestCase):
    def is_first(self):
        marker = __file__ + self.id()
        if os.path.exists(marker):
            return False
        open(marker, "w").close()
        return True
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Returns write(module, body): writes a file of the package that stands for test_asyncio."""
    monkeypatch.setenv("PYAIO_STDLIB_TESTS", "fake_asyncio_tests")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    folder = tmp_path / "fake_asyncio_tests"
    folder.mkdir()
    (folder / "__init__.py").touch()

    def write(module, body):
        text = indent(dedent(body), "    ")
        (folder / f"{module}.py").write_text(CASE + text)

    return write


@pytest.fixture
def stdlib(tmp_path):
    """Runs "python -m tests.stdlib"; returns its exit code, what it printed and its JSON."""

    def run(*arguments, excluded=""):
        file, report = tmp_path / "excluded.toml", tmp_path / "report.json"
        file.write_text(dedent(excluded))
        command = [sys.executable, "-m", "tests.stdlib", "--excluded", str(file), "--jobs", "2"]
        command += ["--json", str(report), *arguments]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=2 * helpers.HANG
        )
        outcome = json.loads(report.read_text()) if report.exists() else None
        return done.returncode, done.stdout + done.stderr, outcome

    return run


# ---- excluded.toml ----


def test_an_exclusion_holds_for_the_versions_that_it_names():
    text = """
        [[tests]]
        ids = ["test_a.C.one"]
        python = ["3.11", "3.12"]
        reason = "white box"
        [[tests]]
        ids = ["test_b.C.two"]
        reason = "white box"
        [[modules]]
        names = ["test_c"]
        reason = "of another platform"
    """
    assert set(exclusions.parse(text, "3.11").tests) == {"test_a.C.one", "test_b.C.two"}
    assert set(exclusions.parse(text, "3.12.1").tests) == {"test_a.C.one", "test_b.C.two"}
    assert set(exclusions.parse(text, "3.13").tests) == {"test_b.C.two"}
    of_one = text.replace('"3.12"', '"3.13.5"')
    assert "test_a.C.one" in exclusions.parse(of_one, "3.13.5").tests
    assert "test_a.C.one" not in exclusions.parse(of_one, "3.13.50").tests
    assert exclusions.parse(text, "3.11").of_module("test_a") == {"test_a.C.one"}
    assert set(exclusions.parse(text, "3.11").modules) == {"test_c"}


@pytest.mark.parametrize(
    "text",
    [
        "[[tests]]\nids = ['test_a.C.one']",
        "[[tests]]\nids = ['test_a.C.one']\nreason = ' '",
        "[[tests]]\nids = []\nreason = 'why'",
        "[[tests]]\nids = ['test_a.C.one']\nreason = 'why'\npythons = ['3.11']",
        "[[tests]]\nids = ['test_a.C.one']\nreason = 'why'\npython = ['3']",
        "[[tests]]\nids = ['test_a.C.one', 'test_a.C.one']\nreason = 'why'",
        "[[files]]\nids = ['test_a.C.one']\nreason = 'why'",
        "[[tests]",
    ],
)
def test_exclusions_that_say_nonsense_are_refused(text):
    with pytest.raises(exclusions.WrongExclusions):
        exclusions.parse(text, "3.11")


def test_three_percent_may_be_excluded_and_no_more():
    assert not exclusions.too_many(30, 1000)
    assert exclusions.too_many(31, 1000)


# ---- one file ----


def outcomes(run):
    return {test.rpartition(".")[2]: result.outcome for test, result in run.results.items()}


def test_each_test_has_its_outcome(package):
    package(
        "test_it",
        """
        def test_good(self): pass
        def test_bad(self): self.fail("as it should")
        def test_error(self): 1 / 0
        def test_skipped(self): self.skipTest("why not")
        def test_part(self):
            with self.subTest(1): self.fail()
        @unittest.expectedFailure
        def test_expected(self): self.fail()
        @unittest.expectedFailure
        def test_unexpected(self): pass
        """,
    )
    run = processes.run_file("asyncio", "test_it", limit=LIMIT)
    assert outcomes(run) == {
        "test_good": "passed",
        "test_bad": "failed",
        "test_error": "failed",
        "test_skipped": "skipped",
        "test_part": "failed",
        "test_expected": "passed",
        "test_unexpected": "failed",
    }
    assert "as it should" in run.results["test_it.Case.test_bad"].detail
    assert sorted(run.tests) == sorted(run.results)


def test_a_class_that_cannot_be_set_up_fails_all_its_tests(package):
    package(
        "test_it",
        """
        @classmethod
        def setUpClass(cls): 1 / 0
        def test_a(self): pass
        def test_b(self): pass
        """,
    )
    run = processes.run_file("asyncio", "test_it", limit=LIMIT)
    assert outcomes(run) == {"test_a": "failed", "test_b": "failed"}


def test_the_rest_goes_on_after_a_test_that_took_the_process_with_it(package):
    package(
        "test_it",
        """
        def test_a(self): pass
        def test_b(self): os.abort()
        def test_c(self): os._exit(0)
        def test_d(self): pass
        """,
    )
    run = processes.run_file("asyncio", "test_it", limit=LIMIT)
    assert outcomes(run) == {
        "test_a": "passed",
        "test_b": "failed",
        "test_c": "failed",
        "test_d": "passed",
    }
    assert "SIGABRT" in run.results["test_it.Case.test_b"].detail


def test_the_rest_goes_on_after_a_test_that_hangs(package):
    package(
        "test_it",
        """
        def test_a(self): time.sleep(1000)
        def test_b(self): pass
        """,
    )
    run = processes.run_file("asyncio", "test_it", limit=LIMIT)
    assert outcomes(run) == {"test_a": "failed", "test_b": "passed"}
    assert "nothing happened" in run.results["test_it.Case.test_a"].detail
    assert "in test_a" in run.results["test_it.Case.test_a"].detail  # where it was


def test_a_file_that_cannot_be_imported_has_failed(package):
    package("test_it", "1 / 0")
    run = processes.run_file("asyncio", "test_it", limit=LIMIT)
    assert set(outcomes(run).values()) == {"failed"}


# ---- a whole run ----

ONE_OF_EACH = """
    def test_good(self): pass
    def test_bad(self): self.fail("on every loop")
    def test_ours(self):
        loop = asyncio.new_event_loop()
        loop.close()
        self.assertFalse(type(loop).__mro__[1].__module__.startswith("pyaio"))
    def test_first(self):
        if self.is_first():
            self.fail("once")
    def test_lost(self):
        if self.is_first():
            os.abort()
"""


def test_what_fails_on_asyncio_too_or_by_chance_is_told_apart(package, stdlib):
    package("test_it", ONE_OF_EACH)
    code, printed, outcome = stdlib()
    assert code == 1
    assert outcome["totals"] == {
        "tests": 5,
        "run": 5,
        "passed": 1,
        "skipped": 0,
        "excluded": 0,
        "asyncio fails, too": 1,
        "by chance": 1,
        "failed": 2,
    }
    assert "fails on stock asyncio, too: test_it.Case.test_bad" in printed
    assert "FAILED test_it.Case.test_ours" in printed
    assert "FAILED BY CHANCE test_it.Case.test_first" in printed
    assert "FAILED test_it.Case.test_lost" in printed  # a crash is never forgiven


MANY = """
    def setUp(self):
        if self.is_first():
            self.fail("once")
    def test_a(self): pass
    def test_b(self): pass
    def test_c(self): pass
"""


def test_three_may_fail_by_chance_and_no_more(package, stdlib):
    package("test_it", MANY)
    code, printed, outcome = stdlib()
    assert (code, outcome["totals"]["by chance"]) == (0, 3), printed
    package("test_other", MANY + "    def test_d(self): pass\n")
    code, printed, outcome = stdlib("test_other")
    assert (code, outcome["totals"]["by chance"]) == (1, 4)
    assert "4 tests failed by chance" in printed


def test_stock_asyncio_can_be_run_to_compare(package, stdlib):
    package("test_it", "def test_it(self): self.assertNotIn('pyaio', __import__('sys').modules)")
    code, printed, outcome = stdlib("--loop", "asyncio")
    assert (code, outcome["totals"]["passed"]) == (0, 1), printed


def test_an_excluded_test_that_passes_or_does_not_exist_fails_the_run(package, stdlib):
    package("test_it", ONE_OF_EACH)
    code, printed, outcome = stdlib(
        "test_it",
        excluded="""
        [[tests]]
        ids = ["test_it.Case.test_good", "test_it.Case.test_ours", "test_it.Case.test_gone"]
        reason = "to see"
        """,
    )
    assert code == 1
    assert "test_it.Case.test_good is excluded, but has passed" in printed
    assert "test_it.Case.test_gone is excluded, but there is no such test here" in printed
    assert len(outcome["problems"]) == 2
    assert outcome["totals"]["excluded"] == 2


def test_more_than_three_percent_excluded_fail_a_whole_run(package, stdlib):
    package("test_it", "def test_good(self): pass\ndef test_bad(self): self.fail()")
    excluded = '[[tests]]\nids = ["test_it.Case.test_bad"]\nreason = "to see"'
    assert stdlib("test_it", excluded=excluded)[0] == 0
    code, printed, _ = stdlib(excluded=excluded)
    assert code == 1
    assert "1 of 2 tests are excluded" in printed


def test_excluded_modules_are_neither_run_nor_counted(package, stdlib):
    package("test_it", "def test_good(self): pass")
    package("test_other", "def test_bad(self): self.fail()")
    code, printed, outcome = stdlib(
        "--markdown", excluded='[[modules]]\nnames = ["test_other"]\nreason = "to see"'
    )
    assert (code, outcome["totals"]["tests"]) == (0, 1)
    assert "| Python | tests | run |" in printed


def test_an_interpreter_without_its_tests_is_told_how_to_get_them(monkeypatch, stdlib):
    monkeypatch.setenv("PYAIO_STDLIB_TESTS", "nowhere.test_asyncio")
    code, printed, _ = stdlib()
    assert code == 1
    assert "testsuite" in printed
