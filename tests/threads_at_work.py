"""What the tests of several threads share: starting them at once and taking what they give, and
a loop that runs in one of them.

Imported by name: ``from threads_at_work import in_threads``.
"""

import contextlib
import threading
import time

from helpers import HANG, asleep, wait_until


def in_threads(count, function):
    """Call *function(number)*, for each number below *count*, in a thread of its own.

    All of them start at once, behind a barrier. Return the list of their results, by number, when
    all have ended. The exception of the first that raised one is raised here, also when others
    hang: that is most often why. Who has not ended after HANG seconds fails the test.
    """
    barrier = threading.Barrier(count)
    results, raised = [None] * count, []

    def work(number):
        try:
            barrier.wait(HANG)
            results[number] = function(number)
        except BaseException as exc:
            raised.append(exc)

    threads = [
        threading.Thread(target=work, args=(number,), name=f"worker {number}", daemon=True)
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    give_up = time.monotonic() + HANG
    for thread in threads:
        thread.join(max(0.0, give_up - time.monotonic()))
    if raised:
        raise raised[0]
    hanging = [thread.name for thread in threads if thread.is_alive()]
    assert not hanging, f"not ended after {HANG} s: {', '.join(hanging)}"
    return results


@contextlib.contextmanager
def running(loop):
    """Inside, the loop runs in another thread; gives a function that returns once it sleeps."""
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def sleeps():
        return asleep("self", thread.native_id)

    try:
        yield lambda: wait_until(sleeps, "the loop is about to wait")
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(HANG)
        assert not thread.is_alive()
