"""Flow control of datagrams: when pause_writing() and resume_writing() come, what they may do."""

import asyncio
import contextvars

import pytest
from datagram_peers import (
    HEADER,
    Datagrams,
    drains,
    full,
    numbered,
    taken,
)
from helpers import HandlerCalls
from peers import ended, turns, until


@drains
def test_flow_control_is_told_once_at_each_limit(run, tmp_path):
    async def main():
        async with full(tmp_path) as (protocol, peer, sent):
            transport = protocol.transport
            size = 4 + HEADER
            transport.set_write_buffer_limits(high=3 * size, low=size)
            assert transport.get_write_buffer_limits() == (size, 3 * size)
            for n in range(sent, sent + 5):
                transport.sendto(numbered(n))
                expected = ["made"] + ["pause"] * (transport.get_write_buffer_size() > 3 * size)
                assert protocol.events == expected
            assert transport.get_write_buffer_size() == 6 * size
            got = await taken(peer, sent + 5)
            assert got == [numbered(n) for n in range(sent + 5)]
            await until(lambda: protocol.events[-1] == "resume")
            await turns()
            assert protocol.events == ["made", "pause", "resume"]
            assert transport.get_write_buffer_size() == 0
            assert "write=<idle" in repr(transport)

    run(main)


def test_new_limits_pause_at_once(run, tmp_path):
    async def main():
        async with full(tmp_path) as (protocol, _, _):
            protocol.transport.set_write_buffer_limits(high=0)
            assert protocol.events == ["made", "pause"]
            for wrong in ({"high": 1, "low": 2}, {"high": -1}, {"low": -1}):
                with pytest.raises(ValueError, match="must be >="):
                    protocol.transport.set_write_buffer_limits(**wrong)

    run(main)


@drains
@pytest.mark.parametrize("name", ["pause_writing", "resume_writing"])
def test_flow_control_that_raises_is_reported_and_nothing_ends(run, tmp_path, name):
    class Failing(Datagrams):
        pass

    def failing(self):
        raise ZeroDivisionError

    setattr(Failing, name, failing)

    async def main():
        calls = HandlerCalls.of(asyncio.get_running_loop())
        async with full(tmp_path, Failing) as (protocol, peer, sent):
            protocol.transport.set_write_buffer_limits(high=0)
            assert await taken(peer, sent) == [numbered(n) for n in range(sent)]
            await until(lambda: calls)
            protocol.transport.sendto(b"more")
            assert await taken(peer, 1) == [b"more"]
        (context,) = calls
        assert context["message"] == f"protocol.{name}() failed"
        assert type(context["exception"]) is ZeroDivisionError
        assert (context["transport"], context["protocol"]) == (protocol.transport, protocol)

    run(main)


def test_abort_in_pause_writing_resumes_nothing(run, tmp_path):
    class Aborting(Datagrams):
        def pause_writing(self):
            super().pause_writing()
            self.transport.abort()

    async def main():
        async with full(tmp_path, Aborting) as (protocol, peer, sent):
            protocol.transport.set_write_buffer_limits(high=0)
            assert await ended(protocol.lost) is None
            assert await taken(peer, sent - 1) == [numbered(n) for n in range(sent - 1)]
            assert protocol.events == ["made", "pause", "lost"]

    run(main)


@drains
def test_what_is_sent_in_resume_writing_goes_behind_the_queue(run, tmp_path):
    class More(Datagrams):
        def resume_writing(self):
            super().resume_writing()
            self.transport.sendto(b"more")

    async def main():
        async with full(tmp_path, More) as (protocol, peer, sent):
            protocol.transport.set_write_buffer_limits(high=0)
            got = await taken(peer, sent + 1)
            assert got == [*(numbered(n) for n in range(sent)), b"more"]

    run(main)


@drains
@pytest.mark.parametrize("method", ["close", "abort"])
def test_an_end_in_resume_writing_comes_once(run, loop_kind, tmp_path, method):
    if loop_kind == "asyncio":
        pytest.skip("asyncio then calls connection_lost twice and reports the second")

    class Ending(Datagrams):
        def resume_writing(self):
            super().resume_writing()
            getattr(self.transport, method)()

    async def main():
        async with full(tmp_path, Ending) as (protocol, peer, sent):
            protocol.transport.set_write_buffer_limits(high=0)
            assert await taken(peer, sent) == [numbered(n) for n in range(sent)]
            assert await ended(protocol.lost) is None
            assert protocol.events == ["made", "pause", "resume", "lost"]

    run(main)


@drains
def test_flow_control_runs_in_the_context_of_who_sent_too_much(run, tmp_path):
    who = contextvars.ContextVar("who", default="nobody")

    class Noting(Datagrams):
        def resume_writing(self):
            super().resume_writing()
            self.events.append(who.get())

    async def main():
        who.set("maker")
        async with full(tmp_path, Noting) as (protocol, peer, sent):
            await taken(peer, sent)
            await until(lambda: not protocol.transport.get_write_buffer_size())
            who.set("sender")
            protocol.transport.set_write_buffer_limits(high=0)
            more = 0
            while not protocol.transport.get_write_buffer_size():
                protocol.transport.sendto(b"more")
                more += 1
            who.set("somebody else")
            await taken(peer, more)
            await until(lambda: "resume" in protocol.events)
            assert protocol.events[-1] == "sender"

    run(main)
