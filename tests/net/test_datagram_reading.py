"""Packets come one after the other, in order, and what a callback does has its effect at once."""

import asyncio
import contextvars
import os
import socket
import sys

import pytest
from datagram_peers import Datagrams, address_of, arrived, endpoint, plain, taken
from helpers import HandlerCalls
from peers import LOOPBACK, both_families, ended, turns, until


def burst(sender, protocol, count, first=0):
    for n in range(first, first + count):
        sender.sendto(b"%d" % n, address_of(protocol))


def numbers(count, first=0):
    return [b"%d" % n for n in range(first, first + count)]


def test_a_burst_larger_than_one_turns_share_comes_in_order(run):
    async def main():
        with plain() as (sender,):
            async with endpoint() as protocol:
                burst(sender, protocol, 150)
                assert await arrived(protocol, 150) == numbers(150)
                assert {addr for _, addr in protocol.received} == {sender.getsockname()}

    run(main)


def test_two_endpoints_with_much_to_read_take_turns(run):
    order = []

    def factory(name):
        class Noting(Datagrams):
            def datagram_received(self, data, addr):
                super().datagram_received(data, addr)
                order.append(name)

        return Noting

    async def main():
        with plain() as (sender,):
            async with endpoint(factory("a")) as a, endpoint(factory("b")) as b:
                burst(sender, a, 150)
                burst(sender, b, 150)
                await arrived(a, 150)
                await arrived(b, 150)

    run(main)
    assert sorted(order) == ["a"] * 150 + ["b"] * 150
    last = {name: 299 - order[::-1].index(name) for name in "ab"}
    assert order.index("a") < last["b"]
    assert order.index("b") < last["a"]


def test_tasks_run_between_the_packets_of_an_endpoint_that_always_has_some(run):
    async def main():
        class Feeding(Datagrams):
            """Each packet brings another one."""

            def datagram_received(self, data, addr):
                super().datagram_received(data, addr)
                sender.sendto(data, address_of(self))

        with plain() as (sender,):
            async with endpoint(Feeding) as protocol:
                burst(sender, protocol, 2)
                await until(lambda: len(protocol.received) > 100)
                assert set(protocol.packets) == {b"0", b"1"}

    run(main)


def test_no_packet_comes_after_pause_reading_in_a_callback(run):
    async def main():
        class Pausing(Datagrams):
            def datagram_received(self, data, addr):
                super().datagram_received(data, addr)
                self.transport.pause_reading()

        with plain() as (sender,):
            async with endpoint(Pausing) as protocol:
                burst(sender, protocol, 5)
                for n in range(1, 6):
                    await arrived(protocol, n)
                    await turns()
                    assert protocol.packets == numbers(n)
                    assert not protocol.transport.is_reading()
                    protocol.transport.resume_reading()
                    assert protocol.transport.is_reading()

    run(main)


def test_another_protocol_gets_the_next_packet(run):
    async def main():
        class Handing(Datagrams):
            def datagram_received(self, data, addr):
                super().datagram_received(data, addr)
                self.transport.set_protocol(heir)
                assert self.transport.get_protocol() is heir

        heir = Datagrams()
        heir.lost.cancel()
        with plain() as (sender,):
            async with endpoint(Handing) as protocol:
                burst(sender, protocol, 5)
                assert await arrived(heir, 4) == numbers(4, first=1)
                assert protocol.packets == numbers(1)
                protocol.transport.set_protocol(protocol)

    run(main)


@pytest.mark.parametrize("on", ["instance", "class"])
def test_datagram_received_replaced_in_the_middle_is_called(run, on):
    async def main():
        late = []

        class Changing(Datagrams):
            def datagram_received(self, data, addr):
                super().datagram_received(data, addr)
                if on == "instance":
                    self.datagram_received = lambda data, addr: late.append(data)
                else:
                    Changing.datagram_received = lambda self, data, addr: late.append(data)

        with plain() as (sender,):
            async with endpoint(Changing) as protocol:
                burst(sender, protocol, 3)
                await until(lambda: len(late) == 2)
                assert (protocol.packets, late) == (numbers(1), numbers(2, first=1))

    run(main)


def endpoint_with_five_waiting(loop, sender, after):
    """An endpoint of a loop that does not run; after(protocol) is called for each packet."""

    class Calling(Datagrams):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            after(self)

    async def make():
        return (await loop.create_datagram_endpoint(Calling, local_addr=(LOOPBACK, 0)))[1]

    protocol = loop.run_until_complete(make())
    burst(sender, protocol, 5)
    return protocol


def end(loop, protocol):
    protocol.transport.abort()
    loop.run_until_complete(ended(protocol.lost))


def test_a_loop_that_is_stopped_leaves_the_rest_for_its_next_run(loop):
    with plain() as (sender,):
        protocol = endpoint_with_five_waiting(loop, sender, lambda protocol: loop.stop())
        for n in range(1, 6):
            loop.run_forever()
            assert protocol.packets == numbers(n)
        end(loop, protocol)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_run_loses_no_packet(loop, kind):
    def leave(protocol):
        if len(protocol.received) < 5:
            raise kind

    with plain() as (sender,):
        protocol = endpoint_with_five_waiting(loop, sender, leave)
        for n in range(1, 5):
            with pytest.raises(kind):
                loop.run_forever()
            assert protocol.packets == numbers(n)
        loop.run_until_complete(arrived(protocol, 5))
        assert protocol.packets == numbers(5)
        end(loop, protocol)


@pytest.mark.parametrize("callback", ["datagram_received", "error_received"])
def test_an_exception_is_reported_as_of_the_callback_that_reads(run, callback):
    class Failing(Datagrams):
        pass

    def failing(self, *args):
        self.events.append("failed")
        raise ZeroDivisionError(callback)

    setattr(Failing, callback, failing)

    async def main():
        calls = HandlerCalls.of(asyncio.get_running_loop())
        with plain() as (sender,):
            address = sender.getsockname()
            async with endpoint(Failing, remote_addr=address) as protocol:
                if callback == "error_received":
                    sender.close()
                    protocol.transport.sendto(b"is anybody there?")
                else:
                    burst(sender, protocol, 2)
                failures = 1 if callback == "error_received" else 2
                await until(lambda: len(calls) == failures)
                assert not protocol.transport.is_closing()
        assert [type(exc) for exc in calls.exceptions] == [ZeroDivisionError] * failures
        for context in calls:
            assert context["message"].startswith("Exception in callback ")
            assert context["message"].endswith("DatagramTransport._read_ready()")

    run(main)


@both_families
def test_each_of_many_peers_is_known_by_its_address_and_gets_its_answer(run, host):
    """More peers than anybody keeps addresses of, in an order in which each is another one."""

    async def main():
        class Answering(Datagrams):
            def datagram_received(self, data, addr):
                super().datagram_received(data, addr)
                self.transport.sendto(data[::-1], addr)

        async with endpoint(Answering, local_addr=(host, 0)) as protocol:
            for _ in range(7):
                with plain(100, host) as peers:
                    await talk(protocol, peers)

    async def talk(protocol, peers):
        names = [peer.getsockname() for peer in peers]
        protocol.received.clear()
        for n in range(300):
            peers[n * 7 % 100].sendto(b"from %d" % n, address_of(protocol))
            if n % 10 == 9:
                await arrived(protocol, n + 1)
        assert protocol.received == [(b"from %d" % n, names[n * 7 % 100]) for n in range(300)]
        for number, peer in enumerate(peers):
            expected = [n for n in range(300) if n * 7 % 100 == number]
            assert await taken(peer, 3) == [(b"from %d" % n)[::-1] for n in expected]

    run(main)


def test_the_address_of_a_packet_is_a_tuple_to_keep_and_to_look_up_by(run):
    async def main():
        with plain(2) as peers:
            numbers_of = {peer.getsockname(): n for n, peer in enumerate(peers)}
            async with endpoint() as protocol:
                for n in range(6):
                    peers[n % 2].sendto(b"", address_of(protocol))
                await arrived(protocol, 6)
        addresses = [address for _, address in protocol.received]
        assert [numbers_of[address] for address in addresses] == [0, 1] * 3
        for address in addresses:
            assert type(address) is tuple
            assert [type(item) for item in address] == [str, int]

    run(main)


@pytest.mark.parametrize("size", [0, 1, 65_507])
def test_packets_of_the_smallest_and_the_largest_size(run, size):
    async def main():
        data = os.urandom(size)
        with plain() as (sender,):
            async with endpoint() as protocol:
                for _ in range(2):
                    sender.sendto(data, address_of(protocol))
                assert await arrived(protocol, 2) == [data, data]

    run(main)


def test_a_unix_packet_larger_than_any_of_the_internets(run, tmp_path):
    async def main():
        data = os.urandom(150_000)
        path = str(tmp_path / "socket")
        async with endpoint(family=socket.AF_UNIX, local_addr=path) as protocol:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(data, path)
                assert await arrived(protocol, 1) == [data]

    run(main)


def test_callbacks_run_in_the_context_of_who_made_or_resumed_the_endpoint(run):
    who = contextvars.ContextVar("who")

    async def main():
        class Noting(Datagrams):
            def datagram_received(self, data, addr):
                super().datagram_received(data, addr)
                self.events.append(who.get())
                who.set("changed by a callback")

        who.set("maker")
        with plain() as (sender,):
            async with endpoint(Noting) as protocol:
                who.set("somebody else")
                burst(sender, protocol, 1)
                await arrived(protocol, 1)
                protocol.transport.pause_reading()
                who.set("resumer")
                protocol.transport.resume_reading()
                who.set("somebody else")
                burst(sender, protocol, 1)
                await arrived(protocol, 2)
        return [event for event in protocol.events if event in ("maker", "resumer")]

    assert run(main) == ["maker", "resumer"]


def test_a_socket_made_blocking_by_somebody_does_not_block_the_loop(run):
    """The mode belongs to the file, which others may share."""

    async def main():
        with plain() as (sender,):
            async with endpoint() as protocol:
                fd = protocol.transport.get_extra_info("socket").fileno()
                os.set_blocking(fd, True)
                burst(sender, protocol, 1)
                await arrived(protocol, 1)
                await turns()
                assert protocol.packets == numbers(1)

    run(main)


def test_nobody_else_may_watch_the_descriptor(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with endpoint() as protocol:
            fd = protocol.transport.get_extra_info("socket").fileno()
            for add in (loop.add_reader, loop.add_writer):
                with pytest.raises(RuntimeError, match="is used by transport"):
                    add(fd, print)

    run(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio lets it before 3.12")
def test_a_second_transport_of_the_same_socket_is_refused(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with endpoint() as protocol:
            sock = protocol.transport._sock
            with pytest.raises(RuntimeError, match="is used by transport"):
                loop._make_datagram_transport(sock, Datagrams())
            with plain() as (sender,):
                burst(sender, protocol, 1)
                assert await arrived(protocol, 1) == numbers(1)

    run(main)
