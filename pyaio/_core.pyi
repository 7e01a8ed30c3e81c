import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from types import CodeType
from typing import Any, TypeVar, TypeVarTuple, final

from typing_extensions import disjoint_base

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_F = TypeVar("_F", bound=Callable[..., Coroutine[Any, Any, Any]])

__version__: str
backend: str

def libuv_version() -> str: ...
def _after_fork() -> None: ...
def _use_layout(layout: dict[str, object], /) -> bool: ...
def _sock_method(function: _F, /) -> _F: ...
def _use_openssl(path: str, ssl_object: type, socket: object, again: object, /) -> bool: ...
def _spawn(
    program: bytes,
    args: list[bytes],
    env: dict[str, str] | dict[bytes, bytes] | None,
    path: bytes,
    cwd: bytes | None,
    fds: tuple[int, int, int],
    close_fds: bool,
    restore_signals: bool,
    start_new_session: bool,
    process_group: int,
    /,
) -> int | None: ...
def is_address_literal(host: object, /) -> bool: ...

@disjoint_base
class Loop:
    _closed: bool
    _stopping: bool
    _debug: bool
    _thread_id: int | None
    _current_handle: asyncio.Handle | None
    _task_factory: Any
    _timer_cancelled_count: int
    def call_soon(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle: ...
    def call_soon_threadsafe(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle: ...
    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle: ...
    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle: ...
    def time(self) -> float: ...
    def create_future(self) -> Future[Any]: ...
    if sys.version_info >= (3, 14):
        def create_task(self, coro: Any, **kwargs: Any) -> Task[Any]: ...
    else:
        def create_task(
            self, coro: Any, *, name: object = None, context: Context | None = None
        ) -> Task[Any]: ...
    def stop(self) -> None: ...
    def is_running(self) -> bool: ...
    def is_closed(self) -> bool: ...
    def get_debug(self) -> bool: ...
    def _add_callback(self, handle: asyncio.Handle, /) -> None: ...
    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle, /) -> None: ...
    def _run(self) -> None: ...
    def _take_thread(self) -> None: ...
    def _is_away(self) -> bool: ...
    def _release(self) -> None: ...
    def _run_once(self) -> None: ...
    def _send_gathered(self) -> None: ...
    def _select(self, timeout: float | None, /) -> list[tuple[int, int]]: ...
    def _process_events(self, events: Any, /) -> None: ...
    def _run_fired(self) -> None: ...
    def _poll_natively(self, natively: bool, /) -> None: ...
    def _watched_fds(self) -> list[int]: ...
    def _ready_list(self) -> list[Any]: ...
    def _ready_count(self) -> int: ...
    def _ready_pop(self) -> asyncio.Handle: ...
    def _scheduled_list(self) -> list[asyncio.TimerHandle]: ...
    def _schedule(self, handle: asyncio.TimerHandle, /) -> None: ...
    def _wakeup_fd(self) -> int: ...
    def _expect_signals(self, expected: bool, /) -> bool: ...
    def _take_wakeup_fd(self) -> bool: ...
    def _give_wakeup_fd_back(self) -> None: ...
    def _write_to_self(self) -> None: ...
    def _check_closed(self) -> None: ...
    def _check_thread(self) -> None: ...
    def _add_reader(
        self,
        fd: Any,
        callback: Callable[..., object],
        /,
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.Handle: ...
    def _add_writer(
        self,
        fd: Any,
        callback: Callable[..., object],
        /,
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.Handle: ...
    def _remove_reader(self, fd: Any, /) -> bool: ...
    def _remove_writer(self, fd: Any, /) -> bool: ...
    def _watched_events(self, fd: Any, /) -> int: ...
    def _check_no_transport(self, fd: int, fileobj: Any, /) -> None: ...
    def _make_socket_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        *,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        context: Context | None = None,
    ) -> asyncio.Transport: ...
    def _make_datagram_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        address: Any = None,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> asyncio.DatagramTransport: ...
    def _make_read_pipe_transport(
        self,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> asyncio.ReadTransport: ...
    def _make_write_pipe_transport(
        self,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> asyncio.WriteTransport: ...
    def _is_plain_socket(self, sock: object, /) -> bool: ...
    def _listen(
        self,
        sock: socket.socket,
        factory: Callable[[], asyncio.BaseProtocol],
        server: Any,
        context: Context | None,
        backlog: int,
        /,
    ) -> None: ...
    def _unlisten(self, sock: socket.socket, /) -> None: ...

@disjoint_base
class Future(asyncio.Future[_T]): ...

@disjoint_base
class Task(asyncio.Task[_T]): ...

@final
class Handle(asyncio.Handle):
    def get_context(self) -> Context: ...

@final
class TimerHandle(asyncio.TimerHandle):
    def get_context(self) -> Context: ...

@final
class SocketTransport(asyncio.Transport):
    max_size: int

@final
class DatagramTransport(asyncio.Transport, asyncio.DatagramTransport):
    max_size: int

@final
class Listener: ...

@final
class ReadPipeTransport(asyncio.ReadTransport):
    max_size: int

@final
class WritePipeTransport(asyncio.Transport): ...

@final
class Poller: ...

@final
class SockCall(Coroutine[Any, Any, Any]):
    __name__: str
    __qualname__: str
    cr_running: bool
    cr_suspended: bool
    cr_origin: None
    cr_frame: None
    cr_code: None
    def send(self, value: Any, /) -> Any: ...
    def throw(self, typ: Any, val: Any = None, tb: Any = None, /) -> Any: ...
    def close(self) -> None: ...
    def __await__(self) -> Generator[Any, Any, Any]: ...
    def __next__(self) -> Any: ...

@final
class SockMethod:
    __name__: str
    __qualname__: str
    __code__: CodeType
    __defaults__: Any
    __kwdefaults__: Any
    def __get__(self, instance: Any, owner: type | None = None, /) -> Any: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]: ...

@disjoint_base
class SSLProtocol:
    _state: Any
    _transport: Any
    _app_protocol: Any
    _app_protocol_get_buffer: Any
    _app_protocol_buffer_updated: Any
    _app_protocol_is_buffer: bool
    _sslobj: Any
    _write_backlog: Any
    _write_buffer_size: int
    _incoming_high_water: int
    _incoming_low_water: int
    _outgoing_high_water: int
    _outgoing_low_water: int
    _app_reading_paused: bool
    _app_writing_paused: bool
    _ssl_reading_paused: bool
    _ssl_writing_paused: bool
    def _do_read(self) -> None: ...
    def _process_outgoing(self) -> None: ...
    def _get_read_buffer_size(self) -> int: ...
    def _write_appdata(self, list_of_data: Any) -> None: ...

class SSLTransport:
    def write(self, data: Any) -> None: ...
    def writelines(self, list_of_data: Any) -> None: ...
