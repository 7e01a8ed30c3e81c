"""The handshake of TLS: however its records come, what callbacks do in it, how it fails."""

import asyncio
import re
import socket
import ssl
import struct
import sys

import pytest
from helpers import HandlerCalls, only_pyaio
from peers import Recorder, ended, finish, on_asyncio, reset, tcp_pair, turns
from spies import python_calls
from test_tls import secured
from test_tls_records import Peer, connect, described, peer_of, told

both_sides = pytest.mark.parametrize("server_side", [False, True], ids=["client", "server"])
both_versions = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"]
)


# ---- records, however they come ----


class Slow(Peer):
    """Sends *part* bytes at a time, and lets the loop read them before it sends more."""

    part = 1

    async def flush(self):
        wire = self.outgoing.read()
        await self.send(*(wire[n : n + self.part] for n in range(0, len(wire), self.part)))


@pytest.mark.parametrize("part", [1, 100, 1000])
@both_sides
@both_versions
def test_a_handshake_in_small_pieces(run, tls, version, server_side, part):
    tls.client.minimum_version = tls.client.maximum_version = version

    async def main():
        ours, theirs = tcp_pair()
        with theirs:
            peer = peer_of(tls, theirs, server_side)
            peer.__class__, peer.part = Slow, part
            near, _ = await asyncio.gather(
                connect(tls, Recorder, ours, server_side), peer.shake_hands()
            )
            near.transport.write(b"question")
            assert await peer.opened(8) == b"question"
            await peer.send(peer.seal(b"answer"))
            assert await near.received(6) == b"answer"
            await finish(near)

    run(main)


@both_sides
@both_versions
def test_data_right_behind_the_handshake_is_read(run, tls, version, server_side):
    """In one piece with the last of the handshake, where that is the other side's."""
    tls.client.minimum_version = tls.client.maximum_version = version

    async def main():
        ours, theirs = tcp_pair()
        with theirs:
            peer = peer_of(tls, theirs, server_side)
            connecting = asyncio.ensure_future(connect(tls, Recorder, ours, server_side))
            await peer.shake_hands(hold_tickets=True)
            await peer.send(peer.seal(b"at once"))
            near = await connecting
            assert await near.received(7) == b"at once"
            await finish(near)

    run(main)


async def functions_called(tls):
    """The Python functions that are called for a connection with both ends on the loop."""
    with python_calls() as calls:
        async with secured(tls):
            pass
    return calls


@only_pyaio
def test_an_ordinary_handshake_raises_nothing_in_between(run, tls):
    calls = run(functions_called, tls)
    assert calls.count("_on_handshake_complete") == 2
    assert "do_handshake" not in calls
    assert "do_handshake" in on_asyncio(functions_called, tls)


# ---- how it fails ----


async def failing(tls, server_side, peer_does):
    """TLS with a peer on a plain socket that does something instead of its part of the handshake.

    Returns how that ends, and what the exception handler is told in debug mode.
    """
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    calls = HandlerCalls.of(loop)
    ours, theirs = tcp_pair()
    with theirs:
        peer = peer_of(tls, theirs, server_side)
        connecting = asyncio.ensure_future(connect(tls, Recorder, ours, server_side))
        await peer_does(peer)
        failure = (await asyncio.gather(connecting, return_exceptions=True))[0]
        await turns(10)
        if isinstance(failure, Recorder):  # it has not failed by then
            failure = await ended(failure.lost)
    return described(failure), told(calls)


async def sends_garbage(peer):
    await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


ODD_RECORDS = {
    "of-version-2": b"\x16\x02\x00\x00\x04abcd",
    "as-in-version-2": b"\x80\x2e\x01\x03\x01" + bytes(43),
    "of-no-type": b"\x63\x03\x03\x00\x04abcd",
    "heartbeat": b"\x18\x03\x03\x00\x04abcd",
    "too-long": b"\x16\x03\x03\xff\xff" + bytes(0xFFFF),
    "a-bit-too-long": b"\x16\x03\x03\x48\x01" + bytes(0x4801),
    "empty": b"\x16\x03\x03\x00\x00",
    "of-no-message": b"\x16\x03\x03\x00\x04abcd",
    "data": b"\x17\x03\x03\x00\x04abcd",
    "change-cipher-spec": b"\x14\x03\x03\x00\x01\x01",
    "alert-of-no-level": b"\x15\x03\x03\x00\x02\x09\x28",
    "close-notify": b"\x15\x03\x03\x00\x02\x01\x00",
    "half-an-alert": b"\x15\x03\x03\x00\x01\x02",
}


@both_sides
@pytest.mark.parametrize("behind", ["alone", "behind-a-good-one"])
@pytest.mark.parametrize("wire", ODD_RECORDS.values(), ids=ODD_RECORDS)
def test_an_odd_record_is_told_as_on_asyncio(run, tls, server_side, wire, behind):
    async def sends(peer):
        if behind == "behind-a-good-one":
            await peer.send(await first_flight(peer) + wire)
        else:
            await peer.send(wire)
        peer.sock.shutdown(socket.SHUT_WR)  # where it was not odd enough

    seen = run(failing, tls, server_side, sends)
    assert seen == on_asyncio(failing, tls, server_side, sends)


async def first_flight(peer):
    """What the peer sends first in a handshake; a server hears of the client before that."""
    for _ in range(2):
        with pytest.raises(ssl.SSLWantReadError):
            peer.tls.do_handshake()
        if wire := peer.outgoing.read():
            return wire
        await peer.take_in()
    raise AssertionError("nothing is sent")


async def breaks_its_own_records(peer):
    if not peer.tls.server_side:
        await peer.send(await first_flight(peer))
        await peer.take_in()
        peer.tls.do_handshake()
        wire = bytearray(peer.outgoing.read())
    else:
        wire = bytearray(await first_flight(peer))
    wire[-1] ^= 1
    await peer.send(bytes(wire))


async def sends_an_alert(peer):
    await peer.send(b"\x15\x03\x03\x00\x02\x02\x28")  # fatal: handshake_failure


async def is_gone_amid_a_record(peer):
    await peer.send(b"\x16\x03\x03\x01")
    peer.sock.shutdown(socket.SHUT_WR)


async def resets(peer):
    await turns(3)
    reset(peer.sock)


@both_sides
@pytest.mark.parametrize(
    "peer_does",
    [sends_garbage, breaks_its_own_records, sends_an_alert, is_gone_amid_a_record, resets],
)
def test_a_failed_handshake_is_told_as_on_asyncio(run, tls, server_side, peer_does):
    failure, calls = run(failing, tls, server_side, peer_does)
    assert failure is not None
    assert (failure, calls) == on_asyncio(failing, tls, server_side, peer_does)


async def shakes_hands(peer):
    try:
        await peer.shake_hands()
    except (ssl.SSLError, OSError):
        await peer.flush()  # the alert


def test_a_refused_certificate_is_told_as_on_asyncio(run, tls):
    tls.client = tls.stranger
    failure, calls = run(failing, tls, False, shakes_hands)
    assert failure[0] is ssl.SSLCertVerificationError
    assert (failure, calls) == on_asyncio(failing, tls, False, shakes_hands)


@both_versions
def test_a_refused_certificate_is_told_to_the_server_as_on_asyncio(run, tls, version):
    tls.client = tls.stranger
    tls.client.minimum_version = tls.client.maximum_version = version
    failure, calls = run(failing, tls, True, shakes_hands)
    assert failure[1] == "TLSV1_ALERT_UNKNOWN_CA"
    assert (failure, calls) == on_asyncio(failing, tls, True, shakes_hands)


def test_a_client_without_a_certificate_is_told_as_on_asyncio(run, tls, authority):
    tls.server.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls.server)
    tls.client.maximum_version = ssl.TLSVersion.TLSv1_2  # where the handshake itself fails
    failure, calls = run(failing, tls, True, shakes_hands)
    assert failure[1] == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    assert (failure, calls) == on_asyncio(failing, tls, True, shakes_hands)


SECRET = "CLIENT_HANDSHAKE_TRAFFIC_SECRET"
NO_WHEEL = "cryptography has no wheel for free-threaded CPython 3.13"


def encrypted_close_notify(secret):
    """The first record under a secret of TLS_AES_256_GCM_SHA384 (RFC 8446, 5.2 and 7.3)."""

    hashes = pytest.importorskip("cryptography.hazmat.primitives.hashes", reason=NO_WHEEL)
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    def expanded(label, size):
        info = struct.pack(">HB", size, 6 + len(label)) + b"tls13 " + label + b"\0"
        return HKDFExpand(hashes.SHA384(), size, info).derive(secret)

    alert, kind = b"\x01\x00", b"\x15"
    header = b"\x17\x03\x03" + struct.pack(">H", len(alert + kind) + 16)
    key, nonce = expanded(b"key", 32), expanded(b"iv", 12)
    return header + AESGCM(key).encrypt(nonce, alert + kind, header)


def test_a_close_notify_instead_of_the_end_is_told_as_on_asyncio(run, tls, tmp_path):
    tls.client.minimum_version = ssl.TLSVersion.TLSv1_3
    tls.client.keylog_filename = log = tmp_path / "keys"

    async def breaks_off(peer):
        await peer.send(await first_flight(peer))
        await peer.take_in()
        peer.tls.do_handshake()
        assert peer.tls.cipher()[0] == "TLS_AES_256_GCM_SHA384"
        secrets = dict(line.split()[::2] for line in log.read_text().splitlines() if line[0] != "#")
        log.write_text("")
        await peer.send(encrypted_close_notify(bytes.fromhex(secrets[SECRET])))

    try:
        failure, calls = run(failing, tls, True, breaks_off)
        theirs, their_calls = on_asyncio(failing, tls, True, breaks_off)
    finally:
        tls.client.keylog_filename = None
    # Ours knows no line of _ssl.c.
    message = re.sub(r" \(_ssl\.c:\d+\)$", "", theirs[2])
    assert failure[2].partition(" (_ssl")[0] == message
    assert (failure[:2], failure[3:]) == (theirs[:2], theirs[3:])
    assert failure[0] is ssl.SSLZeroReturnError
    assert calls == their_calls


def test_a_failure_leaves_nothing_to_the_next_handshake(run, tls):
    async def main():
        await failing(tls, True, sends_garbage)
        async with secured(tls) as (near, far):
            near.transport.write(b"fine")
            assert await far.received(4) == b"fine"

    run(main)


# ---- callbacks of the program ----


async def with_sni_callback(tls, callback):
    """How both sides end when the server's callback does something; what is unraisable."""
    unraisable = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda u: unraisable.append(u.exc_type)
    try:
        tls.server.sni_callback = callback
        return await failing(tls, True, shakes_hands), unraisable
    finally:
        sys.unraisablehook = hook


def raises(sslobj, name, context):
    raise ZeroDivisionError


def refuses(sslobj, name, context):
    return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME


def returns_nonsense(sslobj, name, context):
    return "nonsense"


@pytest.mark.parametrize("callback", [raises, refuses, returns_nonsense])
def test_a_server_name_callback_ends_the_handshake_as_on_asyncio(run, tls, callback):
    (failure, calls), unraisable = run(with_sni_callback, tls, callback)
    assert failure[0] is ssl.SSLError
    assert bool(unraisable) == (callback is not refuses)
    assert ((failure, calls), unraisable) == on_asyncio(with_sni_callback, tls, callback)


def test_a_server_name_callback_may_put_in_another_context(run, tls, certificate):
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(other)

    def switches(sslobj, name, context):
        sslobj.context = other

    tls.server.sni_callback = switches

    async def main():
        async with secured(tls) as (near, far):
            assert far.transport.get_extra_info("ssl_object").context is other
            near.transport.write(b"fine")
            assert await far.received(4) == b"fine"

    run(main)


async def shakes_hands_and_closes(peer):
    await shakes_hands(peer)
    peer.sock.close()


def test_a_context_that_is_put_in_may_log_keys(run, tls, certificate):
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(other)
    other.keylog_filename = "/dev/full"  # what cannot be written comes out of do_handshake()

    def switches(sslobj, name, context):
        sslobj.context = other

    try:
        seen = run(with_sni_callback, tls, switches)
        assert seen == on_asyncio(with_sni_callback, tls, switches)
        assert issubclass(seen[0][0][0], OSError)
    finally:
        other.keylog_filename = None


def test_a_log_of_keys_that_cannot_be_written_is_told_as_on_asyncio(run, tls):
    tls.client.keylog_filename = "/dev/full"
    try:
        seen = run(failing, tls, False, shakes_hands_and_closes)
        assert seen == on_asyncio(failing, tls, False, shakes_hands_and_closes)
    finally:
        tls.client.keylog_filename = None
