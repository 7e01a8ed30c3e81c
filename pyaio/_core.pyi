import asyncio
import socket
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVarTuple, final

from typing_extensions import disjoint_base

_Ts = TypeVarTuple("_Ts")

__version__: str

def libuv_version() -> str: ...
def is_address_literal(host: object, /) -> bool: ...

@disjoint_base
class Loop:
    _closed: bool
    _stopping: bool
    _debug: bool
    _thread_id: int | None
    _current_handle: asyncio.Handle | None
    _task_factory: Any
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
    def create_future(self) -> asyncio.Future[Any]: ...
    def create_task(self, coro: Any, **kwargs: Any) -> asyncio.Task[Any]: ...
    def stop(self) -> None: ...
    def is_running(self) -> bool: ...
    def is_closed(self) -> bool: ...
    def get_debug(self) -> bool: ...
    def _add_callback(self, handle: asyncio.Handle, /) -> None: ...
    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle, /) -> None: ...
    def _run(self) -> None: ...
    def _release(self) -> None: ...
    def _wakeup_fd(self) -> int: ...
    def _forward_signals(self, fd: int, /) -> None: ...
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
    def _transport_of(self, fd: Any, /) -> asyncio.Transport | None: ...
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

@final
class Handle(asyncio.Handle):
    def get_context(self) -> Context: ...

@final
class TimerHandle(asyncio.TimerHandle):
    def get_context(self) -> Context: ...

@final
class SocketTransport(asyncio.Transport): ...

@final
class Listener: ...

@final
class Poller: ...
