"""Fixtures of the network tests: certificates, made anew for each run of the suite."""

import ssl
from types import SimpleNamespace

import pytest
import trustme


@pytest.fixture(scope="session")
def authority():
    """A certificate authority that nobody but this run knows."""
    return trustme.CA()


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
