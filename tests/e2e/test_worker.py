"""What becomes of requests when the worker's engine fails, hangs, or is busy with a large picture."""

import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.e2e import faulty
from tests.e2e.server import FAULTY, Server
from tests.e2e.test_bad_input import problem
from tests.e2e.test_operation import batches, later, raw_request, send, square, wait_until

LOSSES = ("died", "device-error", "failures")


# An engine that has faults; a worker that hangs is soon taken for what it is.
DOOMED = {"stuck_seconds": 3}


@pytest.fixture(scope="module")
def broken() -> Iterator[Server]:
    """What goes on after each fault."""
    with Server(DOOMED, FAULTY) as running:
        yield running


@pytest.fixture
def doomed() -> Iterator[Server]:
    """What will end with an error."""
    with Server(DOOMED, FAULTY) as running:
        yield running


def losses(server: Server) -> list[float]:
    return [server.metric(f'impasto_lost_workers_total{{reason="{reason}"}}') for reason in LOSSES]


def is_ready(server: Server) -> bool:
    return server.client.get("/readyz").is_success


def test_an_engine_that_fails_on_every_picture_is_made_anew(broken: Server) -> None:
    before = losses(broken)
    for side in (faulty.BREAKS, 32, 40):
        assert is_ready(broken)
        problem(send(broken, square(side)), 500, "internal-error")
    wait_until(lambda: not is_ready(broken))
    problem(broken.client.get("/readyz"), 503, "not-ready")
    wait_until(lambda: is_ready(broken))
    assert send(broken, square(32)).status_code == 200
    assert losses(broken) == [*before[:2], before[2] + 1]


def test_a_picture_that_fails_again_and_again_costs_nobody_the_worker(broken: Server) -> None:
    before = losses(broken)
    for _ in range(5):
        problem(send(broken, square(faulty.FAILS)), 500, "internal-error")
    assert is_ready(broken)
    assert losses(broken) == before


def test_a_device_that_fails_once_is_taken_up_again(broken: Server) -> None:
    before = losses(broken)
    problem(send(broken, square(faulty.LOSES_DEVICE)), 500, "internal-error")
    problem(broken.client.get("/readyz"), 503, "not-ready")
    wait_until(lambda: is_ready(broken))
    assert send(broken, square(32)).status_code == 200
    assert losses(broken) == [before[0], before[1] + 1, before[2]]


def test_a_device_that_stays_lost_ends_the_process_with_an_error(doomed: Server) -> None:
    problem(send(doomed, square(faulty.LOSES_DEVICE_FOR_GOOD)), 500, "internal-error")
    assert doomed.process.wait(timeout=60) == 1
    (line,) = [line for line in doomed.log().splitlines() if "CRITICAL" in line]
    assert "the device fails again after its engine was made anew: CUDA error: an illegal memory access" in line


def test_a_worker_that_hangs_is_noticed_and_the_process_ends_with_an_error(doomed: Server) -> None:
    begun = batches(doomed)
    hanging = later(doomed, square(faulty.HANGS))
    wait_until(lambda: batches(doomed) > begun)
    waiting = later(doomed, square(32), headers={"X-Request-Timeout": "1.5"})
    wait_until(lambda: not is_ready(doomed))
    assert "does not move on" in problem(doomed.client.get("/readyz"), 503, "not-ready")["detail"]
    assert doomed.metric("impasto_stuck_workers") == 1
    problem(send(doomed, square(32)), 503, "not-ready")
    assert doomed.client.get("/healthz").is_success
    problem(waiting.result(), 504, "deadline-passed")
    problem(hanging.result(), 503, "shutting-down")
    assert doomed.process.wait(timeout=60) == 1
    (line,) = [line for line in doomed.log().splitlines() if "CRITICAL" in line]
    assert f"in one step of 1 x {-(-faulty.HANGS // 8) * 8}x56 pixels" in line


def test_a_process_that_was_stopped_amid_a_picture_goes_on_with_it(broken: Server) -> None:
    begun = batches(broken)
    slow = later(broken, square(faulty.SLOW))
    wait_until(lambda: batches(broken) > begun)
    broken.process.send_signal(signal.SIGSTOP)
    time.sleep(4)
    broken.process.send_signal(signal.SIGCONT)
    assert slow.result().status_code == 200
    assert is_ready(broken)


@pytest.fixture(scope="module")
def patient() -> Iterator[Server]:
    """A server with time for large pictures on a busy machine."""
    with Server({"request_timeout": 600, "queue_seconds": 600}) as running:
        yield running


def test_previews_are_answered_while_a_large_picture_is_under_way(patient: Server) -> None:
    before = batches(patient)
    large = later(patient, square(256), size="800")
    wait_until(lambda: batches(patient) > before)
    for number in range(3):
        assert send(patient, square(128), strength=str(number / 4)).status_code == 200
    assert not large.done()
    assert large.result().status_code == 200


def test_a_client_that_hangs_up_amid_a_large_picture_frees_the_network(patient: Server) -> None:
    begun = batches(patient)
    with socket.create_connection(("127.0.0.1", patient.port)) as connection:
        connection.sendall(raw_request(square(256), size="3000"))
        wait_until(lambda: batches(patient) > begun, 60)
    wait_until(lambda: patient.metric("impasto_dropped_batches_total") == 1)
    assert patient.metric("impasto_paused_batches") == 0
    assert send(patient, square(64)).status_code == 200
