"""Unix sockets: connections, servers and streams, and what happens to their paths."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest
from peers import Accepting, Recorder, ended, finish, on_asyncio, outcome, take


@pytest.fixture
def address(tmp_path, monkeypatch):
    """A short path for a socket: a long one does not fit its address."""
    monkeypatch.chdir(tmp_path)
    return "socket"


def test_echo_between_protocols(run, address):
    class Echo(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.write(data)

    async def main():
        loop = asyncio.get_running_loop()
        made = []

        def factory():
            made.append(Echo())
            return made[0]

        async with await loop.create_unix_server(factory, address) as server:
            assert server.sockets[0].family == socket.AF_UNIX
            _, near = await loop.create_unix_connection(Recorder, address)
            near.transport.write(b"x" * 300_000)
            assert await near.received(300_000) == b"x" * 300_000
            assert near.transport.get_extra_info("peername") == address
            near.transport.close()
            await ended(near.lost)
            await finish(*made)
        return near.events, made[0].events

    near, far = run(main)
    assert set(near) <= {"made", "pause", "resume", "data", "lost"}
    assert near[-1] == "lost"
    assert far[-2:] == ["eof", "lost"]


def test_streams(run, address):
    async def main():
        done = asyncio.Event()

        async def answer(reader, writer):
            writer.write((await reader.readline()).upper())
            writer.close()
            await writer.wait_closed()
            done.set()

        async with await asyncio.start_unix_server(answer, address):
            reader, writer = await asyncio.open_unix_connection(address)
            writer.write(b"line\n")
            assert await reader.read() == b"LINE\n"
            writer.close()
            await writer.wait_closed()
            await done.wait()

    run(main)


def test_a_socketpair_end_as_sock(run):
    async def main():
        ours, peer = socket.socketpair()
        with peer:
            loop = asyncio.get_running_loop()
            _, protocol = await loop.create_unix_connection(Recorder, sock=ours)
            peer.send(b"ping")
            assert await protocol.received(4) == b"ping"
            protocol.transport.write(b"pong")
            peer.setblocking(False)
            assert await take(peer, 4) == b"pong"
            protocol.transport.close()
            await ended(protocol.lost)
            assert ours.fileno() == -1

    run(main)


def test_nobody_listening(run, address):
    async def main():
        with pytest.raises(FileNotFoundError):
            await asyncio.get_running_loop().create_unix_connection(Recorder, address)

    run(main)


only_from_3_13 = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="servers unlink their path since 3.13"
)


def test_close_unlinks_the_path_where_this_version_does(run, address):
    async def main():
        server = await asyncio.get_running_loop().create_unix_server(Recorder, address)
        assert os.path.exists(address)
        server.close()
        await server.wait_closed()

    run(main)
    assert os.path.exists(address) == (sys.version_info < (3, 13))


@only_from_3_13
def test_close_leaves_the_path_when_told_to(run, address):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(Recorder, address, cleanup_socket=False)
        server.close()
        await server.wait_closed()

    run(main)
    assert os.path.exists(address)


@pytest.mark.parametrize("what", ["socket", "file", "nothing"])
def test_close_unlinks_its_own_path_only(run, address, what):
    """Another server has taken the path meanwhile, or a file, or it is gone."""

    async def main():
        server = await asyncio.get_running_loop().create_unix_server(Recorder, address)
        os.unlink(address)
        if what == "file":
            with open(address, "w"):
                pass
        elif what == "socket":
            with socket.socket(socket.AF_UNIX) as other:
                other.bind(address)
        server.close()
        await server.wait_closed()

    run(main)
    assert os.path.exists(address) == (what != "nothing")


def test_a_socket_of_the_caller_keeps_its_path_until_its_version_unlinks_it(run, address):
    async def main():
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(address)
        server = await asyncio.get_running_loop().create_unix_server(Recorder, sock=sock)
        server.close()
        await server.wait_closed()
        assert sock.fileno() == -1

    run(main)
    assert os.path.exists(address) == (sys.version_info < (3, 13))


def test_a_stale_socket_is_replaced_and_a_file_is_not(run, address):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(address)

    async def main():
        loop = asyncio.get_running_loop()
        async with await loop.create_unix_server(asyncio.Protocol, address):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(address)
        with open("file", "w"):
            pass
        with pytest.raises(OSError, match="already in use"):
            await loop.create_unix_server(Recorder, "file")
        assert os.path.isfile("file")

    run(main)


def test_an_abstract_name(run, tmp_path):
    name = f"\0{tmp_path.name}-{os.getpid()}"

    async def main():
        async def answer(reader, writer):
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_unix_server(answer, name)
        reader, writer = await asyncio.open_unix_connection(name)
        assert writer.get_extra_info("peername") == name.encode()
        assert not writer.get_extra_info("sockname")
        writer.write(b"line\n")
        assert await reader.read() == b"line\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main)


# asyncio's create_unix_server() forgets the socket that it has made by then.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("path", ["a\0b", "x" * 200, ""], ids=["nul", "long", "empty"])
@pytest.mark.parametrize("method", ["create_unix_server", "create_unix_connection"])
def test_an_impossible_path_fails_as_on_asyncio(run, tmp_path, monkeypatch, method, path):
    monkeypatch.chdir(tmp_path)

    async def main():
        result = await outcome(getattr(asyncio.get_running_loop(), method)(Recorder, path))
        if not isinstance(result, type):
            result.close()  # an empty path is any free abstract name
            await result.wait_closed()
            return "served"
        return result

    assert run(main) == on_asyncio(main)
    if "\0" in path:
        assert os.listdir() == []


def test_a_path_like_object(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def main():
        loop = asyncio.get_running_loop()
        accepting = Accepting()
        async with await loop.create_unix_server(accepting, Path("socket")):
            _, near = await loop.create_unix_connection(Recorder, Path("socket"))
            assert near.transport.get_extra_info("peername") == "socket"
            await finish(near, await accepting.connected())

    run(main)
