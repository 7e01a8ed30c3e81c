"""Hosts and ports of every kind in the calls that take them: the same on pyaio and on asyncio.

Each call is made on both loops and its outcome compared: what was connected or bound, or the
exception with its arguments. No host here needs a name server.
"""

import asyncio
import itertools
import re
import socket

import pytest
from helpers import PATIENCE
from peers import LOOPBACK, on_asyncio

HOSTS = [
    None,
    "127.0.0.1",
    b"127.0.0.1",
    "127.1",
    "::1",
    "::1%lo",
    "::1%1",
    "fe80::1%lo",
    "::ffff:127.0.0.1",
    "localhost",
    ("127.0.0.1", "::1"),
    ["127.0.0.1", "127.0.0.1"],
    [],
    5,
]
#: What looks like a literal and is none: for calls that can be told so, by AI_NUMERICHOST.
NO_LITERALS = ["::1%bad", "::1%", "127.0.0.1%lo", "127.0.0.1 ", "[::1]", "", "a" * 70, "\udc80"]
#: "here" stands for a port of 127.0.0.1 where somebody listens.
PORTS = [None, 0, "0", "here", 65536, 70000, -1, 2**31, 2**64, "http", "70000", "bad", 1.5, True]
#: With these a server or a client may get a real port, which somebody else may have.
BINDABLE = ("http", "70000", 70000, 1.5, True)
ADDRESS = re.compile(r"0x[0-9a-f]+|'[\w.]*(Loop|Policy)'")


def failure(exc):
    """What tells an exception from others, but for addresses in memory."""
    if isinstance(exc, BaseExceptionGroup):
        return type(exc), [failure(each) for each in exc.exceptions]
    return type(exc), ADDRESS.sub("…", str(exc.args))


async def tried(call):
    try:
        async with asyncio.timeout(PATIENCE):
            return await call
    except Exception as exc:
        return failure(exc)


async def ends(connecting, port, bound=False):
    """The addresses of the transport that *connecting* gives, without ports that are chance.

    The kernel may choose *port*, too, for a socket that was not *bound* to a port.
    """
    transport, _ = await connecting
    ours, theirs = map(transport.get_extra_info, ("sockname", "peername"))
    transport.abort()
    await asyncio.sleep(0)
    return [
        ours and (ours[0], bound and ours[1] == port, *ours[2:]),
        theirs and (theirs[0], theirs[1] == port, *theirs[2:]),
    ]


async def served(serving):
    """The addresses of the server that *serving* gives, without ports."""
    server = await serving
    found = [(s.family, s.type, s.proto, *s.getsockname()[::2]) for s in server.sockets]
    server.close()
    await server.wait_closed()
    return sorted(found)


async def connected(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        return sock.getpeername()


async def sent(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        return await asyncio.get_running_loop().sock_sendto(sock, b"x", address)


def numeric(host, family=0):
    """The flag with which the look-up of *host* asks no name server."""
    local_name = host == "localhost" and family != socket.AF_INET6  # not everywhere ::1
    if local_name or host not in ("localhost", *NO_LITERALS):
        return 0
    return socket.AI_NUMERICHOST


def connections(loop, host, port, here):
    def connect(*args, flags=0, **kwargs):
        flags |= numeric(host, kwargs.get("family"))
        return ends(loop.create_connection(asyncio.Protocol, *args, flags=flags, **kwargs), here)

    yield connect(host, port)
    yield connect(host, port, family=socket.AF_INET6)
    yield connect(host, port, flags=socket.AI_NUMERICSERV, happy_eyeballs_delay=0.1)
    if port not in BINDABLE:
        yield connect(LOOPBACK, here, local_addr=(host, port))


def servers(loop, host, port, here):
    if port not in (here, *BINDABLE):
        for family in (0, socket.AF_INET6):
            options = {"family": family, "flags": socket.AI_PASSIVE | numeric(host, family)}
            yield served(loop.create_server(asyncio.Protocol, host, port, **options))


def datagrams(loop, host, port, here):
    for options in (
        {"local_addr": (host, port)},
        {"remote_addr": (host, port)},
        {"remote_addr": (host, port), "family": socket.AF_INET6},
        {"local_addr": (host, port, 0, 1)},
    ):
        options["flags"] = numeric(host, options.get("family"))
        endpoint = loop.create_datagram_endpoint(asyncio.DatagramProtocol, **options)
        yield ends(endpoint, here, "local_addr" in options and port == here)


def sockets(loop, host, port, here):
    families = (socket.AF_INET, socket.AF_INET6)
    if host == "localhost":
        families = families[:1]
    for family, rest in itertools.product(families, [(), (0, 0), (0, 1), (1 << 20, 0)]):
        yield connected(family, (host, port, *rest))
        yield sent(family, (host, port, *rest))


async def outcomes(calls, here):
    loop = asyncio.get_running_loop()
    found = {}
    hosts = HOSTS if calls is sockets else HOSTS + NO_LITERALS
    for host, port in itertools.product(hosts, PORTS):
        port = here if port == "here" else port
        for number, call in enumerate(calls(loop, host, port, here)):
            found[repr(host), repr(port), number] = await tried(call)
    return found


@pytest.mark.parametrize("calls", [connections, servers, datagrams, sockets])
@pytest.mark.filterwarnings("ignore:.*mixed case|invalid decimal:DeprecationWarning")
def test_the_outcome_is_that_of_asyncio(loop_factories, calls):
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen(1000)
        here = listener.getsockname()[1]
        expected = on_asyncio(outcomes, calls, here)
        with asyncio.Runner(loop_factory=loop_factories["pyaio"]) as runner:
            got = runner.run(outcomes(calls, here))
    assert {k: (got[k], expected[k]) for k in expected if got[k] != expected[k]} == {}
    kinds = {outcome[0] for outcome in expected.values() if isinstance(outcome, tuple)}
    assert OverflowError in kinds
    assert any(isinstance(outcome, (list, int)) for outcome in expected.values())


@pytest.mark.parametrize("host", [None, ""])
def test_a_server_without_a_host_listens_on_every_address(run, host):
    async def main():
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, 0)
        names = {sock.getsockname()[0] for sock in server.sockets}
        server.close()
        await server.wait_closed()
        return names

    names = run(main)
    assert names in ({"0.0.0.0"}, {"0.0.0.0", "::"})
    assert names == {sock[4][0] for sock in socket.getaddrinfo(None, 0, type=1, flags=1)}
