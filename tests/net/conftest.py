"""Fixtures of the network tests: pairs of sockets; certificates, made anew for each run."""

import ssl
from types import SimpleNamespace

import pytest
from certificates import CA
from peers import tcp_pair, unix_pair


@pytest.fixture
def pair():
    """Two plain sockets, connected over TCP."""
    ours, theirs = tcp_pair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture(params=[tcp_pair, unix_pair], ids=["tcp", "unix"])
def stream_pair(request):
    """Two plain sockets, connected over TCP, then two that are Unix sockets."""
    ours, theirs = request.param()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture(scope="session")
def authority():
    """A certificate authority that nobody but this run knows."""
    return CA()


@pytest.fixture(scope="session")
def certificate(authority):
    """A certificate for localhost and its addresses."""
    return authority.issue_cert("localhost", "127.0.0.1", "::1")


@pytest.fixture
def tls(authority, certificate):
    """New contexts: `tls.server`, `tls.client`, which trusts it, `tls.stranger`, which does not."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return SimpleNamespace(server=server, client=client, stranger=stranger)
