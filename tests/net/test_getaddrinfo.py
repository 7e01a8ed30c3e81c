"""loop.getaddrinfo and getnameinfo beside the socket module, over many arguments at once.

tests/net/test_names.py goes through the usual arguments one by one; here a fixed sample of all
combinations of unusual ones is asked for. Nothing may ask a name server: what is neither a
literal nor a name that the machine itself knows goes with AI_NUMERICHOST.
"""

import asyncio
import concurrent.futures
import itertools
import random
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

LOCAL_HOSTS = [
    None,
    "",
    b"",
    "127.0.0.1",
    b"127.0.0.1",
    bytearray(b"127.0.0.1"),
    "127.1",
    "0x7f.1",
    "0177.1",
    "0",
    "4294967295",
    "::1",
    b"::1",
    "::",
    "0:0:0:0:0:0:0:1",
    "::ffff:1.2.3.4",
    "fe80::1%lo",
    "fe80::1%1",
    "::1%lo",
    "localhost",
    b"localhost",
    "LOCALHOST",
]
OTHER_HOSTS = [
    "ip6-localhost",
    "4294967296",
    "256.1.1.1",
    "1.2.3.4.5",
    "08.1.1.1",
    "127.0.0.1.",
    "127.0.0.1 ",
    " 127.0.0.1",
    "127.0.0.1\n",
    "127.0.0.1\0",
    b"127.0.0.1\0",
    "127.0.0.1\0x",
    "127.0.0.1%lo",
    "1.2.3.4/8",
    "[::1]",
    "::1::",
    "fe80::1%bad",
    "fe80::1%99999999999",
    "::1%",
    "::ffff:0:1.2.3.4",
    ".",
    "x" * 46,
    "x" * 64,
    "x" * 300,
    "b\u00fccher",
    "\u0661\u0662\u0667",
    "\uff11\uff12\uff17.0.0.1",
    "\udc80",
    b"\xff",
    memoryview(b"::1"),
    5,
    1.5,
    object,
]


class Number(int):
    pass


class Text(str):
    pass


PORTS = [
    *[None, 0, 80, 70000, -1, 2**31, 2**64, -(2**70), True, Number(5), 1.5, []],
    *["", "80", "080", " 80", "80 ", "+80", "-1", "0x50", "70000", "4294967376", "9" * 20],
    *["http", "bad", "80\0", "\u0663", "\u00b2", Text("80"), b"", b"80", b"http", b"8\0"],
]
FAMILIES = [0, socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 9999, -1, 2**40]
KINDS = [0, socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, 99]
PROTOCOLS = [0, socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMP, 255]
FLAGS = [
    0,
    socket.AI_PASSIVE,
    socket.AI_NUMERICHOST,
    socket.AI_NUMERICSERV,
    socket.AI_CANONNAME,
    socket.AI_V4MAPPED | socket.AI_ALL,
    socket.AI_ADDRCONFIG,
    0x10000000,
    -1,
]


def names_the_machine(host):
    return host in ("localhost", b"localhost", "LOCALHOST")


def sample(host, count=90):
    """The same *count* combinations with *host* in every run of the suite."""
    choice = random.Random(repr(host)).choice
    local = any(host is each for each in LOCAL_HOSTS)
    for _ in range(count):
        others = [choice(values) for values in (PORTS, FAMILIES, KINDS, PROTOCOLS, FLAGS)]
        if choice((True, False)):
            others[1] = 0  # or few ask for anything that there is
        if not local or (names_the_machine(host) and others[1] not in (0, socket.AF_INET)):
            others[4] |= socket.AI_NUMERICHOST
        yield host, *others


def answer(function, *args):
    """What the function returns, or what tells its exception from others."""
    try:
        return function(*args)
    except Exception as exc:
        return type(exc), exc.args, getattr(exc, "errno", None)


async def loops_answer(host, port, family, kind, proto, flags):
    loop = asyncio.get_running_loop()
    try:
        return await loop.getaddrinfo(
            host, port, family=family, type=kind, proto=proto, flags=flags
        )
    except Exception as exc:
        return type(exc), exc.args, getattr(exc, "errno", None)


def test_every_combination_gives_what_the_socket_module_gives(run):
    async def main():
        different = []
        for host in LOCAL_HOSTS + OTHER_HOSTS:
            combinations = list(sample(host))
            got = await asyncio.gather(*(loops_answer(*c) for c in combinations))
            expected = [answer(socket.getaddrinfo, *c) for c in combinations]
            triples = zip(combinations, got, expected, strict=True)
            different += [t for t in triples if t[1] != t[2]]
        return different

    assert run(main) == []


def test_the_sample_is_one_of_answers_and_of_errors():
    """The comparison above is worth something: it sees lists and every kind of error."""
    hosts = LOCAL_HOSTS + OTHER_HOSTS
    answers = [answer(socket.getaddrinfo, *c) for host in hosts for c in sample(host)]
    assert sum(isinstance(a, list) and bool(a) for a in answers) > 100
    errors = {a[0] for a in answers if isinstance(a, tuple)}
    assert {socket.gaierror, OverflowError, TypeError, OSError, UnicodeError} <= {
        base for error in errors for base in error.__mro__
    }


@given(
    host=st.sampled_from(LOCAL_HOSTS),
    port=st.sampled_from(PORTS) | st.integers(),
    family=st.integers(-2, 30),
    kind=st.integers(-2, 12),
    proto=st.integers(-2, 300),
    flags=st.integers(-2, 1 << 12),
)
def test_any_numbers_give_what_the_socket_module_gives(
    loop, host, port, family, kind, proto, flags
):
    flags |= socket.AI_NUMERICHOST
    args = host, port, family, kind, proto, flags
    assert loop.run_until_complete(loops_answer(*args)) == answer(socket.getaddrinfo, *args)


def test_keywords_only(run):
    async def main():
        with pytest.raises(TypeError):
            loop = asyncio.get_running_loop()
            await loop.getaddrinfo("127.0.0.1", 80, socket.AF_INET)

    run(main)


# A literal needs no thread: nobody may see that it did not get one.


def test_after_the_shutdown_of_the_executor_it_is_refused(run):
    async def main():
        loop = asyncio.get_running_loop()
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match="shutdown"):
            await loop.getaddrinfo("127.0.0.1", 80)

    run(main)


def test_on_a_closed_loop_it_is_refused(loop_factory):
    loop = loop_factory()
    look_up = loop.getaddrinfo("127.0.0.1", 80)
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        look_up.send(None)


def test_an_executor_of_the_program_gets_the_question(run):
    class Executor(concurrent.futures.ThreadPoolExecutor):
        asked = 0

        def submit(self, function, *args, **kwargs):
            self.asked += 1
            return super().submit(function, *args, **kwargs)

    async def main():
        loop = asyncio.get_running_loop()
        executor = Executor(1)
        loop.set_default_executor(executor)
        await loop.getaddrinfo("127.0.0.1", 80)
        return executor.asked

    assert run(main) == 1


def test_a_replaced_run_in_executor_gets_the_question(loop_class):
    asked = []

    class Loop(loop_class):
        def run_in_executor(self, executor, function, *args):
            asked.append(args[0])
            return super().run_in_executor(executor, function, *args)

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(runner.get_loop().getaddrinfo("127.0.0.1", 80))
    assert asked == ["127.0.0.1"]


# getnameinfo

ADDRESSES = [
    *[("127.0.0.1", 80), ("127.0.0.1", 0), ("::1", 80), ("::1", 80, 0, 0), ("fe80::1%lo", 80)],
    *[("::1", 80, 1 << 20, 0), ("::1", 80, -1, 0), ("::1", 80, 0, -1), ("::1", 80, 0, 1 << 33)],
    *[("::1", 80, 5, 0), ("fe80::1", 80, 0, 1), ("255.1.2.3", 65535), ("no host", 80), (5, 80)],
    *[("127.0.0.1", 70000), ("127.0.0.1", -1), ("127.0.0.1", 2**64), ("127.0.0.1", "80")],
    *[("127.0.0.1", 80, 0), ("127.0.0.1", 80, 0, 0), ("127.0.0.1", 80, 0, 0, 0)],
    *[("127.0.0.1",), (), (None, 80), (b"127.0.0.1", 80), ("", 80), ("127.1", 80)],
    *[("::1%bad", 80), ("a\0b", 80), ("\udc80", 80), ["127.0.0.1", 80], "127.0.0.1", None, 5],
]
NAME_FLAGS = [
    socket.NI_NUMERICHOST,
    socket.NI_NUMERICHOST | socket.NI_NUMERICSERV,
    socket.NI_NUMERICHOST | socket.NI_NAMEREQD,
    socket.NI_NUMERICHOST | socket.NI_DGRAM,
    socket.NI_NUMERICHOST | socket.NI_NUMERICSERV | socket.NI_DGRAM,
    socket.NI_NUMERICHOST | 1 << 20,
    -1,
    2**40,
    "0",
    None,
]


def test_getnameinfo_gives_what_the_socket_module_gives_errors_included(run):
    async def main():
        loop = asyncio.get_running_loop()

        async def ask(address, flags):
            try:
                return await loop.getnameinfo(address, flags)
            except Exception as exc:
                return type(exc), exc.args, getattr(exc, "errno", None)

        questions = list(itertools.product(ADDRESSES, NAME_FLAGS))
        return questions, await asyncio.gather(*itertools.starmap(ask, questions))

    questions, answers = run(main)
    expected = [answer(socket.getnameinfo, *question) for question in questions]
    triples = zip(questions, answers, expected, strict=True)
    assert [t for t in triples if t[1] != t[2]] == []
