"""What can't be seen counts for nothing, in any engine, in tiles or not; an opaque picture does not know of it."""

from dataclasses import replace

import numpy as np
import pytest

from app.engine.base import Job, Picture
from app.engine.partial import ShareMap
from app.engine.tiles import Limits
from app.network.blend import shares
from tests.engine.engines import WHOLE, differences, engine, gradient_masks, job, style
from tests.engine.test_ncnn import assert_agree
from tests.pictures import photo

TILES = Limits(tile_width=136, slab_rows=16, feature_memory=2**30)
UNEVEN = Limits(tile_width=165, slab_rows=42, feature_memory=0)


def disc(height: int, width: int) -> Picture:
    """Opaque in the middle, with a soft edge, transparent in the corners."""
    down, across = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    return np.rint(255 * np.clip(3 - 3.5 * np.hypot(down, across), 0, 1)).astype(np.uint8)


def works(height: int, width: int) -> list[Job]:
    """A cut-out plain, blended and in regions, and an opaque picture: in torch they are one batch."""
    content = photo("astronaut")[30 : 30 + height, 90 : 90 + width]
    alpha = disc(height, width)
    return [
        replace(job(content), alpha=alpha),
        replace(job(content, ("coffee", "rocket"), (1, 2), 0.7), alpha=alpha),
        replace(job(content, ("coffee", "rocket"), (1, 1), 0.9, gradient_masks(content)), alpha=alpha),
        job(content),
    ]


@pytest.mark.parametrize("size", [(16, 9), (75, 170)])
def test_engines_agree_whole_in_tiles_and_in_batches(size: tuple[int, int]) -> None:
    jobs = works(*size)
    wanted = [engine("ncnn", WHOLE).stylize([work])[0] for work in jobs]
    for made in (engine("torch", WHOLE), engine("ncnn", UNEVEN), engine("torch", TILES)):
        for result, expected in zip(made.stylize(jobs), wanted, strict=True):
            assert_agree(result, expected)


@pytest.mark.parametrize("library", ["ncnn", "torch"])
def test_what_is_far_behind_the_edge_does_not_matter(library: str) -> None:
    content = photo("astronaut")[:64, :400]
    alpha = np.zeros((64, 400), np.uint8)
    alpha[:, :120] = 255
    other = content.copy()
    other[:, 280:] = photo("chelsea")[:64, :120]
    made = engine(library)
    [one], [same] = (made.stylize([Job(c, (style("coffee"),), shares([1.0]), alpha)]) for c in (content, other))
    assert differences(one, same)[:, :120].max() <= 1
    [seen], [other_seen] = (made.stylize([Job(c, (style("coffee"),), shares([1.0]))]) for c in (content, other))
    assert differences(seen, other_seen)[:, :120].max() > 1
    codes = [made.encode_style(c, alpha) for c in (content, other)]
    for ours, theirs in zip(*([code.relu4_1, *code.decoded] for code in codes), strict=True):
        np.testing.assert_allclose(ours.mean, theirs.mean, atol=1e-4 * ours.mean.max())
        np.testing.assert_allclose(ours.std, theirs.std, atol=1e-4 * ours.std.max())


@pytest.mark.parametrize("limits", [WHOLE, UNEVEN])
@pytest.mark.parametrize("library", ["ncnn", "torch"])
def test_a_cut_out_style_has_one_code_in_all_engines(library: str, limits: Limits) -> None:
    picture, alpha = photo("coffee")[:90, :170], disc(90, 170)
    wanted, code = (made.encode_style(picture, alpha) for made in (engine("torch", WHOLE), engine(library, limits)))
    for one, other in zip((code.relu4_1, *code.decoded), (wanted.relu4_1, *wanted.decoded), strict=True):
        np.testing.assert_allclose(one.mean, other.mean, atol=3e-4 * other.mean.max())
        np.testing.assert_allclose(one.std, other.std, atol=3e-4 * other.std.max())
    opaque = engine(library, limits).encode_style(picture)
    assert np.abs(opaque.relu4_1.mean - wanted.relu4_1.mean).max() > 0.1


@pytest.mark.parametrize("library", ["ncnn", "torch"])
def test_alpha_that_hides_nothing_changes_nothing(library: str) -> None:
    work = job(photo("chelsea", 96), ("coffee", "rocket"), (1, 1))
    made = engine(library)
    [plain], [seen] = made.stylize([work]), made.stylize([replace(work, alpha=np.full((96, 96), 255, np.uint8))])
    assert differences(plain, seen).max() <= 1


def test_how_far_a_position_can_be_seen_is_the_mean_of_the_pixels_it_stands_for() -> None:
    alpha = np.random.default_rng(2).integers(0, 256, (30, 21), np.uint8)
    share = ShareMap(np.ones((1, 1), np.float32), (4, 3), alpha)
    padded = np.pad(alpha, ((0, 2), (0, 3)), mode="symmetric") / 255
    for scale in (1, 2, 4, 8):
        side = 8 // scale
        means = padded.reshape(4 * scale, side, 3 * scale, side).mean((1, 3))
        part = share.visible(slice(1, 3 * scale), slice(scale, 2 * scale), scale)
        assert part is not None
        np.testing.assert_allclose(part[0], means[1 : 3 * scale, scale : 2 * scale], rtol=1e-5)
