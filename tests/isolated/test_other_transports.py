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
    "failed-starts": """
async def main(loop):
    for n in range(30):
        try:
            await asyncio.create_subprocess_exec("/nonexistent", stdin=PIPE, stdout=PIPE)
        except FileNotFoundError:
            continue
        raise AssertionError
    await settle()

steady(main, things=30)
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
