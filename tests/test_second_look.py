"""What failed and is run again alone, on small suites made up here."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import helpers
import pytest

CONFTEST = """
    import second_look

    def pytest_addoption(parser):
        second_look.add_option(parser)

    def pytest_configure(config):
        second_look.configure(config)
"""

# Fails at its first run.
ONCE = """
    import os, pathlib

    def test_{name}():
        marker = pathlib.Path(__file__).with_name("{name}")
        if not marker.exists():
            marker.touch()
            {fail}

    def test_good():
        pass
"""


@pytest.fixture
def suite(tmp_path):
    """`suite(*flags, **files)`: the exit code and the output of pytest, where these files are."""

    def suite(*flags, **files):
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        for name, source in {"conftest": CONFTEST, **files}.items():
            (tmp_path / f"{name}.py").write_text(dedent(source))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "2", f"--basetemp={tmp_path}/tmp", *flags],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            text=True,
            timeout=helpers.HANG,
        )
        return done.returncode, done.stdout + done.stderr

    return suite


def test_what_passes_alone_is_named_and_fails_no_run(suite):
    code, said = suite("--second-look", test_it=ONCE.format(name="once", fail="assert False"))
    assert code == 0, said
    assert "FAILED BY CHANCE test_it.py::test_once" in said
    assert "1 failed, 1 passed" in said


def test_without_the_option_it_fails(suite):
    code, said = suite(test_it=ONCE.format(name="once", fail="assert False"))
    assert code == 1
    assert "BY CHANCE" not in said


def test_what_fails_alone_too_fails_the_run(suite):
    code, said = suite("--second-look", test_it="def test_bad(): assert 1 == 2")
    assert code == 1
    assert "it fails alone, too" in said
    assert "BY CHANCE" not in said


def test_a_lost_process_is_never_forgiven(suite):
    code, said = suite("--second-look", test_it=ONCE.format(name="once", fail="os._exit(3)"))
    assert code == 1
    assert "crashed" in said
    assert "BY CHANCE" not in said


def test_a_file_that_does_not_load_is_never_forgiven(suite):
    files = {"test_it": "def test_good(): pass", "test_bad": "1 / 0"}
    code, said = suite("--second-look", "--continue-on-collection-errors", **files)
    assert code == 1
    assert "BY CHANCE" not in said


def test_many_that_fail_are_not_forgiven(suite):
    files = {
        f"test_{name}": ONCE.format(name=name, fail="assert False")
        for name in ("one", "two", "three", "four")
    }
    code, said = suite("--second-look", **files)
    assert code == 1
    assert "BY CHANCE" not in said
