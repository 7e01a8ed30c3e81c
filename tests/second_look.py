"""Runs what failed again, alone: `pytest --second-look`.

On a machine with other work a thread may stand still for seconds, and among some 8,000 tests
there is one now and then that this meets. What then passes alone, TIMES times, is named and
does not fail the run. A mistake comes back under its name, chance wanders: who sees a name
twice looks for the mistake. Nothing is forgiven where a process was lost, by a crash or by a
test that never ended, where a file did not load, or where more than FORGIVEN tests failed.
"""

import subprocess
import sys

import pytest

TIMES = 3
FORGIVEN = 3

CRASHED = "???"  # what pytest-xdist gives for `when` of a test that took its process with it


def add_option(parser):
    parser.addoption(
        "--second-look",
        action="store_true",
        help=f"run what failed {TIMES} times alone; what passes then does not fail the run",
    )


def configure(config):
    in_worker = hasattr(config, "workerinput")
    if config.getoption("--second-look") and not in_worker:
        config.pluginmanager.register(SecondLook(config))


class SecondLook:
    """The plugin; it lives where the outcomes of all workers come together."""

    def __init__(self, config):
        self.config = config
        self.failed = []
        self.forgivable = True
        self.passed_alone = []
        self.said = ""

    def pytest_runtest_logreport(self, report):
        if report.failed and report.nodeid not in self.failed:
            self.failed.append(report.nodeid)
        if report.failed and report.when == CRASHED:
            self.forgivable = False

    def pytest_collectreport(self, report):
        if report.failed:
            self.forgivable = False

    def pytest_sessionfinish(self, session, exitstatus):
        if exitstatus != pytest.ExitCode.TESTS_FAILED or not self.forgivable:
            return
        if 0 < len(self.failed) <= FORGIVEN and all(map(self._passes_alone, self.failed)):
            self.passed_alone = self.failed
            session.exitstatus = pytest.ExitCode.OK

    def _passes_alone(self, test):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
        for _ in range(TIMES):
            done = subprocess.run(
                [*command, test],
                cwd=self.config.rootpath,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            if done.returncode:
                self.said = done.stdout
                return False
        return True

    def pytest_terminal_summary(self, terminalreporter):
        if self.passed_alone:
            terminalreporter.section("second look")
            for test in self.passed_alone:
                terminalreporter.line(f"FAILED BY CHANCE {test}: it passed {TIMES} times alone")
        elif self.said:
            terminalreporter.section("second look: it fails alone, too")
            terminalreporter.line(self.said)
