"""pause_reading, resume_reading, is_reading and changing the protocol of a live connection."""

import asyncio
import gc
import sys
import weakref

import pytest
from peers import Buffered, Recorder, connection, ended, take, tcp_pair, turns, until, with_peer


def test_pause_reading_stops_the_data_until_resume_reading(run):
    async def main():
        async with with_peer() as (protocol, peer):
            assert protocol.transport.is_reading()
            assert protocol.transport.pause_reading() is None
            assert not protocol.transport.is_reading()
            peer.send(b"waiting")
            await turns(20)
            assert protocol.data == b""
            assert protocol.transport.resume_reading() is None
            assert protocol.transport.is_reading()
            assert await protocol.received(7) == b"waiting"

    run(main)


def test_pausing_and_resuming_twice_is_harmless(run):
    async def main():
        async with with_peer() as (protocol, peer):
            transport = protocol.transport
            transport.resume_reading()
            transport.pause_reading()
            transport.pause_reading()
            assert not transport.is_reading()
            transport.resume_reading()
            assert transport.is_reading()
            transport.resume_reading()
            peer.send(b"x")
            assert await protocol.received(1) == b"x"

    run(main)


@pytest.mark.parametrize("when", ["closing", "closed"])
def test_a_closed_transport_neither_reads_nor_resumes(run, when):
    async def main():
        async with with_peer() as (protocol, peer):
            transport = protocol.transport
            transport.close()
            if when == "closed":
                await ended(protocol.lost)
            peer.send(b"x")
            assert not transport.is_reading()
            transport.pause_reading()
            transport.resume_reading()
            assert not transport.is_reading()
            await ended(protocol.lost)
            await turns()
            return protocol.events

    assert run(main) == ["made", "lost"]


def test_a_paused_transport_that_is_closed_never_reads_again(run):
    async def main():
        async with with_peer() as (protocol, peer):
            protocol.transport.pause_reading()
            peer.send(b"unread")
            protocol.transport.close()
            protocol.transport.resume_reading()
            await ended(protocol.lost)
            return protocol.events

    assert run(main) == ["made", "lost"]


def test_pausing_inside_connection_made_holds_the_first_data_back(run, loop_kind):
    if loop_kind == "asyncio" and sys.version_info < (3, 11, 7):
        pytest.skip("early 3.11 reads all the same")

    class Paused(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    async def main():
        async with with_peer(Paused) as (protocol, peer):
            peer.send(b"early")
            await turns(20)
            assert protocol.data == b""
            protocol.transport.resume_reading()
            assert await protocol.received(5) == b"early"

    run(main)


def test_pausing_inside_data_received_holds_the_rest_back(run):
    class Pausing(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()

    async def main():
        async with with_peer(Pausing) as (protocol, peer):
            protocol.transport.pause_reading()
            sent = peer.send(b"x" * (4 << 20))
            protocol.transport.resume_reading()
            while len(protocol.data) < sent:
                before = len(protocol.data)
                await until(lambda before=before: len(protocol.data) > before)
                after = len(protocol.data)
                await turns(10)
                assert len(protocol.data) == after
                protocol.transport.resume_reading()

    run(main)


def test_pausing_and_resuming_in_one_callback_loses_nothing(run):
    class Flipping(Recorder):
        def data_received(self, data):
            self.transport.pause_reading()
            super().data_received(data)
            self.transport.resume_reading()

    async def main():
        async with connection(server=Flipping) as (near, far):
            payload = bytes(range(256)) * 4096
            near.transport.write(payload)
            assert await far.received(len(payload)) == payload

    run(main)


def test_eof_waits_until_reading_is_resumed(run):
    async def main():
        async with with_peer() as (protocol, peer):
            protocol.transport.pause_reading()
            peer.send(b"last words")
            peer.close()
            await turns(20)
            assert protocol.events == ["made"]
            protocol.transport.resume_reading()
            await ended(protocol.lost)
            assert protocol.data == b"last words"
            return protocol.events

    assert run(main) == ["made", "data", "eof", "lost"]


def test_writing_goes_on_while_reading_is_paused(run):
    async def main():
        async with with_peer() as (protocol, peer):
            protocol.transport.pause_reading()
            protocol.transport.write(b"x" * 1_000_000)
            assert len(await take(peer, 1_000_000)) == 1_000_000

    run(main)


def test_get_protocol_gives_the_protocol(run):
    async def main():
        async with with_peer() as (protocol, _):
            assert protocol.transport.get_protocol() is protocol
            other = Recorder()
            assert protocol.transport.set_protocol(other) is None
            assert protocol.transport.get_protocol() is other
            protocol.transport.set_protocol(protocol)

    run(main)


@pytest.mark.parametrize("second", [Recorder, Buffered])
@pytest.mark.parametrize("first", [Recorder, Buffered])
def test_set_protocol_moves_the_data_to_the_new_one(run, first, second):
    async def main():
        async with with_peer(first) as (old, peer):
            peer.send(b"old")
            assert await old.received(3) == b"old"
            new = second()
            new.transport = old.transport
            old.transport.set_protocol(new)
            peer.send(b"new")
            assert await new.received(3) == b"new"
            peer.close()
            assert await ended(new.lost) is None
            old.lost.set_result(None)  # the old one hears nothing more
            return old.events, new.events

    assert run(main) == (["made", "data"], ["data", "eof", "lost"])


@pytest.mark.parametrize("second", [Recorder, Buffered])
@pytest.mark.parametrize("first", [Recorder, Buffered])
def test_set_protocol_inside_the_data_callback(run, first, second):
    made = []

    class Switching(first):
        def switch(self):
            made.append(second())
            made[0].transport = self.transport
            self.transport.set_protocol(made[0])
            self.transport.pause_reading()  # the callback may not be called again before ours

        if first is Recorder:

            def data_received(self, data):
                super().data_received(data)
                self.switch()

        else:

            def buffer_updated(self, nbytes):
                super().buffer_updated(nbytes)
                self.switch()

    async def main():
        async with with_peer(Switching) as (old, peer):
            peer.send(b"a")
            await until(lambda: made)
            (new,) = made
            new.transport.resume_reading()
            peer.send(b"b")
            assert await new.received(1) == b"b"
            peer.close()
            await ended(new.lost)
            old.lost.set_result(None)
            return bytes(old.data), bytes(new.data)

    assert run(main) == (b"a", b"b")


def test_a_chain_of_protocols_sees_every_byte_once(run):
    """Each protocol takes what one callback brings and hands over to the next."""
    parts = []

    class Link(Recorder):
        def data_received(self, data):
            parts.append(bytes(data))
            successor = Link()
            successor.transport = self.transport
            self.transport.set_protocol(successor)

        def connection_lost(self, exc):
            finished.set_result(exc)

    async def main():
        nonlocal finished
        finished = asyncio.get_running_loop().create_future()
        payload = bytes(range(256)) * 2048
        async with with_peer() as (first, peer):
            link = Link()
            link.transport = first.transport
            first.transport.set_protocol(link)
            view = memoryview(payload)
            while view:
                try:
                    view = view[peer.send(view) :]
                except BlockingIOError:
                    await asyncio.sleep(0)
            peer.close()
            await ended(finished)
            first.lost.set_result(None)
        return payload

    finished = None
    assert run(main) == b"".join(parts)
    assert len(parts) > 1


def test_a_protocol_replaced_before_the_end_hears_no_connection_lost(run):
    async def main():
        async with with_peer() as (old, _):
            new = Recorder()
            transport = old.transport
            transport.close()
            transport.set_protocol(new)
            await ended(new.lost)
            old.lost.set_result(None)
            return old.events, new.events

    assert run(main) == (["made"], ["lost"])


def test_large_data_arrives_whole_in_a_protocol(run):
    async def main():
        async with connection() as (near, far):
            payload = b"".join(n.to_bytes(4, "big") for n in range(500_000))
            near.transport.write(payload)
            assert await far.received(len(payload)) == payload

    run(main)


def test_received_data_is_bytes_of_the_receiver(run):
    kinds = []

    class Keeping(Recorder):
        def data_received(self, data):
            kinds.append(data)
            super().data_received(data)

    async def main():
        async with with_peer(Keeping) as (protocol, peer):
            for n in range(50):
                peer.send(bytes([n]) * 100)
                await protocol.received(100 * (n + 1))

    run(main)
    assert {type(data) for data in kinds} == {bytes}
    assert b"".join(kinds) == b"".join(bytes([n]) * 100 for n in range(50))


@pytest.mark.parametrize("kind", [Recorder, Buffered])
def test_a_protocol_may_be_dropped_inside_its_own_callback(run, kind):
    """set_protocol() takes the last reference to the one whose callback runs."""
    alive, after = [], []

    class Leaving(kind):
        def leave(self):
            new = Recorder()
            new.transport = self.transport
            after.append(new)
            self.transport.set_protocol(new)
            assert self.room  # the frame still has its self

        room = 4096

        if kind is Recorder:

            def data_received(self, data):
                self.leave()

        else:

            def buffer_updated(self, nbytes):
                self.leave()

    async def main():
        loop = asyncio.get_running_loop()
        ours, peer = tcp_pair()
        with peer:
            transport, protocol = await loop.create_connection(Leaving, sock=ours)
            alive.append(weakref.ref(protocol))
            del protocol
            peer.send(b"x")
            await until(lambda: after)
            await turns()
            gc.collect()
            assert alive[0]() is None
            peer.send(b"y")
            assert await after[0].received(1) == b"y"
            transport.close()
            assert await ended(after[0].lost) is None

    run(main)


def test_a_callable_that_replaces_itself_survives_its_call(run):
    """The bound method is dropped by what it calls: the transport may hold the only one."""

    class Swapping(Recorder):
        def data_received(self, data):
            Recorder.data_received(self, data)
            type(self).data_received = Recorder.data_received
            gc.collect()
            Recorder.data_received(self, b"|")

    async def main():
        async with with_peer(Swapping) as (protocol, peer):
            peer.send(b"a")
            assert await protocol.received(2) == b"a|"
            peer.send(b"b")
            assert await protocol.received(3) == b"a|b"

    run(main)
