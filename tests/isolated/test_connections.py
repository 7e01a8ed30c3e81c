"""Connections opened, used and closed by the thousand leave no descriptor and no memory behind."""

import pytest

PRELUDE = """
import asyncio, socket, ssl, sys
import measure

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(data)

class Client(asyncio.Protocol):
    def __init__(self):
        self.arrived = asyncio.get_running_loop().create_future()
        self.lost = asyncio.get_running_loop().create_future()
    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"hello")
    def data_received(self, data):
        if not self.arrived.done():
            self.arrived.set_result(data)
    def connection_lost(self, exc):
        self.lost.set_result(exc)

class BufferedClient(Client, asyncio.BufferedProtocol):
    buffer = bytearray(100)
    data_received = None
    def get_buffer(self, sizehint):
        return self.buffer
    def buffer_updated(self, nbytes):
        Client.data_received(self, bytes(self.buffer[:nbytes]))

async def served(factory=Echo, **options):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(factory, "127.0.0.1", 0, backlog=500, **options)
    return server, server.sockets[0].getsockname()

def steady(main, things, **kwargs):
    loop = new_event_loop()
    measure.wait_once(loop)
    measure.check_steady(lambda: loop.run_until_complete(main()), things=things, **kwargs)
    loop.close()

async def settle(clients):
    for client in clients:
        await client.lost
    for _ in range(10):
        await asyncio.sleep(0)
    while asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.sleep(0.001)
"""


@pytest.mark.parametrize("kind", ["Client", "BufferedClient"])
def test_1000_connections_held_open_and_closed(measured, kind):
    out = measured(
        PRELUDE
        + """
async def main():
    loop = asyncio.get_running_loop()
    server, address = await served()
    clients = []
    for _ in range(10):
        made = await asyncio.gather(*(loop.create_connection(KIND, *address) for _ in range(100)))
        clients += [protocol for _, protocol in made]
    for client in clients:
        assert await client.arrived == b"hello"
    if not measured:
        measured.append(measure.descriptors())
    for client in clients:
        client.transport.close()
    server.close()
    await server.wait_closed()
    await settle(clients)

KIND, measured = globals()[sys.argv[1]], []
if measure.allow_descriptors(2200):
    steady(main, 1000, warm=2, rounds=3)
    print(measured[0] > 2000)
else:
    print("too few descriptors")
""",
        args=[kind],
    )
    if out == ["too few descriptors"]:
        pytest.skip("the hard limit of descriptors is below 2,200")
    assert out == ["True"]


BURST = """
def burst(address, count):
    socks = []
    for _ in range(count):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(address)
        socks.append(sock)
    return socks

async def ready(loop, condition):
    while not condition():
        await asyncio.sleep(0.001)
"""


def test_a_thousand_connects_in_one_burst_are_all_served(measured):
    """The loop does not turn while they connect: all wait in the queue of the listener."""
    out = measured(
        PRELUDE
        + BURST
        + """
async def main():
    loop = asyncio.get_running_loop()
    made, lost = [], []
    class Server(Echo):
        def connection_made(self, transport):
            super().connection_made(transport)
            made.append(transport)
        def connection_lost(self, exc):
            lost.append(exc)
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=1100)
    address = server.sockets[0].getsockname()
    socks = burst(address, 1000)
    for i, sock in enumerate(socks):
        await loop.sock_sendall(sock, b"%d" % i)
    for i, sock in enumerate(socks):
        assert await loop.sock_recv(sock, 100) == b"%d" % i
    assert len(made) == 1000
    for sock in socks:
        sock.close()
    await ready(loop, lambda: len(lost) == 1000)
    server.close()
    await server.wait_closed()

if measure.allow_descriptors(2200):
    steady(main, 1000, warm=2, rounds=3)
    print("done")
else:
    print("too few descriptors")
"""
    )
    if out == ["too few descriptors"]:
        pytest.skip("the hard limit of descriptors is below 2,200")
    assert out == ["done"]


def test_a_burst_of_connections_reset_before_they_are_accepted(measured):
    out = measured(
        PRELUDE
        + BURST
        + """
import struct

async def main():
    loop = asyncio.get_running_loop()
    events = []
    class Server(Echo):
        def connection_made(self, transport):
            super().connection_made(transport)
            events.append("made")
        def connection_lost(self, exc):
            events.append("lost")
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=500)
    address = server.sockets[0].getsockname()
    for sock in burst(address, 200):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    _, client = await loop.create_connection(Client, *address)
    assert await client.arrived == b"hello"
    client.transport.close()
    await client.lost
    await ready(loop, lambda: events.count("made") == events.count("lost") >= 1)
    server.close()
    await server.wait_closed()

steady(main, 200, warm=2, rounds=3)
print("done")
"""
    )
    assert out == ["done"]


ROUNDS = {
    "streams": """
async def handler(reader, writer):
    writer.write(await reader.readline())
    writer.close()
    await writer.wait_closed()

async def one(address):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"line\\n")
    assert await reader.read() == b"line\\n"
    writer.close()
    await writer.wait_closed()

async def main():
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    await asyncio.gather(*(one(server.sockets[0].getsockname()) for _ in range(100)))
    server.close()
    await server.wait_closed()
    await settle([])
""",
    "streams-fed-in-every-way": """
async def one(n):
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=ours, limit=100)
    if n % 4 == 1:
        reader.feed_data = reader.feed_data
    elif n % 4 == 2:
        reader.mine, protocol = n, writer.transport.get_protocol()
        writer.transport.set_protocol(asyncio.StreamReaderProtocol(asyncio.StreamReader()))
        writer.transport.set_protocol(protocol)
    for size in (1, 1000):
        peer.send(b"x" * size)
        reading = asyncio.ensure_future(reader.readexactly(size))
        await asyncio.sleep(0)
        if n % 4 == 3:
            reading.cancel()
            await asyncio.wait([reading])
        else:
            assert len(await reading) == size
    vars(reader).clear()
    peer.send(b"for a broken reader")
    writer.transport.resume_reading()
    await asyncio.sleep(0.001)
    writer.transport.abort()
    peer.close()

async def main():
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    await asyncio.gather(*(one(n) for n in range(40)))
    await settle([])
""",
    "refused": """
holder = socket.socket()  # does not listen, and keeps the port from whoever would
holder.bind(("127.0.0.1", 0))
address = holder.getsockname()

async def main():
    loop = asyncio.get_running_loop()
    for _ in range(100):
        try:
            await loop.create_connection(Client, *address)
        except ConnectionRefusedError:
            pass
        else:
            raise AssertionError("connected")
""",
    "cancelled": """
async def main():
    loop = asyncio.get_running_loop()
    server, address = await served()
    for n in range(100):
        task = loop.create_task(loop.create_connection(Client, *address))
        for _ in range(n % 5):
            await asyncio.sleep(0)
        task.cancel()
        try:
            transport, _ = await task
        except asyncio.CancelledError:
            pass
        else:
            transport.abort()
    server.close()
    await server.wait_closed()
    await settle([])
""",
    "aborted-with-a-queue": """
async def main():
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(20):
        ours, peer = socket.socketpair()
        _, client = await loop.create_connection(Client, sock=ours)
        client.transport.write(b"x" * 1_000_000)
        client.transport.writelines([b"y" * 1000] * 100)
        assert client.transport.get_write_buffer_size() > 0
        client.transport.abort()
        clients.append(client)
        peer.close()
    await settle(clients)
""",
    "reset-by-the-peer": """
class Counted(Echo):
    gone = 0

    def connection_lost(self, exc):
        Counted.gone += 1

async def main():
    server, address = await served(Counted)
    Counted.gone = 0
    for _ in range(100):
        sock = socket.create_connection(address)
        sock.send(b"x")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        await asyncio.sleep(0)
        sock.close()
    while Counted.gone < 100:
        await asyncio.sleep(0.001)
    server.close()
    await server.wait_closed()
    await settle([])
""",
    "failing-protocols": """
class Failing(Client):
    def data_received(self, data):
        raise ZeroDivisionError

async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    server, address = await served()
    clients = [(await loop.create_connection(Failing, *address))[1] for _ in range(100)]
    server.close()
    await settle(clients)
    await server.wait_closed()
    await settle([])
""",
    "paused-and-resumed": """
async def main():
    loop = asyncio.get_running_loop()
    server, address = await served()
    clients = []
    for _ in range(50):
        transport, client = await loop.create_connection(Client, *address)
        for _ in range(10):
            transport.pause_reading()
            transport.resume_reading()
        transport.write(b"z" * 300_000)
        await client.arrived
        transport.abort()
        clients.append(client)
    server.close()
    await server.wait_closed()
    await settle(clients)
    await asyncio.sleep(0.01)
""",
    "names": """
async def main():
    loop = asyncio.get_running_loop()
    for host in ("127.0.0.1", "::1", "localhost"):
        for _ in range(30):
            await loop.getaddrinfo(host, 80, family=socket.AF_INET if host == "localhost" else 0)
            await loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
""",
    "servers": """
async def main():
    for _ in range(100):
        server, _ = await served()
        server.close()
        await server.wait_closed()
    await settle([])
""",
}


@pytest.mark.parametrize("name", ROUNDS)
def test_rounds_of(measured, name):
    assert measured(PRELUDE + ROUNDS[name] + "\nsteady(main, 100)\nprint('steady')") == ["steady"]


CERTIFICATES = """
from certificates import CA
authority = CA()
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert("localhost").configure_cert(server_context)
client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

def secured(address, **options):
    connect, tls = asyncio.get_running_loop().create_connection, {"ssl": client_context}
    made = (connect(Client, *address, server_hostname="localhost", **tls) for _ in range(20))
    return asyncio.gather(*made, **options)

async def end(server, made):
    await settle([client for _, client in made])
    server.close()
    await server.wait_closed()
    await settle([])
"""


def test_tls_connections(measured):
    source = """
authority.configure_trust(client_context)

async def main():
    server, address = await served(ssl=server_context)
    made = await secured(address)
    for transport, client in made:
        assert await client.arrived == b"hello"
        transport.close()
    await end(server, made)

steady(main, 20, size=512)
print("steady")
"""
    assert measured(PRELUDE + CERTIFICATES + source) == ["steady"]


def test_failed_tls_handshakes(measured):
    """The client does not trust the server: a burst of these once kept all its memory."""
    source = """
async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    server, address = await served(ssl=server_context)
    failures = await secured(address, return_exceptions=True)
    assert {type(failure) for failure in failures} == {ssl.SSLCertVerificationError}
    await end(server, [])
    await asyncio.sleep(0.01)

steady(main, 20, size=512)
print("steady")
"""
    assert measured(PRELUDE + CERTIFICATES + source) == ["steady"]


def test_tls_connections_that_break(measured):
    """After the handshake the server gets what is no record, and then data for a closed end."""
    source = """
authority.configure_trust(client_context)

class Shouting(Echo):
    def data_received(self, data):
        self.transport.write(data * 50_000)

async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    server, address = await served(Shouting, ssl=server_context)
    made = await secured(address)
    for transport, client in made:
        assert await client.arrived
        transport._ssl_protocol._transport.write(b"no record at all")
    await end(server, made)

steady(main, 20, size=512)
print("steady")
"""
    assert measured(PRELUDE + CERTIFICATES + source) == ["steady"]
