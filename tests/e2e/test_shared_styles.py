"""Replicas that share styles in a real Redis: what one knows all know, and nobody needs it to be there."""

import io
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import redis
from PIL import Image

from app.styles.library import style_id
from tests.e2e.server import Server
from tests.e2e.test_bad_input import faults, problem
from tests.e2e.test_operation import serve_fails, square, wait_until
from tests.pictures import jpeg, photo
from tests.redis_server import RedisServer, needs_redis

pytestmark = needs_redis

CONTENT = square(32)


def painting(number: int) -> bytes:
    """A style nobody has seen."""
    return jpeg(np.roll(photo("coffee", 64), number, axis=1))


def name_of(style: bytes) -> str:
    return style_id(io.BytesIO(style))


def stylize(server: Server, style: bytes | None = None, **fields: str) -> httpx.Response:
    files = {"content": CONTENT} | ({"style": style} if style else {})
    return server.client.post("/stylize", files=files, data={"format": "png", **fields})


def pixels(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def replicas(shared: RedisServer) -> Iterator[tuple[Server, Server]]:
    settings = {"style_store": shared.url}
    with Server(settings) as one, Server(settings) as other:
        yield one, other


def uploaded(server: Server, style: bytes, stored: int) -> np.ndarray:
    """Send a style, and wait until `stored` parts of it are in the store."""
    result = pixels(stylize(server, style))
    wait_until(lambda: len(parts(server, style)) >= stored)
    return result


def parts(server: Server, style: bytes) -> list[bytes]:
    with redis.Redis.from_url(server.environment["IMPASTO_STYLE_STORE"]) as store:
        found: list[bytes] = store.hkeys(f"impasto:1:style:{name_of(style)}")
        return found


def test_a_style_that_one_replica_was_sent_is_known_to_the_other(replicas: tuple[Server, Server]) -> None:
    one, other = replicas
    style = painting(1)
    first = uploaded(one, style, 2)
    known = other.client.get(f"/styles/{name_of(style)}").json()
    assert known == {"id": name_of(style), "known": ["store"], "sizes": [512], "any_size": True}
    assert np.array_equal(pixels(stylize(other, style_id=name_of(style))), first)
    assert other.client.get(f"/styles/{name_of(style)}").json()["known"] == ["memory", "store"]
    assert other.metric('impasto_style_cache_total{result="miss"}') == 0, "its code came along"
    smaller = {"style_id": name_of(style), "style_size": "48"}
    assert np.array_equal(pixels(stylize(other, **smaller)), pixels(stylize(one, **smaller)))


def test_a_style_is_forgotten_everywhere_and_can_be_sent_anew(replicas: tuple[Server, Server]) -> None:
    one, other = replicas
    style = painting(2)
    uploaded(one, style, 2)
    assert stylize(other, style_id=name_of(style)).status_code == 200
    for _ in range(2):
        assert one.client.delete(f"/styles/{name_of(style)}").status_code == 204
    wait_until(lambda: other.client.get(f"/styles/{name_of(style)}").status_code == 404)
    for replica in replicas:
        problem(replica.client.get(f"/styles/{name_of(style)}"), 404, "unknown-style")
        assert "style_id" in faults(stylize(replica, style_id=name_of(style)))
    uploaded(other, style, 2)
    assert stylize(one, style_id=name_of(style)).status_code == 200


def test_what_stands_ready_is_not_forgotten(replicas: tuple[Server, Server]) -> None:
    ready = replicas[0].client.get("/styles").json()["styles"][0]["id"]
    problem(replicas[0].client.delete(f"/styles/{ready}"), 409, "ready-style")
    assert stylize(replicas[0], style_id=ready).status_code == 200


def test_what_is_malformed_in_the_store_is_dropped_and_told(replicas: tuple[Server, Server]) -> None:
    one, other = replicas
    style = painting(3)
    first = uploaded(one, style, 2)
    with redis.Redis.from_url(one.environment["IMPASTO_STYLE_STORE"]) as store:
        for part in parts(one, style):
            store.hset(f"impasto:1:style:{name_of(style)}", part.decode(), b"\x01\x80\x04\x95cos\nsystem\n")
    assert "style_id" in faults(stylize(other, style_id=name_of(style)))
    assert f"of the style {name_of(style)} in the store is dropped" in other.log()
    assert parts(one, style) == []
    assert np.array_equal(pixels(stylize(other, style)), first)


def test_without_the_store_requests_go_on_and_it_is_back_by_itself(shared: RedisServer) -> None:
    style = painting(4)
    with Server({"style_store": shared.url}) as server:
        first = uploaded(server, style, 2)
        for stop, start in ((shared.hang, shared.go_on), (shared.stop, shared.start)):
            before = server.log().count("the style store does not answer")
            stop()
            assert np.array_equal(pixels(stylize(server, style_id=name_of(style))), first)
            for number in range(5, 9):
                assert stylize(server, painting(number)).status_code == 200
            problem(server.client.delete(f"/styles/{name_of(painting(9))}"), 503, "style-store-down")
            assert server.client.get("/readyz").status_code == 200
            assert server.metric("impasto_style_store_up") == 0
            start()
            wait_until(lambda: server.client.delete(f"/styles/{name_of(painting(9))}").status_code == 204, 60)
            assert server.metric("impasto_style_store_up") == 1
            assert server.log().count("the style store does not answer") == before + 1, "one line"
        assert parts(server, style) == []
        assert stylize(server, style_id=name_of(style)).status_code == 200
        wait_until(lambda: len(parts(server, style)) >= 1)


def test_limits_hold_for_all_replicas_together_and_for_each_while_the_store_is_away(shared: RedisServer) -> None:
    settings = {"style_store": shared.url, "requests_per_minute": 4}
    with Server(settings) as one, Server(settings) as other:
        statuses = [stylize(server, painting(10)).status_code for _ in range(3) for server in (one, other)]
        assert statuses == [200, 200, 200, 200, 429, 429]
        shared.stop()
        assert [stylize(one, painting(10)).status_code for _ in range(5)] == [200, 200, 200, 200, 429]
        assert one.log().count("each replica counts limits alone") == 1
        shared.start()


def test_a_store_of_another_kind_is_refused() -> None:
    assert "style_store (IMPASTO_STYLE_STORE)" in serve_fails(style_store="memcached://127.0.0.1")
