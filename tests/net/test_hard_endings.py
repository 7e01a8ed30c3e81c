"""Ends of connections in which something else fails too: nothing is hidden, the loop goes on."""

import asyncio
import socket
import sys

import pytest
from helpers import HandlerCalls, drain, only_pyaio
from peers import Recorder, ended, fill, reset, tcp_pair, turns, until, with_peer


# asyncio's connection_lost sets an exception on the cancelled waiter: InvalidStateError.
@only_pyaio
def test_a_reset_after_a_cancelled_sendfile_with_a_full_queue(run):
    async def main():
        loop = asyncio.get_running_loop()
        async with with_peer() as (protocol, peer):
            fill(protocol.transport)
            with open(__file__, "rb") as file:
                sending = asyncio.ensure_future(
                    loop.sendfile(protocol.transport, file, fallback=False)
                )
                await turns()
                assert not sending.done()
                sending.cancel()
                await asyncio.wait([sending])
            assert sending.cancelled()
            reset(peer)
            assert isinstance(await ended(protocol.lost), ConnectionError)
        await turns()

    run(main)


@pytest.mark.parametrize("end", ["eof", "data", "reset"])
def test_a_call_soon_that_raises_while_events_are_handled_is_reported(loop_class, end):
    class Loop(loop_class):
        broken = False

        def call_soon(self, callback, *args, context=None):
            if self.broken:
                raise ZeroDivisionError("call_soon")
            return super().call_soon(callback, *args, context=context)

    class Protocol(asyncio.Protocol):
        def data_received(self, data):
            break_for_a_while()
            transport.abort()

        def eof_received(self):
            break_for_a_while()

    def break_for_a_while():
        loop.broken = True
        loop.call_later(0.001, repair)

    def repair():
        loop.broken = False
        loop.stop()

    loop = Loop()
    calls = HandlerCalls.of(loop)
    ours, peer = tcp_pair()
    transport, _ = loop.run_until_complete(loop.create_connection(Protocol, sock=ours))
    if end == "data":
        peer.send(b"x")
    elif end == "eof":
        peer.close()
    else:
        reset(peer)
        break_for_a_while()
    loop.run_forever()
    assert {type(e) for e in calls.exceptions} == {ZeroDivisionError}
    transport._call_connection_lost(None)  # what could not be scheduled
    peer.close()
    drain(loop)
    loop.close()


class Unclosable(socket.socket):
    """A socket whose close() does its work and fails."""

    def close(self):
        super().close()
        raise OSError("close")


class Server:
    """What a transport sees of its server; it fails to let go."""

    def _attach(self, *transport):
        pass

    def _detach(self, *transport):
        raise KeyError("detach")


# asyncio reports the last of the exceptions only, and its finalizer closes the socket again.
@only_pyaio
@pytest.mark.parametrize("fails", ["connection_lost", "only the rest"])
def test_a_failing_close_and_detach_hide_no_failing_connection_lost(run, monkeypatch, fails):
    class Protocol(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            if fails == "connection_lost":
                raise ZeroDivisionError("connection_lost")

    async def main():
        loop = asyncio.get_running_loop()
        calls, elsewhere = HandlerCalls(), []
        loop.set_exception_handler(calls)
        monkeypatch.setattr(sys, "unraisablehook", lambda u: elsewhere.append(u.exc_type))
        ours, peer = tcp_pair()
        sock = Unclosable(ours.family, ours.type, ours.proto, fileno=ours.detach())
        sock.setblocking(False)
        transport = loop._make_socket_transport(sock, protocol := Protocol(), server=Server())
        await ended(protocol.made)
        transport.abort()
        await ended(protocol.lost)
        await turns()
        monkeypatch.undo()
        peer.close()
        reported = [type(e) for e in calls.exceptions]
        assert sorted(t.__name__ for t in reported + elsewhere) == sorted(
            ["KeyError", "OSError"] + ["ZeroDivisionError"] * (fails == "connection_lost")
        )
        if fails == "connection_lost":
            assert reported[0] is ZeroDivisionError

    run(main)


@pytest.mark.parametrize("fails", [False, True])
def test_connection_lost_is_called_before_the_socket_is_closed(run, fails):
    class Protocol(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            self.number = self.transport.get_extra_info("socket").fileno()
            if fails:
                raise ZeroDivisionError("connection_lost")

    async def main():
        calls = HandlerCalls.of(asyncio.get_running_loop())
        async with with_peer(Protocol) as (protocol, _):
            sock = protocol.transport.get_extra_info("socket")
            number = sock.fileno()
            protocol.transport.close()
            await ended(protocol.lost)
            await until(lambda: sock.fileno() == -1)
            assert protocol.number == number
        assert [type(e) for e in calls.exceptions] == [ZeroDivisionError] * fails

    run(main)
