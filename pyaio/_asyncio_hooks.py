"""asyncio's own loop, with the private methods that pyaio.Loop builds on."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

__all__ = ("SelectorEventLoop",)

if TYPE_CHECKING:

    class SelectorEventLoop(asyncio.SelectorEventLoop):
        """Declares what the public type stubs of asyncio leave out."""

        _internal_fds: int
        _signal_handlers: dict[int, asyncio.Handle]
        _default_executor: ThreadPoolExecutor | None
        _executor_shutdown_called: bool

        # These differ between versions: passed on as they come.
        _start_serving: Any
        _create_connection_transport: Any
        _make_socket_transport: Any
        _make_datagram_transport: Any
        _make_read_pipe_transport: Any
        _make_write_pipe_transport: Any
        _make_subprocess_transport: Any
        _child_watcher_callback: Any

        def __init__(self, selector: Any = None) -> None: ...
        def _check_running(self) -> None: ...
        def _check_default_executor(self) -> None: ...
        def _set_coroutine_origin_tracking(self, enabled: bool) -> None: ...
        def _asyncgen_firstiter_hook(self, agen: Any) -> None: ...
        def _asyncgen_finalizer_hook(self, agen: Any) -> None: ...
        def _ensure_fd_no_transport(self, fd: Any) -> None: ...
        def _stop_serving(self, sock: socket.socket) -> None: ...
else:
    SelectorEventLoop = asyncio.SelectorEventLoop
