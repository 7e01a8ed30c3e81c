"""What callbacks of a program do under TLS, and what it replaces of asyncio and of ssl."""

import asyncio
import contextlib
import functools
import gc
import logging
import os
import random
import ssl
import weakref
from asyncio import sslproto
from pathlib import Path

import pytest
from helpers import HandlerCalls, only_pyaio
from peers import (
    Recorder,
    connection,
    ended,
    on_asyncio,
    outcome,
    tcp_pair,
    turns,
)
from spies import spy_on
from test_start_tls import upgraded
from test_tls_records import View, connect, described, facing, peer_of, told

# ---- what callbacks do ----


class Acting(Recorder):
    """Does what the test says with all data but the first."""

    act = None

    def data_received(self, data):
        super().data_received(data)
        if self.act is not None:
            self.act()


class ActingBuffered(View):
    """The same with a buffer that takes less than a record."""

    room, act = 4, None

    def buffer_updated(self, nbytes):
        super().buffer_updated(nbytes)
        if self.act is not None:
            self.act()


async def when_data_comes(tls, kind, act):
    """What there is to be seen when the protocol does something with the second piece."""
    calls = HandlerCalls.of(asyncio.get_running_loop())
    async with facing(tls, kind) as (near, peer):
        await peer.send(peer.seal(b"first"))
        await near.received(5)
        near.act = functools.partial(act, near)
        await peer.send(peer.seal(b"second") + peer.seal(b"third") + peer.farewell())
        lost = await ended(near.lost)
        came = await outcome(peer.opened()) if act in (closes, writes_and_closes) else None
        await turns(10)
    return near.events, bytes(near.data), described(lost), told(calls), came


def closes(protocol):
    protocol.transport.close()


def closes_twice(protocol):
    protocol.transport.close()
    protocol.transport.close()


def aborts(protocol):
    protocol.transport.abort()


def closes_and_aborts(protocol):
    protocol.transport.close()
    protocol.transport.abort()


def writes_and_closes(protocol):
    protocol.transport.write(b"answer")
    protocol.transport.close()
    protocol.transport.write(b"dropped")


def writes_and_aborts(protocol):
    protocol.transport.write(b"answer")
    protocol.transport.abort()


def breaks_off(protocol):
    protocol.transport._force_close(ZeroDivisionError("by the program"))


def raises(error):
    def act(protocol):
        raise error("from data_received")

    return act


ACTS = {
    "closes": closes,
    "closes-twice": closes_twice,
    "aborts": aborts,
    "closes-and-aborts": closes_and_aborts,
    "writes-and-closes": writes_and_closes,
    "writes-and-aborts": writes_and_aborts,
    "breaks-off": breaks_off,
    "raises": raises(ZeroDivisionError),
    "raises-os-error": raises(OSError),
    "raises-want-read": raises(ssl.SSLWantReadError),
    "raises-cancelled": raises(asyncio.CancelledError),
    "raises-base-exception": raises(BaseException),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
@pytest.mark.parametrize("kind", [Acting, ActingBuffered])
def test_what_a_callback_does_has_the_effect_of_asyncio(run, tls, kind, act):
    seen = run(when_data_comes, tls, kind, act)
    assert seen[0][-1] == "lost"
    assert seen == on_asyncio(when_data_comes, tls, kind, act)


def test_data_received_that_raises_is_told(run, tls):
    _, data, lost, calls, _ = run(when_data_comes, tls, Acting, ACTS["raises"])
    assert data == b"firstsecondthird"
    assert lost[0] is ZeroDivisionError
    assert [(message, exc[0]) for message, exc, _ in calls] == [
        ("Fatal error on SSL protocol", ZeroDivisionError)
    ]


async def when_eof_comes(tls, error):
    calls = HandlerCalls.of(asyncio.get_running_loop())

    class Failing(Recorder):
        def eof_received(self):
            raise error("from eof_received")

    async with facing(tls, Failing) as (near, peer):
        await peer.send(peer.seal(b"first") + peer.farewell())
        lost = await ended(near.lost)
    return near.events, described(lost), told(calls)


@pytest.mark.parametrize("error", [ZeroDivisionError, OSError, asyncio.CancelledError])
def test_eof_received_that_raises_has_the_effect_of_asyncio(run, tls, error):
    assert run(when_eof_comes, tls, error) == on_asyncio(when_eof_comes, tls, error)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", [Recorder, View])
def test_an_interrupt_in_a_callback_leaves_run_forever(loop, tls, error, kind):
    """And the connection goes on, with what comes next."""

    class Interrupted(kind):
        armed = True

        def data_received(self, data):
            self.interrupt(data)

        def buffer_updated(self, nbytes):
            self.interrupt(self.buffer[:nbytes])

        def interrupt(self, data):
            Recorder.data_received(self, data)
            if self.armed:
                self.armed = False
                raise error

    facing_it = facing(tls, Interrupted)
    near, peer = loop.run_until_complete(facing_it.__aenter__())
    peer.sock.send(peer.seal(b"first"))
    with pytest.raises(error):
        loop.run_forever()
    peer.sock.send(peer.seal(b"second"))
    assert loop.run_until_complete(near.received(11)) == b"firstsecond"
    loop.run_until_complete(facing_it.__aexit__(None, None, None))


@pytest.mark.parametrize("ending", ["abort", "close"])
def test_the_last_references_may_go_in_data_received(run, tls, ending):
    class Forgetting(Recorder):
        def data_received(self, data):
            super().data_received(data)
            transport, self.transport = self.transport, None
            getattr(transport, ending)()
            del transport
            gc.collect()

    async def main():
        async with facing(tls, Forgetting) as (near, peer):
            await peer.send(peer.seal(b"first") + peer.seal(b"second") + peer.farewell())
            await ended(near.lost)
            return near.events, bytes(near.data)

    seen = run(main)
    assert seen[1] == b"firstsecond"
    assert seen == on_asyncio(main)


@pytest.mark.parametrize("before", [Recorder, View])
@pytest.mark.parametrize("after", [Recorder, View])
def test_a_new_protocol_gets_what_comes_next(run, tls, before, after):
    """Nobody else holds the one before: it may go once it has returned."""

    class Leaving(before):
        room = 3  # less than has come

        def leave(self):
            transport, self.transport = self.transport, None
            transport.set_protocol(self.heir)
            self.heir.connection_made(transport)
            gc.collect()

        def data_received(self, data):
            super().data_received(data)
            self.leave()

        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            self.leave()

    async def main():
        heir = after()
        ours, theirs = tcp_pair()
        with theirs:
            peer = peer_of(tls, theirs)
            near, _ = await asyncio.gather(connect(tls, Leaving, ours), peer.shake_hands())
            near.heir, data, gone = heir, near.data, weakref.ref(near)
            del near
            await peer.send(peer.seal(b"first"))
            await ended(heir.made)
            assert heir.transport.get_protocol() is heir
            await turns()
            gc.collect()
            if before is after:  # asyncio keeps the methods of one that has buffers
                assert gone() is None
            await peer.send(peer.seal(b"second") + peer.farewell())
            assert await ended(heir.lost) is None
            return heir.events, bytes(data + heir.data)

    assert run(main) == (["made", "data", "eof", "lost"], b"firstsecond")


def test_a_broken_record_leaves_other_connections_alone(run, tls):
    """OpenSSL keeps one list of errors for all of them."""

    async def main():
        async with facing(tls) as (near, peer), facing(tls) as (broken, its_peer):
            wire = peer.seal(b"x" * 100)
            await peer.send(wire[:50])
            await its_peer.send(b"\x99" * 50)
            assert isinstance(await ended(broken.lost), ssl.SSLError)
            await peer.send(wire[50:])
            assert await near.received(100) == b"x" * 100
            near.transport.write(b"fine")
            assert await peer.opened(4) == b"fine"

    run(main)


# ---- parts that are replaced ----


async def exchange(near, peer):
    near.transport.write(b"question")
    assert await peer.opened(8) == b"question"
    await peer.send(peer.seal(b"answer"))
    assert await near.received(6) == b"answer"


async def classes_used(tls):
    """Send something each way over TLS; return the classes of the transport and its protocol."""
    async with facing(tls) as (near, peer):
        await exchange(near, peer)
        return type(near.transport), type(near.transport._ssl_protocol)


@pytest.mark.parametrize("name", ["read", "write", "do_handshake", "unwrap"])
def test_an_ssl_object_of_the_programs_is_called(run, tls, name):
    calls = []
    own = type("Own", (ssl.SSLObject,), {name: spy_on(getattr(ssl.SSLObject, name), calls)})
    tls.client.sslobject_class = own

    async def main():
        async with facing(tls) as (near, peer):
            assert type(near.transport.get_extra_info("ssl_object")) is own
            await exchange(near, peer)
            await peer.send(peer.farewell())
            assert await ended(near.lost) is None

    run(main)
    assert calls


@pytest.mark.parametrize("name", ["read", "write", "do_handshake"])
def test_a_method_replaced_in_ssl_is_called(run, tls, monkeypatch, name):
    function, called = getattr(ssl.SSLObject, name), []

    def spy(self, *args):
        called.append(self)
        return function(self, *args)

    monkeypatch.setattr(ssl.SSLObject, name, spy)

    async def main():
        async with facing(tls) as (near, peer):
            await exchange(near, peer)
            # Not only that of the other side, which is the test's.
            assert near.transport.get_extra_info("ssl_object") in called

    run(main)


class Wrapper:
    """In the place of a method, as tracing tools put one there: an object that is called."""

    def __init__(self, function, calls):
        self.function, self.calls = function, calls

    def __get__(self, instance, owner=None):
        return functools.partial(self, instance)

    def __call__(self, *args):
        self.calls.append(args[0])
        return self.function(*args)


def method_of_functools(function, calls):
    """In the place of a method: what cannot be called itself."""

    def spy(self, *args):
        calls.append(self)
        return function(self, *args)

    return functools.partialmethod(spy)


@pytest.mark.parametrize("wrap", [Wrapper, method_of_functools])
@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (ssl.SSLObject, "read"), (ssl.SSLObject, "write"),
        (sslproto.SSLProtocol, "_do_read"), (sslproto.SSLProtocol, "_write_appdata"),
        (sslproto._SSLProtocolTransport, "write"),
    ],
)  # fmt: skip
def test_an_object_in_the_place_of_a_method_is_called(run, tls, monkeypatch, wrap, cls, name):
    calls = []
    monkeypatch.setattr(cls, name, wrap(getattr(cls, name), calls))

    async def main():
        async with facing(tls) as (near, peer):
            await exchange(near, peer)
            transport = near.transport
            ours = transport.get_extra_info("ssl_object"), transport._ssl_protocol, transport
            assert any(call in ours for call in calls)

    run(main)


@only_pyaio
def test_a_method_that_is_missing_is_missed(run, tls, monkeypatch):
    monkeypatch.delattr(sslproto._SSLProtocolTransport, "writelines")
    assert run(classes_used, tls)[1] is sslproto.SSLProtocol


#: An SSLContext of the program makes the objects, from before the first connection on.
REPLACED = """
import asyncio, ssl
from certificates import CA

calls = []

class Own(ssl.SSLObject):
    def read(self, *args):
        calls.append(self)
        return super().read(*args)

def wrap_bio(self, incoming, outgoing, *args, **kwargs):
    self.sslobject_class = Own
    return original(self, incoming, outgoing, *args, **kwargs)

original, ssl.SSLContext.wrap_bio = ssl.SSLContext.wrap_bio, wrap_bio

async def main():
    async def echo(reader, writer):
        writer.write(await reader.readline())
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server_context)
    address = server.sockets[0].getsockname()
    names = dict(ssl=client_context, server_hostname="localhost")
    reader, writer = await asyncio.open_connection(*address, **names)
    writer.write(b"a line\\n")
    assert await reader.readline() == b"a line\\n"
    assert writer.get_extra_info("ssl_object") in calls
    writer.close()
    server.close()

authority = CA()
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert("localhost").configure_cert(server_context)
client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
authority.configure_trust(client_context)
loop = new_event_loop()
loop.run_until_complete(main())
loop.close()
print("called")
"""


def test_an_ssl_object_that_is_put_in_for_all_is_called(child):
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    with child(REPLACED, env={"PYTHONPATH": paths}) as process:
        code, out, errors = process.finish()
    assert (code, out) == (0, "called\n"), errors


@pytest.mark.parametrize(
    "name",
    [
        "buffer_updated", "_do_read", "_do_read__copied", "_control_ssl_reading",
        "_call_eof_received", "_write_appdata", "_do_write", "_process_outgoing", "_fatal_error",
        "_do_handshake", "_on_handshake_complete",
    ],
)  # fmt: skip
def test_a_method_replaced_in_sslproto_is_called(run, tls, monkeypatch, name):
    calls = []
    function = getattr(sslproto.SSLProtocol, name)
    monkeypatch.setattr(sslproto.SSLProtocol, name, spy_on(function, calls))

    async def main():
        async with facing(tls) as (near, peer):
            await exchange(near, peer)
            await peer.send(peer.farewell() if name != "_fatal_error" else b"garbage")
            await ended(near.lost)

    run(main)
    assert calls


@pytest.mark.parametrize("name", ["write", "writelines", "close"])
def test_a_method_replaced_in_asyncios_transport_is_called(run, tls, monkeypatch, name):
    calls = []
    function = getattr(sslproto._SSLProtocolTransport, name)
    monkeypatch.setattr(sslproto._SSLProtocolTransport, name, spy_on(function, calls))

    async def main():
        async with facing(tls) as (near, peer):
            near.transport.write(b"one")
            near.transport.writelines([b"two"])
            near.transport.close()
            assert await peer.opened() == b"onetwo"

    run(main)
    assert len(calls) == 1


@pytest.mark.parametrize("name", ["SSLProtocol", "_SSLProtocolTransport"])
def test_a_class_replaced_in_sslproto_is_used(run, tls, monkeypatch, name):
    own = type("Own", (getattr(sslproto, name),), {})
    monkeypatch.setattr(sslproto, name, own)
    assert own in run(classes_used, tls)


@pytest.mark.parametrize("name", ["_write_appdata", "_do_read", "buffer_updated"])
def test_a_method_replaced_on_one_protocol_is_called(run, tls, name):
    async def main():
        async with facing(tls) as (near, peer):
            protocol, calls = near.transport._ssl_protocol, []
            setattr(protocol, name, spy_on(getattr(protocol, name), calls))
            await exchange(near, peer)
            assert calls

    run(main)


@only_pyaio
def test_without_anything_replaced_asyncios_functions_are_not_called(run, tls, monkeypatch):
    """The tests above would say nothing if all TLS took asyncio's way."""
    assert run(classes_used, tls)[1] is not sslproto.SSLProtocol
    do_read = sslproto.SSLProtocol._do_read
    monkeypatch.setattr(sslproto.SSLProtocol, "_do_read", spy_on(do_read, []))
    assert run(classes_used, tls)[1] is sslproto.SSLProtocol


# ---- what is private, and read all the same ----


async def insides(tls):
    """What libraries look at, of a connection and at its end."""
    async with facing(tls) as (near, peer):
        protocol, seen = near.transport._ssl_protocol, []
        assert isinstance(near.transport, sslproto._SSLProtocolTransport)
        assert isinstance(protocol, sslproto.SSLProtocol)
        assert isinstance(protocol._transport, asyncio.Transport)
        assert protocol._transport.get_protocol() is protocol
        assert protocol._app_protocol is near
        assert protocol._app_transport is near.transport
        assert protocol._sslobj is near.transport.get_extra_info("ssl_object")
        assert protocol._sslcontext is tls.client
        for _ in range(2):
            seen.append({name: type(getattr(protocol, name)) for name in INSIDES})
            seen.append((protocol._state, protocol._app_state, len(protocol._write_backlog)))
            seen.append((protocol._incoming.pending, protocol._outgoing.pending))
            near.transport.close()
            await peer.opened()
            await peer.send(peer.farewell())
            await ended(near.lost)
        return seen


INSIDES = [
    "_app_protocol_is_buffer", "_app_reading_paused", "_app_state", "_app_writing_paused",
    "_conn_lost", "_eof_received", "_extra", "_incoming", "_incoming_high_water",
    "_incoming_low_water", "_outgoing", "_outgoing_high_water",
    "_outgoing_low_water", "_server_hostname", "_server_side", "_ssl_handshake_timeout",
    "_ssl_reading_paused", "_ssl_shutdown_timeout", "_ssl_writing_paused", "_sslobj", "_state",
    "_waiter", "_write_backlog", "_write_buffer_size", "max_size",
]  # fmt: skip


def test_the_insides_are_those_of_asyncio(run, tls):
    assert run(insides, tls) == on_asyncio(insides, tls)


async def texts_of(tls):
    async with facing(tls) as (near, _):
        texts = repr(near.transport), repr(near.transport._ssl_protocol)
        return [text.split(" at ")[0].rpartition(".")[2] for text in texts]


def test_the_names_of_the_classes_are_those_of_asyncio(run, tls):
    names = [name.lstrip("_") for name in run(texts_of, tls)]
    assert names == [name.lstrip("_") for name in on_asyncio(texts_of, tls)]


# ---- TLS over TLS ----


def test_tls_in_tls_echoes(run, tls):
    payload = random.Random(0).randbytes(300_000)

    async def main():
        async with (
            connection() as (near, far),
            upgraded(near, far, tls) as outer,
            upgraded(*outer, tls) as (inner, echo),
        ):
            echo.data_received = echo.transport.write
            for chunk in (payload[:1], payload[1:1000], payload[1000:]):
                inner.transport.write(chunk)
            assert await inner.received(len(payload)) == payload

    run(main)


# ---- what a callback has others do ----


def test_another_socket_may_be_read_in_get_buffer(run, tls):
    """What has come for TLS is not touched by what the program reads meanwhile."""

    class Reading(View):
        def get_buffer(self, sizehint):
            feeding.send(b"x" * 4000)
            step = asyncio.get_running_loop().sock_recv(other, 1 << 16)
            with contextlib.suppress(StopIteration):
                step.send(None)
            step.close()
            return super().get_buffer(sizehint)

    async def main():
        nonlocal other, feeding
        other, feeding = tcp_pair()
        other.setblocking(False)
        with other, feeding:
            async with facing(tls, Reading) as (near, peer):
                await peer.send(peer.seal(b"secret"))
                assert await near.received(6) == b"secret"

    other = feeding = None
    run(main)


async def what_debug_mode_logs(tls, caplog):
    """The records of a TLS connection that a broken record ends, with their exceptions."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    caplog.clear()
    with caplog.at_level(logging.DEBUG, "asyncio"):
        async with facing(tls) as (near, peer):
            await peer.send(b"\x17\x03\x03\x00\x40" + b"x" * 64)
            await ended(near.lost)
    loop.set_debug(False)
    return [
        described(record.exc_info[1])
        for record in caplog.records
        if "Fatal error" in record.getMessage()
    ]


def test_debug_mode_logs_the_error_that_ends_a_connection(run, tls, caplog):
    logged = run(what_debug_mode_logs, tls, caplog)
    assert [kind for kind, *_ in logged] == [ssl.SSLError]
    assert logged == on_asyncio(what_debug_mode_logs, tls, caplog)


def test_a_start_tls_that_is_replaced_is_called(run, tls, monkeypatch):
    own, calls = asyncio.base_events.BaseEventLoop.start_tls, []

    async def start_tls(*args, **kwargs):
        calls.append(args)
        return await own(*args, **kwargs)

    async def main():
        async with connection() as (near, far), upgraded(near, far, tls) as inner:
            inner[0].transport.write(b"hello")
            assert await inner[1].received(5) == b"hello"

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "start_tls", start_tls)
    run(main)
    assert len(calls) == 2
