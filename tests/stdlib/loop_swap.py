"""Has the interpreter's own tests get pyaio's loops where they make asyncio's.

The tests make loops in four ways: by the policy, by asyncio.SelectorEventLoop, by
asyncio.EventLoop (3.13) and, with the part that needs no sockets, by
asyncio.BaseEventLoop. After install() all of them give a pyaio.Loop.

Futures and tasks have an implementation in C and one in Python, and the tests run on
both: in the files about them, pyaio's classes take the place of the one in C. In the
others they are what the loop makes.
"""

import asyncio
from asyncio import base_events, futures, tasks, unix_events

import pyaio


class SwappedLoop(pyaio.Loop):
    """A pyaio.Loop where a test asks for a loop of asyncio's by name.

    asyncio.SelectorEventLoop takes a selector, and owns it; ours needs none.
    """

    def __init__(self, selector=None):
        super().__init__()
        if selector is not None:
            selector.close()


class SwappedBaseLoop(SwappedLoop):
    """What stands for asyncio.BaseEventLoop.

    Tests of sendfile() call this method by that class, to have a loop without a native one.
    """

    _sendfile_native = base_events.BaseEventLoop._sendfile_native


ABOUT_TASKS = ("test_futures", "test_futures2", "test_tasks", "test_eager_task_factory")


def install(file):
    """To be called before this file of test.test_asyncio is imported."""
    policy = getattr(unix_events, "_UnixDefaultEventLoopPolicy", None) or (
        unix_events._DefaultEventLoopPolicy
    )
    policy._loop_factory = SwappedLoop
    for name in ("SelectorEventLoop", "EventLoop", "_UnixSelectorEventLoop"):
        for module in (asyncio, unix_events):
            if hasattr(module, name):
                setattr(module, name, SwappedLoop)
    for module in (asyncio, base_events):
        module.BaseEventLoop = SwappedBaseLoop
    if file in ABOUT_TASKS:
        futures._CFuture = pyaio.Future
        tasks._CTask = pyaio.Task
