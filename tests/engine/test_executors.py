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


class Held(concurrent.futures.Executor):
    """Runs nothing: the test ends what was submitted."""

    def __init__(self, kind=concurrent.futures.Future):
        self.submitted = []
        self.kind = kind

    def submit(self, fn, *args):
        self.submitted.append(self.kind())
        return self.submitted[-1]

    def end(self, function):
        """function(future) in another thread."""
        thread = threading.Thread(target=function, args=self.submitted)
        thread.start()
        thread.join()


def outcome(future):
    if future.cancelled():
        return "cancelled"
    exception = future.exception()
    return (type(exception), exception.args) if exception else future.result()


def raise_in(exception):
    return lambda source: source.set_exception(exception)


@pytest.mark.parametrize(
    "kind", [concurrent.futures.Future, type("Sub", (concurrent.futures.Future,), {})]
)
@pytest.mark.parametrize("same_thread", [False, True])
@pytest.mark.parametrize(
    "end",
    [
        lambda source: source.set_result((1, 2)),
        lambda source: source.cancel(),
        raise_in(LookupError("in the thread")),
        raise_in(concurrent.futures.CancelledError("why")),
        raise_in(concurrent.futures.InvalidStateError("why")),
        raise_in(concurrent.futures.TimeoutError("why")),
        raise_in(StopIteration("why")),
    ],
)
def test_the_end_of_the_executors_future(on_both, end, same_thread, kind):
    def trial(loop):
        async def main():
            reports = []
            loop.set_exception_handler(lambda loop, context: reports.append(context["message"]))
            executor = Held(kind)
            future = loop.run_in_executor(executor, print)
            end(executor.submitted[0]) if same_thread else executor.end(end)
            for _ in range(3):
                done_at_once = future.done()
                await asyncio.sleep(0)
            return done_at_once, outcome(future) if future.done() else None, len(reports)

        return loop.run_until_complete(main())

    got, expected = on_both(trial)
    assert got == expected


@pytest.mark.parametrize(
    "end", [lambda source: source.set_result(5), lambda source: source.cancel()]
)
def test_an_executors_future_that_is_done_when_it_is_submitted(on_both, end):
    class Inline(Held):
        def submit(self, fn, *args):
            source = super().submit(fn, *args)
            end(source)
            return source

    def trial(loop):
        async def main():
            future = loop.run_in_executor(Inline(), print)
            done_at_once = future.done()
            await asyncio.wait([future])
            return done_at_once, outcome(future)

        return loop.run_until_complete(main())

    got, expected = on_both(trial)
    assert got == expected


@pytest.mark.parametrize("running", [False, True])
def test_a_cancelled_call_cancels_the_executors_future_in_the_next_turn(run, running):
    async def main():
        executor = Held()
        future = asyncio.get_running_loop().run_in_executor(executor, print)
        (source,) = executor.submitted
        if running:
            source.set_running_or_notify_cancel()
        future.cancel("why")
        assert not source.cancelled()
        await asyncio.sleep(0)
        assert source.cancelled() is not running
        if running:
            executor.end(lambda source: source.set_result(1))
        await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError, match="why"):
            await future

    run(main)


def test_a_call_that_the_program_has_ended_itself(on_both):
    def trial(loop):
        async def main():
            reports = []
            loop.set_exception_handler(lambda loop, c: reports.append(type(c["exception"])))
            executor = Held()
            future = loop.run_in_executor(executor, print)
            future.set_result("mine")
            executor.end(lambda source: source.set_result("theirs"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return future.result(), reports

        return loop.run_until_complete(main())

    got, expected = on_both(trial)
    assert got == expected
    assert len(got[1]) == 1


@pytest.mark.parametrize("cancelled", [False, True])
def test_the_end_of_the_executors_future_after_the_loop_closed(loop, caplog, cancelled):
    executor = Held()
    future = loop.run_in_executor(executor, print)
    if cancelled:
        future.cancel()
    loop.close()
    executor.end(lambda source: source.set_result(1))
    assert caplog.records == []


@pytest.mark.parametrize("name", ["wrap_future", "_chain_future", "_copy_future_state"])
def test_a_replaced_function_of_asyncio_is_asked(run, monkeypatch, name):
    original, calls = getattr(asyncio.futures, name), []

    def replaced(*args, **kwargs):
        calls.append(name)
        return original(*args, **kwargs)

    async def main():
        return await asyncio.get_running_loop().run_in_executor(None, double, 2)

    monkeypatch.setattr(asyncio.futures, name, replaced)
    assert run(main) == 4
    assert calls


def test_a_replaced_run_in_executor_of_asyncios_class_is_asked(run, monkeypatch):
    calls = []
    base = asyncio.BaseEventLoop
    original = base.run_in_executor

    def replaced(*args):
        calls.append(args)
        return original(*args)

    async def main():
        await asyncio.to_thread(double, 2)
        await asyncio.to_thread(double, 3)

    monkeypatch.setattr(base, "run_in_executor", replaced)
    run(main)
    assert len(calls) == 2


def test_a_loop_with_futures_of_its_own(loop_class):
    class Own(asyncio.Future):
        pass

    class Loop(loop_class):
        def create_future(self):
            return Own(loop=self)

    async def main():
        future = asyncio.get_running_loop().run_in_executor(None, double, 2)
        assert type(future) is Own
        return await future

    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(main()) == 4
