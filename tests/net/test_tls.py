"""TLS over TCP: handshakes that succeed and that fail, data, closing, what is known about it."""

import asyncio
import contextlib
import socket
import ssl

import pytest
from helpers import HandlerCalls
from peers import (
    LOOPBACK,
    Accepting,
    Buffered,
    Open,
    Recorder,
    ended,
    finish,
    on_asyncio,
    outcome,
    take,
    tcp_pair,
    turns,
    until,
)


class View(Buffered):
    """A Buffered that hands out a view: sslproto fills slices, and a bytearray's are copies."""

    def get_buffer(self, sizehint):
        return memoryview(self.buffer)


@contextlib.asynccontextmanager
async def secured(tls, client=Recorder, server=Recorder, client_options=None, **server_options):
    """A TLS connection with both ends on this loop; gives the two protocols, both made."""
    loop = asyncio.get_running_loop()
    accepting = Accepting(server)
    listener = await loop.create_server(accepting, LOOPBACK, 0, ssl=tls.server, **server_options)
    near = None
    options = {"ssl": tls.client, "server_hostname": "localhost", **(client_options or {})}
    try:
        address = listener.sockets[0].getsockname()
        _, near = await loop.create_connection(client, *address, **options)
        yield near, await accepting.connected()
    finally:
        listener.close()
        await finish(*([near] if near else []), *accepting)
        await listener.wait_closed()


@pytest.mark.parametrize("kind", [Recorder, View], ids=["protocol", "buffered"])
def test_echo(run, tls, kind):
    async def main():
        async with secured(tls, kind, kind) as (near, far):
            near.transport.write(b"question")
            assert await far.received(8) == b"question"
            far.transport.writelines([b"an", bytearray(b"sw"), memoryview(b"er")])
            assert await near.received(6) == b"answer"
            near.transport.close()
            assert await ended(near.lost) is None
            assert await ended(far.lost) is None
            return near.events, far.events

    near, far = run(main)
    assert near[:2] == ["made", "data"]
    assert near[-1] == "lost"
    assert near.count("lost") == 1
    assert far == ["made", "data", "eof", "lost"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_of_the_protocol(run, tls, version):
    tls.client.minimum_version = tls.client.maximum_version = version

    async def main():
        async with secured(tls) as (near, far):
            near.transport.write(b"x" * 100_000)
            await far.received(100_000)
            return near.transport.get_extra_info("ssl_object").version()

    assert run(main) == version.name.replace("_", ".")


def test_5_mib_each_way(run, tls):
    payload = bytes(range(256)) * (5 << 12)

    async def main():
        async with secured(tls) as (near, far):
            near.transport.write(payload)
            far.transport.write(payload[::-1])
            assert await far.received(len(payload)) == payload
            assert await near.received(len(payload)) == payload[::-1]

    run(main)


def test_many_small_writes_arrive_in_order(run, tls):
    async def main():
        async with secured(tls) as (near, far):
            expected = b"".join(b"%d;" % n for n in range(2000))
            for n in range(2000):
                near.transport.write(b"%d;" % n)
            assert await far.received(len(expected)) == expected

    run(main)


def test_what_was_written_before_close_arrives(run, tls):
    async def main():
        async with secured(tls) as (near, far):
            near.transport.write(b"z" * 1_000_000)
            near.transport.close()
            assert await ended(far.lost) is None
            assert len(far.data) == 1_000_000
            assert await ended(near.lost) is None

    run(main)


def test_abort_ends_both_sides(run, tls):
    async def main():
        async with secured(tls) as (near, far):
            near.transport.abort()
            assert near.events == ["made"]
            await ended(near.lost)
            await ended(far.lost)
            return near.events

    assert run(main) == ["made", "lost"]


def test_pause_and_resume_reading(run, tls):
    async def main():
        async with secured(tls) as (near, far):
            far.transport.pause_reading()
            near.transport.write(b"x" * 300_000)
            await turns(50)
            assert far.data == b""
            far.transport.resume_reading()
            await far.received(300_000)

    run(main)


def test_flow_control(run, tls):
    async def main():
        async with secured(tls) as (near, far):
            far.transport.pause_reading()
            written = 0
            while "pause" not in near.events:
                near.transport.write(b"x" * 500_000)
                written += 500_000
                await asyncio.sleep(0)
            far.transport.resume_reading()
            await far.received(written)
            await until(lambda: near.events[-1] == "resume")

    run(main)


def test_extra_info(run, tls):
    async def main():
        async with secured(tls) as (near, far):
            for protocol, context in ((near, tls.client), (far, tls.server)):
                info = protocol.transport.get_extra_info
                assert info("sslcontext") is context
                assert isinstance(info("ssl_object"), ssl.SSLObject)
                assert info("ssl_object").context is context
                assert info("cipher") == info("ssl_object").cipher()
                assert info("compression") is None
                assert info("sockname")[0] == LOOPBACK
                assert isinstance(info("socket"), asyncio.trsock.TransportSocket)
                assert info("nothing", 5) == 5
            names = near.transport.get_extra_info("peercert")["subjectAltName"]
            assert ("DNS", "localhost") in names
            assert not far.transport.get_extra_info("peercert")
            assert isinstance(near.transport, asyncio.Transport)
            assert near.transport.get_protocol() is near
            assert not near.transport.can_write_eof()
            with pytest.raises(NotImplementedError):
                near.transport.write_eof()

    run(main)


def test_alpn_and_client_certificates(run, tls, authority, certificate):
    tls.server.set_alpn_protocols(["one", "two"])
    tls.client.set_alpn_protocols(["two"])
    tls.server.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls.server)
    certificate.configure_cert(tls.client)

    async def main():
        async with secured(tls) as (near, far):
            assert near.transport.get_extra_info("ssl_object").selected_alpn_protocol() == "two"
            assert far.transport.get_extra_info("peercert")["subjectAltName"]

    run(main)


def test_the_server_name_reaches_the_server(run, tls):
    asked = []
    tls.server.sni_callback = lambda sslobj, name, context: asked.append(name)

    async def main():
        async with secured(tls):
            pass

    run(main)
    assert asked == ["localhost"]


async def failing_handshake(server_context, client_context, name):
    """Return the client's failure and what the server's side reports about it."""
    loop = asyncio.get_running_loop()
    calls = HandlerCalls.of(loop)
    accepting = Accepting()
    async with await loop.create_server(accepting, LOOPBACK, 0, ssl=server_context) as listener:
        failure = await outcome(
            loop.create_connection(
                Recorder,
                *listener.sockets[0].getsockname(),
                ssl=client_context,
                server_hostname=name,
            )
        )
        await turns(30)
        await finish(*accepting)
    return failure, sorted((c["message"], str(type(c["exception"]))) for c in calls)


@pytest.mark.parametrize(
    ("client", "name"),
    [("stranger", "localhost"), ("client", "another.name")],
    ids=["untrusted", "wrong-name"],
)
def test_a_certificate_that_is_not_accepted(run, tls, client, name):
    scenario = failing_handshake, tls.server, getattr(tls, client), name
    failure, reports = run(*scenario)
    assert failure is ssl.SSLCertVerificationError
    assert (failure, reports) == on_asyncio(*scenario)


def test_no_common_version_of_the_protocol(run, tls):
    tls.server.minimum_version = ssl.TLSVersion.TLSv1_3
    tls.client.maximum_version = ssl.TLSVersion.TLSv1_2
    failure, _ = run(failing_handshake, tls.server, tls.client, "localhost")
    # The server's alert and the end of its connection race for the client.
    assert issubclass(failure, (ssl.SSLError, ConnectionResetError))


async def talking_to(peer_does, context):
    """Start TLS towards a plain socket on which *peer_does* something; return how it ends."""
    ours, peer = tcp_pair()
    with peer:
        task = asyncio.ensure_future(
            asyncio.get_running_loop().create_connection(
                Recorder, sock=ours, ssl=context, server_hostname="localhost"
            )
        )
        await take(peer, 1)
        peer_does(peer)
        return await outcome(task)


def closes(peer):
    peer.close()


def answers_in_clear(peer):
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def half_closes(peer):
    peer.send(b"\x16\x03\x03")
    peer.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("peer_does", [closes, answers_in_clear, half_closes])
def test_a_peer_that_does_not_shake_hands(run, tls, peer_does):
    failure = run(talking_to, peer_does, tls.client)
    assert issubclass(failure, OSError)
    assert failure is on_asyncio(talking_to, peer_does, tls.client)


def test_a_handshake_that_never_comes_times_out(run, tls):
    async def main():
        ours, peer = tcp_pair()
        with peer:
            with pytest.raises(ConnectionAbortedError, match="SSL handshake is taking longer"):
                await asyncio.get_running_loop().create_connection(
                    Recorder,
                    sock=ours,
                    ssl=tls.client,
                    server_hostname="localhost",
                    ssl_handshake_timeout=0.05,
                )
            await until(lambda: ours.fileno() == -1)

    run(main)


@pytest.mark.parametrize("value", [0, -1, 0.0, -0.5])
@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
def test_a_timeout_that_is_not_positive_is_a_value_error(run, tls, name, value):
    async def main():
        ours, peer = tcp_pair()
        message = f"{name} should be a positive number"
        with ours, peer, pytest.raises(ValueError, match=message):
            await asyncio.get_running_loop().create_connection(
                Recorder, sock=ours, ssl=tls.client, server_hostname="x", **{name: value}
            )

    run(main)


def test_a_server_context_on_the_client_side_fails_as_on_asyncio(run, tls):
    async def main():
        ours, peer = tcp_pair()
        with ours, peer:
            return await outcome(
                asyncio.get_running_loop().create_connection(
                    Recorder, sock=ours, ssl=tls.server, server_hostname="localhost"
                )
            )

    failure = run(main)
    assert issubclass(failure, Exception)
    assert failure is on_asyncio(main)


def test_close_ends_while_the_peer_keeps_sending(run, tls):
    """The peer never answers the close_notify: the shutdown timeout ends the connection."""

    async def main():
        stop = asyncio.Event()

        async def send(protocol):
            while not stop.is_set() and not protocol.transport.is_closing():
                protocol.transport.write(b"more" * 1000)
                await asyncio.sleep(0)

        options = {"ssl_shutdown_timeout": 0.2}
        async with secured(tls, client_options=options) as (near, far):
            sending = asyncio.ensure_future(send(far))
            await near.received(100)
            near.transport.close()
            await ended(near.lost)
            stop.set()
            await sending

    run(main)


def test_a_peer_that_vanishes_without_close_notify(run, tls):
    async def main():
        async with secured(tls) as (near, far):
            far.transport.write(b"last")
            await near.received(4)
            far.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            await ended(near.lost)
            return bytes(near.data), near.events[-1]

    assert run(main) == (b"last", "lost")


def test_data_before_the_close_notify_is_all_delivered(run, tls):
    async def main():
        async with secured(tls) as (near, far):
            near.transport.pause_reading()
            far.transport.write(b"d" * 200_000)
            far.transport.close()
            await turns(30)
            near.transport.resume_reading()
            await ended(near.lost)
            return len(near.data), near.events

    assert run(main) == (200_000, ["made", "data", "eof", "lost"])


@pytest.mark.parametrize("size", [10, 100_000])
def test_streams_over_tls(run, tls, size):
    async def echo(reader, writer):
        writer.write(await reader.readexactly(size))
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        served.set()

    async def main():
        nonlocal served
        served = asyncio.Event()
        async with await asyncio.start_server(echo, LOOPBACK, 0, ssl=tls.server) as server:
            reader, writer = await asyncio.open_connection(
                *server.sockets[0].getsockname(), ssl=tls.client, server_hostname="localhost"
            )
            writer.write(b"s" * size)
            assert await reader.read() == b"s" * size
            writer.close()
            await writer.wait_closed()
            await served.wait()

    served = None
    run(main)


def test_twenty_connections_at_once(run, tls):
    async def main():
        loop = asyncio.get_running_loop()
        accepting = Accepting()
        async with await loop.create_server(accepting, LOOPBACK, 0, ssl=tls.server) as listener:
            address = listener.sockets[0].getsockname()
            made = await asyncio.gather(
                *(
                    loop.create_connection(
                        Recorder, *address, ssl=tls.client, server_hostname="localhost"
                    )
                    for _ in range(20)
                )
            )
            for n, (transport, _) in enumerate(made):
                transport.write(bytes([n]) * 1000)
            await until(
                lambda: len(accepting) == 20 and all(len(p.data) == 1000 for p in accepting)
            )
            assert sorted(protocol.data[0] for protocol in accepting) == list(range(20))
            await finish(*(protocol for _, protocol in made), *accepting)

    run(main)


def test_eof_received_returning_true_has_no_effect(run, tls, reports):
    async def main():
        async with secured(tls, Open) as (near, far):
            far.transport.close()
            await ended(near.lost)

    run(main)
    assert reports.take() == ["returning true from eof_received() has no effect when using ssl"]


def test_an_exception_in_data_received_ends_the_connection(run, tls):
    class Failing(Recorder):
        def data_received(self, data):
            raise ZeroDivisionError

    async def main():
        calls = HandlerCalls.of(asyncio.get_running_loop())
        async with secured(tls, Failing) as (near, far):
            far.transport.write(b"x")
            lost = await ended(near.lost)
            return [type(failure) for failure in calls.exceptions], type(lost)

    assert run(main) == on_asyncio(main)
    assert run(main)[0] == [ZeroDivisionError]


def test_a_session_goes_on_after_a_failed_one(run, tls):
    """The listener survives handshakes that fail, garbage and silent clients."""

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(HandlerCalls())
        accepting = Accepting()
        async with await loop.create_server(accepting, LOOPBACK, 0, ssl=tls.server) as listener:
            address = listener.sockets[0].getsockname()
            for greeting in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff", b""):
                with socket.create_connection(address) as stray:
                    stray.send(greeting)
                    await turns(10)
            _, near = await loop.create_connection(
                Recorder, *address, ssl=tls.client, server_hostname="localhost"
            )
            near.transport.write(b"fine")
            await until(lambda: any(protocol.data == b"fine" for protocol in accepting))
            await finish(near, *accepting)

    run(main)


def test_views_given_to_writelines_are_sent_as_they_were(run, tls):
    """Database drivers hand slices of one growing buffer over and go on using it."""

    async def main():
        async with secured(tls) as (near, far):
            expected = b""
            for n in range(50):
                buffer = bytearray(bytes([n]) * 5000)
                view = memoryview(buffer)
                chunks = [view[:1], view[1:1], view[1:3000], bytes(view[3000:]), buffer]
                expected += b"".join(bytes(chunk) for chunk in chunks)
                near.transport.writelines(chunks)
            near.transport.writelines(memoryview(b"abc")[i : i + 1] for i in range(3))
            near.transport.writelines([])
            expected += b"abc"
            assert await far.received(len(expected)) == expected

    run(main)


async def end_without_close_notify(tls):
    """The peer's end of file comes while reading is paused and data waits."""
    async with secured(tls) as (near, far):
        await turns(10)
        near.transport.pause_reading()
        far.transport.write(b"d" * 50_000)
        await turns(100)
        far.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        await turns(100)
        assert near.data == b""
        near.transport.resume_reading()
        await ended(near.lost)
        return len(near.data), near.events


def test_data_before_an_end_without_close_notify_is_treated_as_on_asyncio(run, tls):
    assert run(end_without_close_notify, tls) == on_asyncio(end_without_close_notify, tls)
