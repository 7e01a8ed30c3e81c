"""write_eof, eof_received and connections of which one direction is closed."""

import socket

import pytest
from peers import Buffered, Open, Recorder, connection, ended, fill, take, turns, with_peer


def test_write_eof_closes_one_direction_only(run):
    async def main():
        async with with_peer() as (protocol, peer):
            assert protocol.transport.can_write_eof() is True
            protocol.transport.write(b"question")
            assert protocol.transport.write_eof() is None
            assert await take(peer, 100) == b"question"
            peer.send(b"answer")
            assert await protocol.received(6) == b"answer"
            assert not protocol.transport.is_closing()
            assert protocol.transport.is_reading()

    run(main)


def test_write_eof_comes_after_what_is_queued(run):
    async def main():
        async with with_peer() as (protocol, peer):
            written = fill(protocol.transport)
            protocol.transport.write_eof()
            assert len(await take(peer, written + 1)) == written

    run(main)


@pytest.mark.parametrize("queued", [False, True], ids=["sent-at-once", "queued"])
@pytest.mark.parametrize("data", [b"x", b""])
def test_writing_after_write_eof_is_a_runtime_error(run, queued, data):
    async def main():
        async with with_peer() as (protocol, _):
            if queued:
                fill(protocol.transport)
            protocol.transport.write_eof()
            with pytest.raises(RuntimeError, match=r"Cannot call write\(\) after write_eof\(\)"):
                protocol.transport.write(data)
            with pytest.raises(RuntimeError, match="after write_eof"):
                protocol.transport.writelines([data])

    run(main)


def test_a_wrong_type_after_write_eof_is_still_a_type_error(run):
    async def main():
        async with with_peer() as (protocol, _):
            protocol.transport.write_eof()
            with pytest.raises(TypeError, match="data argument must be"):
                protocol.transport.write("text")

    run(main)


def test_write_eof_twice_and_after_close_is_harmless(run):
    async def main():
        async with with_peer() as (protocol, _):
            protocol.transport.write_eof()
            protocol.transport.write_eof()
            protocol.transport.close()
            protocol.transport.write_eof()
            assert await ended(protocol.lost) is None
            protocol.transport.write_eof()
            return protocol.events

    assert run(main) == ["made", "lost"]


@pytest.mark.parametrize("kind", [Recorder, Buffered])
@pytest.mark.parametrize("answer", [True, 1, "yes"])
def test_eof_received_returning_true_keeps_the_connection(run, kind, answer):
    class Staying(kind):
        keep_open = answer

    async def main():
        async with with_peer(Staying) as (protocol, peer):
            peer.shutdown(socket.SHUT_WR)
            await ended(protocol.ended)
            await turns()
            assert not protocol.transport.is_closing()
            protocol.transport.write(b"still here")
            assert await take(peer, 10) == b"still here"
            protocol.transport.close()
            assert await ended(protocol.lost) is None
            return protocol.events

    assert run(main) == ["made", "eof", "lost"]


@pytest.mark.parametrize("kind", [Recorder, Buffered])
@pytest.mark.parametrize("answer", [None, False, 0])
def test_eof_received_returning_false_closes_the_connection(run, kind, answer):
    class Closing(kind):
        keep_open = answer

    async def main():
        async with with_peer(Closing) as (protocol, peer):
            peer.shutdown(socket.SHUT_WR)
            assert await ended(protocol.lost) is None
            assert await take(peer, 1) == b""
            return protocol.events

    assert run(main) == ["made", "eof", "lost"]


def test_eof_after_which_everything_queued_is_still_sent(run):
    async def main():
        async with with_peer() as (protocol, peer):
            written = fill(protocol.transport)
            peer.shutdown(socket.SHUT_WR)
            await ended(protocol.ended)
            assert len(await take(peer, written + 1)) == written
            assert await ended(protocol.lost) is None

    run(main)


def test_both_directions_closed_by_hand(run):
    async def main():
        async with connection(Open, Open) as (near, far):
            near.transport.write_eof()
            await ended(far.ended)
            far.transport.write(b"after your eof")
            far.transport.write_eof()
            await ended(near.ended)
            assert near.data == b"after your eof"
            for protocol in (near, far):
                protocol.transport.close()
                assert await ended(protocol.lost) is None

    run(main)


def test_eof_is_told_once(run):
    async def main():
        async with with_peer(Open) as (protocol, peer):
            peer.shutdown(socket.SHUT_WR)
            await ended(protocol.ended)
            protocol.transport.write(b"x")
            await take(peer, 1)
            await turns()
            return protocol.events[:]

    assert run(main) == ["made", "eof"]


def test_close_inside_eof_received(run):
    class Closing(Open):
        def eof_received(self):
            self.transport.close()
            return super().eof_received()

    async def main():
        async with with_peer(Closing) as (protocol, peer):
            peer.shutdown(socket.SHUT_WR)
            assert await ended(protocol.lost) is None
            return protocol.events

    assert run(main) == ["made", "eof", "lost"]


def test_writing_inside_eof_received(run):
    class Answering(Recorder):
        def eof_received(self):
            self.transport.write(b"bye")
            return super().eof_received()

    async def main():
        async with with_peer(Answering) as (protocol, peer):
            peer.shutdown(socket.SHUT_WR)
            assert await take(peer, 100) == b"bye"
            assert await ended(protocol.lost) is None

    run(main)
