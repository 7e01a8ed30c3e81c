"""loop.sock_connect(): by which addresses, how it fails, what it leaves behind; sock_accept()."""

import asyncio
import os
import socket
import sys

import pytest
from peers import LOOPBACK, PATIENCE, closed_port, needs_ipv6, on_each, turns

FAMILIES = [
    socket.AF_INET,
    pytest.param(socket.AF_INET6, marks=needs_ipv6),
    socket.AF_UNIX,
]


def unconnected(family=socket.AF_INET, kind=socket.SOCK_STREAM):
    sock = socket.socket(family, kind)
    sock.setblocking(False)
    return sock


def listening(family, tmp_path):
    """(a listening socket, the addresses by which it may be reached)."""
    listener = unconnected(family)
    if family == socket.AF_UNIX:
        path = str(tmp_path / "listener")
        listener.bind(path)
        addresses = [path, os.fsencode(path)]
    else:
        host = LOOPBACK if family == socket.AF_INET else "::1"
        listener.bind((host, 0))
        port = listener.getsockname()[1]
        addresses = [(host, port), (host, str(port)), [host, port]]
        if family == socket.AF_INET6:
            addresses += [(host, port, 0), (host, port, 0, 0)]
        else:
            addresses.append(("localhost", port))
    listener.listen()
    return listener, addresses


def test_sock_connect_and_sock_accept(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server((LOOPBACK, 0)) as listener, socket.socket() as client:
            listener.setblocking(False)
            client.setblocking(False)
            accepting = asyncio.ensure_future(loop.sock_accept(listener))
            await turns()
            await loop.sock_connect(client, listener.getsockname())
            peer, address = await asyncio.wait_for(accepting, PATIENCE)
            with peer:
                assert address == client.getsockname()
                assert peer.gettimeout() == 0

    run(main)


def test_sock_connect_to_a_closed_port(run):
    async def main():
        with socket.socket() as client:
            client.setblocking(False)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.get_running_loop().sock_connect(client, (LOOPBACK, closed_port()))

    run(main)


@pytest.mark.parametrize("family", FAMILIES)
def test_any_address_connects(run, tmp_path, family):
    async def main():
        loop = asyncio.get_running_loop()
        listener, addresses = listening(family, tmp_path)
        with listener:
            for address in addresses:
                with unconnected(family) as client:
                    assert await loop.sock_connect(client, address) is None
                    assert client.getpeername() == listener.getsockname()
                    peer, _ = await loop.sock_accept(listener)
                    with peer:
                        receiving = asyncio.ensure_future(loop.sock_recv(client, 10))
                        await turns()
                        await loop.sock_sendall(peer, b"data")
                        assert await asyncio.wait_for(receiving, PATIENCE) == b"data"

    run(main)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_fails_as_in_asyncio(loop_factories, tmp_path, family):
    port = closed_port("::1" if family == socket.AF_INET6 else LOOPBACK)
    addresses = {
        socket.AF_INET: [(LOOPBACK, port), (LOOPBACK, 70000)],
        socket.AF_INET6: [
            ("::1", port),
            ("::1", port, 0),
            ("::1", port, 1, 0),
            ("::1", port, 1 << 20, 0),
            (LOOPBACK, port),
        ],
        socket.AF_UNIX: [str(tmp_path / "nothing"), b"x" * 200, "", (LOOPBACK, port)],
    }[family]

    async def main():
        loop = asyncio.get_running_loop()
        found = []
        for address in addresses:
            with unconnected(family) as client:
                with pytest.raises((OSError, TypeError, OverflowError)) as failure:
                    await loop.sock_connect(client, address)
                found.append((failure.type, str(failure.value)))
        return found

    seen = on_each(loop_factories, main)
    assert seen["pyaio"] == seen["asyncio"]
    assert len(seen["pyaio"]) == len(addresses)


def test_an_error_names_the_address(run):
    async def main():
        with unconnected() as client:
            address = (LOOPBACK, closed_port())
            with pytest.raises(ConnectionRefusedError) as refused:
                await asyncio.get_running_loop().sock_connect(client, address)
            assert refused.value.strerror == f"Connect call failed {address}"

    run(main)


def test_audit_hooks_hear_of_it(run):
    seen = []

    def hook(event, args):
        if event == "socket.connect" and seen is not None:
            seen.append(args[1])

    async def main():
        with socket.create_server((LOOPBACK, 0)) as listener, unconnected() as client:
            address = listener.getsockname()
            sys.addaudithook(hook)
            await asyncio.get_running_loop().sock_connect(client, address)
            assert seen == [address]

    try:
        run(main)
    finally:
        seen = None  # the hook stays


def test_datagram_sockets_connect(run):
    async def main():
        loop = asyncio.get_running_loop()
        with (
            unconnected(kind=socket.SOCK_DGRAM) as ours,
            unconnected(kind=socket.SOCK_DGRAM) as theirs,
        ):
            theirs.bind((LOOPBACK, 0))
            await loop.sock_connect(ours, theirs.getsockname())
            await loop.sock_sendall(ours, b"data")
            receiving = loop.sock_recv(theirs, 10)
            assert await asyncio.wait_for(receiving, PATIENCE) == b"data"

    run(main)


def test_a_replaced_resolver_is_asked(loop_class):
    seen = []

    class Loop(loop_class):
        async def _ensure_resolved(self, address, **kwargs):
            seen.append(address)
            return await super()._ensure_resolved(address, **kwargs)

    async def main():
        with socket.create_server((LOOPBACK, 0)) as listener, unconnected() as client:
            address = listener.getsockname()
            await asyncio.get_running_loop().sock_connect(client, address)
            assert seen == [address]

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


def test_when_cancelled_it_leaves_nothing_behind(run):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server((LOOPBACK, 0)) as listener, unconnected() as client:
            connecting = asyncio.ensure_future(loop.sock_connect(client, listener.getsockname()))
            await asyncio.sleep(0)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            await turns()
            assert loop.remove_writer(client) is False

    run(main)


@pytest.mark.parametrize("family", ["AF_INET", "AF_UNIX"])
def test_sock_accept_of_many(run, family, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket(getattr(socket, family)) as listener:
            listener.bind((LOOPBACK, 0) if family == "AF_INET" else str(tmp_path / "listener"))
            listener.listen()
            listener.setblocking(False)
            for early in (True, False, False, True):
                with socket.socket(listener.family) as client:
                    if early:
                        client.connect(listener.getsockname())
                    accepting = asyncio.ensure_future(loop.sock_accept(listener))
                    await turns()
                    assert accepting.done() is early
                    if not early:
                        client.connect(listener.getsockname())
                    conn, address = await asyncio.wait_for(accepting, PATIENCE)
                    with conn:
                        assert type(conn) is socket.socket
                        assert (conn.family, conn.type, conn.proto) == (
                            listener.family,
                            listener.type,
                            listener.proto,
                        )
                        assert address == client.getsockname()
                        assert conn.gettimeout() == 0
                        assert not os.get_inheritable(conn.fileno())
                        client.sendall(b"data")
                        assert await loop.sock_recv(conn, 10) == b"data"

    run(main)
