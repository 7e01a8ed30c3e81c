"""Datagram endpoints, pipes and subprocesses leave no descriptor, no memory and no child behind."""

import pytest

PRELUDE = """
import asyncio, os, socket, sys
from subprocess import DEVNULL, PIPE
import measure

class Ending(asyncio.BaseProtocol):
    def __init__(self):
        self.arrived = asyncio.get_running_loop().create_future()
        self.lost = asyncio.get_running_loop().create_future()
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        if not self.arrived.done():
            self.arrived.set_result(data)
    def eof_received(self):
        pass
    def datagram_received(self, data, address):
        self.data_received(data)
    def error_received(self, exc):
        self.data_received(exc)
    def connection_lost(self, exc):
        self.lost.set_result(exc)

async def settle():
    for _ in range(10):
        await asyncio.sleep(0)
    while asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.sleep(0.001)

def steady(main, **kwargs):
    loop = new_event_loop()
    measure.wait_once(loop)
    measure.check_steady(lambda: loop.run_until_complete(main(loop)), **kwargs)
    loop.close()
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("steady")
"""

ROUNDS = {
    "datagrams": """
async def main(loop):
    for _ in range(50):
        _, server = await loop.create_datagram_endpoint(Ending, local_addr=("127.0.0.1", 0))
        address = server.transport.get_extra_info("sockname")
        _, client = await loop.create_datagram_endpoint(Ending, remote_addr=address)
        client.transport.sendto(b"hello")
        await server.arrived
        server.transport.close()
        await server.lost
        client.transport.sendto(b"nobody is there")
        assert isinstance(await client.arrived, ConnectionRefusedError)
        client.transport.abort()
        await client.lost
    await settle()

steady(main, things=100)
""",
    "datagrams-of-many-peers": """
PEERS = []
for _ in range(100):
    PEERS.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    PEERS[-1].bind(("127.0.0.1", 0))

class Answering(Ending):
    count = 0
    def datagram_received(self, data, address):
        self.count += 1
        self.transport.sendto(data, address)

async def main(loop):
    _, server = await loop.create_datagram_endpoint(Answering, local_addr=("127.0.0.1", 0))
    address = server.transport.get_extra_info("sockname")
    for n in range(5):
        for peer in PEERS:
            peer.sendto(b"x" * 100, address)
            server.transport.sendto(b"to a new tuple", ("127.0.0.1", peer.getsockname()[1]))
        while server.count < 100 * (n + 1):
            await asyncio.sleep(0.0005)
        for peer in PEERS:
            assert len(peer.recv(1000)) + len(peer.recv(1000)) == 114
    server.transport.close()
    await server.lost

steady(main, things=500)
for peer in PEERS:
    peer.close()
""",
    "datagrams-in-queues": """
import tempfile
FOLDER = tempfile.TemporaryDirectory(dir="/tmp")  # short: the path of a socket has 108 bytes
PATH = FOLDER.name + "/peer"

async def main(loop):
    for n in range(20):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.bind(PATH)
            _, client = await loop.create_datagram_endpoint(
                Ending, family=socket.AF_UNIX, remote_addr=PATH
            )
            transport, protocol = client.transport, client
            protocol.pause_writing = protocol.resume_writing = lambda: None
            while transport.get_write_buffer_size() < 100_000:
                transport.sendto(bytearray(1000))
                transport.sendto(bytes(1000))
            if n % 3 == 0:
                peer.close()  # each that is queued has its error
            transport.close() if n % 2 else transport.abort()
            if n % 2 and n % 3:
                peer.setblocking(False)
                while not protocol.lost.done():
                    try:
                        peer.recv(2000)
                    except BlockingIOError:
                        await asyncio.sleep(0)
            await protocol.lost
        os.unlink(PATH)
    await settle()

steady(main, things=20 * 100)
FOLDER.cleanup()
""",
    "datagrams-that-fail": """
import warnings

class Failing(Ending):
    def datagram_received(self, data, address):
        super().datagram_received(data, address)
        raise ZeroDivisionError
    def error_received(self, exc):
        super().error_received(exc)
        raise ZeroDivisionError

class NotMade(Ending):
    connection_made = property()

async def main(loop):
    loop.set_exception_handler(lambda loop, context: None)
    for n in range(30):
        _, one = await loop.create_datagram_endpoint(Failing, local_addr=("127.0.0.1", 0))
        address = one.transport.get_extra_info("sockname")
        one.transport.sendto(b"to itself", address)
        await one.arrived
        try:
            one.transport.sendto(bytes(70_000), address)
        except ZeroDivisionError:
            pass
        one.transport.sendto(b"", ("127.0.0.1", 70_000))
        one.transport.sendto(b"x", ("127.0.0.1", 70_000))  # ends it
        assert isinstance(await one.lost, OverflowError)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                await loop.create_datagram_endpoint(NotMade, local_addr=("127.0.0.1", 0))
            except AttributeError:
                pass
            else:
                raise AssertionError
        _, dropped = await loop.create_datagram_endpoint(Ending, local_addr=("127.0.0.1", 0))
        dropped.transport.pause_reading()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dropped.transport = dropped.myself = dropped
            del dropped
    await settle()

steady(main, things=30)
""",
    "pipes": """
async def main(loop):
    for n in range(50):
        read_end, write_end = os.pipe()
        files = os.fdopen(read_end, "rb", 0), os.fdopen(write_end, "wb", 0)
        _, reading = await loop.connect_read_pipe(Ending, files[0])
        _, writing = await loop.connect_write_pipe(Ending, files[1])
        writing.transport.write(b"x" * 100_000)
        await reading.arrived
        if n % 2:
            reading.transport.close()
        else:
            writing.transport.abort()
        await reading.lost
        await writing.lost
    await settle()

steady(main, things=100)
""",
    "processes": """
async def main(loop):
    for n in range(5):
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        await process.communicate(b"x" * 100_000)
        sleeping = await asyncio.create_subprocess_exec("/bin/sleep", "600", stdin=DEVNULL)
        sleeping.kill()
        await sleeping.wait()
    await settle()

steady(main, things=10, blocks=20, size=4096)
""",
    "much-output": """
async def main(loop):
    for n in range(5):
        # To both pipes at once: the bytes of one of them wait in a copy.
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", "tee /dev/stderr", stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        out, err = await process.communicate(b"x" * 400_000)
        assert len(out) == len(err) == 400_000
        # And ended with data on its way.
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        process.stdin.write(b"x" * 400_000)
        await process.stdout.read(10)
        process.kill()
        await process.communicate()
    await settle()

steady(main, things=10, blocks=20, size=4096)
""",
    "failed-starts": """
FAILING = [
    {},
    {"cwd": "/nonexistent"},
    {"env": {"PATH": "/nonexistent"}},
    {"env": {"NAME": "value", "A=": "b"}},
    {"env": {"NAME": "value", "A": "\\0"}},
    {"env": {"NAME": "value", "A": 5}},
]

async def main(loop):
    for n in range(30):
        kwargs = FAILING[n % len(FAILING)]
        program = "true" if kwargs else "/nonexistent"
        try:
            await asyncio.create_subprocess_exec(program, stdin=PIPE, stdout=PIPE, **kwargs)
        except (OSError, TypeError, ValueError):
            continue
        raise AssertionError
    await settle()

steady(main, things=30)
""",
    "environments": """
async def main(loop):
    for n in range(5):
        env = {f"NAME{i}": "x" * 100 for i in range(1000)}
        process = await asyncio.create_subprocess_exec(
            b"true", "x" * 1000, env=env, cwd="/", stdin=DEVNULL, stderr=DEVNULL
        )
        assert await process.wait() == 0
    await settle()

steady(main, things=5)
""",
    "cancelled-starts": """
async def main(loop):
    for n in range(10):
        task = asyncio.ensure_future(
            asyncio.create_subprocess_exec("/bin/sleep", "600", stdin=PIPE, stdout=PIPE)
        )
        for _ in range(n % 3 + 1):
            await asyncio.sleep(0)
        task.cancel()
        try:
            process = await task
        except asyncio.CancelledError:
            continue
        process.kill()
        await process.communicate()
    await settle()

steady(main, things=10, blocks=20, size=4096)
""",
}


@pytest.mark.parametrize("name", ROUNDS)
def test_rounds_of(measured, name):
    assert measured(PRELUDE + ROUNDS[name]) == ["steady"]
