"""Has the interpreter's own tests get pyaio's loops where they make asyncio's.

The tests make loops in four ways: by the policy, by asyncio.SelectorEventLoop, by
asyncio.EventLoop (3.13) and, with the part that needs no sockets, by
asyncio.BaseEventLoop. After install() all of them give a pyaio.Loop.
"""

import asyncio
from asyncio import base_events, unix_events

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


def install():
    """To be called before a module of test.test_asyncio is imported."""
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
