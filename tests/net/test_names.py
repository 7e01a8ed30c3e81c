"""loop.getaddrinfo and getnameinfo: what the socket module gives, without a thread for literals."""

import asyncio
import itertools
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers import LOOPBACK, connection
from test_getaddrinfo import answer, loops_answer

# Nothing here may ask a name server: what is not a literal goes with AI_NUMERICHOST.
HOSTS = [
    None,
    "",
    "127.0.0.1",
    b"127.0.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "::1",
    b"::1",
    "::",
    "::ffff:127.0.0.1",
    "fe80::1",
    "fe80::1%lo",
    "fe80::1%1",
    "::1%99",
    "127.1",
    "1",
    "0x7f.1",
    "0177.0.0.1",
    "127.0.0.1\0",
    "a" * 70,
    5,
    1.5,
]
MALFORMED = ["127.0.0.1 ", " 127.0.0.1", "127.0.0.1.", "256.1.1.1", "[::1]", "::1::", "localhost"]
PORTS = [None, 0, 80, 65535, 65536, 70000, -1, "80", b"80", "http", "", b"", "-1", "70000", 1.5]
FAMILIES = [0, socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 99]
KINDS = [0, socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW]
PROTOCOLS = [0, socket.IPPROTO_TCP, socket.IPPROTO_UDP]
FLAGS = [
    0,
    socket.AI_PASSIVE,
    socket.AI_CANONNAME,
    socket.AI_NUMERICHOST,
    socket.AI_NUMERICSERV,
    socket.AI_PASSIVE | socket.AI_NUMERICHOST,
    socket.AI_ADDRCONFIG | socket.AI_V4MAPPED,
]


async def differences(combinations):
    """The combinations of arguments for which the loop and the socket module disagree."""
    found = []
    for combination in combinations:
        expected = answer(socket.getaddrinfo, *combination)
        got = await loops_answer(*combination)
        if got != expected:
            found.append((combination, got, expected))
    return found


@pytest.mark.parametrize("host", HOSTS, ids=repr)
def test_every_port_type_and_flag_gives_what_the_socket_module_gives(run, host):
    numbers = itertools.product([host], PORTS, [0], KINDS, [0], FLAGS)
    families = itertools.product([host], [None, 80, 70000, "http"], FAMILIES, KINDS, PROTOCOLS, [0])
    assert run(differences, itertools.chain(numbers, families)) == []


@pytest.mark.parametrize("host", MALFORMED)
def test_what_is_no_literal_is_told_so_as_by_the_socket_module(run, host):
    numeric = [flags | socket.AI_NUMERICHOST for flags in FLAGS]
    combinations = itertools.product([host], PORTS, FAMILIES, [0, socket.SOCK_STREAM], [0], numeric)
    assert run(differences, combinations) == []


@pytest.mark.parametrize("port", PORTS, ids=repr)
def test_localhost_is_what_the_socket_module_gives(run, port):
    assert run(differences, [("localhost", port, socket.AF_INET, socket.SOCK_STREAM, 0, 0)]) == []


@given(
    host=st.sampled_from(HOSTS),
    port=st.sampled_from(PORTS) | st.integers(-5, 70000),
    family=st.sampled_from(FAMILIES),
    kind=st.sampled_from(KINDS),
    proto=st.sampled_from(PROTOCOLS),
    flags=st.sampled_from(FLAGS),
)
def test_any_combination_gives_what_the_socket_module_gives(
    loop, host, port, family, kind, proto, flags
):
    combination = (host, port, family, kind, proto, flags)
    assert loop.run_until_complete(differences([combination])) == []


@given(st.ip_addresses().map(str), st.integers(0, 65535))
def test_any_literal_address_gives_what_the_socket_module_gives(loop, host, port):
    assert loop.run_until_complete(differences([(host, port, 0, socket.SOCK_STREAM, 0, 0)])) == []


@given(
    st.text("0123456789abcdefx.:%[]/ ", min_size=1, max_size=20),
    st.sampled_from([0, socket.AF_INET, socket.AF_INET6]),
)
def test_what_looks_like_a_literal_gives_what_the_socket_module_gives(loop, host, family):
    combination = (host, 80, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    assert loop.run_until_complete(differences([combination])) == []


def test_the_results_are_of_the_types_of_the_socket_module(run):
    async def main():
        return await asyncio.get_running_loop().getaddrinfo(LOOPBACK, 80)

    for family, kind, proto, name, address in run(main):
        assert isinstance(family, socket.AddressFamily)
        assert isinstance(kind, socket.SocketKind)
        assert (type(proto), type(name), type(address)) == (int, str, tuple)


LITERALS = [LOOPBACK, "::1", "::", "0.0.0.0", "fe80::1%lo"]


@pytest.mark.parametrize("host", LITERALS)
def test_a_literal_needs_no_thread(loop, loop_kind, host):
    if loop_kind == "asyncio":
        pytest.skip("asyncio asks the resolver in a thread")
    loop.set_debug(False)  # in debug mode the look-up is timed where asyncio does it
    found = loop.run_until_complete(loop.getaddrinfo(host, 80, type=socket.SOCK_STREAM))
    assert found
    assert loop._default_executor is None


def test_connecting_and_listening_by_literals_need_no_thread(loop):
    async def main():
        async with connection():
            pass

    loop.run_until_complete(main())
    assert loop._default_executor is None


def test_a_resolver_put_in_the_place_of_the_socket_modules_is_asked(run, monkeypatch):
    """Test suites patch socket.getaddrinfo; a name has to go through it."""
    asked = []
    made_up = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.9.9.9", 7))]

    def getaddrinfo(host, *args, **kwargs):
        asked.append(host)
        return made_up

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def main():
        return await asyncio.get_running_loop().getaddrinfo("some.name", 7)

    assert run(main) == made_up
    assert asked == ["some.name"]


def test_many_look_ups_at_once(run):
    async def main():
        loop = asyncio.get_running_loop()
        hosts = ["localhost", LOOPBACK, "::1"] * 30
        return await asyncio.gather(*(loop.getaddrinfo(h, 80, type=1) for h in hosts))

    answers = run(main)
    assert answers == [
        socket.getaddrinfo(h, 80, type=1) for h in ["localhost", LOOPBACK, "::1"] * 30
    ]


def test_getnameinfo_finds_the_name_of_loopback(run):
    async def main():
        return await asyncio.get_running_loop().getnameinfo((LOOPBACK, 80))

    assert run(main) == socket.getnameinfo((LOOPBACK, 80), 0)


def test_getnameinfo_of_a_host_that_is_no_address_is_a_gaierror(run):
    async def main():
        with pytest.raises(socket.gaierror):
            await asyncio.get_running_loop().getnameinfo(("not a host", 80), socket.NI_NUMERICHOST)

    run(main)
