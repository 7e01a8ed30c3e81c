"""asyncio's own loop, with the private methods that pyaio.Loop builds on, its functions, to be run
with another class in the place of one of asyncio's, and the warning of its transports.
"""

import asyncio
import socket
import sys
import warnings
from asyncio import selector_events, unix_events
from concurrent.futures import ThreadPoolExecutor
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ("SelectorEventLoop", "is_function_of", "warn_unclosed", "with_globals")

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


def is_function_of(function: Any, module: ModuleType, name: str) -> bool:
    """Whether that is the function which the module's file has under the qualified name."""
    return (
        isinstance(function, FunctionType)
        and function.__globals__ is vars(module)
        and function.__code__.co_qualname == name
    )


class _Globals(dict[str, Any]):
    """A module's global names as they are at any time, but for some."""

    def __init__(self, module: dict[str, Any], names: dict[str, Any]) -> None:
        # Import statements look these up without __missing__().
        own = {name: value for name, value in module.copy().items() if name.startswith("__")}
        super().__init__(own | names)
        self._module = module

    def __missing__(self, name: str) -> Any:
        return self._module[name]


def with_globals(function: Any, **names: Any) -> Any:
    """The same code and defaults, which finds these under global names."""
    namespace = _Globals(function.__globals__, names)
    copy = FunctionType(function.__code__, namespace, None, function.__defaults__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


#: Whose finalizer warns of a transport of that name in asyncio.
_FINALIZED: Any = {
    "SocketTransport": selector_events._SelectorTransport,  # type: ignore[attr-defined]
    "DatagramTransport": selector_events._SelectorTransport,  # type: ignore[attr-defined]
    "ReadPipeTransport": unix_events._UnixReadPipeTransport,  # type: ignore[attr-defined]
    "WritePipeTransport": unix_events._UnixWritePipeTransport,  # type: ignore[attr-defined]
}
#: Behind its `def`, the condition.
_LINES_TO_WARNING = 2


def warn_unclosed(transport: Any) -> None:
    """Warn of a transport that nobody has closed, from where asyncio's finalizer would: filters
    tell warnings apart by that.
    """
    owner = _FINALIZED[type(transport).__name__]
    code = owner.__del__.__code__
    warnings.warn_explicit(
        f"unclosed transport {transport!r}",
        ResourceWarning,
        code.co_filename,
        code.co_firstlineno + _LINES_TO_WARNING,
        module=owner.__module__,
        registry=vars(sys.modules[owner.__module__]).setdefault("__warningregistry__", {}),
        source=transport,
    )
