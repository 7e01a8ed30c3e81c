"""What transports and servers write to asyncio's logger in debug mode, level DEBUG."""

import logging
import re

import pytest
from peers import connection, ended
from test_tls import secured


@pytest.fixture
def debug_log():
    """The (level, message) pairs of asyncio's logger, descriptors and addresses left out."""
    found = []

    class Keep(logging.Handler):
        def emit(self, record):
            message = re.sub(r"_Selector(?=SocketTransport)", "", record.getMessage())
            message = re.sub(r"\bfd=\d+|0x[0-9a-f]+|\('127.0.0.1', \d+\)", "*", message)
            message = re.sub(r":\d+>", ":*>", message)
            found.append((record.levelname, message))

    logger, handler = logging.getLogger("asyncio"), Keep(logging.DEBUG)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield found
    logger.propagate = True
    logger.setLevel(level)
    logger.removeHandler(handler)


async def provoke():
    async with connection() as (near, far):
        far.transport.pause_reading()
        far.transport.pause_reading()
        far.transport.resume_reading()
        near.transport.write_eof()
        await ended(far.ended)
        await ended(far.lost)
        far.transport.resume_reading()
        await ended(near.lost)


TRANSPORT = r"<SocketTransport \* read={} write=<idle, bufsize=0>>"
EXPECTED = [
    r"<Server .*> got a new connection from \*: <socket.socket \*, .*raddr=\*>",
    TRANSPORT.format("idle") + " pauses reading",
    TRANSPORT.format("polling") + " resumes reading",
    TRANSPORT.format("polling") + " received EOF",
    TRANSPORT.format("polling") + " received EOF",
]


def of_transports(log):
    """The messages that asyncio's selector loop writes; connecting is told by others."""
    words = ("new connection", "reading", "EOF")
    return [entry for entry in log if any(word in entry[1] for word in words)]


def test_transports_and_servers_tell_what_they_do(run, debug_log):
    run(provoke, debug=True)
    told = of_transports(debug_log)
    for (level, text), pattern in zip(told, EXPECTED, strict=True):
        assert re.fullmatch(pattern, text), text
        assert level == "DEBUG"


def test_a_server_with_tls_tells_of_each_connection(run, debug_log, tls):
    async def main():
        async with secured(tls):
            pass

    run(main, debug=True)
    (text,) = [text for _, text in debug_log if "new connection" in text]
    assert re.fullmatch(EXPECTED[0], text), text


def test_without_debug_mode_they_are_silent(run, debug_log):
    run(provoke, debug=False)
    assert of_transports(debug_log) == []
