"""What programs and libraries reach for beside the documented calls of a transport."""

import asyncio
import os

import pytest
from peers import Recorder, connection, fill, take, turns, with_peer


@pytest.mark.parametrize("end", ["connected", "accepted"])
def test_a_duplicate_of_the_socket_leaves_the_connection_non_blocking(run, end):
    async def main():
        async with connection() as (near, far):
            protocol, other = (near, far) if end == "connected" else (far, near)
            sock = protocol.transport.get_extra_info("socket")
            with sock.dup() as duplicate:
                assert duplicate.gettimeout() == 0
                assert not os.get_blocking(sock.fileno())
            assert sock.gettimeout() == 0
            fill(protocol.transport)  # returns although the peer does not read
            other.transport.write(b"x")
            assert await protocol.received(1) == b"x"

    async def main_with_a_peer_that_does_not_read():
        async with with_peer() as (protocol, _):
            protocol.transport.get_extra_info("socket").dup().close()
            fill(protocol.transport)

    run(main)
    run(main_with_a_peer_that_does_not_read)


@pytest.mark.parametrize(
    "limits",
    [{"high": float("inf"), "low": 0}, {"high": 10**30}, {"high": 10**30, "low": 10**29}],
    ids=repr,
)
def test_limits_that_are_never_reached(run, limits):
    async def main():
        async with with_peer() as (protocol, peer):
            protocol.transport.set_write_buffer_limits(**limits)
            low, high = protocol.transport.get_write_buffer_limits()
            assert high > 1 << 60
            assert low <= high
            assert (low == 0) == (limits.get("low") == 0)
            for _ in range(4):
                protocol.transport.write(bytes(4 << 20))
            assert protocol.transport.get_write_buffer_size() > 0
            assert len(await take(peer, 16 << 20)) == 16 << 20
            await turns()
            return list(protocol.events)

    assert run(main) == ["made"]


@pytest.mark.parametrize("queued", [False, True])
def test_data_is_taken_by_keyword(run, queued):
    async def main():
        async with with_peer() as (protocol, peer):
            sent = fill(protocol.transport) if queued else 0
            assert protocol.transport.write(data=b"one ") is None
            assert protocol.transport.writelines(list_of_data=[b"two ", b"three"]) is None
            return (await take(peer, sent + 13))[sent:]

    assert run(main) == b"one two three"


def test_a_protocol_is_taken_by_keyword(run):
    async def main():
        async with with_peer() as (protocol, peer):
            other = Recorder()
            protocol.transport.set_protocol(protocol=other)
            assert protocol.transport.get_protocol() is other
            peer.send(b"x")
            assert await other.received(1) == b"x"
            protocol.transport.set_protocol(protocol=protocol)

    run(main)


@pytest.mark.parametrize(
    "call",
    [
        lambda transport: transport.write(),
        lambda transport: transport.write(b"", data=b""),
        lambda transport: transport.write(dat=b""),
        lambda transport: transport.writelines(data=[b""]),
        lambda transport: transport.writelines(),
        lambda transport: transport.set_protocol(),
        lambda transport: transport.set_protocol(proto=asyncio.Protocol()),
    ],
)
def test_wrong_arguments_are_a_type_error(run, call):
    async def main():
        async with with_peer() as (protocol, peer):
            with pytest.raises(TypeError):
                call(protocol.transport)
            protocol.transport.write(b"fine")
            assert await take(peer, 4) == b"fine"

    run(main)


@pytest.mark.parametrize("ended", [False, True])
def test_what_libraries_read_from_extra(run, ended):
    async def main():
        async with connection() as (near, far):
            if ended:
                far.transport.abort()
                await near.lost
            for protocol in (near, far):
                extra = protocol.transport._extra
                assert {"peername", "sockname", "socket"} <= set(extra)
                for name, value in extra.items():
                    assert protocol.transport.get_extra_info(name) == value
            extra = near.transport._extra
            assert extra["peername"] == far.transport._extra["sockname"]
            assert near.transport._extra is extra

    run(main)
