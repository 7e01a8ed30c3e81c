"""What `make libraries` makes of two runs of a library's tests, on runs made up here."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from textwrap import dedent

import helpers
import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"
sys.path.append(str(TOOLS))

import libraries  # noqa: E402
import libraries_compare  # noqa: E402
from libraries_compare import compare, problems_of, verdict_of, worse_on_pyaio  # noqa: E402
from libraries_list import LIBRARIES, Library  # noqa: E402
from libraries_run import Results, read_events  # noqa: E402


def library(**changes):
    values = {"passes": 2, "package": None, "tests": "tests", **changes}
    return Library("some", "1.0", **values)


def results(loop, failure=None, **outcomes):
    details = {test: f"{test} went wrong" for test, its in outcomes.items() if its == "failed"}
    return Results(outcomes, details, Counter({loop: 1}), failure)


class Suite:
    """Stands for a library's tests: `alone` has the outcomes of one on pyaio and on asyncio."""

    def __init__(self, alone=(), **changes):
        self.library = library(**changes)
        self.alone = dict(alone)
        self.runs = Counter()

    def run_alone(self, loop, test):
        at = self.runs[loop, test]
        self.runs[loop, test] += 1
        outcomes = self.alone[test][0 if loop == "pyaio" else 1]
        return outcomes[at % len(outcomes)], f"alone: {test} on {loop}"


GOOD = {"a": "passed", "b": "passed", "c": "passed"}


def compared(suite, pyaio, asyncio=GOOD):
    return compare(suite, results("asyncio", **asyncio), results("pyaio", **pyaio))


# ---- the comparison ----


def test_two_equal_runs_are_good():
    found = compared(Suite(), GOOD)
    assert found.is_good
    assert not (found.on_both or found.known or found.by_chance or found.on_pyaio_only)


def test_what_fails_on_pyaio_each_time_fails_the_run():
    suite = Suite({"b": (["failed"], ["passed"])})
    found = compared(suite, GOOD | {"b": "failed"})
    assert not found.is_good
    assert found.on_pyaio_only == {"b": "alone: b on pyaio"}
    assert suite.runs["pyaio", "b"] == suite.runs["asyncio", "b"] == libraries_compare.TIMES


def test_what_passes_alone_is_named_as_chance():
    found = compared(Suite({"b": (["failed", "passed"], ["passed"])}), GOOD | {"b": "failed"})
    assert found.is_good
    assert "b went wrong" in found.by_chance["b"]


def test_what_fails_alone_on_asyncio_too_is_not_pyaios():
    found = compared(Suite({"b": (["failed"], ["passed", "failed"])}), GOOD | {"b": "failed"})
    assert found.is_good
    assert found.on_both == {"b"}


def test_what_fails_in_both_runs_is_not_run_again():
    suite = Suite()
    both = GOOD | {"b": "failed"}
    assert compared(suite, both, both).on_both == {"b"}
    assert not suite.runs


@pytest.mark.parametrize("outcome", ["skipped", None])
def test_a_test_that_does_not_run_on_pyaio_is_no_pass(outcome):
    pyaio = {test: its for test, its in (GOOD | {"b": outcome}).items() if its}
    found = compared(Suite({"b": (["skipped"], ["passed"])}), pyaio)
    assert list(found.on_pyaio_only) == ["b"]


def test_a_test_that_cannot_be_run_alone_stays_a_failure():
    found = compared(Suite({"b": (["missing"], ["missing"])}), GOOD | {"b": "failed"})
    assert list(found.on_pyaio_only) == ["b"]


def test_what_runs_on_pyaio_only_counts_where_it_fails():
    asyncio = results("asyncio", a="skipped", b="skipped")
    pyaio = results("pyaio", a="passed", b="failed", c="failed", d="passed")
    assert worse_on_pyaio(asyncio, pyaio) == ["b", "c"]


def test_many_that_differ_are_not_run_again():
    names = [f"t{n}" for n in range(libraries_compare.MANY + 1)]
    suite = Suite()
    found = compared(suite, dict.fromkeys(names, "failed"), dict.fromkeys(names, "passed"))
    assert list(found.on_pyaio_only) == sorted(names)
    assert not suite.runs


def test_many_that_fail_by_chance_are_no_chance():
    names = [f"t{n}" for n in range(libraries_compare.FORGIVEN + 1)]
    suite = Suite(dict.fromkeys(names, (["passed"], ["passed"])))
    found = compared(suite, dict.fromkeys(names, "failed"), dict.fromkeys(names, "passed"))
    assert len(found.by_chance) == len(names)
    assert not found.is_good


def test_the_outcomes_alone_tell_whose_failure_it_is():
    assert verdict_of(["failed"], ["passed"]) == "pyaio"
    assert verdict_of(["failed"], ["skipped"]) == "pyaio"
    assert verdict_of(["failed", "passed"], ["passed", "passed"]) == "chance"
    assert verdict_of(["failed"], ["failed"]) == "both"


# ---- known differences ----


def test_a_known_difference_is_told_with_its_reason_and_not_run_again():
    suite = Suite(known={"b": "asks for a name"})
    found = compared(suite, GOOD | {"b": "failed"})
    assert found.is_good
    assert found.known == {"b": "asks for a name"}
    assert not suite.runs


@pytest.mark.parametrize("test", ["b", "gone"])
def test_a_known_difference_that_is_none_fails_the_run(test):
    found = compared(Suite(known={test: "asks for a name"}), GOOD)
    assert not found.is_good
    assert test in found.problems[0]


def test_each_library_is_named_once_and_each_known_difference_has_a_reason():
    assert len({each.name for each in LIBRARIES}) == len(LIBRARIES)
    for each in LIBRARIES:
        assert each.passes > 0
        assert all(reason.strip() for reason in each.known.values())


# ---- the table ----


def row(found, **changes):
    return dict(zip(libraries.HEAD, libraries.row_of(library(**changes), found), strict=True))


def test_a_row_counts_and_names_what_fails_on_pyaio_only():
    suite = Suite({"b": (["failed"], ["passed"])}, known={"c": "asks for a name"})
    cells = row(compared(suite, GOOD | {"b": "failed", "c": "failed"}))
    assert (cells["passed on asyncio"], cells["passed on pyaio"]) == (3, 1)
    assert cells["fail on pyaio only"] == "b; c, which asks for a name"
    assert row(compared(Suite(), GOOD))["fail on pyaio only"] == 0
    assert row("pip install failed")["fail on pyaio only"] == "not tested"


def test_the_page_gets_new_rows_and_keeps_the_others():
    first, second = LIBRARIES[:2]
    page = f"before\n{libraries.BEGIN}\n{libraries.END}\nafter\n"
    rows = {each.name: [str(each), "3.11", *range(6)] for each in (second, first)}
    page = libraries.with_rows(page, rows)
    assert page == libraries.with_rows(page, {})
    assert page.startswith("before\n") and page.endswith("\nafter\n")
    changed = libraries.with_rows(page, {second.name: [str(second), "3.12", *range(6)]})
    assert changed.splitlines()[:5] == page.splitlines()[:5]
    assert f"| {first} | 3.11 | 0 | 1 | 2 | 3 | 4 | 5 |" in changed.splitlines()
    assert f"| {second} | 3.12 | 0 | 1 | 2 | 3 | 4 | 5 |" in changed.splitlines()


# ---- runs that prove nothing ----


def problem(loop="pyaio", passes=2, **changes):
    run = results(loop, **GOOD)
    for name, value in changes.items():
        setattr(run, name, value)
    return " ".join(problems_of(library(passes=passes), loop, run))


def test_a_whole_run_has_no_problems():
    assert problem() == problem("asyncio") == ""


def test_a_run_that_made_no_loops_proves_nothing():
    assert "made no loop of pyaio's" in problem(loops=Counter())


def test_a_run_that_stayed_on_asyncio_proves_nothing():
    assert "made 3 loops of asyncio's" in problem(loops=Counter(pyaio=7, asyncio=3))
    assert "made 3 loops of pyaio's" in problem("asyncio", loops=Counter(pyaio=3, asyncio=7))


def test_a_run_that_did_not_end_proves_nothing():
    assert "did not end" in problem(failure="the tests did not end within 3 s")


def test_a_suite_of_which_little_ran_proves_nothing():
    assert "only 3 of its tests pass on asyncio, 5609 are known to" in problem("asyncio", 5609)
    assert problem("asyncio", passes=3) == ""


def test_what_differs_is_not_looked_at_in_a_run_that_proves_nothing():
    broken = results("pyaio", failure="pytest ended with exit code 3", a="passed")
    found = compare(Suite(), results("asyncio", **GOOD), broken)
    assert not found.is_good
    assert found.problems == ["on pyaio, pytest ended with exit code 3"]


# ---- what the plugin writes down ----


def test_the_worst_phase_of_a_test_counts():
    events = [
        {"test": "a", "outcome": "passed", "detail": ""},
        {"test": "a", "outcome": "failed", "detail": "in teardown"},
        {"test": "b", "outcome": "failed", "detail": "in call"},
        {"test": "b", "outcome": "passed", "detail": ""},
        {"loops": {"pyaio": 3}},
        {"loops": {"pyaio": 4, "asyncio": 1}},
    ]
    read = read_events(map(json.dumps, events))
    assert read.outcomes == {"a": "failed", "b": "failed"}
    assert read.details == {"a": "in teardown", "b": "in call"}
    assert read.loops == {"pyaio": 7, "asyncio": 1}


SUITE = """
    import asyncio, pytest

    def test_new_event_loop():
        asyncio.new_event_loop().close()

    def test_run():
        asyncio.run(asyncio.sleep(0))

    def test_class():
        asyncio.SelectorEventLoop().close()

    def test_policy():
        asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
        asyncio.new_event_loop().close()

    def test_bad():
        assert 1 == 2

    @pytest.mark.skip(reason="no")
    def test_skipped():
        pass
"""

# Says that it is there, and leaves asyncio's loops where they are.
NO_PYAIO = """
    from asyncio import SelectorEventLoop

    def install():
        pass

    class Loop:
        def __new__(cls):
            return SelectorEventLoop()
"""


@pytest.fixture
def run_suite(tmp_path):
    """`run_suite(loop, *words)`: the exit code of pytest, what it said, and the Results."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(dedent(SUITE))
    events = tmp_path / "events"
    events.touch()

    def run_suite(loop, *words):
        plugin = ("-p", "libraries_plugin", f"--libraries-loop={loop}")
        plugin += (f"--libraries-events={events}",)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", f"--basetemp={tmp_path}/tmp", *plugin, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{TOOLS}"},
            capture_output=True,
            text=True,
            timeout=helpers.HANG,
        )
        read = read_events(events.read_text().splitlines())
        return done.returncode, done.stdout + done.stderr, read

    return run_suite


@pytest.mark.skipif(sys.version_info >= (3, 16), reason="there are no policies any more")
@pytest.mark.parametrize("processes", ["0", "2"])
@pytest.mark.parametrize("loop", ["pyaio", "asyncio"])
def test_all_loops_of_a_run_are_the_ones_that_were_asked_for(run_suite, loop, processes):
    code, said, read = run_suite(loop, "-n", processes)
    assert code == 1, said
    assert read.loops == {loop: 4}
    assert read.count("passed") == 4
    assert read.named("failed") == {"test_it.py::test_bad"}
    assert "assert 1 == 2" in read.details["test_it.py::test_bad"]
    assert read.named("skipped") == {"test_it.py::test_skipped"}


def test_a_run_without_pyaios_loops_does_not_start(run_suite, tmp_path):
    (tmp_path / "pyaio.py").write_text(dedent(NO_PYAIO))
    code, said, read = run_suite("pyaio")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "which is not pyaio's" in said
    assert not read.outcomes


def test_a_file_that_does_not_load_is_a_failure_with_a_name(run_suite, tmp_path):
    (tmp_path / "test_bad.py").write_text("1 / 0")
    _, said, read = run_suite("pyaio", "--continue-on-collection-errors")
    assert "ZeroDivisionError" in read.details["test_bad.py"], said
