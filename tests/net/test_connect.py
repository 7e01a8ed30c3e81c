"""loop.create_connection: where it connects to, what it refuses, what it leaves open."""

import asyncio
import errno
import socket

import pytest
from peers import (
    LOOPBACK,
    Recorder,
    both_families,
    closed_port,
    ended,
    finish,
    needs_ipv6,
    on_asyncio,
    outcome,
    take,
    tcp_pair,
    turns,
    with_peer,
)


def listen(host=LOOPBACK):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family)


async def connect(*args, **kwargs):
    loop = asyncio.get_running_loop()
    return await loop.create_connection(Recorder, *args, **kwargs)


@both_families
def test_connects_to_a_listening_socket(run, host):
    async def main():
        with listen(host) as listener:
            transport, protocol = await connect(*listener.getsockname()[:2])
            peer, address = listener.accept()
        with peer:
            assert transport.get_extra_info("peername") == peer.getsockname()
            assert transport.get_extra_info("sockname") == address
            assert protocol.transport is transport
            transport.write(b"hello")
            assert await take(peer, 5) == b"hello"
            await finish(protocol)

    run(main)


def test_connects_by_name(run):
    async def main():
        with listen() as listener:
            port = listener.getsockname()[1]
            transport, protocol = await connect("localhost", port, family=socket.AF_INET)
            assert transport.get_extra_info("peername") == (LOOPBACK, port)
            await finish(protocol)

    run(main)


@pytest.mark.parametrize("as_type", [int, str, lambda port: str(port).encode()])
def test_a_port_may_be_a_number_or_its_digits(run, as_type):
    async def main():
        with listen() as listener:
            _, protocol = await connect(LOOPBACK, as_type(listener.getsockname()[1]))
            await finish(protocol)
        return protocol.events

    assert run(main) == ["made", "lost"]


def test_protocol_is_made_before_create_connection_returns(run):
    async def main():
        async with with_peer() as (protocol, _):
            return protocol.events[:]

    assert run(main) == ["made"]


def test_takes_a_connected_socket_and_closes_it(run):
    async def main():
        ours, peer = tcp_pair()
        with peer:
            transport, protocol = await connect(sock=ours)
            assert transport.get_extra_info("socket").fileno() == ours.fileno()
            transport.close()
            assert await ended(protocol.lost) is None
            assert ours.fileno() == -1
            assert await take(peer, 1) == b""

    run(main)


def test_a_blocking_socket_becomes_non_blocking(run):
    async def main():
        ours, peer = tcp_pair()
        ours.setblocking(True)
        with peer:
            _, protocol = await connect(sock=ours)
            assert ours.gettimeout() == 0
            await finish(protocol)

    run(main)


def test_binds_to_the_local_address_asked_for(run):
    async def main():
        with listen() as listener:
            transport, protocol = await connect(
                *listener.getsockname(), local_addr=("127.0.0.2", 0)
            )
            assert transport.get_extra_info("sockname")[0] == "127.0.0.2"
            await finish(protocol)

    run(main)


def test_a_used_local_address_is_named_in_the_error(run):
    async def main():
        message = "error while attempting to bind on address"
        with listen() as listener, pytest.raises(OSError, match=message) as info:
            await connect(*listener.getsockname(), local_addr=listener.getsockname())
        assert info.value.errno == errno.EADDRINUSE

    run(main)


@both_families
def test_a_refused_port_names_the_address(run, host):
    async def main():
        port = closed_port(host)
        with pytest.raises(ConnectionRefusedError) as info:
            await connect(host, port)
        assert info.value.errno == errno.ECONNREFUSED
        return port, str(info.value)

    port, message = run(main)
    assert f"Connect call failed ('{host}', {port}" in message


def test_the_loop_goes_on_after_a_refused_port(loop):
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            loop.run_until_complete(loop.create_connection(asyncio.Protocol, LOOPBACK, 0))
    assert loop.run_until_complete(asyncio.sleep(0, "alive")) == "alive"


def test_an_unresolvable_name_is_a_gaierror(run):
    async def main():
        with pytest.raises(socket.gaierror):
            # The resolver says so itself: a name server may be slow.
            await connect("nonexistent.invalid", 80, flags=socket.AI_NUMERICHOST)

    run(main)


@both_families
@pytest.mark.parametrize("port", [70000, 65536, -1, "70000"])
def test_a_port_out_of_range_is_an_overflow(run, host, port):
    async def main():
        with pytest.raises(OverflowError, match="port must be 0-65535"):
            await connect(host, port)

    run(main)


@pytest.mark.parametrize(
    "host", [LOOPBACK, "::1", b"127.0.0.1", "", 123, 1.5, "127.0.0.1\0", "a b"]
)
@pytest.mark.parametrize("port", [2**70, "nosuchservice", 1.5, object(), None])
def test_bad_addresses_fail_as_on_asyncio(run, host, port):
    async def main():
        return await outcome(connect(host, port))

    failure = run(main)
    assert issubclass(failure, Exception)
    assert failure is on_asyncio(main)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, "host and port was not specified and no sock specified"),
        ({"host": LOOPBACK, "port": 1, "sock": True}, "can not be specified at the same time"),
        ({"host": LOOPBACK, "port": 1, "server_hostname": "x"}, "server_hostname is only"),
        (
            {"host": LOOPBACK, "port": 1, "ssl_handshake_timeout": 1},
            "ssl_handshake_timeout is only",
        ),
        ({"host": LOOPBACK, "port": 1, "ssl_shutdown_timeout": 1}, "ssl_shutdown_timeout is only"),
        ({"sock": True, "ssl": True}, "server_hostname"),
    ],
)
def test_contradicting_arguments_are_value_errors(run, kwargs, message):
    async def main():
        ours, peer = tcp_pair()
        with ours, peer:
            if kwargs.get("sock"):
                kwargs["sock"] = ours
            with pytest.raises(ValueError, match=message):
                await connect(**kwargs)

    run(main)


def test_a_datagram_socket_is_refused_and_left_open(run):
    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            with pytest.raises(ValueError, match="A Stream Socket was expected"):
                await connect(sock=sock)
            assert sock.fileno() != -1

    run(main)


def test_a_factory_that_raises_ends_create_connection(run):
    async def main():
        ours, peer = tcp_pair()
        with ours, peer, pytest.raises(ZeroDivisionError):
            await asyncio.get_running_loop().create_connection(lambda: 1 / 0, sock=ours)

    run(main)


def answers(*addresses):
    """A stand-in for loop.getaddrinfo that gives these addresses for every name."""

    async def getaddrinfo(host, port, **_):
        return [
            (
                socket.AF_INET6 if ":" in address[0] else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                address,
            )
            for address in addresses
        ]

    return getaddrinfo


def test_every_address_of_a_name_is_tried(loop, monkeypatch):
    with listen() as listener:
        good = listener.getsockname()
        refused = (LOOPBACK, closed_port())
        monkeypatch.setattr(loop, "getaddrinfo", answers(refused, refused, good))

        async def main():
            transport, protocol = await connect("some.name", 1)
            assert transport.get_extra_info("peername") == good
            await finish(protocol)

        loop.run_until_complete(main())


def test_all_failures_are_told_when_no_address_answers(loop, monkeypatch):
    first, second = (LOOPBACK, closed_port()), (LOOPBACK, closed_port())
    monkeypatch.setattr(loop, "getaddrinfo", answers(first, second))
    with pytest.raises(OSError, match="Multiple exceptions: ") as info:
        loop.run_until_complete(loop.create_connection(Recorder, "some.name", 1))
    assert str(first) in str(info.value)
    assert str(second) in str(info.value)


def test_a_name_without_addresses_is_an_oserror(loop, monkeypatch):
    monkeypatch.setattr(loop, "getaddrinfo", answers())
    with pytest.raises(OSError, match=r"getaddrinfo\(\) returned empty list"):
        loop.run_until_complete(loop.create_connection(Recorder, "some.name", 1))


@needs_ipv6
def test_happy_eyeballs_goes_on_to_the_other_family(loop, monkeypatch):
    with listen() as listener:
        good = listener.getsockname()
        dead = ("::1", closed_port("::1"), 0, 0)
        monkeypatch.setattr(loop, "getaddrinfo", answers(dead, dead, good))

        async def main():
            transport, protocol = await connect(
                "some.name", 1, happy_eyeballs_delay=60, interleave=1
            )
            assert transport.get_extra_info("peername") == good
            await finish(protocol)

        loop.run_until_complete(main())


def test_cancelled_while_resolving_leaves_nothing(loop, monkeypatch):
    async def never(*args, **kwargs):
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(loop, "getaddrinfo", never)

    async def main():
        task = asyncio.ensure_future(connect("some.name", 1))
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())


def test_many_connections_at_once(run):
    async def main():
        with listen() as listener:
            made = await asyncio.gather(*(connect(*listener.getsockname()) for _ in range(50)))
            assert len({t.get_extra_info("sockname") for t, _ in made}) == 50
            await finish(*(protocol for _, protocol in made))

    run(main)


def test_on_a_closed_loop_it_fails(loop_factory):
    loop = loop_factory()
    loop.close()
    coroutine = loop.create_connection(Recorder, LOOPBACK, 1)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_until_complete(coroutine)
    coroutine.close()
