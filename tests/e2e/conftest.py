"""One server for all tests that only ask it for pictures; those that change its state start their own."""

from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.server import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server({"cors_origins": "HTTPS://Gallery.example:443/, https://*.site.example, null"}) as running:
        yield running


@pytest.fixture
def client(server: Server) -> httpx.Client:
    return server.client
