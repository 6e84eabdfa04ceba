"""The whole service on a GPU, every control at once and under load; whatever else is in this folder runs there too."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import torch

from tests.e2e.server import Server
from tests.e2e.test_stylize import pixels, stylize
from tests.pictures import jpeg, photo, png

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

STYLE, OTHER = jpeg(photo("coffee", 200)), jpeg(photo("rocket", 200))
MASK = png(np.linspace(0, 255, 64, dtype=np.uint8)[None].repeat(64, 0))
CUT_OUT = png(np.dstack((photo("chelsea", 128), photo("chelsea", 128)[..., 0] // 128 * 255)))
LOAD = {"batch_pixels": 8 * 2**20, "image_processes": 4, "max_requests": 512}


@pytest.fixture(scope="module")
def gpu() -> Iterator[Server]:
    with Server({"device": "cuda", **LOAD}) as running:
        yield running


@pytest.fixture(scope="module")
def cpu() -> Iterator[Server]:
    with Server({"device": "cpu"}) as running:
        yield running


def asked(number: int) -> tuple[list[tuple[str, bytes]], dict[str, object]]:
    """A request of one of six kinds; no two numbers have an equal one."""
    side = (128, 120, 200, 256)[number % 4]
    content = [("content", jpeg(photo("astronaut", side)))]
    strength = {"strength": 1 - number / 1000, "format": "png"}
    return [
        ([*content, ("style", STYLE)], strength),
        ([*content, ("style", STYLE), ("style", OTHER)], {**strength, "weight": ["2", "1"]}),
        (
            [*content, ("style", STYLE), ("style", OTHER), ("mask", MASK), ("mask", MASK)],
            {**strength, "size": 160},
        ),
        ([*content, ("style", STYLE)], {**strength, "preserve_color": "luminance"}),
        ([*content, ("style", OTHER)], {**strength, "preserve_color": "match", "style_size": 128}),
        ([("content", CUT_OUT), ("style", STYLE)], strength),
    ][number % 6]


def send(server: Server, number: int) -> httpx.Response:
    files, fields = asked(number)
    return stylize(server.client, *files, **fields)


def test_every_control_gives_what_the_cpu_gives(gpu: Server, cpu: Server) -> None:
    for number in range(6):
        apart = np.abs(pixels(send(gpu, number)) - pixels(send(cpu, number)))
        assert apart.mean() < 1.5, f"request {number}"


def test_a_crowd_is_answered_as_each_alone(gpu: Server) -> None:
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda number: send(gpu, number), range(192)))
    assert {answer.status_code for answer in answers} == {200}
    assert max(int(answer.headers["X-Batch-Size"]) for answer in answers) > 1
    for number in range(0, 192, 31):
        assert np.abs(pixels(answers[number]) - pixels(send(gpu, number))).max() <= 2


def test_a_style_is_remembered_and_encoded_once(gpu: Server) -> None:
    first = stylize(gpu.client, ("content", CUT_OUT), ("style", STYLE), format="png")
    again = stylize(gpu.client, ("content", CUT_OUT), style_id=first.headers["X-Style-Id"], format="png")
    assert np.abs(pixels(first) - pixels(again)).max() <= 1
    assert gpu.client.get(f"/styles/{first.headers['X-Style-Id']}").is_success


def test_a_picture_in_tiles_is_answered_while_small_ones_are(gpu: Server) -> None:
    with ThreadPoolExecutor(9) as pool:
        large = pool.submit(stylize, gpu.client, ("content", jpeg(photo("coffee"))), ("style", STYLE), size=2600)
        small = list(pool.map(lambda number: send(gpu, number), range(200, 208)))
        assert {answer.status_code for answer in small} == {200}
        assert pixels(large.result()).shape[1] == 2600
