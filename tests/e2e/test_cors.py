"""What scripts of web pages may do: browsers' preflights, and answers and errors they may read."""

from collections.abc import Iterator

import httpx
import pytest

from tests.e2e import faulty
from tests.e2e.server import FAULTY, Server
from tests.e2e.test_bad_input import problem
from tests.e2e.test_operation import later, serve_fails, square, wait_until

GALLERY = "https://gallery.example"
ALLOWED = [GALLERY, "https://a.site.example", "https://a.b.site.example", "null"]
STRANGERS = ["https://site.example", "https://evilsite.example", "http://gallery.example", f"{GALLERY}:8443"]


def preflight(client: httpx.Client, origin: str, method: str = "POST", **headers: str) -> httpx.Response:
    asked = {f"Access-Control-Request-{name.replace('_', '-')}": value for name, value in headers.items()}
    return client.options("/stylize", headers={"Origin": origin, "Access-Control-Request-Method": method, **asked})


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
@pytest.mark.parametrize("origin", ALLOWED)
def test_a_preflight_with_any_headers_is_allowed(client: httpx.Client, origin: str, method: str) -> None:
    names = "authorization,cache-control,traceparent,x-request-id,x-request-timeout,x-requested-with"
    answer = preflight(client, origin, method, Headers=names, Private_Network="true")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert method in answer.headers["Access-Control-Allow-Methods"]
    assert set(names.split(",")) <= set(answer.headers["Access-Control-Allow-Headers"].lower().split(","))
    assert answer.headers["Access-Control-Allow-Private-Network"] == "true"
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("origin", STRANGERS)
def test_a_page_of_another_origin_is_refused_with_a_problem(client: httpx.Client, origin: str) -> None:
    refused = preflight(client, origin)
    body = problem(refused, 403, "origin-not-allowed")
    assert origin in body["detail"]
    assert "IMPASTO_CORS_ORIGINS" in body["remedy"]
    assert "Origin" in refused.headers["Vary"]
    for answer in (refused, client.get("/healthz", headers={"Origin": origin})):
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_method_that_no_page_may_send_is_named(client: httpx.Client) -> None:
    assert problem(preflight(client, GALLERY, "PUT"), 405, "method-not-allowed")["detail"].startswith("PUT")


@pytest.mark.parametrize("origin", ALLOWED)
def test_every_error_can_be_read_by_the_page(client: httpx.Client, origin: str) -> None:
    headers = {"Origin": origin}
    answers = [
        client.get("/nowhere", headers=headers),
        client.get("/stylize", headers=headers),
        client.post("/stylize", headers=headers),
        client.post("/stylize", files={"content": b"x" * 20_000_001}, headers=headers),
        client.post("/stylize", files={"content": b"", "style": b""}, headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [404, 405, 415, 413, 422]
    for answer in answers:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert {"X-Request-Id", "Retry-After"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))


@pytest.fixture(scope="module")
def open_to_all() -> Iterator[Server]:
    with Server({"cors_origins": "*", "max_requests": 1}, FAULTY) as running:
        yield running


def test_with_a_star_any_page_may_call(open_to_all: Server) -> None:
    for origin in (*ALLOWED, *STRANGERS):
        answer = preflight(open_to_all.client, origin, Headers="authorization", Private_Network="true")
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Allow-Private-Network"] == "true"


def test_a_refusal_under_load_can_be_read_by_the_page(open_to_all: Server) -> None:
    client = open_to_all.client
    held = later(open_to_all, square(faulty.SLOW))
    wait_until(lambda: client.get("/readyz").status_code == 503)
    refused = client.post("/stylize", files={"content": b""}, headers={"Origin": GALLERY})
    problem(refused, 503, "queue-full")
    assert refused.headers["Access-Control-Allow-Origin"] == "*"
    assert "Retry-After" in refused.headers["Access-Control-Expose-Headers"]
    assert held.result().status_code == 200


def test_an_error_nobody_foresaw_can_be_read_by_the_page_and_forges_no_record(open_to_all: Server) -> None:
    text = "lost\n2026-01-01 00:00:00,000 INFO impasto.http: GET /forged 200 1 ms forged"
    answer = open_to_all.client.get("/unforeseen", params={"text": text}, headers={"Origin": GALLERY})
    problem(answer, 500, "internal-error")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    wait_until(lambda: "GET /unforeseen 500" in open_to_all.log())
    logged = open_to_all.log().splitlines()
    of_it = [n for n, line in enumerate(logged) if answer.headers["X-Request-Id"] in line]
    failed, *trace, line = logged[of_it[0] : of_it[-1] + 1]
    assert failed.endswith(f"request {answer.headers['X-Request-Id']} failed")
    assert "GET /unforeseen 500" in line
    assert any("LookupError" in line for line in trace)
    assert all(line.startswith("  ") for line in trace)


@pytest.mark.parametrize("wrong", ["site.example", "https://site.example/gallery", "https://*"])
def test_what_can_be_no_origin_stops_the_start_with_a_line_that_says_what_is_right(wrong: str) -> None:
    (line,) = [line for line in serve_fails(cors_origins=f"{GALLERY},{wrong}").splitlines() if "cors" in line]
    assert "IMPASTO_CORS_ORIGINS" in line
    assert "expected scheme://host" in line
    assert line.endswith(f"found '{wrong}'")
