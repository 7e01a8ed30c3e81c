"""pyaio.Loop: the native loop before asyncio's own.

What runs per callback, per packet or per step of a task is `_core.Loop`, in C.
What runs per connection, server or process (happy eyeballs, name resolution,
subprocess set-up, TLS, shutdown) is inherited from asyncio's own loop of the
running version, and so has its signature and behaviour by construction; it
reaches the native half through the hooks that it calls on itself:
`_add_reader()`, `_make_socket_transport()`, `_start_serving()`.
"""

import asyncio
import contextvars
import os
import signal
import socket
import sys
import threading
from asyncio import events
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from types import FrameType, NoneType
from typing import Any, NamedTuple

from pyaio import _core, _tls
from pyaio._asyncio_hooks import SelectorEventLoop
from pyaio._children import Children
from pyaio._executor import follow
from pyaio._spawn import natively
from pyaio._views import ReadyView, ScheduledView, SelectorView


def _before_fork() -> None:
    """Send what the running turn has gathered: the child would send it a second time."""
    loop = events._get_running_loop()
    if isinstance(loop, Loop):
        loop._send_gathered()


os.register_at_fork(before=_before_fork, after_in_child=_core._after_fork)

#: asyncio's own: whoever has put another in its place is to be asked.
_RUN_IN_EXECUTOR: Any = BaseEventLoop.run_in_executor


class _WriteEnd(NamedTuple):
    """What asyncio's add_signal_handler() wants of a socket: its number."""

    fd: int

    def fileno(self) -> int:
        return self.fd


class Loop(_core.Loop, SelectorEventLoop):
    """An asyncio event loop in C.

    Everything of asyncio.SelectorEventLoop, to which its documentation applies.
    Subclasses may override any method.
    """

    _hooks_before: Any = None  # asyncgen hooks, to put back after a run

    def __init__(self) -> None:
        super().__init__(SelectorView(self))
        self._children = Children()
        self._poll_natively(True)

    # ---- what asyncio's own code looks at ----

    @property
    def _ready(self) -> ReadyView:
        return ReadyView(self)

    @_ready.setter
    def _ready(self, ready: object) -> None:
        """Nothing: asyncio's __init__() makes a queue, which ours has already."""

    @property
    def _scheduled(self) -> ScheduledView:
        return ScheduledView(self)

    @_scheduled.setter
    def _scheduled(self, scheduled: object) -> None:
        """Nothing: asyncio's code sets it to those that are left, as ours is."""

    def _make_self_pipe(self) -> None:
        """Only count: the native half has its own way to be woken."""
        self._internal_fds += 1

    def _close_self_pipe(self) -> None:
        self._internal_fds -= 1

    # ---- running ----

    def run_forever(self) -> None:
        """Run until stop() is called.

        As asyncio: RuntimeError on a closed loop, on a running one, and in a
        thread in which another loop runs.
        """
        self._run_forever_setup()
        try:
            self._run()
        finally:
            self._run_forever_cleanup()

    def _run_forever_setup(self) -> None:
        """Make this the running loop of the thread, for run_forever() and for
        subclasses that turn the loop themselves, as since Python 3.13.
        """
        self._check_closed()
        self._check_running()
        hooks = sys.get_asyncgen_hooks()
        self._take_thread()
        try:
            self._watch_signals()
            self._hooks_before = hooks
            self._set_coroutine_origin_tracking(self._debug)
            sys.set_asyncgen_hooks(
                firstiter=self._asyncgen_firstiter_hook,
                finalizer=self._asyncgen_finalizer_hook,
            )
            events._set_running_loop(self)
        except BaseException:
            self._run_forever_cleanup()
            raise

    def _run_forever_cleanup(self) -> None:
        """Undo _run_forever_setup()."""
        self._stopping = False
        self._thread_id = None
        events._set_running_loop(None)
        self._set_coroutine_origin_tracking(False)
        hooks, self._hooks_before = self._hooks_before, None
        if hooks is not None:
            sys.set_asyncgen_hooks(*hooks)
        self._unwatch_signals(True)

    def close(self) -> None:
        """Close the loop: drop what is scheduled, shut the executor down.

        As asyncio: RuntimeError while it runs, nothing when it is closed.
        """
        if self.is_closed() or self.is_running():
            super().close()
            return
        try:
            super().close()
        finally:
            self._release()
            self._children.close(self)

    # ---- signals ----

    def _watch_signals(self) -> bool:
        """Have signals end the waits of the loop, in the main thread.

        The first wait sees to it: it puts a fd of ours in signal.set_wakeup_fd(), of
        which what was there before gets what it would have got. Returns True for
        _unwatch_signals(), False where somebody else sees to it already.
        """
        return not self._expect_signals(True)

    def _unwatch_signals(self, watching: bool) -> None:
        if watching:
            self._expect_signals(False)
            # With handlers of ours, signals are caught between two runs, too.
            if not self._signal_handlers:
                self._give_wakeup_fd_back()

    @property
    def _csock(self) -> _WriteEnd | None:
        return None if self.is_closed() else _WriteEnd(self._wakeup_fd())

    @property
    def _ssock(self) -> None:
        """None: the end that is read is the native half's."""

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        """Call *callback* with *args* in the loop whenever the signal arrives.

        As asyncio: main thread only; ValueError for an invalid signal number,
        RuntimeError for one that cannot be caught.
        """
        if self._thread_id == threading.get_ident():
            # asyncio takes the wake-up fd: before that, note whose it was.
            self._take_wakeup_fd()
        super().add_signal_handler(sig, callback, *args)

    def remove_signal_handler(self, sig: int) -> bool:
        """Remove the handler of a signal; True if there was one.

        As asyncio: ValueError for an invalid signal number, RuntimeError for
        one that cannot be caught.
        """
        taken = self._thread_id == threading.get_ident() and self._take_wakeup_fd()
        removed = super().remove_signal_handler(sig)
        # asyncio gives the wake-up fd up with the last handler.
        if removed and taken:
            signal.set_wakeup_fd(self._wakeup_fd(), warn_on_full_buffer=False)
        elif removed and not self._signal_handlers:
            self._give_wakeup_fd_back()
        return removed

    # ---- child processes ----

    def _make_subprocess_transport(self, *args: Any, **kwargs: Any) -> Any:
        if self._children.are_ours():
            return self._children.start(self, *args, **kwargs)
        return natively(super()._make_subprocess_transport)(*args, **kwargs)

    # ---- transports ----

    def _create_connection_transport(
        self, sock: socket.socket, protocol_factory: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """As asyncio's, but no socket that asyncio has made is left to the
        collector when the factory raises, which not every version closes.
        """
        if _has_made_socket(sys._getframe(1)):
            protocol_factory = _closing(sock, protocol_factory)
        return super()._create_connection_transport(sock, protocol_factory, *args, **kwargs)

    def _ensure_fd_no_transport(self, fd: Any) -> None:
        super()._ensure_fd_no_transport(fd)
        fileno = fd if isinstance(fd, int) else int(fd.fileno())
        self._check_no_transport(fileno, fd)

    def _make_ssl_transport(
        self,
        rawsock: socket.socket,
        protocol: asyncio.BaseProtocol,
        sslcontext: Any,
        waiter: asyncio.Future[None] | None = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        context: contextvars.Context | None = None,
        **timeouts: Any,
    ) -> asyncio.Transport:
        """TLS: the protocol of pyaio._tls on a transport of ours."""
        self._ensure_fd_no_transport(rawsock)
        tls = _tls.make_protocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            **timeouts,
        )
        _core.Loop._make_socket_transport(
            self, rawsock, tls, extra=extra, server=server, context=context
        )
        transport: asyncio.Transport = tls._app_transport
        return transport

    async def start_tls(  # type: ignore[override]
        self,
        transport: asyncio.WriteTransport,
        protocol: asyncio.BaseProtocol,
        sslcontext: Any,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Any:
        """Upgrade a transport to TLS; the transport to use from then on.

        As asyncio: TypeError for what is no ssl.SSLContext and for a transport that cannot
        be upgraded, ssl.SSLError and OSError when the handshake fails. Timeouts in seconds.
        """
        return await _tls.start_tls(
            self,
            transport,
            protocol,
            sslcontext,
            server_side=server_side,
            server_hostname=server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )

    def _make_foreign_transport(self, *args: Any, **kwargs: Any) -> asyncio.Transport:
        """asyncio's own transport, for a socket that is not _is_plain_socket()."""
        if kwargs.get("context", self) is None:
            del kwargs["context"]  # unknown before 3.15
        transport: asyncio.Transport = SelectorEventLoop._make_socket_transport(
            self, *args, **kwargs
        )
        return transport

    def _make_foreign_datagram_transport(
        self, *args: Any, **kwargs: Any
    ) -> asyncio.DatagramTransport:
        """The same for datagrams, and for families that the native one does not know."""
        transport: asyncio.DatagramTransport = SelectorEventLoop._make_datagram_transport(
            self, *args, **kwargs
        )
        return transport

    def _make_foreign_read_pipe_transport(self, *args: Any, **kwargs: Any) -> asyncio.ReadTransport:
        """asyncio's own transport, for a terminal and what else the native one does not serve."""
        transport: asyncio.ReadTransport = SelectorEventLoop._make_read_pipe_transport(
            self, *args, **kwargs
        )
        return transport

    def _make_foreign_write_pipe_transport(
        self, *args: Any, **kwargs: Any
    ) -> asyncio.WriteTransport:
        """The same for the end that writes."""
        transport: asyncio.WriteTransport = SelectorEventLoop._make_write_pipe_transport(
            self, *args, **kwargs
        )
        return transport

    def _start_serving(
        self,
        protocol_factory: Any,
        sock: socket.socket,
        sslcontext: Any = None,
        server: Any = None,
        backlog: int = 100,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if not self._accepts_natively(sock):
            super()._start_serving(
                protocol_factory, sock, sslcontext, server, backlog, *args, **kwargs
            )
            return
        admit = None
        if sslcontext is not None:
            admit = self._admitting(protocol_factory, sslcontext, server, *args, **kwargs)
        self._listen(sock, protocol_factory, server, kwargs.get("context"), backlog, admit)

    def _admitting(
        self,
        protocol_factory: Any,
        sslcontext: Any,
        server: Any,
        *timeouts: Any,
        context: contextvars.Context | None = None,
        **options: Any,
    ) -> Callable[[socket.socket, Any], object]:
        """What _accept_connection() does with a connection: a task, until hands are shaken."""

        def admit(conn: socket.socket, address: Any) -> None:
            own = {} if context is None else {"context": context.copy()}  # since 3.15
            accept = self._accept_connection2(  # type: ignore[attr-defined]
                protocol_factory,
                conn,
                {"peername": address},
                sslcontext,
                server,
                *timeouts,
                **options,
                **own,
            )
            self.create_task(accept, **own)

        return admit

    def _accepts_natively(self, sock: socket.socket) -> bool:
        """True unless something on the way from accept() to the transport is replaced."""
        return self._is_plain_socket(sock) and not any(
            name in self.__dict__ or getattr(type(self), name) is not own
            for name, own in _ACCEPTING.items()
        )

    def _stop_serving(self, sock: socket.socket) -> None:
        if self._is_plain_socket(sock) and sock.fileno() >= 0:
            self._unlisten(sock)
        super()._stop_serving(sock)

    async def _sendfile_native(self, transp: Any, file: Any, offset: int, count: int | None) -> int:
        resume = transp.is_reading()
        transp.pause_reading()
        await transp._make_empty_waiter()
        try:
            return await self._sendfile_on(transp, file, offset, count)
        finally:
            transp._reset_empty_waiter()
            if resume:
                transp.resume_reading()

    async def _sendfile_on(self, transp: Any, file: Any, offset: int, count: int | None) -> int:
        """sock_sendfile() on a duplicate of the fd, which the transport owns."""
        with transp._sock.dup() as sock:
            sock.setblocking(False)
            return await self.sock_sendfile(sock, file, offset, count, fallback=False)

    # ---- threads ----

    def run_in_executor(  # type: ignore[override]  # the stub says more than asyncio asks for
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call func(*args) in the executor, or in the loop's own for None; an asyncio.Future.

        As asyncio: RuntimeError on a closed loop, and after the own executor's shutdown.
        """
        own = executor is None
        chosen = self._default_executor if own else executor
        if chosen is None or self._debug or BaseEventLoop.run_in_executor is not _RUN_IN_EXECUTOR:
            return super().run_in_executor(executor, func, *args)
        self._check_closed()
        if own:
            self._check_default_executor()
        return follow(chosen.submit(func, *args), self)

    # ---- sockets ----

    # The public stubs give the size two names.
    sock_recv = _core._sock_method(SelectorEventLoop.sock_recv)  # type: ignore[assignment]
    sock_recv_into = _core._sock_method(SelectorEventLoop.sock_recv_into)
    sock_recvfrom = _core._sock_method(SelectorEventLoop.sock_recvfrom)
    sock_recvfrom_into = _core._sock_method(SelectorEventLoop.sock_recvfrom_into)
    sock_sendall = _core._sock_method(SelectorEventLoop.sock_sendall)
    sock_sendto = _core._sock_method(SelectorEventLoop.sock_sendto)
    sock_connect = _core._sock_method(SelectorEventLoop.sock_connect)
    sock_accept = _core._sock_method(SelectorEventLoop.sock_accept)

    def _sock_calls_are_ours(self) -> bool:
        """True unless a method that asyncio's sock_*() would call is replaced.

        Asked by the methods above, which keep the answer until the loop, its class
        or that of sockets changes.
        """
        return not any(name in self.__dict__ for name in _SOCK_CALLS) and all(
            getattr(owner, name) is own
            for owner, names in ((type(self), _SOCK_CALLS), (_SOCKET, _SOCKET_METHODS))
            for name, own in names.items()
        )

    # ---- names ----

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """socket.getaddrinfo(), in a thread unless there is nobody to ask.

        An address with a port in digits is converted at once. As asyncio:
        socket.gaierror for what cannot be resolved.
        """
        if (
            _core.is_address_literal(host)
            and _is_number(port)
            and not self._debug
            and self._executor_is_nobodys()
        ):
            return socket.getaddrinfo(host, port, family, type, proto, flags)
        return await super().getaddrinfo(
            host, port, family=family, type=type, proto=proto, flags=flags
        )

    def _executor_is_nobodys(self) -> bool:
        """True while no program can tell whether run_in_executor() was called."""
        return (
            not self._closed
            and not self._executor_shutdown_called
            and type(self._default_executor) in (NoneType, ThreadPoolExecutor)
            and getattr(self.run_in_executor, "__func__", None) is Loop.run_in_executor
            and BaseEventLoop.run_in_executor is _RUN_IN_EXECUTOR
        )


#: What asyncio calls for each connection that it accepts, as long as nobody has replaced it.
_ACCEPTING = {
    name: getattr(Loop, name)
    for name in ("_accept_connection", "_accept_connection2", "_make_socket_transport")
}


#: What asyncio's sock_*() call on the loop and on the socket, as long as nobody has replaced it.
_SOCK_CALLS = {
    name: getattr(Loop, name)
    for name in (
        "create_future",
        "_ensure_fd_no_transport",
        "_ensure_resolved",
        "_add_reader",
        "_add_writer",
        "_remove_reader",
        "_remove_writer",
        "remove_reader",
        "remove_writer",
        "_sock_recv",
        "_sock_recv_into",
        "_sock_recvfrom",
        "_sock_recvfrom_into",
        "_sock_sendall",
        "_sock_sendto",
        "_sock_connect",
        "_sock_connect_cb",
        "_sock_accept",
        "_sock_read_done",
        "_sock_write_done",
    )
}
_SOCKET = socket.socket  # the class, whatever a program puts in its place under that name
_SOCKET_METHODS = {
    name: getattr(_SOCKET, name)
    for name in (
        "accept",
        "connect",
        "fileno",
        "getsockopt",
        "gettimeout",
        "recv",
        "recv_into",
        "recvfrom",
        "recvfrom_into",
        "send",
        "sendto",
    )
}


def _is_number(port: object) -> bool:
    """True for a port that getaddrinfo(3) looks up in no database."""
    if isinstance(port, (str, bytes)):
        return port.isdigit()
    return port is None or isinstance(port, int)


def _has_made_socket(caller: FrameType) -> bool:
    """True in asyncio's create_connection() and create_unix_connection() unless
    they were given a socket, which excludes each of these parameters.
    """
    given = caller.f_locals
    return any(given.get(name) is not None for name in ("host", "port", "path"))


def _closing(sock: socket.socket, factory: Any) -> Any:
    """The factory, which closes the socket if it raises."""

    def make() -> Any:
        try:
            return factory()
        except BaseException:
            sock.close()
            raise

    return make
