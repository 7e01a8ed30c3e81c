"""The end of the interpreter with loops in any state: no crash, no hang, the right code."""

import signal
import sys

import pytest

PROGRAMS = {
    "a loop that was never closed": """
        import asyncio
        loop = new_event_loop()
        loop.run_until_complete(asyncio.sleep(0))
        loop.call_later(3600, print)
        loop.call_soon(print)
    """,
    "a loop that never ran": """
        loop = new_event_loop()
        loop.call_soon(print)
    """,
    "a loop in a cycle": """
        loop = new_event_loop()
        loop.itself = loop
        loop.handle = loop.call_later(1, print, loop)
        del loop
    """,
    "a loop in a daemon thread": """
        import threading
        loop = new_event_loop()
        started = threading.Event()
        loop.call_soon(started.set)
        threading.Thread(target=loop.run_forever, daemon=True).start()
        started.wait()
    """,
    "a busy loop in a daemon thread": """
        import threading
        loop = new_event_loop()
        started = threading.Event()
        def chain():
            started.set()
            loop.call_soon(chain)
        loop.call_soon(chain)
        threading.Thread(target=loop.run_forever, daemon=True).start()
        started.wait()
    """,
    "a loop that runs at exit": """
        import asyncio, atexit
        def at_exit():
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(asyncio.sleep(0.0001))
        atexit.register(at_exit)
    """,
    "a finalizer that uses a loop at exit": """
        loop = new_event_loop()
        class Late:
            def __del__(self):
                try:
                    loop.call_soon(print)
                    loop.close()
                except Exception:
                    pass
        late = Late()
        loop.late = late
    """,
    "a signal handler that was left": """
        import signal
        loop = new_event_loop()
        loop.add_signal_handler(signal.SIGUSR1, print)
    """,
    "a half-done asynchronous generator": """
        import asyncio
        async def generator():
            yield 1
            yield 2
        loop = new_event_loop()
        g = generator()
        loop.run_until_complete(g.__anext__())
    """,
}


@pytest.mark.parametrize("source", PROGRAMS.values(), ids=PROGRAMS)
def test_the_interpreter_ends_well_with(child, source):
    with child(source, "-W", "ignore") as process:
        assert process.finish() == (0, "", "")


def test_sys_exit_in_a_callback_ends_the_process(child):
    source = """
        import sys
        loop = new_event_loop()
        loop.call_soon(sys.exit, 7)
        loop.run_forever()
    """
    with child(source, "-W", "ignore") as process:
        assert process.finish() == (7, "", "")


def test_sys_exit_in_a_task_ends_the_process(child):
    source = """
        import asyncio, sys
        async def main():
            await asyncio.sleep(0)
            sys.exit("bye")
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(main())
    """
    with child(source) as process:
        assert process.finish() == (1, "", "bye\n")


def test_a_default_signal_ends_a_process_with_an_idle_loop(child):
    source = """
        loop = new_event_loop()
        loop.call_soon(lambda: print("ready", flush=True))
        loop.run_forever()
    """
    with child(source) as process:
        process.expect("ready")
        process.signal(signal.SIGTERM)
        assert process.finish() == (-signal.SIGTERM, "", "")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="_asyncio takes no sub-interpreter before")
@pytest.mark.parametrize("config", ["legacy", "isolated"])
def test_a_loop_runs_in_a_sub_interpreter(child, config):
    # "isolated" has a GIL of its own.
    source = """
        import asyncio, sys
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            print(runner.run(asyncio.sleep(0.0001, "a value")), flush=True)
        if len(sys.argv) > 1:  # in the main interpreter
            if sys.version_info >= (3, 13):
                import _interpreters as interpreters
                ident = interpreters.create(sys.argv[1])
            else:
                import _xxsubinterpreters as interpreters
                ident = interpreters.create(isolated=sys.argv[1] == "isolated")
            program = open(__file__).read()
            interpreters.run_string(ident, "import sys; sys.argv = ['']; exec(%r)" % program)
            interpreters.destroy(ident)
    """
    with child(source, args=[config]) as process:
        assert process.finish() == (0, "a value\na value\n", "")
