"""Unix sockets: that connections, servers and streams over them work at all."""

import asyncio
import socket

import pytest
from peers import Recorder, ended, finish, until


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
            await until(lambda: peer.recv(4, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b"pong")
            protocol.transport.close()
            await ended(protocol.lost)
            assert ours.fileno() == -1

    run(main)


def test_nobody_listening(run, address):
    async def main():
        with pytest.raises(FileNotFoundError):
            await asyncio.get_running_loop().create_unix_connection(Recorder, address)

    run(main)
