"""Random programs of packets: sizes, peers, pauses; and of queues: what is told, and when."""

import asyncio
import socket
from itertools import count

from datagram_peers import Datagrams, address_of, drains, endpoint, plain, taken
from helpers import only_pyaio
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import both_families, on_asyncio, turns

PEERS = 5
#: Twelve bursts of them fit into the buffer of a socket that nobody reads.
SIZES = st.sampled_from([0, 1, 2, 100, 512, 1400])

RECEIVING = st.lists(
    st.one_of(
        st.tuples(
            st.just("burst"), st.lists(st.tuples(st.integers(0, PEERS - 1), SIZES), max_size=8)
        ),
        st.tuples(st.just("large"), st.integers(0, PEERS - 1), st.integers(2000, 60_000)),
        st.tuples(st.just("answer"), st.integers(0, PEERS - 1), SIZES),
        st.tuples(st.just("turns"), st.integers(1, 3)),
        st.just(("pause",)),
        st.just(("resume",)),
        st.just(("hand over",)),
    ),
    max_size=12,
)


class Program:
    """Runs a program of RECEIVING: an endpoint, some plain peers, and what has to arrive."""

    def __init__(self, protocol, peers):
        self.protocol, self.transport, self.peers = protocol, protocol.transport, peers
        self.protocols = [protocol]
        self.number = count()
        self.sent = []
        self.answers = {peer: [] for peer in range(len(peers))}

    def data(self, size):
        return (b"%d " % next(self.number) + bytes(size))[:size]

    @property
    def received(self):
        return [packet for protocol in self.protocols for packet in protocol.received]

    async def drained(self):
        """Everything that was sent has arrived: the socket's own buffer holds only so much."""
        async with asyncio.timeout(10):
            while len(self.received) < len(self.sent):
                await asyncio.sleep(0.0005)

    async def step(self, kind, *args):
        match kind, args:
            case "burst", (packets,):
                for peer, size in packets:
                    self.send(peer, size)
            case "large", (peer, size):
                self.transport.resume_reading()
                await self.drained()
                self.send(peer, size)
                await self.drained()
            case "answer", (peer, size):
                data = b"answer" + self.data(size)  # no version sends nothing of it
                self.answers[peer].append(data)
                self.transport.sendto(data, self.peers[peer].getsockname())
            case "turns", (number,):
                await turns(number)
            case "pause", ():
                self.transport.pause_reading()
                before = len(self.received)
                await turns(2)
                assert len(self.received) == before
            case "resume", ():
                self.transport.resume_reading()
            case "hand over", ():
                heir = Datagrams()
                heir.lost = self.protocol.lost
                self.protocols.append(heir)
                self.transport.set_protocol(heir)

    def send(self, peer, size):
        data = self.data(size)
        self.peers[peer].sendto(data, address_of(self.protocol))
        self.sent.append((data, self.peers[peer].getsockname()))


@both_families
@given(steps=RECEIVING)
@settings(max_examples=40)
def test_every_packet_arrives_once_in_order_with_its_address(run, host, steps):
    async def main():
        with plain(PEERS, host) as peers:
            async with endpoint(local_addr=(host, 0)) as protocol:
                program = Program(protocol, peers)
                for step in steps:
                    await program.step(*step)
                program.transport.resume_reading()
                await program.drained()
                await turns(2)
                assert program.received == program.sent
                for number, answers in program.answers.items():
                    assert await taken(peers[number], len(answers)) == answers
                program.transport.set_protocol(protocol)

    run(main)


QUEUEING = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 30), st.sampled_from([1, 50, 1000, 30_000])),
        st.tuples(st.just("take"), st.integers(1, 30)),
        st.tuples(st.just("limits"), st.integers(0, 50_000)),
        st.tuples(st.just("turns"), st.just(2)),
        st.just(("close",)),
        st.just(("abort",)),
    ),
    max_size=14,
)


async def queue_of(steps, folder):
    """What a connected Unix endpoint and its peer, a plain socket, see of a program of QUEUEING."""
    log = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        path = folder / "peer"
        peer.bind(str(path))
        peer.setblocking(False)
        async with endpoint(family=socket.AF_UNIX, remote_addr=str(path)) as protocol:
            transport, number = protocol.transport, count()
            ended_by = None
            for kind, *args in steps:
                match kind, args:
                    case "send", (packets, size):
                        for _ in range(packets):
                            transport.sendto((b"%d " % next(number) + bytes(size))[:size])
                    case "take", (packets,):
                        await turns(2)
                        for _ in range(packets):
                            try:
                                log.append(peer.recv(1 << 16))
                            except BlockingIOError:
                                break
                        await turns(2)
                    # Before 3.15 asyncio still counts, and pauses for, what abort() has dropped.
                    case "limits", (high,) if ended_by != "abort":
                        transport.set_write_buffer_limits(high)
                    case "turns", (turn_count,):
                        await turns(turn_count)
                    case (("close" | "abort"), ()) if ended_by is None:
                        getattr(transport, kind)()
                        ended_by = kind
                if ended_by is None:
                    log.append((kind, transport.get_write_buffer_size()))
                log.extend(protocol.events)
                protocol.events.clear()
                if ended_by is not None and protocol.lost.done():
                    break
        path.unlink()
    return log


@drains
@only_pyaio
@given(steps=QUEUEING)
@settings(max_examples=60)
def test_a_queue_is_told_of_as_on_asyncio(run, reports, tmp_path, steps):
    found = run(queue_of, steps, tmp_path), reports.take()
    assert found == (on_asyncio(queue_of, steps, tmp_path), reports.take())
