"""What holds for all tests, and one server for all that only ask it for pictures."""

import os
import tempfile
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import settings

from tests.e2e.server import Server

# Hypothesis gives an example 200 ms by default: an assertion about time, which a busy machine breaks.
settings.register_profile("impasto", deadline=None)
settings.load_profile("impasto")

# What keeps jobs where the user's programs keep their data does so here for once.
DATA = tempfile.TemporaryDirectory()
os.environ["XDG_DATA_HOME"] = DATA.name


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Tests that change a server's state start their own."""
    with Server({"cors_origins": "HTTPS://Gallery.example:443/, https://*.site.example, null"}) as running:
        yield running


@pytest.fixture
def client(server: Server) -> httpx.Client:
    return server.client
