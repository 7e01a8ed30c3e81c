"""Ctrl-C: at once, also on an idle loop. Each case is a process of its own, sent SIGINT."""

import signal

import pytest
from helpers import asleep, wait_until


def interrupt_when_idle(process, signum=signal.SIGINT):
    process.expect("ready")
    wait_until(lambda: asleep(process.process.pid), "the child sleeps")
    process.signal(signum)


def interrupted(child, source, *flags, signum=signal.SIGINT):
    """How the child ends, with exit code, output and errors, that is interrupted once it sleeps."""
    with child(source, *flags) as process:
        interrupt_when_idle(process, signum)
        return process.finish()


def test_an_idle_loop_is_left_by_keyboard_interrupt(child):
    source = """
        loop = new_event_loop()
        loop.call_soon(lambda: print("ready", flush=True))
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            print("interrupted")
        print(loop.is_running(), loop.is_closed())
        loop.close()
    """
    assert interrupted(child, source) == (0, "interrupted\nFalse False\n", "")


def test_a_loop_that_is_turned_by_hand_is_interrupted(child):
    source = """
        import signal
        loop = new_event_loop()
        try:
            print("ready", flush=True)
            loop._run_once()
        except KeyboardInterrupt:
            print("interrupted", signal.set_wakeup_fd(-1))
        loop.close()
    """
    assert interrupted(child, source) == (0, "interrupted -1\n", "")


def test_the_loop_runs_on_after_keyboard_interrupt(child):
    source = """
        import asyncio
        loop = new_event_loop()
        loop.call_soon(lambda: print("ready", flush=True))
        timer = loop.call_later(3600, print)
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            print(loop.run_until_complete(asyncio.sleep(0.001, "again")))
        timer.cancel()
        loop.close()
    """
    assert interrupted(child, source) == (0, "again\n", "")


def test_a_runner_cancels_the_main_task(child):
    source = """
        import asyncio
        async def main():
            print("ready", flush=True)
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                print("cancelled")
                raise
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            try:
                runner.run(main())
            except KeyboardInterrupt:
                print("interrupted")
    """
    assert interrupted(child, source) == (0, "cancelled\ninterrupted\n", "")


def test_a_second_ctrl_c_interrupts_a_task_that_ignores_the_first(child):
    source = """
        import asyncio
        async def main():
            while True:
                print("ready", flush=True)
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    pass
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            try:
                runner.run(main())
            except KeyboardInterrupt:
                print("interrupted", flush=True)
                import os
                os._exit(0)
    """
    with child(source) as process:
        interrupt_when_idle(process)
        interrupt_when_idle(process)
        assert process.finish() == (0, "interrupted\n", "")


def test_an_unhandled_keyboard_interrupt_ends_the_process_as_python_does(child):
    source = """
        import asyncio
        async def main():
            print("ready", flush=True)
            await asyncio.sleep(3600)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(main())
    """
    code, out, err = interrupted(child, source)
    assert code == -signal.SIGINT and out == ""
    assert err.rstrip().endswith("KeyboardInterrupt")


def test_a_callback_in_python_is_interrupted(child):
    source = """
        loop = new_event_loop()
        def busy():
            try:
                print("ready", flush=True)
                while True:
                    pass
            except KeyboardInterrupt:
                print("in the callback")
                raise
        loop.call_soon(busy)
        loop.call_soon(print, "kept")
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            print("interrupted")
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
    """
    with child(source) as process:
        process.expect("ready")
        process.signal()
        assert process.finish() == (0, "in the callback\ninterrupted\nkept\n", "")


def test_a_loop_that_never_sleeps_is_interrupted(child):
    # Callbacks without a line of Python: nothing but the loop looks for signals.
    source = """
        loop = new_event_loop()
        def chain():
            loop.call_soon(loop.call_soon, chain)
        chain()
        loop.call_soon(lambda: print("ready", flush=True))
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            print("interrupted")
        # Python may raise it between two lines of asyncio's that belong together.
        if not (loop.is_running() and type(loop).__module__.startswith("asyncio.")):
            loop.close()
    """
    with child(source) as process:
        process.expect("ready")
        process.signal()
        assert process.finish() == (0, "interrupted\n", "")


def test_a_handler_of_signal_signal_that_raises_leaves_an_idle_loop(child):
    source = """
        import signal
        class Alarm(Exception):
            pass
        def handler(signum, frame):
            raise Alarm
        signal.signal(signal.SIGTERM, handler)
        loop = new_event_loop()
        loop.call_soon(lambda: print("ready", flush=True))
        try:
            loop.run_forever()
        except Alarm:
            print("alarm")
        loop.close()
    """
    assert interrupted(child, source, signum=signal.SIGTERM) == (0, "alarm\n", "")


def test_an_ignored_sigint_does_not_disturb_an_idle_loop(child):
    source = """
        import signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        loop = new_event_loop()
        loop.add_signal_handler(signal.SIGTERM, loop.stop)
        loop.call_soon(lambda: print("ready", flush=True))
        loop.run_forever()
        loop.close()
        print("stopped")
    """
    with child(source) as process:
        interrupt_when_idle(process)
        process.signal(signal.SIGTERM)
        assert process.finish() == (0, "stopped\n", "")


def test_the_wakeup_fd_is_restored_after_ctrl_c(child):
    source = """
        import os, signal
        r, w = os.pipe()
        os.set_blocking(w, False)
        signal.set_wakeup_fd(w)
        loop = new_event_loop()
        loop.call_soon(lambda: print("ready", flush=True))
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            print(signal.set_wakeup_fd(-1) == w)
        loop.close()
    """
    assert interrupted(child, source) == (0, "True\n", "")


def test_a_loop_in_a_thread_leaves_ctrl_c_to_the_main_thread(child):
    source = """
        import threading
        loop = new_event_loop()
        runs = threading.Event()
        loop.call_soon(runs.set)
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        runs.wait()
        try:
            print("ready", flush=True)  # here: in start() it sleeps, too
            threading.Event().wait()
        except KeyboardInterrupt:
            print("interrupted")
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    """
    assert interrupted(child, source) == (0, "interrupted\n", "")


@pytest.mark.parametrize("flags", [(), ("-X", "dev")], ids=["plain", "dev"])
def test_ctrl_c_while_an_executor_works(child, flags):
    source = """
        import asyncio, logging, time
        logging.getLogger("asyncio").setLevel(logging.ERROR)  # whatever took its time
        async def main():
            print("ready", flush=True)
            await asyncio.gather(asyncio.to_thread(time.sleep, 0.05), asyncio.sleep(3600))
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(main())
        except KeyboardInterrupt:
            print("interrupted")
    """
    assert interrupted(child, source, *flags) == (0, "interrupted\n", "")
