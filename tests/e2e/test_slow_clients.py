"""Clients who send slowly: they keep nobody else from being served, and there are bounds to how slow and how many."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Thread

import pytest

from tests.e2e.server import Server
from tests.e2e.test_bad_input import raw_problem
from tests.e2e.test_operation import send, square, wait_until
from tests.e2e.test_wire import BODY, LENGTH, TYPE, head, picture

SLOW = 1000
FEW = 700  # bytes of a body, less than all of it


@contextmanager
def connected_from(address: str, server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60, source_address=(address, 0)) as connection:
        yield connection


def begin(stack: ExitStack, address: str, server: Server, known: int) -> socket.socket:
    """An upload of which some bytes have come, as one more than `known` are under way."""
    connection = stack.enter_context(connected_from(address, server))
    connection.sendall(head(TYPE, LENGTH) + BODY[:FEW])
    wait_until(lambda: server.metric("impasto_uploads") == known + 1)
    return connection


def test_a_thousand_slow_uploads_keep_nobody_from_being_served() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * SLOW)), hard))
    stop = Event()
    with Server({"upload_grace": 600, "upload_timeout": 600}) as server, ExitStack() as stack:
        # As of several machines: one has but a share of the places.
        slow = [stack.enter_context(connected_from(f"127.0.0.{2 + n % 5}", server)) for n in range(SLOW)]

        def trickle() -> None:
            for connection in slow:
                connection.sendall(head(TYPE, "Content-Length: 1000000"))
            while not stop.wait(0.5):
                for connection in slow:
                    connection.sendall(b"x")

        sending = Thread(target=trickle)
        sending.start()
        try:
            wait_until(lambda: server.metric("impasto_uploads") == SLOW, 60)
            for _ in range(5):
                assert send(server, square(64)).status_code == 200
                assert server.client.get("/readyz").status_code == 200
            assert server.metric("impasto_uploads") == SLOW
        finally:
            stop.set()
            sending.join()


@pytest.fixture(scope="module")
def impatient() -> Iterator[Server]:
    with Server({"upload_grace": 0.5, "min_upload_rate": 1000}) as running:
        yield running


@pytest.mark.parametrize("crawls", [False, True])
def test_an_upload_that_comes_too_slowly_is_given_up(impatient: Server, crawls: bool) -> None:
    with connected_from("127.0.0.1", impatient) as connection:
        connection.sendall(head(TYPE, LENGTH) + BODY[:FEW])
        connection.settimeout(0.05)
        for byte in BODY[FEW : FEW + 1000] if crawls else b"":
            try:
                if connection.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                connection.sendall(bytes([byte]))
        connection.settimeout(60)
        raw_problem(connection, 408, "slow-upload")


def test_where_places_run_out_the_slowest_goes_and_a_client_that_takes_many_gives_up_its_own() -> None:
    settings = {"max_uploads": 4, "upload_share": 0.5, "upload_grace": 600, "upload_timeout": 600, "min_upload_rate": 1}
    with Server(settings) as server, ExitStack() as stack:
        oldest = begin(stack, "127.0.0.2", server, 0)
        first, second = (begin(stack, "127.0.0.3", server, known) for known in (1, 2))
        third = stack.enter_context(connected_from("127.0.0.3", server))
        third.sendall(head(TYPE, LENGTH) + BODY[:FEW])
        raw_problem(first, 408, "slow-upload")
        begin(stack, "127.0.0.4", server, 3)
        fifth = stack.enter_context(connected_from("127.0.0.5", server))
        fifth.sendall(head(TYPE, LENGTH) + BODY[:FEW])
        raw_problem(oldest, 408, "slow-upload")
        for connection in (second, third, fifth):
            connection.sendall(BODY[FEW:])
            picture(connection)
