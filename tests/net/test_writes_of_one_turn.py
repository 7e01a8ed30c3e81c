"""Several writes in one turn reach the peer, whatever ends that turn or the connection."""

import asyncio
import contextlib
import socket
import sys
import time
from functools import partial

import pytest
from helpers import HandlerCalls, only_pyaio
from peers import Recorder, ended, take, tcp_pair, there_is, turns, until, with_peer


def write_two(transport):
    transport.write(b"a")
    transport.write(b"b")


@pytest.mark.parametrize("end", ["raise", "abort", "close", "force_close"])
def test_two_writes_in_data_received_arrive_whatever_follows(run, end):
    class Protocol(Recorder):
        def data_received(self, data):
            write_two(self.transport)
            if end == "raise":
                raise ZeroDivisionError("on purpose")
            if end == "force_close":
                self.transport._force_close(None)
            else:
                getattr(self.transport, end)()

    async def main():
        calls = HandlerCalls.of(asyncio.get_running_loop())
        async with with_peer(Protocol) as (protocol, peer):
            peer.send(b"x")
            assert await take(peer, 10) == b"ab"
            lost = await ended(protocol.lost)
        assert [type(e) for e in calls.exceptions] == [type(lost)] * (end == "raise")
        assert isinstance(lost, ZeroDivisionError if end == "raise" else type(None))

    run(main)


@pytest.mark.parametrize("leave", [KeyboardInterrupt, SystemExit])
def test_an_exit_in_the_turn_of_two_writes_does_not_hold_them_back(loop, leave):
    ours, peer = tcp_pair()
    transport, _ = loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=ours))

    def callback():
        write_two(transport)
        raise leave

    loop.call_soon(callback)
    with pytest.raises(leave):
        loop.run_forever()
    peer.setblocking(True)
    peer.settimeout(10)
    assert peer.recv(1) + peer.recv(1) == b"ab"
    write_two(transport)  # the next ones go their way
    transport.close()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert b"".join(iter(lambda: peer.recv(1), b"")) == b"ab"
    peer.close()
    loop.call_soon(loop.stop)
    loop.run_forever()


# asyncio's connection_lost sets an exception on the waiter that is done: InvalidStateError.
@only_pyaio
@pytest.mark.parametrize("end", ["close", "abort", "write_eof"])
def test_the_end_of_a_connection_whose_queue_is_waited_for(run, end):
    async def main():
        async with with_peer() as (protocol, peer):
            write_two(protocol.transport)
            empty = protocol.transport._make_empty_waiter()
            getattr(protocol.transport, end)()
            assert await take(peer, 2) == b"ab"
            await asyncio.wait([empty], timeout=10)
            assert empty.done() and empty.exception() is None
            protocol.transport.close()
            assert await ended(protocol.lost) is None

    run(main)


def test_write_eof_and_close_after_two_writes(run):
    async def main():
        async with with_peer() as (protocol, peer):
            write_two(protocol.transport)
            protocol.transport.write_eof()
            protocol.transport.close()
            assert await take(peer, 10) == b"ab"
            assert await ended(protocol.lost) is None
            return protocol.events

    assert run(main) == ["made", "lost"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ is new in 3.12 (PEP 688)")
@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize("change", ["clear", "extend"])
def test_writelines_of_items_that_change_the_list(run, change, queued):
    class Item:
        def __buffer__(self, flags):
            if change == "clear":
                lines.clear()
            elif len(lines) < 1000:
                lines.extend([bytes(200)] * 1000)
            return memoryview(b"abc")

        def __len__(self):  # which asyncio asks since 3.15
            return 3

    lines = []

    async def main():
        async with with_peer() as (protocol, peer):
            for _ in range(10):
                # Built where nothing else holds the bytes: cleared, they are freed.
                lines[:] = [Item(), *(bytes(100) * 3 for _ in range(50))]
                if queued:
                    protocol.transport.write(b"-")
                protocol.transport.writelines(lines)
                sent = await take(peer, 3 + queued)
                assert sent == b"-abc"[not queued :]
                await turns()
                while True:
                    try:
                        rest = peer.recv(1 << 20)
                    except BlockingIOError:
                        if not protocol.transport.get_write_buffer_size():
                            break
                        await asyncio.sleep(0.0005)
                    else:
                        assert rest.strip(b"\0") == b""

    run(main)


def test_the_socket_shut_down_after_two_writes_sends_them_first(run):
    async def main():
        async with with_peer() as (protocol, peer):
            write_two(protocol.transport)
            protocol.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
            return await take(peer, 10)

    assert run(main) == b"ab"


@contextlib.asynccontextmanager
async def with_peers(count):
    """So many connections: [(transport, peer), ...]."""
    async with contextlib.AsyncExitStack() as stack:
        pairs = [await stack.enter_async_context(with_peer()) for _ in range(count)]
        yield [(protocol.transport, peer) for protocol, peer in pairs]


async def in_one_turn(*callbacks):
    """Run the callbacks one behind the other in one turn; return their results."""
    loop = asyncio.get_running_loop()
    results, done = [], loop.create_future()

    def run(callback):
        results.append(callback())
        if len(results) == len(callbacks):
            done.set_result(None)

    for callback in callbacks:
        loop.call_soon(run, callback)
    await ended(done)  # nothing else is ready meanwhile, no timer either
    return results


def test_what_is_written_while_nobody_else_waits_leaves_at_once(run):
    async def main():
        async with with_peer() as (protocol, peer):

            def write():
                protocol.transport.write(b"a")
                return there_is(peer)

            return await in_one_turn(write)

    assert run(main) == [b"a"]


def test_what_is_written_while_others_wait_leaves_with_the_turn(run):
    async def main():
        async with with_peers(3) as pairs:
            await in_one_turn(*(partial(transport.write, b"a") for transport, _ in pairs))
            return [there_is(peer) for _, peer in pairs]

    assert run(main) == [b"a"] * 3


def test_many_who_have_written_need_not_wait_for_the_end_of_the_turn(run):
    """Not more than 64 wait. Where the first has waited for long, they leave before they are 64."""

    async def main():
        async with with_peers(70) as pairs:
            writes = [partial(transport.write, b"a") for transport, _ in pairs]
            return (await in_one_turn(*writes, lambda: [there_is(p) for _, p in pairs]))[-1]

    seen = run(main)
    assert set(seen) <= {b"a", b""}
    assert seen.count(b"") < 64
    assert seen == sorted(seen, reverse=True)  # who came first


def test_who_has_waited_for_long_does_not_wait_for_the_end_of_the_turn(run):
    async def main():
        async with with_peers(2) as ((first, first_peer), (second, second_peer)):

            def compute_and_write():
                time.sleep(0.01)
                second.write(b"b")

            def look():
                return there_is(first_peer), there_is(second_peer)

            writes = [partial(first.write, b"a"), compute_and_write]
            return (await in_one_turn(*writes, look))[-1]

    # The second waits for the first's time, or for its own if that was up before.
    assert run(main) in [(b"a", b"b"), (b"a", b"")]


def test_flow_control_between_two_callbacks_of_one_turn(run):
    """pause_writing() and resume_writing() of what leaves in the middle of a turn."""

    async def main():
        async with with_peers(20) as pairs:
            small = [protocol for protocol, _ in pairs[:8]]
            for transport in small:
                sock = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            much = b"x" * (1 << 20)
            writes = [partial(transport.write, much) for transport, _ in pairs]
            await in_one_turn(*writes, *writes)
            for transport, peer in pairs:
                assert await take(peer, 2 * len(much)) == much * 2
                events = transport.get_protocol().events
                await until(lambda events=events: events[-1] != "pause")
                if transport in small:
                    assert events == ["made", "pause", "resume"]

    run(main)
