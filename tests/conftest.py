"""Fixtures of the whole suite: one test body, run on pyaio and on stock asyncio, the oracle.

A test that takes `loop_factory`, `loop`, `run` or `child` runs once for each kind of loop, with
the ids "pyaio" and "asyncio". After every test `nothing_left_alive` looks for what it left:
descriptors, threads, reports on asyncio's logger; warnings and unraisable exceptions are errors
(a ResourceWarning in a finalizer arrives as one).
"""

import asyncio
import functools
import gc
import inspect
import logging
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

import helpers
import pytest
import second_look
import threads_at_work
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

settings.register_profile(
    "suite",
    deadline=None,
    database=None,
    derandomize="CI" in os.environ,
    # A busy machine makes examples slowly; that is no fault of theirs.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("suite")

LOOP_KINDS = ("pyaio", "asyncio")

#: What the collector could not free after the last test; it stays for those that follow.
stuck_garbage = 0


def pytest_addoption(parser):
    parser.addoption(
        "--only-pyaio", action="store_true", help="leave out what would run on asyncio's own loop"
    )
    second_look.add_option(parser)


def _runs_on_asyncio(item):
    return hasattr(item, "callspec") and item.callspec.params.get("loop_kind") == "asyncio"


def pytest_collection_modifyitems(config, items):
    if config.getoption("--only-pyaio"):
        config.hook.pytest_deselected(items=[item for item in items if _runs_on_asyncio(item)])
        items[:] = [item for item in items if not _runs_on_asyncio(item)]


def pytest_configure(config):
    config.getini("filterwarnings").insert(0, "error")
    second_look.configure(config)
    # A shell starts its background jobs with SIGINT ignored, and nohup a program with SIGHUP;
    # that is inherited: neither the tests of these signals nor their children would see one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish(session):
    _start_hypothesis()
    # The collected suite never becomes garbage: take it out of each test's gc.collect().
    gc.collect()
    gc.freeze()


def pytest_runtest_logfinish():
    gc.freeze()  # the same for what pytest keeps of each test: half of the suite's time


@given(st.none())
def _start_hypothesis(_):
    """Have Hypothesis make its generator: it warns when the collector knows no owner of it, and
    of frozen objects, such as the dictionary that it is in from 3.14 on, the collector tells none.
    """


@functools.cache
def _warmed_factory(kind):
    """The factory of *kind*, after one loop has opened what a process opens only once."""
    factory = helpers.loop_factory_of(kind)
    loop = factory()
    try:
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()
    return factory


@pytest.fixture
def tmp_path():
    """An empty folder with a short name: the path of a Unix socket has 108 bytes, and pytest's
    folders take 90 of them and more where the system's folder for such has a long name.
    """
    with tempfile.TemporaryDirectory(
        prefix="pyaio-", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


@pytest.fixture(params=LOOP_KINDS)
def loop_kind(request):
    """The name of the kind of loop: "pyaio" or "asyncio"."""
    return request.param


@pytest.fixture
def loop_factory(loop_kind):
    """A callable without arguments that makes a new loop."""
    return _warmed_factory(loop_kind)


@pytest.fixture(scope="session")
def loop_factories():
    """The factories of both kinds, {kind: factory}, for a test that compares their loops."""
    return {kind: _warmed_factory(kind) for kind in LOOP_KINDS}


@pytest.fixture
def on_both(loop_factories):
    """`on_both(look)`: what look(loop) gives for a new loop of each kind, pyaio's first."""

    def on_both(look):
        found = []
        for factory in loop_factories.values():
            loop = factory()
            try:
                found.append(look(loop))
            finally:
                loop.close()
        return found

    return on_both


@pytest.fixture
def loop_class(loop_kind, loop_factory):
    """The class of the loops, for subclassing and for patching methods on it."""
    return helpers.loop_class_of(loop_kind)


@pytest.fixture
def short_turns_of_threads():
    """Who waits for the GIL asks for it at once, not after 5 ms: threads meet in more places.

    And a loop that lets go of the GIL in each turn gets on beside threads that compute.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def running(loop):
    """The loop, running in a thread of its own until the test ends."""
    with threads_at_work.running(loop):
        yield loop


@pytest.fixture
def epoll_backend():
    """For a test of what only the backend of Linux does."""
    from pyaio import _core

    if _core.backend != "epoll":
        pytest.skip("libuv opens all that it may ever need, ends watches, does not see strays")


@pytest.fixture
def reports():
    """What was logged on asyncio's logger from WARNING up; see helpers.Reports."""
    handler = helpers.Reports()
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture(autouse=True)
def nothing_left_alive(request, reports):
    """Fail a test that leaves a descriptor, a thread or an unexpected report behind."""
    if "loop_kind" in request.fixturenames:
        request.getfixturevalue("loop_factory")  # before the count: see _warmed_factory
    threads, fds = threading.enumerate(), helpers.open_fds()
    yield
    global stuck_garbage
    stuck_before, stuck_garbage = stuck_garbage, helpers.collect()
    assert stuck_garbage <= stuck_before, "garbage that the collector cannot free"
    assert helpers.leaked_threads(threads) == [], "threads left behind"
    left = {n: what for n, what in helpers.open_fds().items() if fds.get(n) != what}
    assert left == {}, "descriptors left open"
    missing = {n: what for n, what in fds.items() if n not in helpers.open_fds()}
    assert missing == {}, "descriptors closed that the test did not open"
    assert reports.take() == [], "unexpected reports on asyncio's logger"


@pytest.fixture
def loop(loop_factory, nothing_left_alive):
    """A new loop, not set as the current one, closed at the end."""
    loop = loop_factory()
    yield loop
    assert not loop.is_running()
    loop.close()


@pytest.fixture
def run(loop_factory, nothing_left_alive):
    """`run(main, *args, debug=None)`: call the coroutine function on a new loop, return its result.

    The loop comes from asyncio.Runner(loop_factory=…), which closes it with all that belongs to it.
    """

    def run(main, *args, debug=None):
        assert inspect.iscoroutinefunction(main), "run() takes a coroutine function"
        with asyncio.Runner(loop_factory=loop_factory, debug=debug) as runner:
            return runner.run(main(*args))

    return run


@pytest.fixture
def child(loop_kind, tmp_path):
    """`child(source, *flags, env=None, args=())`: a helpers.Child that runs *source*.

    The source finds `new_event_loop` of the kind under test already imported.
    """

    def child(source, *flags, env=None, args=()):
        path = Path(tmp_path, "child.py")
        path.write_text(helpers.CHILD_PRELUDE[loop_kind] + inspect.cleandoc(source) + "\n")
        return helpers.Child([*flags, str(path), *args], env=env)

    return child
