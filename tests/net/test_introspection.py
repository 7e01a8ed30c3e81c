"""What programs and tools see of transports and servers from outside, beside asyncio's own.

Types, extra info, repr, names, signatures, references: collected on both loops, in each state of
a transport's life, and compared. What is chance (descriptors, ports, addresses in memory) is
masked first.
"""

import asyncio
import contextlib
import copy
import inspect
import os
import pickle
import re
import socket
import sys
import weakref

import pytest
from helpers import PATIENCE
from looks import attempt, parameters, public, shown
from peers import LOOPBACK, Accepting, Recorder, finish, on_asyncio, until

KEYS = [
    *["socket", "sockname", "peername", "pipe", "subprocess"],
    *["sslcontext", "ssl_object", "peercert", "cipher", "compression"],
    *["unknown", "", 5, None],
]
TYPES = [
    asyncio.BaseTransport,
    asyncio.ReadTransport,
    asyncio.WriteTransport,
    asyncio.Transport,
    asyncio.SubprocessTransport,
]
if sys.version_info >= (3, 12):  # asyncio's own is no DatagramTransport on 3.11; ours always is
    TYPES.append(asyncio.DatagramTransport)


def extra(transport):
    """What each key gives, with and without a default."""
    found = {}
    for key in KEYS:
        value = transport.get_extra_info(key)
        found[key] = type(value).__name__, shown(value)
        if value is None:
            found[key] += (
                transport.get_extra_info(key, "default"),
                transport.get_extra_info(name=key, default=7),
            )
    return found


def looks(transport):
    """Everything about a transport that has to be as on asyncio, now."""
    return {
        "types": [base.__name__ for base in TYPES if isinstance(transport, base)],
        "repr": shown(transport),
        "extra": extra(transport),
        "hash": hash(transport) == hash(transport),
        "equal": (transport == transport, transport != transport, transport == 1),
        "true": bool(transport),
        "weak": weakref.ref(transport)() is transport,
        "attribute": attempt(setattr, transport, "note", 1),
        "dict": type(vars(transport)),
        "less": attempt(lambda: transport < transport),
        "len": attempt(len, transport),
        "iter": attempt(iter, transport),
        "call": attempt(lambda: transport()),
        "generic": attempt(lambda: type(transport)[int]),
        "closing": transport.is_closing(),
        "protocol": type(transport.get_protocol()).__name__,
    }


def implements(transport, name):
    """True unless the method is the base's, which raises NotImplementedError."""
    method = getattr(type(transport), name, None)
    return method not in (None, getattr(asyncio.Transport, name))


# Each kind of transport: asynchronous context managers that give open transports.


@contextlib.asynccontextmanager
async def between(serve, connect):
    accepting = Accepting()
    server = await serve(accepting)
    transport, protocol = await connect(server)
    try:
        yield transport, (await accepting.connected()).transport
    finally:
        server.close()
        await finish(protocol, *accepting)
        await server.wait_closed()


def tcp(loop, tmp_path, tls, host=LOOPBACK):
    return between(
        lambda factory: loop.create_server(factory, host, 0),
        lambda server: loop.create_connection(Recorder, *server.sockets[0].getsockname()[:2]),
    )


def over_tls(loop, tmp_path, tls):
    return between(
        lambda factory: loop.create_server(factory, LOOPBACK, 0, ssl=tls.server),
        lambda server: loop.create_connection(
            Recorder, *server.sockets[0].getsockname(), ssl=tls.client, server_hostname="localhost"
        ),
    )


def unix(loop, tmp_path, tls):
    return on_path(loop, str(tmp_path / "socket"))


def unix_abstract(loop, tmp_path, tls):
    return on_path(loop, f"\0{tmp_path}")


def on_path(loop, path):
    return between(
        lambda factory: loop.create_unix_server(factory, path),
        lambda server: loop.create_unix_connection(Recorder, path),
    )


@contextlib.asynccontextmanager
async def socket_pair(loop, tmp_path, tls):
    ours, peer = socket.socketpair()
    transport, protocol = await loop.create_connection(Recorder, sock=ours)
    with peer:
        try:
            yield (transport,)
        finally:
            transport.abort()
            await until(protocol.lost.done)


@contextlib.asynccontextmanager
async def datagrams(loop, tmp_path, tls):
    bound, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=(LOOPBACK, 0)
    )
    connected, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=bound.get_extra_info("sockname")
    )
    try:
        yield bound, connected
    finally:
        bound.abort()
        connected.abort()
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def pipes(loop, tmp_path, tls):
    r, w = os.pipe()
    reader, _ = await loop.connect_read_pipe(asyncio.Protocol, os.fdopen(r, "rb", 0))
    writer, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(w, "wb", 0))
    try:
        yield reader, writer
    finally:
        for transport in (reader, writer):
            if not transport.is_closing():
                transport.close()
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def process(loop, tmp_path, tls):
    ended = loop.create_future()

    class Protocol(asyncio.SubprocessProtocol):
        def process_exited(self):
            ended.set_result(None)

    transport, _ = await loop.subprocess_exec(Protocol, "cat")
    try:
        yield transport, *map(transport.get_pipe_transport, range(3))
    finally:
        transport.close()  # kills it
        async with asyncio.timeout(PATIENCE):
            await ended
        await asyncio.sleep(0.001)


STREAMS = [tcp, unix, unix_abstract, socket_pair]
KINDS = [*STREAMS, over_tls, datagrams, pipes, process]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


@pytest.fixture
def on_each_loop(loop_factories, tmp_path, tls, kind):
    """`on_each_loop(look)`: what look(transport) gives, for each transport of the kind."""

    def on_each_loop(look, kind=kind):
        async def main(name):
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            async with kind(asyncio.get_running_loop(), folder, tls) as transports:
                return [look(transport) for transport in transports]

        with asyncio.Runner(loop_factory=loop_factories["pyaio"]) as runner:
            got = runner.run(main("one"))
        return got, on_asyncio(main, "two")

    return on_each_loop


def settle(thing):
    """The two runs have folders of their own: take their names out."""
    if isinstance(thing, dict):
        return {key: settle(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [settle(each) for each in thing]
    if isinstance(thing, str):
        return re.sub(r"/(one|two)\b", "", thing)
    return thing


def test_an_open_transport_looks_as_on_asyncio(on_each_loop):
    got, expected = map(settle, on_each_loop(looks))
    assert got == expected
    assert all("Transport" in each["repr"] for each in expected)


def test_a_transport_that_reads_no_more_looks_as_on_asyncio(on_each_loop):
    def look(transport):
        if not implements(transport, "pause_reading"):
            return None
        transport.pause_reading()
        paused = looks(transport), transport.is_reading()
        transport.resume_reading()
        return paused, looks(transport), transport.is_reading()

    got, expected = map(settle, on_each_loop(look))
    assert got == expected


def test_a_closed_transport_looks_as_on_asyncio(loop_factories, tmp_path, tls, kind):
    async def main(name):
        folder = tmp_path / name
        folder.mkdir()
        async with kind(asyncio.get_running_loop(), folder, tls) as transports:
            found = []
            for transport in transports:
                transport.close()
                found.append(("closing", looks(transport)))
        await asyncio.sleep(0.01)
        return found + [("closed", looks(transport)) for transport in transports]

    with asyncio.Runner(loop_factory=loop_factories["pyaio"]) as runner:
        got = runner.run(main("one"))
    assert settle(got) == settle(on_asyncio(main, "two"))


def test_a_transport_with_more_to_write_looks_as_on_asyncio(on_each_loop):
    def look(transport):
        if not implements(transport, "write"):
            return None
        while transport.get_write_buffer_size() == 0:
            transport.write(bytes(1 << 18))
        found = [looks(transport)]
        transport.close()
        found.append(looks(transport))
        transport.abort()
        return [*found, looks(transport)]

    got, expected = map(settle, on_each_loop(look))
    assert got == expected


def test_every_public_name_of_asyncios_transport_is_there(on_each_loop):
    got, expected = on_each_loop(public)
    for ours, theirs in zip(got, expected, strict=True):
        assert theirs - ours == set()


def test_the_methods_take_asyncios_parameters(on_each_loop):
    def look(transport):
        names = public(asyncio.Transport) & public(transport)
        return {name: parameters(getattr(transport, name)) for name in sorted(names)}

    got, expected = on_each_loop(look)
    assert got == expected


def test_every_method_is_documented(on_each_loop):
    def look(transport):
        names = public(transport) - {"max_size"}
        return {name for name in names if not inspect.getdoc(getattr(type(transport), name))}

    got, expected = on_each_loop(look)
    for ours, theirs in zip(got, expected, strict=True):
        assert ours <= theirs


def test_wrong_calls_of_get_extra_info_are_type_errors(on_each_loop):
    def look(transport):
        return [
            attempt(transport.get_extra_info),
            attempt(transport.get_extra_info, "socket", 1, 2),
            attempt(transport.get_extra_info, "socket", unknown=1),
            attempt(transport.get_extra_info, []),
        ]

    got, expected = on_each_loop(look)
    assert got == expected
    assert expected[0] == ["TypeError"] * 4


def test_the_socket_of_a_transport_is_asyncios(on_each_loop, kind):
    def look(transport):
        sock = transport.get_extra_info("socket")
        if sock is None:
            return None
        return {
            "type": type(sock),
            "numbers": (sock.family, sock.type, sock.proto, sock.gettimeout()),
            "type of error": sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
            "inheritable": os.get_inheritable(sock.fileno()),
            "names": sorted(public(sock)),
            "addresses": attempt(sock.getsockname),
            "peer": attempt(sock.getpeername),
            "same": transport.get_extra_info("socket") is sock,
            "repr": shown(sock),
        }

    got, expected = on_each_loop(look)
    assert settle(got) == settle(expected)


def test_a_transport_cannot_be_pickled(run, kind, tmp_path, tls):
    async def main():
        async with kind(asyncio.get_running_loop(), tmp_path, tls) as transports:
            for transport in transports:
                with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
                    pickle.dumps(transport)

    run(main)


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy])
def test_a_stream_transport_cannot_be_copied(run, loop_kind, copier):
    """Two owners of one descriptor: what asyncio's shallow copy comes to."""
    if loop_kind == "asyncio":
        pytest.skip("asyncio copies the transport, and both then close the descriptor")

    async def main():
        async with tcp(asyncio.get_running_loop(), None, None) as transports:
            for transport in transports:
                with pytest.raises(TypeError, match="pickle"):
                    copier(transport)

    run(main)


# Servers


def server_looks(server, loop):
    return {
        "types": [
            base.__name__
            for base in (asyncio.AbstractServer, asyncio.Server, asyncio.BaseTransport)
            if isinstance(server, base)
        ],
        "type": type(server),
        "repr": shown(server),
        "sockets": shown(server.sockets),
        "socket types": [type(sock) for sock in server.sockets],
        "kind of sockets": type(server.sockets),
        "serving": server.is_serving(),
        "loop": server.get_loop() is loop,
        "names": sorted(public(server)),
        "weak": weakref.ref(server)() is server,
        "hash": hash(server) == hash(server),
        "attribute": attempt(setattr, server, "note", 1),
        "pickle": attempt(pickle.dumps, server).startswith("b'"),
        "signatures": {
            name: parameters(getattr(server, name))
            for name in sorted(public(asyncio.AbstractServer) & public(server))
        },
    }


@pytest.mark.parametrize("where", ["tcp", "unix", "tls"])
def test_a_server_looks_as_on_asyncio_in_every_state(loop_factories, tmp_path, tls, where):
    async def main(name):
        loop = asyncio.get_running_loop()
        options = {"start_serving": False}
        if where == "unix":
            path = str(tmp_path / name)
            server = await loop.create_unix_server(asyncio.Protocol, path, **options)
        else:
            options["ssl"] = tls.server if where == "tls" else None
            server = await loop.create_server(asyncio.Protocol, LOOPBACK, 0, **options)
        states = [server_looks(server, loop)]
        await server.start_serving()
        states.append(server_looks(server, loop))
        server.close()
        states.append(server_looks(server, loop))
        await server.wait_closed()
        return [*states, server_looks(server, loop)]

    with asyncio.Runner(loop_factory=loop_factories["pyaio"]) as runner:
        got = runner.run(main("one"))
    assert settle(got) == settle(on_asyncio(main, "two"))
