"""Fixtures of the tests of pyaio's own face, which asyncio has no counterpart for."""

import pytest


@pytest.fixture
def pyaio():
    """The package, imported when a test asks for it: see helpers.loop_factory_of."""
    import pyaio

    return pyaio
