"""Fixtures of the tests with whole applications: certificates, made anew for each run."""

import ssl

import pytest
from certificates import CA


@pytest.fixture(scope="session")
def contexts():
    """A server's and a client's SSLContext that know each other."""
    authority = CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    client = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    authority.configure_trust(client)
    return server, client
