"""Every public method with wrong arguments: both loops raise, or accept, the same.

SUBJECTS has each method of the loop and of what a loop makes, with arguments that are right and
with wrong ones for each of them. Each call is made on a stock loop and on pyaio's; compared are
the exception's type, its text where it is asyncio's own, the result, and what is reported.
"""

import asyncio
import io
import signal
import socket
import ssl
from asyncio import selector_events, unix_events
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest
from arguments import LOOPBACK, From, Scene, Subject, coroutine_function, nothing, outcome

LOOP = asyncio.SelectorEventLoop
STREAM = selector_events._SelectorSocketTransport
DATAGRAMS = selector_events._SelectorDatagramTransport
READ_PIPE = unix_events._UnixReadPipeTransport
WRITE_PIPE = unix_events._UnixWritePipeTransport
PROCESS = unix_events._UnixSubprocessTransport

# What is tried in the place of arguments

OBJECTS = {
    "None": None,
    "an object": object(),
    "text": "text",
    "bytes": b"bytes",
    "a list": [],
    "a dict": {},
    "a function": nothing,
}
NUMBERS = {
    "0": 0,
    "-1": -1,
    "1.5": 1.5,
    "2**70": 2**70,
    "-2**70": -(2**70),
    "nan": float("nan"),
    "inf": float("inf"),
    "True": True,
}
ANY = OBJECTS | NUMBERS
UNHASHABLE = {"a list": [], "a set": set()}


def without(values, *names):
    return {name: value for name, value in values.items() if name not in names}


CALLBACKS = without(ANY, "a function") | {"a coroutine function": coroutine_function}
#: Without NaN, which only pyaio refuses: test_bad_input.py has it.
DELAYS = without(ANY, "nan") | {"10**400": 10**400, "1e300": 1e300}
#: asyncio's call_at() takes anything, and the loop breaks when it compares the times.
TIMES = without(NUMBERS, "nan") | {"None": None}
CONTEXTS = without(ANY, "None") | {"None": None}
FDS = without(ANY, "0", "True") | {
    "a number not open": 10**6,
    "2**31": 2**31,
    "a closed socket": From(Scene.closed),
    "a file": From(Scene.file),
}
SOCKETS = without(ANY, "0", "True", "None") | {
    "None": None,
    "a closed socket": From(Scene.closed),
    "a number": From(lambda scene: scene.tcp().fileno()),
}
BUFFERS = without(ANY) | {
    "an empty one": b"",
    "a strided view": memoryview(b"abcdef")[::2],
    "a view of numbers": memoryview(b"abcdefgh").cast("I"),
    "a released view": From(lambda scene: released()),
}
ADDRESSES = {
    "None": None,
    "text": "text",
    "1": 1,
    "()": (),
    "no port": (LOOPBACK,),
    "four": (LOOPBACK, 1, 2, 3),
    "port 70000": (LOOPBACK, 70000),
    "port -1": (LOOPBACK, -1),
    "port 2**70": (LOOPBACK, 2**70),
    "port 1.5": (LOOPBACK, 1.5),
    "port None": (LOOPBACK, None),
    "port as text": (LOOPBACK, "1"),
    "host 1": (1, 1),
    "host None": (None, 1),
    "host with NUL": (LOOPBACK + "\0", 1),
    "a list": [LOOPBACK, 1],
}
HOSTS = {
    "1": 1,
    "1.5": 1.5,
    "an object": object(),
    "a list of numbers": [1],
    "a tuple": (LOOPBACK,),
    "with NUL": LOOPBACK + "\0",
    "bytes": b"127.0.0.1",
    "a bytearray": bytearray(b"127.0.0.1"),
    "a long label": "a" * 300,
    "surrogates": "\udcff",
}
PORTS = {
    "-1": -1,
    "70000": 70000,
    "2**70": 2**70,
    "1.5": 1.5,
    "nan": float("nan"),
    "text": "no-such-service",
    "digits and more": "80x",
    "with NUL": "80\0",
    "an object": object(),
    "a list": [80],
    "an empty one": "",
}
SMALL = {"None": None, "text": "1", "1.5": 1.5, "2**70": 2**70, "-1": -1, "an object": object()}
FACTORIES = without(ANY, "a function") | {
    "one that raises": From(lambda scene: raising),
    "one that takes arguments": lambda argument: asyncio.Protocol(),
    "one of None": lambda: None,
    "a coroutine function": coroutine_function,
}
SSL = {
    "text": "text",
    "1": 1,
    "an object": object(),
    "a server's context": From(lambda scene: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)),
}
TIMEOUTS = without(NUMBERS, "True", "1.5", "2**70", "inf", "nan") | {"text": "1"}
PATHS = {
    "1": 1,
    "1.5": 1.5,
    "an object": object(),
    "with NUL": "a\0b",
    "too long": "a" * 200,
    "bytes": b"missing/bytes",
    "missing": "missing/path",
    "surrogates": "missing/\udcff",
}


class Mine(Exception):
    pass


def raising(*args):
    raise Mine("mine")


def released():
    view = memoryview(b"abc")
    view.release()
    return view


async def other_future(scene):
    """A future of another loop."""
    loop = asyncio.SelectorEventLoop()
    try:
        return loop.create_future()
    finally:
        loop.close()


def a(name):
    """A value made by the Scene's method *name*."""
    return From(lambda scene: getattr(scene, name)())


SERVER_TLS = {
    "ssl": SSL,
    "ssl_handshake_timeout": TIMEOUTS,
    "ssl_shutdown_timeout": TIMEOUTS,
}
CLIENT_TLS = SERVER_TLS | {"server_hostname": {"text": "localhost", "1": 1, "empty": ""}}


def running(name, right=None, wrong=None):
    return Subject(LOOP, name, right, wrong)


def still(name, right=None, wrong=None):
    return Subject(LOOP, name, right, wrong, inside=False)


def of(like, **methods):
    return [Subject(like, name, *about, awaited=False) for name, about in methods.items()]


LOOP_SUBJECTS = [
    # The loop's life
    running("time"),
    running("is_running"),
    running("is_closed"),
    running("get_debug"),
    running("run_forever"),
    running("run_until_complete", {"future": 1}),
    still("time"),
    still("is_running"),
    still("is_closed"),
    still("stop"),
    still("close"),
    still(
        "run_until_complete",
        {"future": From(Scene.coroutine)},
        {
            "future": ANY
            | {
                "a coroutine function": coroutine_function,
                "another loop's future": From(other_future),
            },
        },
    ),
    running("close"),
    running("set_debug", {"enabled": False}, {"enabled": ANY}),
    running("shutdown_asyncgens"),
    running(
        "shutdown_default_executor",
        {},
        {"timeout": {"None": None, "text": "text", "-1": -1, "nan": float("nan")}},
    ),
    # Scheduling
    running(
        "call_soon",
        {"callback": nothing, "context": None},
        {"callback": CALLBACKS, "context": CONTEXTS},
    ),
    running(
        "call_soon_threadsafe",
        {"callback": nothing, "context": None},
        {"callback": CALLBACKS, "context": CONTEXTS},
    ),
    running(
        "call_later",
        {"delay": 0, "callback": nothing, "context": None},
        {"delay": DELAYS, "callback": CALLBACKS, "context": CONTEXTS},
    ),
    running(
        "call_at",
        {"when": 0, "callback": nothing, "context": None},
        {"when": TIMES, "callback": CALLBACKS, "context": CONTEXTS},
    ),
    Subject(LOOP, "create_future", awaited=False),
    Subject(
        LOOP,
        "create_task",
        {"coro": From(Scene.coroutine), "name": "name", "context": None},
        {
            "coro": ANY | {"a function of one": coroutine_function, "a future": a("future")},
            "name": ANY,
            "context": CONTEXTS,
            "eager_start": ANY,
        },
        awaited=False,
    ),
    still("set_task_factory", {"factory": None}, {"factory": ANY}),
    running("get_task_factory"),
    running(
        "run_in_executor",
        {"executor": None, "func": nothing, "*0": 1},
        {
            "executor": without(ANY, "None"),
            "func": CALLBACKS | {"one that raises": raising},
        },
    ),
    running(
        "set_default_executor",
        {"executor": From(lambda scene: ThreadPoolExecutor(1))},
        {
            "executor": ANY | {"an abstract one": Executor(), "the class": ThreadPoolExecutor},
        },
    ),
    # Errors
    running("set_exception_handler", {"handler": None}, {"handler": ANY}),
    running("get_exception_handler"),
    running(
        "call_exception_handler",
        {"context": {"message": "text"}},
        {"context": without(ANY, "a dict")},
    ),
    # Signals
    running(
        "add_signal_handler",
        {"sig": signal.SIGUSR1, "callback": nothing},
        {
            "sig": ANY | {"KILL": signal.SIGKILL, "999": 999},
            "callback": CALLBACKS,
        },
    ),
    running(
        "remove_signal_handler",
        {"sig": signal.SIGUSR1},
        {
            "sig": ANY | {"KILL": signal.SIGKILL, "999": 999},
        },
    ),
    # Descriptors
    running(
        "add_reader", {"fd": a("tcp"), "callback": nothing}, {"fd": FDS, "callback": CALLBACKS}
    ),
    running(
        "add_writer", {"fd": a("tcp"), "callback": nothing}, {"fd": FDS, "callback": CALLBACKS}
    ),
    running("remove_reader", {"fd": a("tcp")}, {"fd": FDS}),
    running("remove_writer", {"fd": a("tcp")}, {"fd": FDS}),
    # Sockets
    running(
        "sock_recv",
        {"sock": a("tcp"), "n": 4},
        {
            "sock": SOCKETS
            | {"a listener": a("listener"), "not connected": From(lambda s: s.tcp(False))},
            "n": ANY,
        },
    ),
    running(
        "sock_recv_into",
        {"sock": a("tcp"), "buf": From(lambda scene: bytearray(4))},
        {
            "sock": SOCKETS | {"a listener": a("listener")},
            "buf": BUFFERS,
        },
    ),
    running(
        "sock_recvfrom",
        {"sock": a("udp"), "bufsize": 4},
        {
            "sock": SOCKETS | {"a listener": a("listener")},
            "bufsize": ANY,
        },
    ),
    running(
        "sock_recvfrom_into",
        {"sock": a("udp"), "buf": From(lambda scene: bytearray(4)), "nbytes": 0},
        {
            "sock": SOCKETS | {"a listener": a("listener")},
            "buf": BUFFERS,
            "nbytes": ANY,
        },
    ),
    running(
        "sock_sendto",
        {"sock": a("udp"), "data": b"data", "address": From(lambda s: s.udp().getsockname())},
        {
            "sock": SOCKETS,
            "data": BUFFERS,
            "address": ADDRESSES,
        },
    ),
    running(
        "sock_sendall",
        {"sock": a("tcp"), "data": b"data"},
        {
            "sock": SOCKETS | {"a listener": a("listener")},
            "data": without(
                BUFFERS, "a view of numbers"
            ),  # asyncio counts the items, not the bytes
        },
    ),
    running(
        "sock_accept",
        {"sock": From(lambda scene: scene.listener(1))},
        {
            "sock": SOCKETS | {"a connection": a("tcp"), "for datagrams": a("udp")},
        },
    ),
    running(
        "sock_connect",
        {"sock": From(lambda s: s.tcp(False)), "address": a("address")},
        {
            "sock": SOCKETS,
            "address": ADDRESSES,
        },
    ),
    running(
        "sock_sendfile",
        {"sock": a("tcp"), "file": a("file"), "offset": 0, "count": 10, "fallback": True},
        {
            "sock": SOCKETS | {"for datagrams": a("udp")},
            "file": ANY | {"text": From(lambda s: s.file("r"))},
            "offset": ANY,
            "count": ANY,
            "fallback": ANY,
        },
    ),
    # Names
    running(
        "getaddrinfo",
        {"host": LOOPBACK, "port": 80, "family": 0, "type": 0, "proto": 0, "flags": 0},
        {
            "host": HOSTS,
            "port": PORTS,
            "family": SMALL,
            "type": SMALL,
            "proto": SMALL,
            "flags": SMALL,
        },
    ),
    running(
        "getnameinfo",
        {"sockaddr": (LOOPBACK, 80), "flags": socket.NI_NUMERICHOST | socket.NI_NUMERICSERV},
        {
            "sockaddr": ADDRESSES | {"a name": ("a" * 300, 80)},
            "flags": without(SMALL, "-1"),
        },
    ),
    # Connections
    running(
        "create_connection",
        {
            "protocol_factory": asyncio.Protocol,
            "host": LOOPBACK,
            "port": From(lambda s: s.address()[1]),
        },
        {
            "protocol_factory": FACTORIES,
            "host": HOSTS | {"None": None},
            "port": PORTS | {"None": None},
            "family": without(SMALL, "None"),
            "proto": SMALL,
            "flags": SMALL,
            "sock": SOCKETS | {"a connection": a("tcp")},
            "local_addr": ADDRESSES,
            "happy_eyeballs_delay": {"-1": -1, "0": 0},
            "interleave": {"text": "1", "1.5": 1.5, "-1": -1, "an object": object()},
            "all_errors": ANY,
            **CLIENT_TLS,
        },
    ),
    running(
        "create_connection",
        {"protocol_factory": asyncio.Protocol, "sock": a("tcp")},
        {
            "protocol_factory": FACTORIES,
            "sock": SOCKETS
            | {"for datagrams": a("udp"), "a Unix one": a("unix"), "a listener": a("listener")},
            "host": {"a host": LOOPBACK},
            "port": {"a port": 80},
            "family": {"IPv4": socket.AF_INET},
            "local_addr": {"an address": (LOOPBACK, 0)},
            "happy_eyeballs_delay": {"1": 1},
            "interleave": {"1": 1},
            **CLIENT_TLS,
        },
    ),
    running(
        "create_unix_connection",
        {"protocol_factory": asyncio.Protocol, "sock": a("unix")},
        {
            "protocol_factory": FACTORIES,
            "path": PATHS,
            "sock": SOCKETS | {"for datagrams": a("udp"), "a TCP one": a("tcp")},
            **CLIENT_TLS,
        },
    ),
    running(
        "create_unix_connection",
        {"protocol_factory": asyncio.Protocol, "path": "missing/path"},
        {
            "path": PATHS | {"None": None, "empty": ""},
            **CLIENT_TLS,
        },
    ),
    running(
        "connect_accepted_socket",
        {"protocol_factory": asyncio.Protocol, "sock": a("talker")},
        {
            "protocol_factory": FACTORIES,
            "sock": SOCKETS | {"for datagrams": a("udp"), "a Unix one": a("unix")},
            **SERVER_TLS,
        },
    ),
    running(
        "start_tls",
        {
            "transport": a("talking_stream"),
            "protocol": From(lambda scene: asyncio.Protocol()),
            "sslcontext": From(lambda scene: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)),
            "server_side": True,
        },
        {
            "transport": ANY
            | {"a pipe": From(lambda s: s.pipe_transport(1)), "datagrams": a("datagrams")},
            "sslcontext": ANY,
            "ssl_handshake_timeout": TIMEOUTS,
            "ssl_shutdown_timeout": TIMEOUTS,
        },
    ),
    running(
        "sendfile",
        {"transport": a("stream"), "file": a("file"), "offset": 0, "count": 10, "fallback": True},
        {
            "transport": ANY
            | {"a pipe": From(lambda s: s.pipe_transport(1)), "datagrams": a("datagrams")},
            "file": ANY | {"text": From(lambda s: s.file("r"))},
            "offset": ANY,
            "count": ANY,
            "fallback": ANY,
        },
    ),
    # Servers
    running(
        "create_server",
        {"protocol_factory": asyncio.Protocol, "host": LOOPBACK, "port": 0},
        {
            "protocol_factory": FACTORIES,
            "host": HOSTS,
            "port": PORTS,
            "family": without(SMALL, "None"),
            "flags": SMALL,
            "sock": SOCKETS | {"a listener": a("listener")},
            "backlog": ANY,
            "reuse_address": ANY,
            "reuse_port": ANY,
            "keep_alive": ANY,
            "start_serving": ANY,
            **SERVER_TLS,
        },
    ),
    running(
        "create_server",
        {"protocol_factory": asyncio.Protocol, "sock": a("listener")},
        {
            "sock": SOCKETS
            | {"for datagrams": a("udp"), "a Unix one": a("unix"), "a connection": a("tcp")},
            "host": {"a host": LOOPBACK, "empty": ""},
            "port": {"a port": 80, "0": 0},
            "backlog": ANY,
            **SERVER_TLS,
        },
    ),
    running(
        "create_unix_server",
        {"protocol_factory": asyncio.Protocol, "path": "server"},
        {
            "path": PATHS | {"None": None, "a directory": "/"},
            "sock": SOCKETS
            | {"for datagrams": a("udp"), "a Unix one": a("unix"), "a TCP one": a("listener")},
            "backlog": ANY,
            "start_serving": ANY,
            "cleanup_socket": ANY,
            **SERVER_TLS,
        },
    ),
    # Datagrams
    running(
        "create_datagram_endpoint",
        {
            "protocol_factory": asyncio.DatagramProtocol,
            "local_addr": (LOOPBACK, 0),
        },
        {
            "protocol_factory": FACTORIES,
            "local_addr": ADDRESSES,
            "remote_addr": without(ADDRESSES, "host None"),
            "family": without(SMALL, "None") | {"Unix": socket.AF_UNIX, "IPv6": socket.AF_INET6},
            "proto": SMALL,
            "flags": SMALL,
            "reuse_port": ANY,
            "reuse_address": ANY,
            "allow_broadcast": ANY,
            "sock": SOCKETS | {"for datagrams": a("udp")},
        },
    ),
    running(
        "create_datagram_endpoint",
        {"protocol_factory": asyncio.DatagramProtocol, "sock": a("udp")},
        {
            "sock": SOCKETS | {"a TCP one": a("tcp")},
            "local_addr": {"an address": (LOOPBACK, 0)},
            "remote_addr": {"an address": (LOOPBACK, 1)},
            "family": {"IPv4": socket.AF_INET},
            "proto": {"1": 1},
            "flags": {"1": 1},
            "reuse_port": {"True": True},
            "allow_broadcast": {"True": True},
        },
    ),
    # Pipes and processes
    running(
        "connect_read_pipe",
        {"protocol_factory": asyncio.Protocol, "pipe": From(lambda s: s.pipe(0))},
        {
            "protocol_factory": FACTORIES,
            "pipe": ANY | {"a file": a("file"), "a socket": a("tcp")},
        },
    ),
    running(
        "connect_write_pipe",
        {"protocol_factory": asyncio.BaseProtocol, "pipe": From(lambda s: s.pipe(1))},
        {
            "protocol_factory": FACTORIES,
            "pipe": ANY | {"a file": a("file")},
        },
    ),
]

#: Without a protocol the set-up of a process never ends.
PROCESS_FACTORIES = without(FACTORIES, "one of None", "a coroutine function")
PROCESS_KEYWORDS = {
    "stdin": without(ANY, "0", "True", "2**70", "-2**70"),
    "universal_newlines": {"True": True, "1": 1, "None": None},
    "shell": {"True": True, "False": False, "None": None, "0": 0},
    "bufsize": {"1": 1, "-1": -1, "None": None, "0": 0},
    "encoding": {"text": "utf-8", "1": 1},
    "errors": {"text": "strict", "1": 1},
    "text": {"True": True, "False": False, "0": 0},
    "cwd": PATHS | {"a list": []},
    "env": without(ANY, "a dict", "None")
    | {
        "numbers": {"A": 1},
        "an equals sign": {"A=B": "1"},
        "with NUL": {"A": "\0"},
        "a list": [("A", "B")],
    },
    "pass_fds": {"a number": 1, "not open": (10**6,), "negative": (-1,), "text": ("1",)},
    "preexec_fn": {"one that raises": raising},
    "user": {"text": "no such user", "1.5": 1.5, "-5": -5},
    "umask": {"text": "1", "1.5": 1.5},
    "executable": PATHS,
    "process_group": {"text": "1", "1.5": 1.5},
    "creationflags": {"1": 1},
}
LOOP_SUBJECTS += [
    running(
        "subprocess_exec",
        {"protocol_factory": asyncio.SubprocessProtocol, "*program": "/bin/true"},
        {
            "protocol_factory": PROCESS_FACTORIES,
            "*program": without(ANY, "bytes", "text")
            | {
                "with NUL": "/bin/\0",
                "missing": "/missing/program",
                "a directory": "/",
                "empty": "",
            },
            "*argument": without(ANY, "bytes", "text") | {"with NUL": "a\0"},
            **PROCESS_KEYWORDS,
        },
    ),
    running(
        "subprocess_shell",
        {"protocol_factory": asyncio.SubprocessProtocol, "cmd": "true"},
        {
            "protocol_factory": PROCESS_FACTORIES,
            "cmd": ANY | {"with NUL": "true\0"},
            **PROCESS_KEYWORDS,
        },
    ),
]

NO_ARGUMENTS = ()
LIMITS = (
    {"high": 10, "low": 5},
    {
        "high": ANY,
        "low": ANY | {"above": 11},
    },
)
INFO = ({"name": "socket", "default": None}, {"name": ANY, "default": ANY})
PROTOCOL = ({"protocol": From(lambda scene: asyncio.Protocol())}, {"protocol": ANY})
READING = dict.fromkeys(["pause_reading", "resume_reading", "is_reading"], NO_ARGUMENTS)
BASE = {
    "get_extra_info": INFO,
    "is_closing": NO_ARGUMENTS,
    "close": NO_ARGUMENTS,
    "set_protocol": PROTOCOL,
    "get_protocol": NO_ARGUMENTS,
}
WRITING = {
    "write": ({"data": b"data"}, {"data": BUFFERS}),
    "writelines": (
        {"list_of_data": [b"a", b"b"]},
        {
            # Newer versions of asyncio drop anything that is false, empty chunk or not.
            "list_of_data": without(ANY, "None", "0")
            | {
                "numbers": [1],
                "text in it": [b"a", "b"],
                "empty": [b""],
                "a generator that raises": From(lambda scene: (raising() for _ in "a")),
            },
        },
    ),
    "write_eof": NO_ARGUMENTS,
    "can_write_eof": NO_ARGUMENTS,
    "abort": NO_ARGUMENTS,
    "get_write_buffer_size": NO_ARGUMENTS,
    "get_write_buffer_limits": NO_ARGUMENTS,
    "set_write_buffer_limits": LIMITS,
}
#: asyncio's pipes take the items of a view for its bytes, and stumble when these have gone out.
WRITING_PIPES = {"write": ({"data": b"data"}, {"data": without(BUFFERS, "a view of numbers")})}
HANDLE = {"cancel": NO_ARGUMENTS, "cancelled": NO_ARGUMENTS}
if hasattr(asyncio.Handle, "get_context"):
    HANDLE["get_context"] = NO_ARGUMENTS

OTHER_SUBJECTS = [
    *of(STREAM, **BASE, **READING, **WRITING),
    *of(READ_PIPE, **BASE, **READING),
    *of(WRITE_PIPE, **BASE, **WRITING | WRITING_PIPES),
    *of(
        DATAGRAMS,
        **BASE,
        sendto=(
            {"data": b"data", "addr": From(lambda s: s.udp().getsockname())},
            {
                "data": BUFFERS,
                "addr": ADDRESSES,
            },
        ),
        abort=NO_ARGUMENTS,
        get_write_buffer_size=NO_ARGUMENTS,
        get_write_buffer_limits=NO_ARGUMENTS,
        set_write_buffer_limits=LIMITS,
    ),
    *of(
        PROCESS,
        **BASE
        | {
            "set_protocol": ({"protocol": From(lambda scene: asyncio.SubprocessProtocol())}, {}),
            "get_pid": NO_ARGUMENTS,
            "get_returncode": NO_ARGUMENTS,
            "get_pipe_transport": ({"fd": 0}, {"fd": ANY | {"7": 7}}),
            "send_signal": ({"signal": 0}, {"signal": without(ANY, "True") | {"999": 999}}),
            "terminate": NO_ARGUMENTS,
            "kill": NO_ARGUMENTS,
        },
    ),
    *of(asyncio.Handle, **HANDLE),
    *of(asyncio.TimerHandle, **HANDLE, when=NO_ARGUMENTS),
    *of(
        asyncio.Server,
        get_loop=NO_ARGUMENTS,
        is_serving=NO_ARGUMENTS,
        close=NO_ARGUMENTS,
        **{
            name: NO_ARGUMENTS
            for name in ("close_clients", "abort_clients")  # new in 3.13
            if hasattr(asyncio.Server, name)
        },
    ),
    Subject(asyncio.Server, "start_serving"),
    *of(
        asyncio.Future,
        result=NO_ARGUMENTS,
        exception=NO_ARGUMENTS,
        done=NO_ARGUMENTS,
        cancelled=NO_ARGUMENTS,
        get_loop=NO_ARGUMENTS,
        cancel=({"msg": None}, {"msg": ANY}),
        set_result=({"result": 1}, {"result": ANY}),
        set_exception=(
            {"exception": Mine()},
            {
                "exception": ANY
                | {
                    "a class": Mine,
                    "StopIteration": StopIteration,
                    "another class": int,
                    "StopIteration()": StopIteration(1),
                }
            },
        ),
        add_done_callback=(
            {"fn": nothing, "context": None},
            {"fn": ANY, "context": CONTEXTS},
        ),
        remove_done_callback=({"fn": nothing}, {"fn": ANY}),
    ),
    *of(
        asyncio.Task,
        get_name=NO_ARGUMENTS,
        set_name=({"value": "name"}, {"value": ANY}),
        get_coro=NO_ARGUMENTS,
        get_stack=({"limit": None}, {"limit": without(SMALL, "2**70")}),
        print_stack=({"limit": 0, "file": From(lambda scene: io.StringIO())}, {}),
        cancel=({"msg": None}, {"msg": ANY}),
        cancelling=NO_ARGUMENTS,
        uncancel=NO_ARGUMENTS,
        set_result=({"result": 1}, {}),
        set_exception=({"exception": Mine()}, {}),
    ),
]
SUBJECTS = LOOP_SUBJECTS + OTHER_SUBJECTS


#: serve_forever() and wait_closed() wait for ever; call_exception_handler() calls the other.
NOT_CALLED = {"serve_forever", "wait_closed", "default_exception_handler"}
PUBLIC = {
    LOOP: asyncio.AbstractEventLoop,
    STREAM: asyncio.Transport,
    DATAGRAMS: asyncio.DatagramTransport,
    READ_PIPE: asyncio.ReadTransport,
    WRITE_PIPE: asyncio.WriteTransport,
    PROCESS: asyncio.SubprocessTransport,
    asyncio.Server: asyncio.Server,
    asyncio.Handle: asyncio.Handle,
    asyncio.TimerHandle: asyncio.TimerHandle,
    asyncio.Future: asyncio.Future,
}


@pytest.mark.parametrize("like", PUBLIC)
def test_no_method_of_asyncio_is_left_out(like):
    called = {subject.name for subject in SUBJECTS if subject.like is like} | NOT_CALLED
    public = PUBLIC[like]
    there = {name for name in dir(public) if name[0] != "_" and callable(getattr(public, name))}
    assert there - called == set()


def pytest_generate_tests(metafunc):
    if "attempts" in metafunc.fixturenames:
        found = [
            pytest.param(subject, attempts, id=f"{subject}-{name}{number}")
            for number, subject in enumerate(SUBJECTS)
            for name, attempts in subject.tries().items()
        ]
        metafunc.parametrize("subject, attempts", found)


@pytest.mark.filterwarnings("ignore:coroutine 'coroutine_function' was never awaited")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # factories that raise
# asyncio's transports of pipes mind being finalised when their __init__() has raised.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored.*PipeTransport.__del__:pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
def test_both_loops_say_the_same(
    loop_factories, reports, monkeypatch, tmp_path, subject, attempts, debug
):
    monkeypatch.chdir(tmp_path)
    differences = {}
    for name, (given, by_name) in attempts.items():
        expected = outcome(loop_factories["asyncio"], subject, given, by_name, debug)
        logged = reports.take()
        got = outcome(loop_factories["pyaio"], subject, given, by_name, debug)
        with_text = expected.explicit
        keys = [seen.key(with_text) for seen in (expected, got)]
        also = reports.take()
        if keys[0] != keys[1] or len(logged) != len(also):
            differences[name] = [*keys, logged, also]
    assert differences == {}
