"""UDP: that datagram endpoints work at all, on IPv4, on IPv6, connected and not."""

import asyncio

import pytest
from peers import IPV6_TROUBLE, LOOPBACK, ended, until


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self):
        self.received, self.errors = [], []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.received.append((data, addr))

    def error_received(self, exc):
        self.errors.append(exc)

    def connection_lost(self, exc):
        self.lost.set_result(exc)


async def endpoint(**kwargs):
    loop = asyncio.get_running_loop()
    return (await loop.create_datagram_endpoint(Datagrams, **kwargs))[1]


async def closed(*protocols):
    for protocol in protocols:
        protocol.transport.close()
        assert await ended(protocol.lost) is None


no_ipv6 = pytest.mark.skipif(IPV6_TROUBLE is not None, reason=str(IPV6_TROUBLE))


@pytest.mark.parametrize("host", [LOOPBACK, pytest.param("::1", marks=no_ipv6)])
def test_question_and_answer(run, host):
    async def main():
        server = await endpoint(local_addr=(host, 0))
        address = server.transport.get_extra_info("sockname")
        client = await endpoint(remote_addr=address[:2])
        client.transport.sendto(b"question")
        await until(lambda: server.received)
        data, sender = server.received[0]
        assert data == b"question"
        assert sender == client.transport.get_extra_info("sockname")
        server.transport.sendto(b"answer", sender)
        await until(lambda: client.received)
        assert client.received == [(b"answer", address)]
        await closed(client, server)

    run(main)


def test_every_datagram_keeps_its_bounds(run):
    async def main():
        server = await endpoint(local_addr=(LOOPBACK, 0))
        client = await endpoint(remote_addr=server.transport.get_extra_info("sockname"))
        sent = [b"x" * size for size in (1, 0, 1000, 9000, 3)]
        for n, data in enumerate(sent, 1):
            client.transport.sendto(data)
            if data:  # versions differ in whether an empty one is sent
                await until(lambda n=n: len([d for d, _ in server.received if d]) >= n - (n > 2))
        assert [data for data, _ in server.received if data] == [data for data in sent if data]
        await closed(client, server)

    run(main)


def test_abort_and_close_end_it_once(run):
    async def main():
        protocol = await endpoint(local_addr=(LOOPBACK, 0))
        protocol.transport.abort()
        protocol.transport.close()
        assert await ended(protocol.lost) is None
        assert protocol.transport.is_closing()

    run(main)


def test_a_wrong_type_is_a_type_error(run):
    async def main():
        protocol = await endpoint(remote_addr=(LOOPBACK, 9))
        with pytest.raises(TypeError, match="data argument must be"):
            protocol.transport.sendto("text")
        await closed(protocol)

    run(main)
