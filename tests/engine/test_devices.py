"""What holds of the torch engine on any device: the same cases on the CPU, and on a GPU where there is one."""

import asyncio
import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from app.engine.base import Job, Picture, feature_grid
from app.engine.cuda import USES_BEFORE_A_GRAPH
from app.engine.faults import out_of_memory
from app.engine.tiles import Limits
from app.engine.torch import TorchEngine
from app.evaluation.encoders import TapEncoder, load_encoder
from app.evaluation.metrics import content_loss, statistics, style_loss
from app.network.adain import adain
from app.network.blend import shares
from app.queue.batching import BatchingQueue
from app.queue.work import Work
from app.styles.library import StyleLibrary
from tests.engine.engines import WHOLE, differences, engine, gradient_masks, job, style
from tests.pictures import photo

NAMES = ("astronaut", "chelsea", "coffee", "rocket")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture(scope="module", params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return str(request.param)


@pytest.fixture(scope="module")
def made(device: str) -> Iterator[TorchEngine]:
    """The engine as the service has it."""
    yield TorchEngine(device)
    if device == "cuda":
        torch.cuda.empty_cache()


def various(side: int) -> list[Job]:
    """A job of each kind: strengths, a blend, masks, what is not opaque."""
    masked = photo("rocket", side)
    alpha = np.linspace(0, 255, side, dtype=np.uint8)[None].repeat(side, 0)
    opaque = job(photo("coffee", side), ("chelsea",))
    return [
        job(photo("astronaut", side)),
        job(photo("chelsea", side), strength=0.4),
        job(masked, ("coffee", "astronaut"), (1.0, 2.0), 0.9, gradient_masks(masked)),
        Job(opaque.content, opaque.styles, opaque.share, alpha),
    ]


def test_half_precision_costs_neither_content_nor_style(device: str, made: TorchEngine) -> None:
    half = made if device == "cuda" else TorchEngine(device, dtype=torch.bfloat16)
    most_loss, most_apart = (0.01, 1.0) if device == "cuda" else (0.05, 4.0)
    sums = np.zeros((2, 2))
    side, pairs = (128, list(itertools.permutations(NAMES, 2))) if device == "cuda" else (64, [NAMES[:2]])
    for content, painting in pairs:
        code = engine("torch").encode_style(photo(painting, side))
        work = [Job(photo(content, side), (code,), shares([1.0]))]
        results = half.stylize(work)[0], engine("torch").stylize(work)[0]
        assert differences(*results).mean() < most_apart
        sums += [losses(result, photo(content, side), photo(painting, side)) for result in results]
    assert sums[0] == pytest.approx(sums[1], rel=most_loss)


@cache
def taps() -> TapEncoder:
    return load_encoder("vgg16", None)


def losses(result: Picture, content: Picture, painting: Picture) -> tuple[float, float]:
    """Content and style, as the evaluation counts them."""
    encoder = taps()
    with torch.no_grad():
        of_result, of_content, of_style = (encoder.taps(tensor(one)) for one in (result, content, painting))
        wanted = statistics(of_style)
        mean, std = wanted[:, :, -512:, None, None].unbind(1)
        target = adain(of_content[-1], mean, std)
        distance = style_loss(statistics(of_result), wanted, encoder.channels)
        return float(content_loss(of_result[-1], target)), float(distance)


def tensor(picture: Picture) -> Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255


def test_results_are_those_of_the_cpu_alone_and_in_batches(device: str, made: TorchEngine) -> None:
    jobs = various(96 if device == "cuda" else 48)
    together = made.stylize(jobs)
    for work, result, wanted in zip(jobs, together, engine("torch").stylize(jobs), strict=True):
        (alone,) = made.stylize([work])
        assert differences(alone, result).max() <= 1
        assert differences(result, wanted).mean() < (1.0 if device == "cuda" else 0.01)


def test_styles_are_those_of_the_cpu(made: TorchEngine) -> None:
    alpha = np.linspace(0, 255, 96, dtype=np.uint8)[None].repeat(96, 0)
    for hidden in (None, alpha):
        code = made.encode_style(photo("coffee", 96), hidden)
        wanted = engine("torch").encode_style(photo("coffee", 96), hidden)
        np.testing.assert_allclose(code.relu4_1.mean, wanted.relu4_1.mean, rtol=0.03, atol=0.03)
        np.testing.assert_allclose(code.relu4_1.std, wanted.relu4_1.std, rtol=0.03, atol=0.03)


def test_tiles_are_the_whole(device: str) -> None:
    content = photo("astronaut")[20:100, 90:266]
    work = job(content, ("coffee", "chelsea"), (1.0, 1.0), 1.0, gradient_masks(content))
    assert feature_grid(*content.shape[:2]) == (10, 22)
    (tiled,) = TorchEngine(device, limits=Limits(tile_width=136, slab_rows=16)).stylize([work])
    (whole,) = TorchEngine(device, limits=WHOLE).stylize([work])
    assert differences(tiled, whole).max() <= (2 if device == "cuda" else 1)


@needs_cuda
def test_two_workers_share_a_device() -> None:
    made = TorchEngine("cuda")
    queue = BatchingQueue([lambda: TorchEngine("cuda")] * 2, StyleLibrary(10_000_000), 4 * 32 * 32, 60)
    works = [
        Work(np.roll(photo(NAMES[number % 4], 32), number, 1), (style("coffee"),), shares([1.0], 1 - number / 50))
        for number in range(12)
    ]

    async def all_of_them() -> list[Picture]:
        return [done.pixels for done in await asyncio.gather(*(queue.run(work) for work in works))]

    queue.start()
    try:
        results = asyncio.run(all_of_them())
    finally:
        queue.close()
    for work, result in zip(works, results, strict=True):
        (wanted,) = made.stylize([Job(work.content, (style("coffee"),), work.share)])
        assert differences(result, wanted).max() <= 1


@needs_cuda
def test_graphs_of_many_shapes_replay_what_runs_without() -> None:
    recorded, plain = TorchEngine("cuda"), TorchEngine("cuda")
    plain._graphs = None
    shapes = [(64 + 8 * number, 64 + 16 * (number % 5)) for number in range(40)]
    for turn in range(USES_BEFORE_A_GRAPH + 1):
        for number, (height, width) in enumerate(shapes):
            content = photo("astronaut")[number : number + height, turn : turn + width]
            work = [job(content, strength=1 - number / 100)]
            assert differences(recorded.stylize(work)[0], plain.stylize(work)[0]).max() <= 1


@needs_cuda
@pytest.mark.parametrize("megabytes", [50, 200, 800, 2000])
def test_short_of_memory_results_are_the_same_and_memory_comes_back(megabytes: int) -> None:
    """The process may take so much beside the weights: a batch is halved, a picture runs in tiles, or is refused."""
    gpu = TorchEngine("cuda")
    content = np.tile(photo("astronaut"), (2, 2, 1))
    jobs = [job(np.roll(content, 9 * number, 1)) for number in range(4)]
    wanted = gpu.stylize(jobs)
    for _ in range(USES_BEFORE_A_GRAPH):
        gpu.stylize(jobs)
    gpu._give_memory_back()
    weights = torch.cuda.memory_allocated()
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + megabytes * 2**20) / total)
    try:
        for _ in range(USES_BEFORE_A_GRAPH + 1):
            try:
                results = gpu.stylize(jobs)
            except RuntimeError as error:
                if megabytes >= 200 or not out_of_memory(error):  # there was room for a tile
                    raise
            else:
                for result, picture in zip(results, wanted, strict=True):
                    assert differences(result, picture).max() <= 2
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    gpu._give_memory_back()
    assert torch.cuda.memory_allocated() <= weights + 2**20
    for result, picture in zip(gpu.stylize(jobs), wanted, strict=True):
        assert differences(result, picture).max() <= 1
