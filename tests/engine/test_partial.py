"""Partial AdaIN in the engines: one answer from all, in tiles and in one piece, and of large pictures by windows."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.base import Engine, Job, Picture
from app.engine.ncnn import NcnnEngine
from app.engine.partial import WINDOW_SIDE, WINDOWS, ShareMap, layer_statistics, windows
from app.engine.tiles import Limits
from app.engine.torch import TorchEngine
from app.network.blend import EPSILON, shares
from tests.engine.engines import differences, gradient_masks
from tests.engine.test_ncnn import assert_agree, decoder_file
from tests.pictures import photo

WIDTHS = [(512, 24), (24, 20), (20, 16), (16, 16), (16, 12), (12, 3)]
TILES = Limits(tile_width=136, slab_rows=16, feature_memory=2**30)
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


def test_windows_stand_for_a_large_picture_in_every_engine(moving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tiles", "torch"):
        monkeypatch.setattr(f"app.engine.{module}.WHOLE_CONTENT", 400)
        monkeypatch.setattr(f"app.engine.{module}.WHOLE_STYLE", 100)
    content = photo("astronaut")[:250, :203]
    made = engines(moving)
    works = jobs(made[0], content)
    wanted = [made[0].stylize([work])[0] for work in works]
    for engine in made[1:]:
        for work, expected in zip(jobs(engine, content), wanted, strict=True):
            assert_agree(engine.stylize([work])[0], expected)
    monkeypatch.undo()
    exact = made[0].stylize([works[0]])[0]
    assert 0 < differences(exact, wanted[0]).mean() < 8, "windows are a part of the picture, and much like all of it"


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


@given(height=st.integers(2, 3000), width=st.integers(2, 3000), whole=st.sampled_from([1, 400, 16384]))
def test_windows_lie_within_the_picture_apart_and_are_enough(height: int, width: int, whole: int) -> None:
    found = windows(height, width, whole)
    if height * width <= whole:
        assert found == [(slice(0, height), slice(0, width))]
        return
    assert len(found) <= WINDOWS
    seen = set()
    for down, across in found:
        assert 0 <= down.start < down.stop <= height
        assert 0 <= across.start < across.stop <= width
        seen |= {(row, column) for row in range(down.start, down.stop) for column in range(across.start, across.stop)}
    area = sum((down.stop - down.start) * (across.stop - across.start) for down, across in found)
    assert len(seen) == area, "no position counts twice"
    assert area >= min(height * width, 16 * WINDOW_SIDE**2) / 8


def test_statistics_of_parts_are_those_of_all_of_it() -> None:
    random = np.random.default_rng(1)
    layer = random.gamma(1, 3, (5, 12, 14)).astype(np.float32)
    parts = [layer[:, :, :6], layer[:, :, 6:]]
    [alike] = layer_statistics(parts, [np.ones((1, 1, 1), np.float32)] * 2)
    np.testing.assert_allclose(alike.mean, layer.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(alike.std, np.sqrt(layer.var((1, 2)) + EPSILON), rtol=1e-4)
    share = random.uniform(0, 1, (2, 12, 14)).astype(np.float32)
    share[1] = 0
    first, nowhere = layer_statistics(parts, [share[:, :, :6], share[:, :, 6:]])
    np.testing.assert_allclose(first.mean, np.average(layer, (1, 2), share[0][None].repeat(5, 0)), rtol=1e-4)
    np.testing.assert_allclose(nowhere.mean, layer.mean((1, 2)), rtol=1e-4)


def test_shares_at_a_layers_size_are_those_of_relu4_1_below_them() -> None:
    content = photo("chelsea")[:32, :48]
    share = np.arange(24, dtype=np.float32).reshape(1, 24)
    positions = ShareMap(Job(content, (), share))
    part = positions.part(slice(6, 10), slice(0, 8), scale=4)
    grid = share.reshape(4, 6)
    assert part.shape == (1, 4, 8)
    assert (part[0, :2, :4] == grid[1, 0]).all()
    assert (part[0, 2:, 4:] == grid[2, 1]).all()
