"""The pytest plugin of libraries.py, in the processes that run a library's tests.

    pytest -p libraries_plugin --libraries-loop=pyaio --libraries-events=FILE

It puts pyaio's loop where a program finds asyncio's, counts the loops that are made, of either
kind, and writes to FILE a line of JSON for each thing that happens: how a phase of a test ended,
and at its end, for each process, the loops. So what is known outlives a run that has to be
stopped. Programs that the tests start stay on asyncio.
"""

import asyncio
import functools
import json
import sys
from asyncio import base_events, unix_events
from collections import Counter

import pytest

LOOPS = ("asyncio", "pyaio")
NAMES = ("SelectorEventLoop", "EventLoop", "_UnixSelectorEventLoop")
DETAIL = 4000  # characters that are kept of a traceback: its end


def pytest_addoption(parser):
    parser.addoption("--libraries-loop", choices=LOOPS, default="asyncio")
    parser.addoption("--libraries-events", metavar="FILE")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config):
    """Before the library's own conftest.py, which may look for a loop."""
    loop = early_config.known_args_namespace.libraries_loop
    if loop == "pyaio":
        use_pyaio()
    check(loop)
    count_loops()


def pytest_configure(config):
    if path := config.getoption("libraries_events"):
        in_worker = hasattr(config, "workerinput")
        config.pluginmanager.register(ProcessEvents(path) if in_worker else Events(path))


# ---- the loops ----


def use_pyaio():
    """Have pyaio's loop come from the policy, from policies made anew, and from asyncio's names.

    pyaio.install() alone leaves out who names the class, as uvicorn does, and who sets a
    policy.
    """
    import pyaio

    pyaio.install()
    policy = getattr(unix_events, "_UnixDefaultEventLoopPolicy", None) or (
        unix_events._DefaultEventLoopPolicy
    )
    policy._loop_factory = pyaio.Loop
    for module in (asyncio, unix_events):
        for name in NAMES:
            if hasattr(module, name):
                setattr(module, name, pyaio.Loop)


def check(wanted):
    """A run that stays on the other loop would prove nothing."""
    for make in (asyncio.new_event_loop, asyncio.SelectorEventLoop):
        loop = make()
        loop.close()
        if kind_of(loop) != wanted:
            raise pytest.UsageError(f"{make} gives {type(loop)}, which is not {wanted}'s")


def kind_of(loop):
    pyaio = sys.modules.get("pyaio")
    return "pyaio" if pyaio and isinstance(loop, pyaio.Loop) else "asyncio"


made = Counter()


def count_loops():
    """pyaio's loops are under asyncio's: all of them pass here."""
    init = base_events.BaseEventLoop.__init__

    @functools.wraps(init)
    def counting(self, *args, **kwargs):
        made[kind_of(self)] += 1
        init(self, *args, **kwargs)

    base_events.BaseEventLoop.__init__ = counting


# ---- what happens ----


class ProcessEvents:
    """What each process knows: one of several, or the only one."""

    def __init__(self, path):
        self.path = path

    def write(self, event):
        # Opened anew, as tests count what is open; whole, as processes write side by side.
        with open(self.path, "ab", buffering=0) as file:
            file.write(json.dumps(event).encode() + b"\n")

    def pytest_sessionfinish(self):
        self.write({"loops": dict(made)})


class Events(ProcessEvents):
    """What is known where the outcomes of all processes come together."""

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or not report.passed:
            self._write_end(report)

    def pytest_collectreport(self, report):
        if report.failed:
            self._write_end(report)

    def _write_end(self, report):
        detail = "" if report.passed else report.longreprtext[-DETAIL:]
        self.write({"test": report.nodeid, "outcome": report.outcome, "detail": detail})
