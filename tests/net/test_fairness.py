"""A connection that always has data holds up neither the others nor tasks nor timers."""

import asyncio

import pytest
from helpers import HandlerCalls
from peers import Buffered, Recorder, connection, ended, finish, tcp_pair, until, with_peer


class Flood(Recorder):
    """Sends back at once whatever arrives: between two of these the data never ends."""

    room = 1 << 18

    def data_received(self, data):
        self.count = getattr(self, "count", 0) + len(data)
        if not self.transport.is_closing():
            self.transport.write(data)


class BufferedFlood(Flood, Buffered):
    data_received = None

    def buffer_updated(self, nbytes):
        Flood.data_received(self, bytes(self.buffer[:nbytes]))


@pytest.fixture(params=[Flood, BufferedFlood], ids=["protocol", "buffered"])
def flood(request):
    return request.param


def flooded(flood):
    """A pair between which 2 MB go to and fro for ever."""
    return connection(flood, flood)


def test_others_are_served(run, flood):
    async def main():
        async with flooded(flood) as (near, _), connection(server=Flood) as (asking, _):
            near.transport.write(b"x" * 2_000_000)
            for n in range(1, 201):
                asking.transport.write(b"?")
                await asking.received(n)
            before = near.count
            await until(lambda: near.count > before)

    run(main)


def test_new_connections_are_accepted(run, flood):
    async def main():
        async with flooded(flood) as (near, _):
            near.transport.write(b"x" * 2_000_000)
            for _ in range(20):
                async with connection() as (client, server):
                    client.transport.write(b"hi")
                    await server.received(2)

    run(main)


def test_tasks_and_timers_go_on(run, flood):
    async def main():
        async with flooded(flood) as (near, _):
            near.transport.write(b"x" * 2_000_000)
            for _ in range(200):
                await asyncio.sleep(0)
            for _ in range(20):
                await asyncio.sleep(0.001)
            before = near.count
            await until(lambda: near.count > before)

    run(main)


def test_a_task_that_never_stops_yielding_does_not_hold_up_connections(run, flood):
    async def main():
        stop = False

        async def spin():
            while not stop:
                await asyncio.sleep(0)

        spinning = asyncio.ensure_future(spin())
        async with connection(server=flood) as (asking, _):
            for n in range(1, 201):
                asking.transport.write(b"?")
                await asking.received(n)
        stop = True
        await spinning

    run(main)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit])
def test_a_callback_that_stops_the_program_loses_no_data_of_others(loop, failure):
    """Ten connections have data in the same poll; the callbacks of some raise."""
    loop.set_exception_handler(HandlerCalls())
    pairs = [tcp_pair() for _ in range(10)]
    protocols = []

    class Raising(Recorder):
        def data_received(self, data):
            super().data_received(data)
            if protocols.index(self) % 3 == 1:
                raise failure

    async def setup():
        for ours, _ in pairs:
            protocols.append((await loop.create_connection(Raising, sock=ours))[1])

    async def everyone_has_data():
        await until(lambda: all(protocol.data for protocol in protocols))

    loop.run_until_complete(setup())
    for _, peer in pairs:
        peer.send(b"data")
    waiting = loop.create_task(everyone_has_data())
    stops = 0
    while not waiting.done():
        try:
            loop.run_until_complete(waiting)
        except failure:
            stops += 1
    waiting.result()
    assert stops == 3
    loop.run_until_complete(finish(*protocols))
    assert [bytes(protocol.data) for protocol in protocols] == [b"data"] * 10
    for _, peer in pairs:
        peer.close()


def test_a_callback_may_close_other_connections_that_have_data_in_the_same_poll(run):
    class Closing(Recorder):
        others = ()

        def data_received(self, data):
            super().data_received(data)
            for other in self.others:
                if other is not self:
                    other.transport.abort()

    async def main():
        loop = asyncio.get_running_loop()
        pairs = [tcp_pair() for _ in range(10)]
        Closing.others = [(await loop.create_connection(Closing, sock=s))[1] for s, _ in pairs]
        for _, peer in pairs:
            peer.send(b"data")
        await until(lambda: sum(p.lost.done() for p in Closing.others) == 9)
        survivors = [p for p in Closing.others if not p.lost.done()]
        assert [bytes(p.data) for p in survivors] == [b"data"]
        await finish(*Closing.others)
        for _, peer in pairs:
            peer.close()
        return sorted(len(p.data) for p in Closing.others)

    assert run(main) == [0] * 9 + [4]


def test_resuming_inside_the_callback_of_another(run):
    """A proxy: what one end receives resumes the other."""

    class Proxy(Recorder):
        partner = None

        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()
            self.partner.transport.resume_reading()

    async def main():
        async with with_peer(Proxy) as (left, a), with_peer(Proxy) as (right, b):
            left.partner, right.partner = right, left
            right.transport.pause_reading()
            for n in range(1, 51):
                for protocol, peer in ((left, a), (right, b)):
                    peer.send(b"x")
                    await protocol.received(n)
                    assert not protocol.transport.is_reading()
            await ended_by_peers((left, a), (right, b))

    async def ended_by_peers(*ends):
        for protocol, peer in ends:
            peer.close()
            protocol.transport.resume_reading()
            await ended(protocol.lost)

    run(main)
