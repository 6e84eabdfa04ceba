"""What an operator relies on: refusals instead of late answers, faults that stay where they are, a clean stop."""

import io
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPResponse
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from models import __file__ as models_file
from tests.e2e import faulty
from tests.e2e.server import FAULTY, SERVE, Server
from tests.e2e.test_bad_input import problem
from tests.pictures import jpeg, photo, png

STYLE = jpeg(photo("coffee", 64))
POOL = ThreadPoolExecutor(16)
CLIENT = httpx.Client(timeout=120)


def square(side: int) -> bytes:
    return png(photo("astronaut", side))


def send(server: Server, content: bytes, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
    files = {"content": content, "style": STYLE}
    return CLIENT.post(f"{server.url}/stylize", files=files, data=fields, headers=headers)


def later(server: Server, content: bytes, **more: object) -> "Future[httpx.Response]":
    return POOL.submit(send, server, content, **more)


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def batches(server: Server) -> float:
    return server.metric("impasto_batch_size_count")


@pytest.fixture
def broken() -> Iterator[Server]:
    """A server whose engine fails on some widths."""
    with Server(command=FAULTY) as running:
        yield running


def occupy(server: Server) -> "Future[httpx.Response]":
    """Keep the worker busy for a while."""
    before = batches(server)
    held = later(server, square(faulty.SLOW))
    wait_until(lambda: batches(server) > before)
    return held


def test_a_full_queue_refuses_at_once_and_says_when_to_come_again() -> None:
    with Server({"queue_seconds": 0.5}) as server:
        asked = [later(server, square(256), size="512", strength=str(n / 8)) for n in range(8)]
        answers = [future.result() for future in asked]
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {200, 503}
        for answer in answers:
            if answer.status_code == 503:
                problem(answer, 503, "queue-full")
                assert int(answer.headers["Retry-After"]) >= 1
        assert server.metric('impasto_refusals_total{reason="queue-full"}') == statuses.count(503)
        assert send(server, square(64)).status_code == 200


def test_more_requests_than_may_be_held_are_refused() -> None:
    with Server({"max_requests": 2}) as server:
        answers = [future.result() for future in [later(server, square(256), size="512") for _ in range(6)]]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert refused
        assert {problem(answer, 503, "queue-full")["limit"] for answer in refused} == {2}


def test_a_request_whose_time_is_over_gets_504_and_is_not_started(broken: Server) -> None:
    held = occupy(broken)
    before = batches(broken)
    late = send(broken, square(64), {"X-Request-Timeout": "0.6"})
    assert problem(late, 504, "deadline-passed")["limit"] == 0.6
    assert held.result().status_code == 200
    assert send(broken, square(48)).status_code == 200
    assert batches(broken) == before + 1


def raw_request(content: bytes, version: str = "1.1", **fields: str) -> bytes:
    files = {"content": content, "style": STYLE}
    request = httpx.Request("POST", "http://a/stylize", files=files, data=fields)
    body = request.read()
    lines = (f"POST /stylize HTTP/{version}", "Host: a", f"Content-Type: {request.headers['Content-Type']}")
    return "\r\n".join((*lines, f"Content-Length: {len(body)}", "", "")).encode() + body


def hold_for_long(server: Server) -> "list[Future[httpx.Response]]":
    """Keep the worker busy for as long as it takes to ask a client whether it is still there."""
    held = [occupy(server), later(server, square(faulty.SLOW), strength="0.5")]
    wait_until(lambda: server.metric("impasto_queue_items") == 1)
    return held


def test_clients_that_hang_up_give_their_places_back_and_are_counted(broken: Server) -> None:
    held = hold_for_long(broken)
    before = batches(broken)
    address = ("127.0.0.1", broken.port)
    with socket.create_connection(address) as late:
        with socket.create_connection(address) as early:
            for connection, side in ((early, 64), (late, 80)):
                connection.sendall(raw_request(square(side)))
            wait_until(lambda: broken.metric("impasto_queue_items") == 3)
        wait_until(lambda: broken.metric('impasto_requests_total{outcome="client-disconnected"}') == 1)
    wait_until(lambda: broken.metric('impasto_requests_total{outcome="client-disconnected"}') == 2)
    assert [answer.result().status_code for answer in held] == [200, 200]
    assert broken.metric("impasto_queue_items") == 0
    assert send(broken, square(48)).status_code == 200
    assert batches(broken) == before + 2, "the second that was held, and the last"


def test_a_client_that_sends_no_more_but_waits_is_asked_whether_it_is_there(broken: Server) -> None:
    held = hold_for_long(broken)
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"

    def answer(version: str) -> bytes:
        with socket.create_connection(("127.0.0.1", broken.port), timeout=60) as connection:
            connection.sendall(raw_request(square(64), version))
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    new, old = POOL.map(answer, ("1.1", "1.0"))
    assert new.startswith(interim)
    assert new.replace(interim, b"").startswith(b"HTTP/1.1 200 OK\r\n")
    assert old.startswith(b"HTTP/1.1 200 OK\r\n"), "HTTP/1.0 knows no interim answers"
    assert [answer.result().status_code for answer in held] == [200, 200]


def test_equal_requests_in_flight_are_computed_once(broken: Server) -> None:
    held = occupy(broken)
    before = batches(broken)
    same = [later(broken, square(64), format=name) for name in ("png", "png", "webp")]
    other = later(broken, square(64), strength="0.5")
    wait_until(lambda: broken.metric("impasto_shared_results_total") == 2)
    wait_until(lambda: broken.metric("impasto_queue_items") == 2)
    assert held.result().status_code == 200
    first, second, third = [future.result() for future in same]
    assert first.content == second.content != other.result().content
    assert third.headers["Content-Type"] == "image/webp"
    assert broken.metric("impasto_batch_size_sum") == before + 2


def test_an_equal_request_outlives_the_one_it_shares_with(broken: Server) -> None:
    held = occupy(broken)
    impatient = later(broken, square(64), headers={"X-Request-Timeout": "0.5"})
    wait_until(lambda: broken.metric("impasto_queue_items") == 1)
    patient = later(broken, square(64))
    problem(impatient.result(), 504, "deadline-passed")
    assert patient.result().status_code == 200
    assert held.result().status_code == 200


def test_one_pictures_failure_fails_no_neighbour_in_its_batch(broken: Server) -> None:
    held = occupy(broken)
    strengths = ("0.1", "0.5", "0.9")
    good = [later(broken, square(24), format="png", strength=strength) for strength in strengths]
    bad = later(broken, square(faulty.FAILS))
    wait_until(lambda: broken.metric("impasto_queue_items") == 4)
    assert held.result().status_code == 200
    problem(bad.result(), 500, "internal-error")
    alone = [send(broken, square(24), format="png", strength=strength).content for strength in strengths]
    assert [future.result().content for future in good] == alone


def test_a_worker_that_dies_is_noticed_and_comes_back(broken: Server) -> None:
    problem(send(broken, square(faulty.KILLS)), 500, "internal-error")
    problem(broken.client.get("/readyz"), 503, "not-ready")
    assert broken.client.get("/healthz").status_code == 200
    refused = send(broken, square(64))
    problem(refused, 503, "not-ready")
    assert int(refused.headers["Retry-After"]) >= 1
    wait_until(lambda: broken.client.get("/readyz").is_success)
    assert send(broken, square(64)).status_code == 200


def test_sigterm_finishes_what_is_in_flight_refuses_the_rest_and_exits_0() -> None:
    with Server({"grace_seconds": 600, "request_timeout": 600}) as server:
        working = later(server, square(256), size="1536")
        wait_until(lambda: batches(server) == 1)
        server.process.terminate()
        wait_until(lambda: server.client.get("/readyz").status_code == 503)
        refused = send(server, square(64))
        problem(refused, 503, "shutting-down")
        assert refused.headers["Connection"] == "close"
        assert server.client.get("/healthz").status_code == 200
        answer = working.result()
        assert answer.status_code == 200
        assert max(Image.open(io.BytesIO(answer.content)).size) == 1536
        assert server.process.wait(timeout=20) == 0


def test_sigterm_waits_for_an_answer_that_is_still_being_sent() -> None:
    noise = png(np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8))
    request = httpx.Request(
        "POST", "http://a/stylize", files={"content": noise, "style": STYLE}, data={"format": "png"}
    )
    body = request.read()
    head = f"POST /stylize HTTP/1.1\r\nHost: a\r\nContent-Type: {request.headers['Content-Type']}\r\n"
    with Server() as server, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = HTTPResponse(connection)
        answer.begin()
        assert answer.status == 200
        server.process.terminate()
        time.sleep(2.5)
        assert len(answer.read()) == int(answer.getheader("Content-Length") or 0)
        connection.close()
        assert server.process.wait(timeout=30) == 0


def test_sigterm_gives_up_what_takes_longer_than_the_grace_time() -> None:
    with Server({"grace_seconds": 0.2}) as server:
        working = later(server, square(256), size="4096")
        wait_until(lambda: batches(server) == 1)
        assert server.terminate() == 0
        problem(working.result(), 503, "shutting-down")


def test_an_idle_server_stops_at_once_on_ctrl_c() -> None:
    with Server() as server:
        server.process.send_signal(2)
        assert server.process.wait(timeout=20) == 0


def test_a_stop_while_it_starts_is_heard() -> None:
    process = subprocess.Popen((*SERVE, "--port", "0"), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "Waiting for application startup" not in process.stderr.readline():
        assert process.poll() is None
    process.terminate()
    _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log


def test_a_full_temporary_folder_is_told_and_the_next_request_is_served() -> None:
    command = ("prlimit", "--fsize=1500000", *SERVE)
    with Server(command=command) as server:
        refused = send(server, bytes(3_000_000))
        problem(refused, 503, "storage-full")
        assert int(refused.headers["Retry-After"]) >= 1
        assert send(server, square(64)).status_code == 200


def serve_fails(**settings: object) -> str:
    environment = {f"IMPASTO_{name.upper()}": str(value) for name, value in settings.items()}
    ended = subprocess.run(SERVE, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_wrong_weights_keep_it_from_starting_and_one_line_says_which_file(tmp_path: Path) -> None:
    missing = tmp_path / "missing.safetensors"
    (line,) = [line for line in serve_fails(decoder_weights=missing).splitlines() if str(missing) in line]
    assert "expected a safetensors file" in line
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes((Path(models_file).parent / "decoder.safetensors").read_bytes()[:-1000])
    (line,) = [line for line in serve_fails(decoder_weights=truncated).splitlines() if str(truncated) in line]
    assert "not a whole safetensors file" in line


def test_a_wrong_setting_is_named() -> None:
    assert "max_pixels" in serve_fails(max_pixels="many")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/problems", "/nowhere", "/stylize"])
def test_head_answers_as_get_does_without_the_body(client: httpx.Client, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert head.status_code == got.status_code
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.content == b"" != got.content
    assert client.get("/healthz").json() == {"status": "ok"}, "the connection serves on"


def test_probes_of_the_open_inference_protocol_are_answered(broken: Server) -> None:
    client = broken.client
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    model = client.get("/v2/models/impasto").json()
    assert (model["name"], {one["name"] for one in model["inputs"]}) == ("impasto", {"content", "style"})
    assert all(set(tensor) == {"name", "datatype", "shape"} for tensor in model["inputs"] + model["outputs"])
    assert client.get("/v2").json()["version"] == model["versions"][0]
    problem(client.get("/v2/models/other"), 404, "not-found")
    assert client.get("/v2/models/impasto/ready").json() == {"name": "impasto", "ready": True}
    assert send(broken, square(faulty.KILLS)).status_code == 500
    problem(client.get("/v2/health/ready"), 503, "not-ready")
    assert client.get("/v2/health/live").status_code == 200
    wait_until(lambda: client.get("/v2/models/impasto/ready").status_code == 200)


def test_metrics_count_requests_stages_batches_and_styles() -> None:
    with Server() as server:
        for _ in range(2):
            assert send(server, square(32)).status_code == 200
        problem(send(server, b"text"), 422, "unreadable-image")
        expected = {
            'impasto_requests_total{outcome="ok"}': 2,
            'impasto_requests_total{outcome="unreadable-image"}': 1,
            'impasto_style_cache_total{result="hit"}': 1,
            'impasto_style_cache_total{result="miss"}': 1,
            'impasto_stage_seconds_count{stage="network"}': 2,
            "impasto_batch_size_sum": 2,
            "impasto_queue_items": 0,
            "impasto_queue_pixels": 0,
            "impasto_workers_alive": 1,
        }
        assert {name: server.metric(name) for name in expected} == expected


def test_memory_after_500_mixed_requests_is_that_after_50() -> None:
    options: list[dict[str, str]] = [{}, {"preserve_color": "luminance"}, {"format": "webp"}, {"strength": "2"}]

    with Server() as server, httpx.Client(base_url=server.url, timeout=120) as client:

        def mixed(number: int) -> int:
            content = square((24, 32, 40, 56, 72)[number % 5]) if number % 11 else b"not a picture"
            files = {"content": content, "style": STYLE}
            return client.post("/stylize", files=files, data=options[number % 4]).status_code

        assert set(POOL.map(mixed, range(50))) == {200, 422}
        early = server.resident_bytes()
        assert set(POOL.map(mixed, range(50, 500))) == {200, 422}
        assert server.resident_bytes() <= 1.05 * early
