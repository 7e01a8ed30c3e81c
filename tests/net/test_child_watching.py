"""Who hears of the end of a child: a pidfd, a thread of asyncio's, a watcher of the program."""

import asyncio
import contextvars
import os
import sys
import threading
import warnings
from subprocess import DEVNULL, PIPE

import pytest
from children import started, within_limits
from helpers import HANG, only_pyaio


def watching_threads():
    return [t for t in threading.enumerate() if t.name.startswith("asyncio-waitpid")]


@pytest.fixture
def policy():
    """A new default policy, so that no child watcher is left from other tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        before = asyncio.get_event_loop_policy()
        asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
        yield asyncio.get_event_loop_policy()
        for thread in watching_threads():
            thread.join(HANG)  # a watcher that goes before its threads have ended warns
        asyncio.set_event_loop_policy(before)


needs_pidfd = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="a kernel or C library without pidfd_open()"
)


@needs_pidfd
@only_pyaio
def test_no_thread_watches_a_child(run, policy):
    async def main():
        process = await started("input()", stdin=PIPE)
        assert watching_threads() == []
        await within_limits(process.communicate(b"\n"))
        return process.returncode

    assert run(main) == 0


MARK = contextvars.ContextVar("MARK", default="none")


def test_the_context_in_which_the_end_is_told(run, policy):
    """Before 3.12 that of a thread, in which nothing is set, whoever watches."""
    seen = []

    async def main():
        lost = asyncio.get_running_loop().create_future()

        class Watching(asyncio.SubprocessProtocol):
            def process_exited(self):
                seen.append(MARK.get())

            def connection_lost(self, exc):
                lost.set_result(None)

        MARK.set("starter")
        transport, _ = await asyncio.get_running_loop().subprocess_exec(Watching, "cat")
        transport.get_pipe_transport(0).close()
        await within_limits(lost)
        transport.close()

    run(main)
    assert seen == ["none" if sys.version_info < (3, 12) else "starter"]


@pytest.mark.skipif(
    sys.platform != "linux" and sys.version_info < (3, 12), reason="needs a watcher without signals"
)
def test_outside_the_main_thread(loop_factory, policy):
    codes = []

    async def main():
        process = await started("raise SystemExit(5)")
        codes.append(await within_limits(process.wait()))

    def in_thread():
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main())

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert codes == [5]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="3.14 has no child watchers")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_watcher_of_the_program_is_asked(loop_factory, policy):
    asked = []

    class Watcher(asyncio.ThreadedChildWatcher):
        def add_child_handler(self, pid, callback, *args):
            asked.append(pid)
            super().add_child_handler(pid, callback, *args)

    async def main():
        process = await started("raise SystemExit(6)")
        return process.pid, await within_limits(process.wait())

    asyncio.set_child_watcher(Watcher())
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        pid, code = runner.run(main())
    assert (asked, code) == ([pid], 6)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="3.14 has no child watchers")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_inactive_watcher_of_the_program_starts_nothing(run, policy):
    class Inactive(asyncio.ThreadedChildWatcher):
        def is_active(self):
            return False

    async def main():
        with pytest.raises(RuntimeError, match="is not activated"):
            await started("raise SystemExit")

    asyncio.set_child_watcher(Inactive())
    run(main)


def test_a_child_that_somebody_else_has_reaped(run, loop_kind, policy, reports):
    if loop_kind == "asyncio" and sys.version_info < (3, 12):
        pytest.skip("asyncio's thread waits for it, too, and may be the one to get it")

    async def main():
        process = await started("input()", stdin=PIPE, stdout=DEVNULL)
        process.stdin.write(b"\n")
        # Waits until it has ended and takes its status before the loop looks.
        os.waitpid(process.pid, 0)
        code = await within_limits(process.wait())
        return process.pid, code

    pid, code = run(main)
    assert code == 255
    [report] = reports.take()
    assert f"child process pid {pid}" in report
    assert report.endswith("will report returncode 255")


threads_watch = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="what asyncio's threads say, its watcher up to 3.11"
)


@threads_watch
def test_debug_mode_tells_of_the_exit(run, policy, caplog):
    async def main():
        process = await started("raise SystemExit(3)")
        await within_limits(process.wait())
        return process.pid

    with caplog.at_level("DEBUG", "asyncio"):
        pid = run(main, debug=True)
    told = [r for r in caplog.records if "exited with returncode" in r.getMessage()]
    assert [r.getMessage() for r in told] == [f"process {pid} exited with returncode 3"]
    assert told[0].levelname == "DEBUG"


@threads_watch
def test_a_loop_closed_under_a_running_child_leaves_no_zombie(child):
    source = """
        import asyncio, os, sys, threading

        async def main():
            loop = asyncio.get_running_loop()
            return await loop.subprocess_exec(
                asyncio.SubprocessProtocol, sys.executable, "-c", "input()", stdout=None
            )

        loop = new_event_loop()
        transport, _ = loop.run_until_complete(main())
        process = transport._proc
        loop.close()
        process.kill()
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                thread.join()
        try:
            os.waitpid(process.pid, 0)
        except ChildProcessError:
            print("reaped", process.pid)
        process.stdin.close()
        sys.stdout.flush()
        os._exit(0)
    """
    with child(source) as process:
        code, out, err = process.finish()
    assert (code, out.split()[0]) == (0, "reaped")
    assert f"that handles pid {out.split()[1]} is closed" in err
