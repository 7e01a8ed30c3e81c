"""Datagrams that cannot be sent: who hears of them; and callbacks of the protocol that raise."""

import asyncio

import pytest
from datagram_peers import (
    HEADERS_STAY,
    Datagrams,
    address_of,
    arrived,
    endpoint,
    full,
    plain,
)
from helpers import HandlerCalls
from peers import ended, on_asyncio, turns, until


async def errors_of_a_queue(folder):
    """What is told when the peer of a transport with five packets in its queue goes away."""
    async with full(folder) as (protocol, peer, _):
        for _ in range(4):
            protocol.transport.sendto(b"more")
        peer.close()
        await until(lambda: len(protocol.errors) == 5)
        await turns()
        size = protocol.transport.get_write_buffer_size()
        protocol.transport.close()
        assert await ended(protocol.lost) is None
    (folder / "peer").unlink()
    return protocol.events, [exc.args for exc in protocol.errors], HEADERS_STAY or size


def test_each_packet_of_a_queue_has_its_own_error(run, tmp_path):
    found = run(errors_of_a_queue, tmp_path)
    assert found == on_asyncio(errors_of_a_queue, tmp_path)
    assert found[2] in (0, True)


def test_an_error_received_that_raises_is_reported_for_the_queue_and_raised_by_sendto(
    run, tmp_path
):
    class Failing(Datagrams):
        def error_received(self, exc):
            super().error_received(exc)
            raise ZeroDivisionError

    async def main():
        calls = HandlerCalls.of(asyncio.get_running_loop())
        async with full(tmp_path, Failing) as (protocol, peer, _):
            protocol.transport.sendto(b"more")
            peer.close()
            await until(lambda: len(calls) == 2)
            with pytest.raises(ZeroDivisionError):
                protocol.transport.sendto(b"and more")
            assert not protocol.transport.is_closing()
        assert len(protocol.errors) == 3
        for context in calls:
            assert type(context["exception"]) is ZeroDivisionError
            assert context["message"].startswith("Exception in callback ")
            assert context["message"].endswith("DatagramTransport._sendto_ready()")

    run(main)


@pytest.mark.parametrize("method", ["close", "abort"])
def test_an_end_in_error_received_is_the_end(run, tmp_path, method):
    class Ending(Datagrams):
        def error_received(self, exc):
            super().error_received(exc)
            if len(self.errors) == 2:
                getattr(self.transport, method)()

    async def main():
        async with full(tmp_path, Ending) as (protocol, peer, _):
            for _ in range(4):
                protocol.transport.sendto(b"more")
            peer.close()
            assert await ended(protocol.lost) is None
            assert len(protocol.errors) == (2 if method == "abort" else 5)

    run(main)


def test_a_failing_connection_made_does_not_keep_the_endpoint_from_working(run):
    class Failing(Datagrams):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise ZeroDivisionError

    async def main():
        calls = HandlerCalls.of(asyncio.get_running_loop())
        with plain() as (peer,):
            async with endpoint(Failing) as protocol:
                peer.sendto(b"hello", address_of(protocol))
                assert await arrived(protocol, 1) == [b"hello"]
        assert [type(exc) for exc in calls.exceptions] == [ZeroDivisionError]

    run(main)


def test_a_connection_lost_that_raises_is_reported_and_the_socket_closed(run):
    class Failing(Datagrams):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise ZeroDivisionError

    async def main():
        calls = HandlerCalls.of(asyncio.get_running_loop())
        async with endpoint(Failing) as protocol:
            sock = protocol.transport._sock
            protocol.transport.close()
            await ended(protocol.lost)
            await turns()
            assert sock.fileno() == -1
            assert protocol.transport._sock is None
        assert [type(exc) for exc in calls.exceptions] == [ZeroDivisionError]
        assert "_call_connection_lost" in calls[0]["message"]

    run(main)
