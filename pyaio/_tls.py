"""TLS: asyncio's SSLProtocol, of which what runs for each record is in C.

What is around the handshake, the shutdown and whatever runs once a connection is the running
version's own code, which finds its attributes in the native half. Where anything of asyncio's is
replaced, or OpenSSL cannot be reached as csrc/net/openssl.h does it, all of TLS is asyncio's.
"""

from __future__ import annotations

import sysconfig
import threading
from asyncio import base_events, sslproto
from asyncio.base_events import BaseEventLoop
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

from pyaio import _core
from pyaio._asyncio_hooks import is_function_of, with_globals

try:
    import ssl
except ImportError:  # a Python without TLS: asyncio says so
    ssl = None  # type: ignore[assignment]

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


class _SSLProtocolTransport(_core.SSLTransport, sslproto._SSLProtocolTransport):
    """asyncio's transport, which writes by the native half."""

    _loop: Any

    # Without a GIL a collector closes it in any thread: then the loop's own does it, soon.
    if FREE_THREADED:

        def close(self) -> None:
            if self._loop._is_away():
                self._loop.call_soon_threadsafe(super().close)
            else:
                super().close()

        def abort(self) -> None:
            if self._loop._is_away():
                self._loop.call_soon_threadsafe(super().abort)
            else:
                super().abort()


class SSLProtocol(_core.SSLProtocol, sslproto.SSLProtocol):
    """asyncio's protocol, which reads and writes records by the native half."""

    _app_transport_created: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        attributes = vars(self)
        attributes["max_size"] = 0  # of asyncio's buffer, of which ours has no need
        super().__init__(*args, **kwargs)
        del attributes["max_size"]

    def _get_app_transport(self) -> Any:
        if not self._app_transport_created:
            self._app_transport = _SSLProtocolTransport(self._loop, self)
            self._app_transport_created = True
        return super()._get_app_transport()  # type: ignore[misc]  # the stubs have it not


#: The classes that ours stand before, and the one whose bytes they take.
_ASYNCIO = (sslproto.SSLProtocol, sslproto._SSLProtocolTransport)
_SSL_OBJECT: Any = getattr(ssl, "SSLObject", None)

#: The methods that each of them has as it is written.
_METHODS = {
    cls: frozenset(name for name, value in vars(cls).items() if isinstance(value, FunctionType))
    for cls in (*_ASYNCIO, _SSL_OBJECT)
    if cls is not None
}

#: What _finds_openssl() has found, and the lock of who looks.
_FINDINGS: list[bool] = []
_LOOKING = threading.Lock()

#: The version of each class when it was found as it was written: it changes with the class.
_SEEN: dict[type, int] = {}


def make_protocol(*args: Any, **kwargs: Any) -> Any:
    """The protocol of a new TLS connection, with the arguments of asyncio's."""
    if is_native():
        return SSLProtocol(*args, **kwargs)
    return sslproto.SSLProtocol(*args, **kwargs)


async def start_tls(*args: Any, **kwargs: Any) -> Any:
    """start_tls() of the running version, by its own code, which finds our protocol in the
    place of asyncio's.
    """
    function = BaseEventLoop.start_tls
    if is_function_of(function, base_events, "BaseEventLoop.start_tls"):
        ours = SimpleNamespace(**{**vars(sslproto), "SSLProtocol": make_protocol})
        function = with_globals(function, sslproto=ours)
    return await function(*args, **kwargs)


def is_native() -> bool:
    """Whether the native half may stand in for asyncio's code."""
    return (
        (sslproto.SSLProtocol, sslproto._SSLProtocolTransport) == _ASYNCIO
        and all(_is_as_written(cls, sslproto) for cls in _ASYNCIO)
        and _finds_openssl()
        and ssl.SSLObject is _SSL_OBJECT
        and _is_as_written(_SSL_OBJECT, ssl)
    )


def _is_as_written(cls: type, module: ModuleType) -> bool:
    """Whether all methods of a class are still the functions of its file, and no other is there:
    what takes the place of one may be any object.
    """
    version = _core._type_version(cls)
    if version and version == _SEEN.get(cls):
        return True
    now = vars(cls).copy()
    names = _METHODS[cls].union(name for name, value in now.items() if callable(value))
    written = all(is_function_of(now.get(name), module, f"{cls.__name__}.{name}") for name in names)
    if written:
        _SEEN[cls] = version
    return written


def _finds_openssl() -> bool:
    """Whether the native half can reach OpenSSL, which is asked once."""
    if not _FINDINGS:
        with _LOOKING:
            if not _FINDINGS:
                _FINDINGS.append(_look_for_openssl())
    return _FINDINGS[0]


def _look_for_openssl() -> bool:
    module: Any = getattr(ssl, "_ssl", None)
    path = getattr(module, "__file__", None)
    if path is None:
        return False  # built into the interpreter
    # Not by ssl.SSLContext, which some programs replace.
    context = module._SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    socket = context._wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), False, None)
    return _core._use_openssl(path, _SSL_OBJECT, socket, sslproto.SSLAgainErrors)
