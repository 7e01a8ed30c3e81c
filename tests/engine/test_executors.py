"""run_in_executor, the default executor and its shutdown."""

import asyncio
import concurrent.futures
import contextvars
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import HANG

since_3_12 = pytest.mark.skipif(sys.version_info < (3, 12), reason="the timeout is new in 3.12")


def double(x):
    return 2 * x


def fail():
    raise LookupError("in the thread")


def test_a_function_runs_in_another_thread(run):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(None, threading.get_ident)
        assert isinstance(future, asyncio.Future)
        return await future

    assert run(main) != threading.get_ident()


def test_arguments_and_results_pass(run):
    async def main():
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(None, double, i) for i in range(100)))

    assert run(main) == [2 * i for i in range(100)]


def test_an_exception_passes(run):
    async def main():
        with pytest.raises(LookupError, match="in the thread"):
            await asyncio.get_running_loop().run_in_executor(None, fail)

    run(main)


def test_an_executor_may_be_given(run):
    async def main():
        with ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(pool, lambda: threading.current_thread().name)

    assert run(main).startswith("mine")


def test_any_executor_will_do(run):
    class Inline(concurrent.futures.Executor):
        def submit(self, fn, *args):
            future = concurrent.futures.Future()
            future.set_result(fn(*args))
            return future

    async def main():
        return await asyncio.get_running_loop().run_in_executor(Inline(), double, 21)

    assert run(main) == 42


def test_the_loop_goes_on_while_a_thread_works(run):
    async def main():
        release = threading.Event()
        future = asyncio.get_running_loop().run_in_executor(None, release.wait, HANG)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not future.done()
        release.set()
        return await future

    assert run(main) is True


def test_a_cancelled_call_is_cancelled(run):
    async def main():
        with ThreadPoolExecutor(1) as pool:
            loop = asyncio.get_running_loop()
            release = threading.Event()
            first = loop.run_in_executor(pool, release.wait, HANG)
            waiting = loop.run_in_executor(pool, double, 1)
            waiting.cancel()
            release.set()
            assert await first is True
            with pytest.raises(asyncio.CancelledError):
                await waiting

    run(main)


def test_a_result_that_arrives_after_the_loop_closed_does_no_harm(loop):
    release = threading.Event()
    pool = ThreadPoolExecutor(1)
    loop.run_in_executor(pool, release.wait, HANG)
    loop.close()
    release.set()
    pool.shutdown()


def test_to_thread_copies_the_context(run):
    var = contextvars.ContextVar("var", default="unset")

    async def main():
        var.set("by main")
        return await asyncio.to_thread(var.get)

    assert run(main) == "by main"


def test_the_default_executor_may_be_set(run):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1, thread_name_prefix="default"))
        return await asyncio.to_thread(lambda: threading.current_thread().name)

    assert run(main).startswith("default")


@pytest.mark.parametrize("executor", [None, 1, object(), concurrent.futures.Executor()])
def test_a_default_executor_of_another_type_is_refused(loop, executor):
    with pytest.raises(TypeError):
        loop.set_default_executor(executor)


def test_shutdown_waits_for_the_threads(loop):
    done = []
    release = threading.Event()

    def work():
        release.wait(HANG)
        done.append(1)

    async def main():
        loop.run_in_executor(None, work)
        loop.call_soon(release.set)
        await loop.shutdown_default_executor()
        return list(done)

    assert loop.run_until_complete(main()) == [1]


def test_shutdown_without_an_executor_returns(loop):
    assert loop.run_until_complete(loop.shutdown_default_executor()) is None


def test_no_call_is_taken_after_shutdown(loop):
    loop.run_until_complete(loop.shutdown_default_executor())
    with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
        loop.run_in_executor(None, print)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="3.12 waits for the threads all the same")
def test_shutdown_with_a_timeout_warns_and_goes_on(loop):
    release = threading.Event()

    async def main():
        loop.run_in_executor(None, release.wait, HANG)
        with pytest.warns(RuntimeWarning, match="The executor did not finishing joining"):
            await loop.shutdown_default_executor(timeout=0.001)
        release.set()

    loop.run_until_complete(main())


@since_3_12
def test_shutdown_within_its_timeout_does_not_warn(loop):
    async def main():
        await loop.run_in_executor(None, double, 1)
        await loop.shutdown_default_executor(HANG)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loop.run_until_complete(main())


def test_close_lets_the_threads_end(loop):
    threads = []

    async def main():
        await loop.run_in_executor(None, lambda: threads.append(threading.current_thread()))

    loop.run_until_complete(main())
    loop.close()
    threads[0].join(HANG)
    assert not threads[0].is_alive()


def test_a_process_pool_works(child):
    source = """
        import asyncio, multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        async def main():
            loop = asyncio.get_running_loop()
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                results = [loop.run_in_executor(pool, pow, 2, i) for i in range(5)]
                print(await asyncio.gather(*results))

        if __name__ == "__main__":
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(main())
    """
    with child(source) as process:
        assert process.finish() == (0, "[1, 2, 4, 8, 16]\n", "")
