"""import pyaio: run, new_event_loop, Loop, the policy, versions. asyncio has no counterpart."""

import asyncio
import importlib.metadata
import importlib.resources
import inspect
import re
import sys

import pytest
from helpers import run_python

DEPRECATION_IGNORED = ("-W", "ignore::DeprecationWarning")

has_policies = pytest.mark.skipif(
    sys.version_info >= (3, 16), reason="asyncio has no policies from 3.16 on"
)


async def loop_class():
    return type(asyncio.get_running_loop())


def check(source, *flags):
    """Run *source* in a child that treats warnings as errors; it prints nothing but "ok"."""
    done = run_python("-W", "error", *flags, "-c", inspect.cleandoc(source) + "\nprint('ok')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


# run and new_event_loop


def test_run_runs_main_on_a_pyaio_loop(pyaio):
    assert issubclass(pyaio.run(loop_class()), pyaio.Loop)


def test_run_returns_the_result_and_raises_the_exception(pyaio):
    async def main(fail):
        if fail:
            raise LookupError("mine")
        return "result"

    assert pyaio.run(main(False)) == "result"
    with pytest.raises(LookupError, match="mine"):
        pyaio.run(main(True))


@pytest.mark.parametrize("debug", [True, False])
def test_run_switches_debug_mode(pyaio, debug):
    async def main():
        asyncio.get_running_loop().slow_callback_duration = 1000
        return asyncio.get_running_loop().get_debug()

    assert pyaio.run(main(), debug=debug) is debug


def test_run_takes_a_loop_factory(pyaio):
    made = []

    def factory():
        made.append(pyaio.new_event_loop())
        return made[-1]

    assert pyaio.run(loop_class(), loop_factory=factory) is type(made[0])
    assert made[0].is_closed()


def test_run_closes_its_loop_and_what_belongs_to_it(pyaio):
    log = []

    async def main():
        async def forever():
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                log.append("cancelled")

        log.append(asyncio.get_running_loop())
        log.append(asyncio.create_task(forever()))
        await asyncio.to_thread(int)

    pyaio.run(main())
    loop, task, last = log
    assert loop.is_closed() and task.cancelled() and last == "cancelled"


def test_run_inside_a_running_loop_is_refused_as_asyncio_does(pyaio):
    async def main(run):
        coro = loop_class()
        try:
            with pytest.raises(RuntimeError) as caught:
                run(coro)
        finally:
            coro.close()
        return str(caught.value)

    message = asyncio.run(main(asyncio.run))
    assert "cannot be called from a running event loop" in message
    assert pyaio.run(main(pyaio.run)).replace("pyaio.run", "asyncio.run") == message


@pytest.mark.parametrize("thing", [None, 1, loop_class, "coroutine"])
def test_run_of_no_coroutine_is_refused_as_asyncio_does(pyaio, thing):
    raised = []
    for run in (asyncio.run, pyaio.run):
        with pytest.raises((TypeError, ValueError)) as caught:
            run(thing)
        raised.append(caught.type)
    assert raised[0] is raised[1]


def test_run_leaves_no_current_loop(pyaio):
    check(
        """
        import asyncio, pyaio
        pyaio.run(asyncio.sleep(0))
        assert asyncio._get_running_loop() is None
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        """
    )


def test_new_event_loop_makes_a_new_loop_each_time(pyaio):
    first, second = pyaio.new_event_loop(), pyaio.new_event_loop()
    assert first is not second
    assert isinstance(first, pyaio.Loop) and isinstance(first, asyncio.AbstractEventLoop)
    first.close()
    second.close()


def test_new_event_loop_is_a_factory_without_arguments(pyaio):
    assert not inspect.signature(pyaio.new_event_loop).parameters
    with asyncio.Runner(loop_factory=pyaio.new_event_loop) as runner:
        assert issubclass(runner.run(loop_class()), pyaio.Loop)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="loop_factory is new in 3.12")
def test_asyncio_run_takes_the_factory(pyaio):
    assert issubclass(asyncio.run(loop_class(), loop_factory=pyaio.new_event_loop), pyaio.Loop)


def test_a_subclass_of_the_loop_is_a_factory(pyaio):
    class Subclass(pyaio.Loop):
        pass

    assert pyaio.run(loop_class(), loop_factory=Subclass) is Subclass


# Import


def test_importing_patches_nothing_and_warns_of_nothing(pyaio):
    check(
        """
        import asyncio, asyncio.events, asyncio.base_events, asyncio.runners, signal, sys

        def state():
            modules = (asyncio, asyncio.events, asyncio.base_events, asyncio.runners)
            classes = (asyncio.BaseEventLoop, asyncio.SelectorEventLoop, asyncio.Runner)
            return [dict(vars(thing)) for thing in modules + classes]

        before = state(), signal.getsignal(signal.SIGINT), sys.get_asyncgen_hooks()
        import pyaio
        assert (state(), signal.getsignal(signal.SIGINT), sys.get_asyncgen_hooks()) == before
        async def main():
            return type(asyncio.get_running_loop())
        assert not issubclass(asyncio.run(main()), pyaio.Loop)
        """
    )


def test_importing_starts_no_thread_and_opens_no_descriptor(pyaio):
    check(
        """
        import asyncio, os, threading
        before = set(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
        import pyaio
        after = set(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
        assert before == after
        """
    )


def test_every_name_of_all_is_there(pyaio):
    assert {
        "EventLoopPolicy",
        "Loop",
        "install",
        "libuv_version",
        "new_event_loop",
        "run",
        "uninstall",
    } <= set(pyaio.__all__)
    for name in pyaio.__all__:
        assert hasattr(pyaio, name), name


def test_a_name_that_is_not_there_is_an_attribute_error(pyaio):
    with pytest.raises(AttributeError):
        pyaio.no_such_name  # noqa: B018


def test_the_version_is_that_of_the_distribution(pyaio):
    assert pyaio.__version__ == importlib.metadata.version("pyaio")


def test_libuv_version_is_that_of_a_release_from_1_44_on(pyaio):
    match = re.fullmatch(r"(\d+)\.(\d+)\.\d+.*", pyaio.libuv_version())
    assert match and (int(match[1]), int(match[2])) >= (1, 44)


def test_the_type_stubs_are_installed(pyaio):
    files = {entry.name for entry in importlib.resources.files("pyaio").iterdir()}
    assert "py.typed" in files
    assert any(name.endswith(".pyi") for name in files)


def test_the_module_may_be_imported_again(pyaio):
    # A second copy of the C module's state must not disturb the first.
    check(
        """
        import asyncio, sys
        import pyaio as first
        for name in [n for n in sys.modules if n.partition(".")[0] == "pyaio"]:
            del sys.modules[name]
        import pyaio as second
        async def main():
            await asyncio.sleep(0.0001)
            return 1
        for module in (first, second, first):
            assert module.run(main()) == 1
        """
    )


# The policy


@has_policies
def test_the_policy_makes_pyaio_loops(pyaio):
    check(
        """
        import asyncio, pyaio
        asyncio.set_event_loop_policy(pyaio.EventLoopPolicy())
        assert isinstance(asyncio.get_event_loop_policy(), pyaio.EventLoopPolicy)
        assert isinstance(asyncio.get_event_loop_policy(), asyncio.AbstractEventLoopPolicy)
        loop = asyncio.new_event_loop()
        assert isinstance(loop, pyaio.Loop)
        asyncio.set_event_loop(loop)
        assert asyncio.get_event_loop_policy().get_event_loop() is loop
        asyncio.set_event_loop(None)
        loop.close()
        async def main():
            return type(asyncio.get_running_loop())
        assert issubclass(asyncio.run(main()), pyaio.Loop)
        with asyncio.Runner() as runner:
            assert isinstance(runner.get_loop(), pyaio.Loop)
        """,
        *DEPRECATION_IGNORED,
    )


@has_policies
def test_install_and_uninstall_switch_asyncio_run(pyaio):
    check(
        """
        import asyncio, pyaio
        async def main():
            return issubclass(type(asyncio.get_running_loop()), pyaio.Loop)
        assert not asyncio.run(main())
        pyaio.install()
        assert asyncio.run(main())
        pyaio.install()
        assert asyncio.run(main())
        pyaio.uninstall()
        assert not asyncio.run(main())
        pyaio.uninstall()
        assert not asyncio.run(main())
        """,
        *DEPRECATION_IGNORED,
    )


@has_policies
def test_install_serves_loops_in_threads(pyaio):
    check(
        """
        import asyncio, pyaio, threading
        pyaio.install()
        got = []
        async def main():
            got.append(isinstance(asyncio.get_running_loop(), pyaio.Loop))
        threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == [True] * 3
        """,
        *DEPRECATION_IGNORED,
    )


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="asyncio deprecates policies from 3.14 on")
def test_install_warns_of_nothing_where_policies_are_not_deprecated(pyaio):
    check("import pyaio; pyaio.install(); pyaio.EventLoopPolicy(); pyaio.uninstall()")


@pytest.mark.skipif(
    not (3, 14) <= sys.version_info < (3, 16), reason="policies are deprecated in 3.14 and 3.15"
)
def test_install_warns_where_policies_are_deprecated(pyaio):
    done = run_python("-W", "error", "-c", "import pyaio; pyaio.install()")
    assert done.returncode == 1 and "DeprecationWarning" in done.stderr


@pytest.mark.skipif(sys.version_info < (3, 16), reason="asyncio has policies before 3.16")
def test_install_says_clearly_that_there_are_no_policies(pyaio):
    with pytest.raises(RuntimeError, match="polic"):
        pyaio.install()
