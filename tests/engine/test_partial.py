"""Partial AdaIN in the engines: one answer from all, in tiles and in one piece."""

from pathlib import Path

import numpy as np
import pytest

from app.engine.base import Engine, Job, Picture
from app.engine.ncnn import NcnnEngine
from app.engine.partial import ShareMap
from app.engine.statistics import Moments
from app.engine.tiles import Limits
from app.engine.torch import TorchEngine
from app.network.blend import shares
from tests.engine.engines import differences, gradient_masks
from tests.engine.test_ncnn import assert_agree, decoder_file
from tests.pictures import photo

WIDTHS = [(512, 24), (24, 20), (20, 16), (16, 16), (16, 12), (12, 3)]
TILES = Limits(tile_width=136, slab_rows=16, feature_memory=2**30)
SPILLED = Limits(tile_width=160, slab_rows=32, feature_memory=0)
WHOLE = Limits(tile_width=4096, slab_rows=4096)


@pytest.fixture(scope="module", params=[(0,), (1, 2), (0, 1, 2, 3, 4)], ids=str)
def moving(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder that moves statistics after some of its layers, those the size doubles after and others."""
    return decoder_file(tmp_path_factory.mktemp("moving") / "decoder.safetensors", WIDTHS, "1,2,4", request.param)


def engines(decoder: Path) -> list[Engine]:
    return [
        NcnnEngine(decoder=decoder, limits=WHOLE),
        TorchEngine(decoder=decoder, limits=WHOLE),
        NcnnEngine(decoder=decoder, limits=TILES),
        TorchEngine(decoder=decoder, limits=TILES),
        NcnnEngine(decoder=decoder, limits=SPILLED),
    ]


def jobs(engine: Engine, content: Picture) -> list[Job]:
    """Plain, a blend at part of its strength, and regions."""
    one, other = (engine.encode_style(photo(name, 128)) for name in ("coffee", "rocket"))
    return [
        Job(content, (one,), shares([1.0])),
        Job(content, (one, other), shares([1, 2], 0.7)),
        Job(content, (one, other), shares([1, 1], 0.9, gradient_masks(content))),
    ]


@pytest.mark.parametrize("size", [(1, 1), (9, 200), (173, 190)])
def test_engines_agree_whole_and_in_tiles(moving: Path, size: tuple[int, int]) -> None:
    content = photo("chelsea")[20 : 20 + size[0], 30 : 30 + size[1]]
    made = engines(moving)
    works = jobs(made[0], content)
    wanted = [made[0].stylize([work])[0] for work in works]
    # In torch a batch of plain, blended and masked ones is computed at once.
    for engine in made[1:]:
        for result, expected in zip(engine.stylize(works), wanted, strict=True):
            assert_agree(result, expected)


def test_moved_statistics_change_the_picture_and_strength_0_does_not_know_them(moving: Path, tmp_path: Path) -> None:
    plain = decoder_file(tmp_path / "plain.safetensors", WIDTHS, "1,2,4")
    content = photo("chelsea", 120)
    results = {}
    for name, path in (("moving", moving), ("plain", plain)):
        engine = NcnnEngine(decoder=path)
        style = engine.encode_style(photo("rocket", 120))
        results[name] = [engine.stylize([Job(content, (style,), shares([1.0], s))])[0] for s in (1.0, 0.0)]
    assert differences(results["moving"][0], results["plain"][0]).mean() > 1
    assert differences(results["moving"][1], results["plain"][1]).max() <= 1


def test_a_region_left_out_stays_as_strength_0_has_it(moving: Path) -> None:
    engine = NcnnEngine(decoder=moving)
    content = photo("chelsea", 192)
    style = engine.encode_style(photo("coffee", 128))
    half = np.zeros((24, 24), np.uint8)
    half[:, :12] = 255
    [masked] = engine.stylize([Job(content, (style,), shares([1.0], 1.0, [half]))])
    [untouched] = engine.stylize([Job(content, (style,), shares([1.0], 0.0))])
    far = slice(16 * 8, None)  # beyond what the decoder sees of the other half
    assert differences(masked[:, far], untouched[:, far]).max() <= 1
    assert differences(masked[:, : 8 * 8], untouched[:, : 8 * 8]).mean() > 1


def test_a_style_that_acts_nowhere_meets_the_statistics_of_everyone() -> None:
    random = np.random.default_rng(1)
    layer = random.gamma(1, 3, (5, 12, 14)).astype(np.float32)
    share = random.uniform(0, 1, (2, 12, 14)).astype(np.float32)
    share[1] = 0
    moments = Moments(14)
    whole = slice(0, 12), slice(0, 14)
    moments.add(0, layer, ShareMap(share.reshape(2, -1), (12, 14)).weights(*whole))
    first, nowhere = moments.statistics
    np.testing.assert_allclose(first.mean, np.average(layer, (1, 2), share[0][None].repeat(5, 0)), rtol=1e-4)
    np.testing.assert_allclose(nowhere.mean, layer.mean((1, 2)), rtol=1e-4)


def test_shares_at_a_layers_size_are_those_of_relu4_1_below_them() -> None:
    share = np.arange(24, dtype=np.float32).reshape(1, 24)
    part = ShareMap(share, (4, 6)).part(slice(6, 10), slice(0, 8), scale=4)
    grid = share.reshape(4, 6)
    assert part.shape == (1, 4, 8)
    assert (part[0, :2, :4] == grid[1, 0]).all()
    assert (part[0, 2:, 4:] == grid[2, 1]).all()
    assert ShareMap(share[:, :1]).part(slice(6, 10), slice(0, 8), scale=4).shape == (1, 1, 1)
