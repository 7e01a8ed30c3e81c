"""os.fork() with connections open: what the child does leaves the parent's connections alone."""

import pytest

PARENT = """
import asyncio, os, signal, socket, sys, warnings

warnings.simplefilter("ignore", ResourceWarning)  # the child abandons what is the parent's

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(data)

async def ask(reader, writer, message):
    writer.write(message)
    async with asyncio.timeout(30):
        return await reader.readexactly(len(message))

async def echo_on_a_new_loop():
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await ask(reader, writer, b"child") == b"child"
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()

def close():
    loop.close()

def drop():
    global loop, reader, writer, server
    loop = reader = writer = server = None

def fresh():
    asyncio.Runner(loop_factory=new_event_loop).run(echo_on_a_new_loop())

def fresh_after_close():
    close()
    fresh()

loop = new_event_loop()
server = loop.run_until_complete(loop.create_server(Echo, "127.0.0.1", 0))
address = server.sockets[0].getsockname()
reader, writer = loop.run_until_complete(asyncio.open_connection(*address))
"""

REST = """
async def main():
    print((await ask(reader, writer, b"before")).decode(), flush=True)

loop.run_until_complete(main())
pid = os.fork()
if not pid:
    code = 1
    try:
        signal.alarm(60)
        globals()[sys.argv[1]]()
        code = 0
    finally:
        os._exit(code)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

async def after():
    print((await ask(reader, writer, b"after")).decode())
    other = await asyncio.open_connection(*address)
    print((await ask(*other, b"another")).decode())
    for w in (writer, other[1]):
        w.close()
        await w.wait_closed()
    server.close()
    await asyncio.sleep(0.01)

loop.run_until_complete(after())
loop.close()
"""


@pytest.mark.parametrize("does", ["close", "drop", "fresh", "fresh_after_close"])
def test_the_parent_goes_on(measured, loop_kind, does):
    if loop_kind == "asyncio" and does != "fresh":
        pytest.skip("asyncio's child takes descriptors out of the parent's epoll set")
    out = measured(PARENT + REST, args=[does])
    assert out == ["before", "0", "after", "another"]
