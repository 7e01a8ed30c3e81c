"""loop.create_server: where it listens, what it refuses."""

import asyncio
import contextlib
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
)


async def serve(*args, **kwargs):
    return await asyncio.get_running_loop().create_server(asyncio.Protocol, *args, **kwargs)


async def connects(address):
    """True if a connection to *address* is made, False if it is refused."""
    try:
        _, protocol = await asyncio.get_running_loop().create_connection(Recorder, *address[:2])
    except ConnectionRefusedError:
        return False
    await finish(protocol)
    return True


@both_families
def test_listens_on_a_literal_address(run, host):
    async def main():
        async with await serve(host, 0) as server:
            address = server.sockets[0].getsockname()
            assert address[0] == host
            assert address[1] > 0
            assert await connects(address)
        assert not await connects(address)

    run(main)


@needs_ipv6
def test_listens_on_several_hosts(run):
    async def main():
        async with await serve([LOOPBACK, "::1"], 0) as server:
            addresses = [sock.getsockname() for sock in server.sockets]
            assert sorted(address[0] for address in addresses) == [LOOPBACK, "::1"]
            for address in addresses:
                assert await connects(address)

    run(main)


@pytest.mark.parametrize("host", [None, ""])
def test_no_host_means_every_interface(run, host):
    async def main():
        async with await serve(host, closed_port(), family=socket.AF_INET) as server:
            (sock,) = server.sockets
            assert sock.getsockname()[0] == "0.0.0.0"
            assert await connects((LOOPBACK, sock.getsockname()[1]))

    run(main)


def test_hosts_that_resolve_to_one_address_bind_once(run):
    async def main():
        hosts = [LOOPBACK, "localhost", LOOPBACK]
        async with await serve(hosts, closed_port(), family=socket.AF_INET) as server:
            assert len(server.sockets) == 1

    run(main)


def test_a_used_port_is_named_in_the_error(run):
    async def main():
        async with await serve(LOOPBACK, 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(OSError, match="error while attempting to bind on address") as info:
                await serve(LOOPBACK, port)
            assert info.value.errno == errno.EADDRINUSE
            assert str((LOOPBACK, port)) in str(info.value)
            assert await connects((LOOPBACK, port))

    run(main)


def test_a_failure_on_the_second_host_closes_the_first(run):
    async def main():
        port = closed_port()
        with pytest.raises(socket.gaierror):
            await serve([LOOPBACK, "not a host"], port)
        async with await serve(LOOPBACK, port):
            assert await connects((LOOPBACK, port))

    run(main)


def test_a_closed_port_can_be_bound_again_at_once(run):
    async def main():
        port = 0
        for _ in range(3):
            async with await serve(LOOPBACK, port) as server:
                port = server.sockets[0].getsockname()[1]
                assert await connects((LOOPBACK, port))

    run(main)


@both_families
@pytest.mark.parametrize("port", [70000, 65536, -1])
def test_a_port_out_of_range_is_an_overflow(run, host, port):
    async def main():
        with pytest.raises(OverflowError, match="port must be 0-65535"):
            await serve(host, port)

    run(main)


@pytest.mark.parametrize("host", [LOOPBACK, "::1", b"127.0.0.1", 123, 1.5, "127.0.0.1\0", "a b"])
@pytest.mark.parametrize("port", [2**70, "nosuchservice", object()])
def test_bad_addresses_fail_as_on_asyncio(run, host, port):
    async def main():
        return await outcome(serve(host, port))

    failure = run(main)
    assert issubclass(failure, Exception)
    assert failure is on_asyncio(main)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({}, ValueError, "Neither host/port nor sock were specified"),
        ({"host": LOOPBACK, "port": 0, "ssl": True}, TypeError, "ssl argument must be an SSLCon"),
        ({"host": LOOPBACK, "port": 0, "ssl_handshake_timeout": 1}, ValueError, "is only meaning"),
        ({"host": LOOPBACK, "port": 0, "ssl_shutdown_timeout": 1}, ValueError, "is only meaning"),
    ],
)
def test_contradicting_arguments_fail(run, kwargs, error, message):
    async def main():
        with pytest.raises(error, match=message):
            await serve(**kwargs)

    run(main)


def test_takes_a_bound_socket_and_closes_it(run):
    async def main():
        sock = socket.socket()
        sock.bind((LOOPBACK, 0))
        address = sock.getsockname()
        async with await serve(sock=sock) as server:
            assert [s.fileno() for s in server.sockets] == [sock.fileno()]
            assert sock.gettimeout() == 0
            assert await connects(address)
        await asyncio.sleep(0)
        assert sock.fileno() == -1

    run(main)


def test_host_and_sock_together_are_a_value_error(run):
    async def main():
        message = "can not be specified at the same time"
        with socket.socket() as sock, pytest.raises(ValueError, match=message):
            await serve(LOOPBACK, 0, sock=sock)

    run(main)


def test_a_datagram_socket_is_refused(run):
    async def main():
        message = "A Stream Socket was expected"
        with (
            socket.socket(type=socket.SOCK_DGRAM) as sock,
            pytest.raises(ValueError, match=message),
        ):
            await serve(sock=sock)

    run(main)


def test_reuse_port_lets_two_servers_share_one(run):
    async def main():
        async with await serve(LOOPBACK, 0, reuse_port=True) as first:
            address = first.sockets[0].getsockname()
            async with await serve(*address, reuse_port=True) as second:
                assert second.sockets[0].getsockname() == address
                assert await connects(address)

    run(main)


@pytest.mark.parametrize(("given", "expected"), [(None, 1), (True, 1), (False, 0)])
def test_reuse_address_sets_the_option(run, given, expected):
    async def main():
        async with await serve(LOOPBACK, 0, reuse_address=given) as server:
            sock = server.sockets[0]
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == expected

    run(main)


@needs_ipv6
def test_ipv6_sockets_take_ipv6_only(run):
    async def main():
        async with await serve("::", closed_port()) as server:  # nobody else's over IPv4
            sock = server.sockets[0]
            assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
            assert not await connects((LOOPBACK, sock.getsockname()[1]))

    run(main)


def test_a_backlog_of_one_still_serves_everyone(run):
    async def main():
        async with await serve(LOOPBACK, 0, backlog=1) as server:
            address = server.sockets[0].getsockname()
            # Two at a time: a third would wait for its second SYN, a second later.
            return [await asyncio.gather(connects(address), connects(address)) for _ in range(10)]

    assert run(main) == [[True, True]] * 10


def test_who_connects_at_once_does_not_wait_for_a_turn_each(run):
    """pyaio asks for one connection at a time, and for more where more are there."""
    count = 100

    async def main():
        made = []

        class Accepted(asyncio.Protocol):
            def connection_made(self, transport):
                made.append(transport)

        async with await asyncio.get_running_loop().create_server(
            Accepted, LOOPBACK, 0, backlog=count
        ) as server:
            address = server.sockets[0].getsockname()
            with contextlib.ExitStack() as clients:
                for _ in range(count):
                    clients.enter_context(socket.create_connection(address))
                turns = 0
                while len(made) < count:
                    turns += bool(made)
                    await asyncio.sleep(0)
                for transport in made:
                    transport.abort()
        return turns

    assert run(main) < count / 2


@pytest.mark.parametrize("backlog", ["1", 1.5, None])
def test_a_backlog_of_the_wrong_type_is_a_type_error(run, backlog):
    async def main():
        with socket.socket() as sock:  # closed here: asyncio leaves it open when listen() fails
            sock.bind((LOOPBACK, 0))
            with pytest.raises(TypeError):
                await serve(sock=sock, backlog=backlog)

    run(main)


def test_the_accepted_end_knows_its_addresses(run):
    async def main():
        loop = asyncio.get_running_loop()
        accepted = loop.create_future()

        class Accepted(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                accepted.set_result(self)

        async with await loop.create_server(Accepted, LOOPBACK, 0) as server:
            near, protocol = await loop.create_connection(
                Recorder, *server.sockets[0].getsockname()
            )
            far = (await ended(accepted)).transport
            assert far.get_extra_info("peername") == near.get_extra_info("sockname")
            assert far.get_extra_info("sockname") == near.get_extra_info("peername")
            await finish(protocol, accepted.result())

    run(main)
