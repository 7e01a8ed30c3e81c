"""loop.add_reader() and add_writer() on plain sockets: calls, replacement, removal, refusals."""

import asyncio
import socket

import pytest
from peers import LOOPBACK, turns, until, with_peer


def test_add_reader_calls_while_there_is_data(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        loop.add_reader(pair[0], lambda *args: seen.append((args, pair[0].recv(1))), "tag")
        pair[1].send(b"ab")
        await until(lambda: len(seen) == 2)
        assert seen == [(("tag",), b"a"), (("tag",), b"b")]
        assert loop.remove_reader(pair[0]) is True
        assert loop.remove_reader(pair[0]) is False
        pair[1].send(b"c")
        await turns(20)
        assert len(seen) == 2

    run(main)


def test_add_writer_calls_while_there_is_room(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        count = 0

        def writable():
            nonlocal count
            count += 1

        loop.add_writer(pair[0].fileno(), writable)
        await until(lambda: count >= 3)
        assert loop.remove_writer(pair[0].fileno()) is True
        assert loop.remove_writer(pair[0].fileno()) is False
        before = count
        await turns(20)
        assert count == before

    run(main)


def test_reader_and_writer_of_one_socket_are_apart(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        events = set()
        loop.add_reader(pair[0], events.add, "readable")
        loop.add_writer(pair[0], events.add, "writable")
        await until(lambda: events == {"writable"})
        loop.remove_writer(pair[0])
        pair[1].send(b"x")
        await until(lambda: events == {"writable", "readable"})
        loop.remove_reader(pair[0])

    run(main)


def test_a_second_add_reader_replaces_the_first(run, pair):
    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        loop.add_reader(pair[0], seen.append, "first")
        loop.add_reader(pair[0], seen.append, "second")
        pair[1].send(b"x")
        await until(lambda: seen)
        loop.remove_reader(pair[0])
        assert set(seen) == {"second"}

    run(main)


@pytest.mark.parametrize("name", ["add_reader", "add_writer", "remove_reader", "remove_writer"])
def test_the_descriptor_of_a_transport_is_refused(run, name):
    async def main():
        async with with_peer() as (protocol, _):
            method = getattr(asyncio.get_running_loop(), name)
            number = protocol.transport.get_extra_info("socket").fileno()
            with pytest.raises(RuntimeError, match="is used by transport"):
                method(number, *([print] if name.startswith("add") else []))

    run(main)


def test_the_descriptor_of_a_datagram_transport_is_refused(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=(LOOPBACK, 0)
        )
        number = transport.get_extra_info("socket").fileno()
        for method in (loop.add_reader, loop.add_writer):
            with pytest.raises(RuntimeError, match="is used by transport"):
                method(number, print)
        transport.close()
        await turns()

    run(main)


class Finalized:
    """A callback whose finalizer runs *last*, with what dropped it still under way."""

    def __init__(self, last):
        self.last = last

    def __call__(self):
        pass

    def __del__(self):
        self.last()


@pytest.mark.parametrize("drop", ["replace", "remove", "close"])
def test_a_finalizer_of_a_reader_may_use_the_loop(loop, pair, drop):
    """The callback is dropped by add_reader(), remove_reader() or close() of the loop."""
    done = []

    def last():
        for method in (loop.remove_reader, loop.remove_writer):
            try:
                method(pair[0])
            except RuntimeError:  # closed
                done.append("closed")
        try:
            loop.call_later(0, print).cancel()
            loop.add_reader(pair[1], done.append, "readable")
            loop.remove_reader(pair[1])
        except RuntimeError:
            done.append("closed")
        done.append("done")

    loop.add_reader(pair[0], Finalized(last))
    loop.add_writer(pair[0], int)
    loop.call_soon(loop.stop)
    loop.run_forever()
    if drop == "replace":
        loop.add_reader(pair[0], done.append, "second")
    elif drop == "remove":
        assert loop.remove_reader(pair[0]) is True
    else:
        loop.close()
    assert done[-1:] == ["done"]
    if drop != "close":
        assert loop.remove_writer(pair[0]) is False
        loop.remove_reader(pair[0])


def test_a_reader_may_remove_itself_and_close_its_socket(run):
    async def main():
        loop = asyncio.get_running_loop()
        ours, peer = socket.socketpair()
        other, other_peer = socket.socketpair()
        with ours, peer, other, other_peer:
            seen = []

            def first():
                seen.append("first")
                loop.remove_reader(ours)
                ours.close()

            loop.add_reader(ours, first)
            loop.add_reader(other, lambda: (seen.append("other"), loop.remove_reader(other)))
            peer.send(b"x")
            other_peer.send(b"x")
            await until(lambda: len(seen) == 2)
            await turns()
            assert sorted(seen) == ["first", "other"]

    run(main)
