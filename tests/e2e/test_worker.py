"""What becomes of requests when the worker's engine fails, hangs, or is busy with a large picture."""

from collections.abc import Iterator

import httpx
import pytest

from tests.e2e import faulty
from tests.e2e.server import FAULTY, Server
from tests.e2e.test_bad_input import problem
from tests.e2e.test_operation import batches, later, send, square, wait_until

LOSSES = ("died", "device-error", "failures")


@pytest.fixture
def broken() -> Iterator[Server]:
    """A server whose engine has faults, and that soon takes a hanging worker for what it is."""
    with Server({"stuck_seconds": 3}, FAULTY) as running:
        yield running


def losses(server: Server) -> list[float]:
    return [server.metric(f'impasto_lost_workers_total{{reason="{reason}"}}') for reason in LOSSES]


def is_ready(server: Server) -> bool:
    return server.client.get("/readyz").is_success


def test_an_engine_that_fails_on_every_picture_is_made_anew(broken: Server) -> None:
    for side in (faulty.BREAKS, 32, 40):
        assert is_ready(broken)
        problem(send(broken, square(side)), 500, "internal-error")
    wait_until(lambda: not is_ready(broken))
    problem(broken.client.get("/readyz"), 503, "not-ready")
    wait_until(lambda: is_ready(broken))
    assert send(broken, square(32)).status_code == 200
    assert losses(broken) == [0, 0, 1]


def test_a_picture_that_fails_again_and_again_costs_nobody_the_worker(broken: Server) -> None:
    for _ in range(5):
        problem(send(broken, square(faulty.FAILS)), 500, "internal-error")
    assert is_ready(broken)
    assert losses(broken) == [0, 0, 0]


def test_a_device_that_fails_once_is_taken_up_again(broken: Server) -> None:
    problem(send(broken, square(faulty.LOSES_DEVICE)), 500, "internal-error")
    problem(broken.client.get("/readyz"), 503, "not-ready")
    wait_until(lambda: is_ready(broken))
    assert send(broken, square(32)).status_code == 200
    assert losses(broken) == [0, 1, 0]


def test_a_device_that_stays_lost_ends_the_process_with_an_error(broken: Server) -> None:
    problem(send(broken, square(faulty.LOSES_DEVICE_FOR_GOOD)), 500, "internal-error")
    assert broken.process.wait(timeout=60) == 1
    (line,) = [line for line in broken.log().splitlines() if "CRITICAL" in line]
    assert "the device fails again after its engine was made anew: CUDA error: an illegal memory access" in line


def test_a_worker_that_hangs_is_noticed_and_the_process_ends_with_an_error(broken: Server) -> None:
    begun = batches(broken)
    hanging = later(broken, square(faulty.HANGS))
    wait_until(lambda: batches(broken) > begun)
    waiting = later(broken, square(32), headers={"X-Request-Timeout": "1.5"})
    wait_until(lambda: not is_ready(broken))
    assert "does not move on" in problem(broken.client.get("/readyz"), 503, "not-ready")["detail"]
    assert broken.metric("impasto_stuck_workers") == 1
    problem(send(broken, square(32)), 503, "not-ready")
    assert broken.client.get("/healthz").is_success
    problem(waiting.result(), 504, "deadline-passed")
    problem(hanging.result(), 503, "shutting-down")
    assert broken.process.wait(timeout=60) == 1
    (line,) = [line for line in broken.log().splitlines() if "CRITICAL" in line]
    assert f"in one step of 1 x {-(-faulty.HANGS // 8) * 8}x56 pixels" in line


def test_a_slow_picture_is_no_hanging_worker(broken: Server) -> None:
    assert send(broken, square(faulty.SLOW)).status_code == 200
    assert broken.process.poll() is None


def test_previews_are_answered_while_a_large_picture_is_under_way() -> None:
    with Server({"request_timeout": 600}) as server:
        before = batches(server)
        large = later(server, square(256), size="1024")
        wait_until(lambda: batches(server) > before)
        for number in range(3):
            assert send(server, square(128), strength=str(number / 4)).status_code == 200
        assert not large.done()
        assert server.metric("impasto_dropped_batches_total") == 0
        assert large.result().status_code == 200


def test_a_large_picture_nobody_waits_for_any_longer_frees_the_network() -> None:
    with Server() as server:
        late = send(server, square(256), {"X-Request-Timeout": "2"}, size="3000")
        problem(late, 504, "deadline-passed")
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{server.url}/stylize",
                files={"content": square(256), "style": square(64)},
                data={"size": "3000"},
                timeout=2,
            )
        wait_until(lambda: server.metric("impasto_dropped_batches_total") == 2)
        assert server.metric("impasto_paused_batches") == 0
        assert send(server, square(64)).status_code == 200
