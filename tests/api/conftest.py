"""Fixtures of the tests of pyaio's own face, which asyncio has no counterpart for."""

import pytest


@pytest.fixture(scope="session")
def pyaio(loop_factories):
    """The package, imported when a test asks for it: see helpers.loop_factory_of."""
    import pyaio

    return pyaio
