"""Results that are kept: an equal request is answered with the same bytes, without the network; another is not."""

from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from tests.e2e.server import Server
from tests.e2e.test_operation import STYLE, batches, square
from tests.pictures import jpeg, photo, png

PHOTO = square(48)


@pytest.fixture(scope="module")
def keeping() -> Iterator[Server]:
    with Server({"result_cache_bytes": 100_000}) as running:
        yield running


def ask(server: Server, content: bytes = PHOTO, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
    answer = server.client.post(
        "/stylize", files={"content": content, "style": STYLE}, data=fields, headers=headers or {}
    )
    assert answer.status_code == 200, answer.text
    return answer


def test_an_equal_request_is_answered_with_the_same_bytes_and_without_the_network(keeping: Server) -> None:
    first = ask(keeping, strength="0.9")
    before = batches(keeping)
    again = ask(keeping, strength="0.9", weight="2")
    assert (first.headers["Cache-Status"], again.headers["Cache-Status"]) == (
        "impasto; fwd=miss; stored",
        "impasto; hit",
    )
    assert again.content == first.content
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert again.headers["X-Style-Id"] == first.headers["X-Style-Id"]
    assert again.headers["X-Batch-Size"] == "0"
    assert batches(keeping) == before
    assert keeping.metric("impasto_kept_results_total") == 1
    assert 0 < keeping.metric("impasto_kept_bytes") <= 100_000


def test_whatever_changes_the_result_makes_another(keeping: Server) -> None:
    seen = [ask(keeping)]
    for fields in (
        {"strength": "0.5"},
        {"quality": "40"},
        {"format": "jpeg"},
        {"size": "32"},
        {"style_size": "64"},
        {"preserve_color": "match"},
        {"preserve_color": "luminance"},
    ):
        seen.append(ask(keeping, **fields))
    seen.append(ask(keeping, headers={"Accept": "image/webp"}))
    seen.append(ask(keeping, jpeg(photo("astronaut", 48))))
    assert {answer.headers["Cache-Status"] for answer in seen} == {"impasto; fwd=miss; stored"}
    assert ask(keeping, headers={"Accept": "image/webp"}).content == seen[-2].content


def test_photos_of_other_transparency_are_told_apart(keeping: Server) -> None:
    pixels = np.dstack([photo("astronaut", 48), np.full((48, 48), 255, np.uint8)])
    pixels[:8, :, 3] = 0
    other = pixels.copy()
    other[0, 0, 3] = 1
    statuses = [ask(keeping, png(each)).headers["Cache-Status"] for each in (pixels, other, pixels)]
    assert statuses == ["impasto; fwd=miss; stored", "impasto; fwd=miss; stored", "impasto; hit"]


def test_one_that_is_large_is_not_kept_and_all_together_are_bounded(keeping: Server) -> None:
    noise = png(np.random.default_rng(0).integers(0, 256, (120, 120, 3), np.uint8))
    for _ in range(2):
        assert ask(keeping, noise, format="png").headers["Cache-Status"] == "impasto; fwd=miss"
    first = ask(keeping, strength="0.111")
    for number in range(25):
        ask(keeping, strength=str(0.2 + number / 1000), format="png")
    assert keeping.metric("impasto_kept_bytes") <= 100_000
    assert ask(keeping, strength="0.111").headers["Cache-Status"] == first.headers["Cache-Status"]


def test_by_default_nothing_is_kept(server: Server) -> None:
    assert "Cache-Status" not in ask(server).headers
