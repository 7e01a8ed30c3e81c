"""The machinery of test_arguments.py: one call with given arguments, made on one kind of loop.

A `Subject` is one method of one kind of object with arguments that are right, and for each
argument what it is to be tried with instead. `outcome()` makes one such call on a new loop and
tells all that can be seen of it.
"""

import asyncio
import contextlib
import inspect
import linecache
import os
import re
import socket
import subprocess
import sys
from asyncio import selector_events, unix_events

from helpers import HANG, PATIENCE, HandlerCalls

LOOPBACK = "127.0.0.1"
ASYNCIO = os.path.dirname(asyncio.__file__)

#: In place of an argument: leave it out.
MISSING = object()


class From:
    """A value that is made anew for each call: `make(scene)`, which may be a coroutine."""

    def __init__(self, make):
        self.make = make


def nothing(*args, **kwargs):
    """A callback that takes all and does nothing."""


async def coroutine_function():
    pass


class Scene:
    """One loop and what the calls on it need; `close()` ends all of it."""

    def __init__(self, factory, debug):
        self.loop = factory()
        self.loop.set_debug(debug)
        self.loop.slow_callback_duration = HANG
        self.reported = HandlerCalls()
        self.loop.set_exception_handler(self.reported)
        self.stack = contextlib.ExitStack()
        self.at_end = []
        self.tasks = []

    def keep(self, thing):
        """Have *thing* closed at the end; return it."""
        self.stack.callback(thing.close)
        return thing

    def coroutine(self):
        coroutine = coroutine_function()
        self.stack.callback(coroutine.close)
        return coroutine

    def tcp(self, connected=True):
        """A non-blocking socket; its peer has sent 4 bytes, and is `self.peer`."""
        if not connected:
            sock = self.keep(socket.socket())
            sock.setblocking(False)
            return sock
        with socket.create_server((LOOPBACK, 0)) as listener:
            sock = self.keep(socket.create_connection(listener.getsockname()))
            self.peer = self.keep(listener.accept()[0])
        self.peer.send(b"data")
        sock.setblocking(False)
        return sock

    def closed(self):
        sock = socket.socket()
        sock.close()
        return sock

    def udp(self):
        """A non-blocking bound UDP socket with one datagram waiting."""
        sock = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.bind((LOOPBACK, 0))
        sock.setblocking(False)
        sock.sendto(b"data", sock.getsockname())
        return sock

    def unix(self):
        sock, self.peer = socket.socketpair()
        sock.setblocking(False)
        self.peer.send(b"data")
        self.keep(self.peer)
        return self.keep(sock)

    def listener(self, waiting=0):
        """A non-blocking listening socket with *waiting* connections to accept."""
        sock = self.keep(socket.create_server((LOOPBACK, 0)))
        for _ in range(waiting):
            self.keep(socket.create_connection(sock.getsockname()))
        sock.setblocking(False)
        return sock

    def address(self):
        return self.listener().getsockname()

    def pipe(self, end):
        """The read (0) or the write (1) end of a pipe as a file object."""
        fds = os.pipe()
        files = [
            self.keep(os.fdopen(fd, mode, 0)) for fd, mode in zip(fds, ("rb", "wb"), strict=True)
        ]
        return files[end]

    def file(self, mode="rb"):
        return self.keep(open(__file__, mode))

    async def stream(self):
        transport, _ = await self.loop.create_connection(asyncio.Protocol, sock=self.tcp())
        self.stack.callback(transport.abort)
        return transport

    def talker(self):
        """A socket on which something has come that is not TLS."""
        sock = self.tcp()
        self.peer.send(b"not TLS at all")
        return sock

    async def talking_stream(self):
        transport = await self.stream()
        transport.pause_reading()
        self.peer.send(b"not TLS at all")
        return transport

    async def datagrams(self, **options):
        options = options or {"local_addr": (LOOPBACK, 0)}
        transport, _ = await self.loop.create_datagram_endpoint(asyncio.DatagramProtocol, **options)
        self.stack.callback(transport.abort)
        return transport

    async def pipe_transport(self, end):
        connect = (self.loop.connect_read_pipe, self.loop.connect_write_pipe)[end]
        transport, _ = await connect(asyncio.BaseProtocol, self.pipe(end))
        self.stack.callback(transport.close)
        return transport

    async def process(self):
        transport, _ = await self.loop.subprocess_exec(
            asyncio.SubprocessProtocol, "/bin/cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.at_end.append(transport)
        return transport

    async def server(self):
        server = await self.loop.create_server(asyncio.Protocol, LOOPBACK, 0)
        self.stack.callback(server.close)
        return server

    def handle(self):
        return self.loop.call_soon(nothing)

    def timer(self):
        return self.loop.call_later(0, nothing)

    def future(self):
        return self.loop.create_future()

    def task(self):
        self.tasks.append(self.loop.create_task(asyncio.sleep(3600)))
        return self.tasks[-1]

    def end_of(self, result):
        """End what a call has returned."""
        if isinstance(result, tuple):
            for part in result:
                self.end_of(part)
        elif isinstance(result, asyncio.SubprocessTransport):
            self.at_end.append(result)
        elif isinstance(result, (asyncio.Transport, asyncio.DatagramTransport)):
            result.abort()
        elif isinstance(result, (asyncio.ReadTransport, asyncio.AbstractServer, socket.socket)):
            result.close()

    async def finish(self):
        self.stack.close()
        for task in self.tasks:
            task.cancel()
        for transport in self.at_end:
            stdin = transport.get_pipe_transport(0)
            if stdin is not None:
                stdin.close()  # what reads from it ends; the others do so by themselves
            await transport._wait()
            transport.close()
        for _ in range(4):
            self.loop.call_later(0, int)
            await asyncio.sleep(0)

    def close(self):
        loop = self.loop
        try:
            if not loop.is_closed():
                loop.set_task_factory(None)
                loop.call_soon(loop.stop)  # which stop() may have done
                loop.run_forever()
                loop.run_until_complete(self.finish())
                loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            self.stack.close()
            loop.close()


class Subject:
    """A method, arguments that are right, and what to try in the place of each of them.

    `like` is asyncio's class of the object, which decides what is given by position and what by
    name; TARGETS has how the object is made. `right` is {name: value or From};
    a name that begins with "*" is a further positional argument. `wrong` is {name: {id: value}},
    a name that `right` does not have being a further keyword. `inside`: called while the loop
    runs, as all but the methods that run it. `awaited`: what it returns is, if it can be.
    """

    def __init__(self, like, name, right=None, wrong=None, *, inside=True, awaited=True):
        self.like = like
        self.name = name
        self.right = right or {}
        self.wrong = wrong or {}
        self.inside = inside
        self.awaited = awaited

    @property
    def target(self):
        return TARGETS[self.like]

    def method_of_asyncio(self):
        return getattr(self.like, self.name)

    def __repr__(self):
        return f"{self.like.__name__.lstrip('_')}.{self.name}"

    def tries(self):
        """{id: {id: ({name: value}, keywords only)}}: the calls to make, argument by argument."""
        right = self.right
        found = {"right": {"as they are": (right, False), "by name": (right, True)}}
        for name, values in self.wrong.items():
            found[name] = {i: ({**right, name: value}, False) for i, value in values.items()}
        for name in right:
            found.setdefault(name, {})["missing"] = ({**right, name: MISSING}, False)
        found["others"] = {
            "unknown keyword": ({**right, "unknown": 1}, False),
            "one too many": ({**right, "*more": 1}, False),
            "none at all": (dict.fromkeys(right, MISSING), False),
        }
        if repr(self) in TAKE_ANY_KEYWORD:
            del found["others"]["unknown keyword"]
        return found


# What asyncio's C does not look at the keywords of.
TAKE_ANY_KEYWORD = {"Future.exception", "Future.get_loop"} if sys.version_info < (3, 13) else ()


TARGETS = {
    asyncio.SelectorEventLoop: lambda scene: scene.loop,
    asyncio.Server: Scene.server,
    asyncio.Handle: Scene.handle,
    asyncio.TimerHandle: Scene.timer,
    asyncio.Future: Scene.future,
    asyncio.Task: Scene.task,
    selector_events._SelectorSocketTransport: Scene.stream,
    selector_events._SelectorDatagramTransport: Scene.datagrams,
    unix_events._UnixReadPipeTransport: lambda scene: scene.pipe_transport(0),
    unix_events._UnixWritePipeTransport: lambda scene: scene.pipe_transport(1),
    unix_events._UnixSubprocessTransport: Scene.process,
}


async def _make(scene, value):
    if isinstance(value, From):
        value = value.make(scene)
        if inspect.iscoroutine(value) and value.cr_code is not coroutine_function.__code__:
            value = await value
    return value


async def _arguments(scene, subject, given, by_name):
    """Split *given* in positional and keyword arguments, as asyncio's signature has them."""
    try:
        parameters = inspect.signature(subject.method_of_asyncio()).parameters
        kinds = {name: parameter.kind for name, parameter in parameters.items()}
    except ValueError:  # Future.add_done_callback() of some versions
        kinds = {"fn": inspect.Parameter.POSITIONAL_ONLY}
    positional, keywords = [], {}
    in_order = not by_name
    for name, value in given.items():
        if value is MISSING:
            in_order = False  # what follows can only be given by name
            continue
        value = await _make(scene, value)
        kind = kinds.get(name)
        either = in_order and kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        if either or name.startswith("*") or kind is inspect.Parameter.POSITIONAL_ONLY:
            positional.append(value)
        else:
            keywords[name] = value
    return positional, keywords


def _normal(text):
    """*text* without what differs from object to object and from loop to loop."""
    text = re.sub(r"0x[0-9a-f]+", "0x", text)
    text = re.sub(r"\bf?d=\d+|laddr=[^)]*\)|raddr=[^)]*\)|port \d+|, \d+\)", "N", text)
    names = r"_UnixSelectorEventLoop|Loop|(_Selector)?(Socket|Datagram)Transport"
    names += r"|(_Unix)?(Read|Write)PipeTransport"
    return re.sub(rf"<({names})\b.*", "<X", text)


def _is_explicit(error):
    """True if a `raise` statement of asyncio's own code has raised *error*."""
    tb = error.__traceback__
    while tb.tb_next is not None:
        tb = tb.tb_next
    path = tb.tb_frame.f_code.co_filename
    line = linecache.getline(path, tb.tb_lineno).strip()
    return path.startswith(ASYNCIO) and line.startswith("raise ")


def _shown(result):
    """What can be compared of a result: the value if it is a plain one, or the type."""
    if result is None or isinstance(result, (bool, bytes)):
        return repr(result)
    kind = type(result)
    return kind.__name__ if kind.__module__ == "builtins" else "an object"


async def _prepare(scene, subject, given, by_name):
    target = await _make(scene, From(subject.target))
    arguments = await _arguments(scene, subject, given, by_name)
    return getattr(target, subject.name), *arguments


class Seen:
    """What one call did: `key` to compare, `explicit` whether the text is asyncio's own."""

    def __init__(self):
        self.stage = "call"
        self.result = None
        self.error = None
        self.text = None
        self.explicit = False
        self.reported = []

    def take(self, error):
        """Keep what is of interest of *error*, but not the error: its frames hold sockets."""
        self.error = type(error).__name__
        self.text = _normal(str(error))
        self.explicit = _is_explicit(error)

    def key(self, with_text):
        return self.stage, self.error, self.text if with_text else None, self.result, self.reported


def outcome(factory, subject, given, by_name, debug):
    """Make one call on a new loop of *factory*; return what was Seen."""
    seen = Seen()
    scene = Scene(factory, debug)
    loop = scene.loop

    def call(method, positional, keywords):
        try:
            return method(*positional, **keywords)
        except Exception as error:
            seen.take(error)

    async def inside():
        prepared = await _prepare(scene, subject, given, by_name)
        result = call(*prepared)
        if inspect.isawaitable(result) and subject.awaited:
            seen.stage = "await"
            try:
                result = await asyncio.wait_for(result, PATIENCE)
            except Exception as error:
                seen.take(error)
                result = None
        scene.end_of(result)
        seen.result = _shown(result)
        for _ in range(4):
            loop.call_later(0, int)
            await asyncio.sleep(0)

    try:
        if subject.inside:
            loop.run_until_complete(inside())
        else:
            prepared = loop.run_until_complete(_prepare(scene, subject, given, by_name))
            seen.result = _shown(call(*prepared))
    finally:
        scene.close()
    # How often a callback that fails is called again is a matter of turns.
    seen.reported = sorted(
        {
            type(context.get("exception")).__name__ if isinstance(context, dict) else repr(context)
            for context in scene.reported
        }
    )
    return seen
