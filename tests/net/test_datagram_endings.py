"""The end of a datagram transport: what is still sent, and what is sent too late."""

import pytest
from datagram_peers import (
    Datagrams,
    endpoint,
    full,
    numbered,
    plain,
    taken,
)
from peers import ended, turns


def test_close_sends_what_is_queued_then_connection_is_lost(run, tmp_path):
    async def main():
        async with full(tmp_path) as (protocol, peer, sent):
            protocol.transport.close()
            assert protocol.transport.is_closing()
            assert repr(protocol.transport).split()[1] == "closing"
            protocol.transport.sendto(b"last")
            await turns()
            assert not protocol.lost.done()
            got = await taken(peer, sent + 1)
            assert got == [*(numbered(n) for n in range(sent)), b"last"]
            assert await ended(protocol.lost) is None
            assert repr(protocol.transport).split()[1] == "closed"

    run(main)


async def lost_sends(method):
    with plain() as (peer,):
        async with endpoint(remote_addr=peer.getsockname()) as protocol:
            getattr(protocol.transport, method)()
            for _ in range(10):
                protocol.transport.sendto(b"lost")
            await ended(protocol.lost)
            protocol.transport.sendto(b"lost")
            with pytest.raises(ValueError, match="Invalid address"):
                protocol.transport.sendto(b"lost", ("127.0.0.1", 1))
        with pytest.raises(BlockingIOError):
            peer.recv(100)


@pytest.mark.parametrize("method", ["close", "abort"])
def test_what_is_sent_to_a_remote_address_after_the_end_is_counted_and_warned_of(
    run, reports, method
):
    run(lost_sends, method)
    assert reports.take() == ["socket.send() raised exception."] * 7


def test_without_a_remote_address_sending_goes_on_until_the_connection_is_lost(run, reports):
    async def main():
        with plain() as (peer,):
            async with endpoint() as protocol:
                protocol.transport.close()
                for _ in range(10):
                    protocol.transport.sendto(b"not lost", peer.getsockname())
                await ended(protocol.lost)
                await turns()
                assert await taken(peer, 10) == [b"not lost"] * 10
                for address in (peer.getsockname(), None):
                    with pytest.raises(AttributeError, match="call_exception_handler"):
                        protocol.transport.sendto(b"lost", address)

    run(main)
    assert reports.take() == []


def test_sending_in_connection_lost_still_works(run):
    class Last(Datagrams):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            self.transport.sendto(b"goodbye", self.peer)
            self.transport.close()
            self.transport.abort()

    async def main():
        with plain() as (peer,):
            async with endpoint(Last) as protocol:
                protocol.peer = peer.getsockname()
                protocol.transport.close()
                assert await taken(peer, 1) == [b"goodbye"]
                await turns()
                assert protocol.events == ["made", "lost"]

    run(main)
