"""Who may ask, and how much: keys, limits, and whose X-Forwarded-For counts."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.access.keys import add_key
from tests.e2e import faulty
from tests.e2e.server import FAULTY, Server
from tests.e2e.test_bad_input import problem, raw_problem
from tests.e2e.test_operation import batches, later, send, serve_fails, square, wait_until
from tests.e2e.test_wire import TYPE, head

PICTURE = square(32)


def with_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys"


@pytest.fixture(scope="module")
def key(keys_file: Path) -> str:
    return add_key(keys_file, "gallery", None, None)


@pytest.fixture(scope="module")
def guarded(keys_file: Path, key: str) -> Iterator[Server]:
    """A service that asks for keys."""
    settings: dict[str, object] = {
        "api_keys_file": keys_file,
        "cors_origins": "https://site.example",
        "max_requests": 2,
    }
    settings["open_to_all"] = "docs, metrics, page"
    with Server(settings, FAULTY) as running:
        yield running


def test_a_known_key_is_let_in_however_it_is_sent(guarded: Server, key: str) -> None:
    for headers in (with_key(key), {"authorization": f"bearer  {key}"}, {"X-Api-Key": key}):
        answer = send(guarded, PICTURE, headers)
        assert answer.status_code == 200
        assert "RateLimit" not in answer.headers, "a key without limits"
    assert guarded.metric('impasto_client_pixels_total{client="gallery"}') >= 3 * 32 * 32
    assert key not in guarded.log()


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer"}, with_key("impasto_x"), {"Authorization": "Basic YTpi"}, {"X-Api-Key": "\xff"}],
    ids=str,
)
def test_without_a_known_key_nothing_is_served(guarded: Server, headers: dict[str, str]) -> None:
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    for method, path in (("POST", "/stylize"), ("GET", "/styles/x"), ("GET", "/nowhere")):
        answer = guarded.client.request(method, path, headers=sent)
        assert problem(answer, 401, "unauthorized")["field"] == "Authorization"
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="impasto"')


def test_what_is_open_needs_no_key(guarded: Server) -> None:
    style = guarded.client.get("/styles").json()["styles"][0]
    paths = (
        "/healthz",
        "/readyz",
        "/v2/health/ready",
        "/v2/models/impasto/ready",
        "/problems",
        "/problems/unauthorized",
        "/docs",
        "/openapi.json",
        "/",
    )
    for path in (*paths, f"/{style['picture']}", f"/{style['thumbnail']}"):
        assert guarded.client.get(path).status_code == 200, path


def test_the_document_says_which_routes_need_a_key(guarded: Server) -> None:
    paths = guarded.client.get("/openapi.json").json()["paths"]
    told = {(path, method): "security" in of for path, methods in paths.items() for method, of in methods.items()}
    assert set(told.values()) == {True, False}
    for (path, method), needs_key in told.items():
        answer = guarded.client.request(method, re.sub("{.*?}", "x", path))
        assert (answer.status_code == 401) == needs_key, (method, path)


def test_the_refusal_comes_before_the_upload_and_pages_can_read_it(guarded: Server) -> None:
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=60) as connection:
        connection.sendall(head(TYPE, "Content-Length: 90000000", "Origin: https://site.example"))
        answer = raw_problem(connection, 401, "unauthorized")
        assert answer.getheader("Access-Control-Allow-Origin") == "https://site.example"
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = guarded.client.options("/stylize", headers={"Origin": "https://site.example", **asks})
    assert preflight.status_code == 200
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"]


def test_a_key_holds_but_a_share_of_the_places(guarded: Server, keys_file: Path, key: str) -> None:
    other = add_key(keys_file, "other", None, None)
    before = batches(guarded)
    held = later(guarded, square(faulty.SLOW), headers=with_key(key))
    wait_until(lambda: batches(guarded) > before)
    assert problem(send(guarded, PICTURE, with_key(key)), 503, "queue-full")["limit"] == 1
    assert send(guarded, PICTURE, with_key(other)).status_code == 200
    assert held.result().status_code == 200


def test_one_key_at_its_limit_costs_another_nothing(guarded: Server, keys_file: Path) -> None:
    few, more = add_key(keys_file, "few", 2, None), add_key(keys_file, "more", 100, None)
    answers = [send(guarded, PICTURE, with_key(few)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert problem(answers[-1], 429, "rate-limited")["limit"] == 2
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert [answer.headers["RateLimit"].partition(";t=")[0] for answer in answers] == [
        f'"requests";r={left}' for left in (1, 0, 0)
    ]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"requests";q=2;w=60'}
    assert send(guarded, PICTURE, with_key(more)).status_code == 200


def test_megapixels_are_limited_and_a_picture_larger_than_the_limit_takes_a_whole_minute(
    guarded: Server, keys_file: Path
) -> None:
    key = add_key(keys_file, "small", None, 0.002)
    small, large = square(32), square(64)
    assert send(guarded, small, with_key(key)).status_code == 200
    refused = send(guarded, large, with_key(key))
    assert problem(refused, 429, "rate-limited")["limit"] == 0.002
    assert refused.headers["RateLimit-Policy"].startswith('"megapixels";q=')
    key = add_key(keys_file, "large", None, 0.002)
    assert send(guarded, large, with_key(key)).status_code == 200
    assert send(guarded, small, with_key(key)).status_code == 429


def asked(server: Server, forwarded: str | None, source: str = "127.0.0.1") -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(local_address=source), timeout=60) as client:
        headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
        return client.post(f"{server.url}/stylize", headers=headers)


def test_without_keys_addresses_are_limited_and_only_a_trusted_proxy_says_whose() -> None:
    with Server({"requests_per_minute": 1, "trusted_proxies": "127.0.0.1, 10.0.0.0/8"}) as server:

        def limited(forwarded: str | None, source: str = "127.0.0.1") -> bool:
            answer = asked(server, forwarded, source)
            assert answer.status_code in (415, 429)
            return answer.status_code == 429

        assert not limited("192.0.2.1")
        assert limited("192.0.2.1")
        assert limited("203.0.113.9, 192.0.2.1"), "what the client itself wrote to the left is not believed"
        assert limited("192.0.2.1, 10.1.1.1"), "a second proxy that is trusted"
        assert not limited("192.0.2.2")
        assert not limited("2001:db8::1")
        assert limited("2001:db8::2"), "one household"
        assert not limited(None, "127.0.0.9")
        assert limited("198.51.100.77", "127.0.0.9"), "no proxy of ours"
        assert "whoever reaches" not in server.log(), "nobody else can"
        assert not limited("nonsense, ' OR 1=1 --")


def test_a_file_of_keys_that_is_not_sound_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("gallery secret\n")
    assert "keys, line 1: expected a name" in serve_fails(api_keys_file=tmp_path / "keys")
    assert "can't be read" in serve_fails(api_keys_file=tmp_path / "none")


def test_that_it_is_open_to_everybody_is_said_where_others_can_reach_it(guarded: Server) -> None:
    with Server({"host": "0.0.0.0"}) as reachable:  # noqa: S104
        assert "whoever reaches 0.0.0.0 may use the service" in reachable.log()
    assert "whoever reaches" not in guarded.log()
