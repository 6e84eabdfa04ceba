"""Crops made for a whole batch, against torchvision's made one by one."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Generator, Tensor
from torchvision.transforms import v2

from app.training.data.crops import (
    BRIGHTNESS,
    CHANCES,
    CONTENT_AREA,
    CONTRAST,
    GEOMETRY,
    GREY,
    HUE,
    INVERTED,
    JITTERED,
    PERMUTED,
    POSTERIZED,
    SATURATION,
    SHARPENED,
    SHARPNESS,
    STRETCHED,
    STYLE_AREA,
    STYLE_ASPECT,
    TURNED,
    UPSIDE_DOWN,
    _changed,
    crops,
    hue_turned,
)
from app.training.data.shelf import Shelf
from app.training.data.splits import Source
from tests.pictures import photo

NEVER = 0.999999
SIDES = (160, 256)


def _shelf(folder: Path, device: torch.device, pictures: Sequence[NDArray[np.uint8]]) -> Shelf:
    sources = []
    for number, picture in enumerate(pictures):
        path = folder / f"{number}.png"
        Image.fromarray(picture).save(path)
        sources.append(Source(path, *picture.shape[:2]))
    return Shelf([sources], 640, 10**8, device, 1, seed=0)


@pytest.fixture
def shelf(tmp_path: Path, device: torch.device) -> Shelf:
    """Three photos, wider than they are tall."""
    return _shelf(tmp_path, device, [photo(name, 256)[: SIDES[0]] for name in ("astronaut", "coffee", "chelsea")])


def _picture(shelf: Shelf, slot: int) -> Tensor:
    """uint8 (3, H, W)."""
    offset, height, width = shelf.table[slot, 0].tolist()
    pixels = shelf.pixels[offset : offset + height * width].cpu()
    return pixels[:, None].view(torch.uint8).view(height, width, 4)[..., :3].permute(2, 0, 1)


def _crops(shelf: Shelf, chances: Tensor, styles: int, size: int) -> Tensor:
    slots = torch.arange(len(chances)) % len(shelf.table)
    device = shelf.pixels.device
    return crops(shelf.pixels, shelf.table, slots.to(device), chances.to(device), styles, size).cpu()


def _still(count: int) -> Tensor:
    """Chances of crops that are not changed."""
    return torch.full((count, CHANCES), NEVER)


def _chances(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, CHANCES, generator=Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_content_is_a_square_cut_out_and_resized(shelf: Shelf, size: int) -> None:
    (height, width), (least, most) = SIDES, CONTENT_AREA
    places = [(92, 20, 31, True), (101, 0, 99, False), (110, 7, 7, True), (127, 11, 129, False), (159, 1, 0, True)]
    chances = _still(len(places))
    for row, (side, top, left, flipped) in zip(chances, places, strict=True):
        row[2], row[3], row[4] = top / (height - side), left / (width - side), float(not flipped)
        row[6:GEOMETRY] = (side**2 / (height * width) - least) / (most - least)
    slots = torch.arange(len(places)) % len(shelf.table)
    for crop, slot, (side, top, left, flipped) in zip(_crops(shelf, chances, 0, size), slots, places, strict=True):
        picture = _picture(shelf, int(slot))
        expected = v2.functional.resized_crop(picture, top, left, side, side, [size, size], antialias=True) / 255
        expected = expected.flip(2) if flipped else expected
        assert float((crop - expected).square().mean().sqrt()) < 0.015
        detail, wanted = (x.diff(dim=-1).abs().mean() for x in (crop, expected))
        assert 0.9 < float(detail / wanted) < 1.2, "as sharp"


def test_styles_are_cut_in_the_shapes_and_places_that_torchvision_draws(tmp_path: Path, device: torch.device) -> None:
    """A picture of its own coordinates tells where a crop is from."""
    height, width = SIDES
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    shelf = _shelf(tmp_path, device, [np.stack([y, x, x], 2).astype(np.uint8)])
    count = 1500
    chances = _chances(count)
    chances[:, GEOMETRY:] = NEVER
    chances[:, 0] = NEVER
    cut = _crops(shelf, chances, count, 16).double() * 255
    down, across = (16 * cut[:, axis].diff(dim=axis + 1).mean((1, 2)) for axis in (0, 1))
    ours = torch.stack([down.abs(), across.abs(), cut[:, 0].mean((1, 2)), cut[:, 1].mean((1, 2))], 1).numpy()
    torch.manual_seed(0)
    draw = v2.RandomResizedCrop(16, STYLE_AREA, STYLE_ASPECT)
    drawn = [draw.make_params([torch.zeros(3, height, width)]) for _ in range(count)]
    shapes = [[d["height"], d["width"], d["top"] + d["height"] / 2, d["left"] + d["width"] / 2] for d in drawn]
    for got, wanted in zip(ours.T, np.array(shapes).T, strict=True):
        np.testing.assert_allclose(*(np.quantile(x, np.linspace(0.05, 0.95, 7)) for x in (got, wanted)), atol=10)
    assert float((down < 0).float().mean()) == pytest.approx(UPSIDE_DOWN, abs=0.05)
    assert float((across < 0).float().mean()) == pytest.approx(0.5, abs=0.05)


def test_turned_styles_slant_and_have_no_empty_corners(tmp_path: Path, device: torch.device) -> None:
    stripes = np.full((*SIDES, 3), 20, np.uint8)
    stripes[np.arange(SIDES[0]) // 8 % 2 == 1] = 255
    shelf = _shelf(tmp_path, device, [stripes])
    chances = _chances(60)
    chances[:, GEOMETRY:] = NEVER
    chances[:, 0] = torch.arange(60) / 60
    turned = _crops(shelf, chances, 60, 64)
    assert float(turned.min()) >= 20 / 255
    slant = turned[:, 0].diff(dim=2).abs().mean((1, 2)) > 0.04
    assert int(slant.sum()) == pytest.approx(60 * TURNED, abs=3)
    assert not bool(slant[int(60 * TURNED) :].any())
    assert not bool((_crops(shelf, chances, 0, 64)[:, 0].diff(dim=2).abs().mean((1, 2)) > 0.04).any()), "contents never"


CHANGE = {
    "permuted": (3, PERMUTED),
    "jittered": (4, JITTERED),
    "grey": (9, GREY),
    "inverted": (10, INVERTED),
    "stretched": (11, STRETCHED),
    "posterized": (12, POSTERIZED),
    "sharpened": (13, SHARPENED),
}


@pytest.mark.parametrize("name", CHANGE)
def test_each_change_is_torchvisions_and_as_likely_as_it_is_to_be(name: str) -> None:
    column, likely = CHANGE[name]
    x = torch.from_numpy(photo("coffee", 64).copy()).permute(2, 0, 1)[None]
    chances = torch.full((2, CHANCES - GEOMETRY), NEVER)
    chances[:, :3] = torch.tensor([0.9, 0.1, 0.5])
    chances[:, 5:9] = torch.tensor([0.8, 0.3, 0.9, 0.7])
    chances[0, column], chances[1, column] = likely - 1e-4, likely + 1e-4
    changed, same = _changed(x.float().expand(2, -1, -1, -1) / 255, chances)
    f = v2.functional
    jittered = f.adjust_contrast(f.adjust_brightness(x, 1 + BRIGHTNESS * 0.6), 1 - CONTRAST * 0.4)
    expected = {
        "permuted": x[:, [1, 2, 0]],
        "jittered": f.adjust_hue(f.adjust_saturation(jittered, 1 + SATURATION * 0.8), HUE * 0.4),
        "grey": f.rgb_to_grayscale(x, 3),
        "inverted": f.invert(x),
        "stretched": f.autocontrast(x),
        "posterized": f.posterize(x, 2),
        "sharpened": f.adjust_sharpness(x, SHARPNESS),
    }
    assert torch.equal(same * 255, x[0].float())
    most = {"jittered": 4, "sharpened": 2.5}.get(name, 1.01)  # levels that rounding in between may be off
    assert float((changed * 255 - expected[name][0].float()).abs().max()) <= most
    assert float((changed - same).abs().mean()) > 0.002


def test_hues_turn_as_pythons_own_do() -> None:
    colours = torch.rand(1, 3, 5, 5, generator=Generator().manual_seed(0), dtype=torch.float64)
    colours[..., 0, :] = colours[:, :1, 0, :]
    for by in (-0.4, 0.0, 0.15, 0.7):
        got = hue_turned(colours, torch.tensor(by).view(1, 1, 1, 1))
        for row in range(5):
            for column in range(5):
                hue, saturation, value = colorsys.rgb_to_hsv(*colours[0, :, row, column].tolist())
                expected = colorsys.hsv_to_rgb((hue + by) % 1, saturation, value)
                np.testing.assert_allclose(got[0, :, row, column], expected, atol=1e-6)


def test_crops_are_of_their_own_chances_whatever_stands_beside_them(shelf: Shelf) -> None:
    chances = _chances(9)
    whole = _crops(shelf, chances, 6, 32)
    assert whole.shape == (9, 3, 32, 32)
    assert torch.equal((whole * 255).round() / 255, whole)
    assert 0 <= float(whole.min()) <= float(whole.max()) <= 1
    torch.testing.assert_close(_crops(shelf, chances[:3], 0, 32), whole[:3])
    torch.testing.assert_close(_crops(shelf, chances[3:6], 3, 32), whole[3:6], rtol=0, atol=1.01 / 255)


def test_a_picture_far_longer_than_wide_or_tiny_is_cut_all_the_same(tmp_path: Path, device: torch.device) -> None:
    plain = np.array([200, 100, 50], np.uint8)
    shapes = [(9, 300), (300, 9), (1, 1), (2, 3)]
    shelf = _shelf(tmp_path, device, [np.broadcast_to(plain, (*sides, 3)).copy() for sides in shapes])
    chances = _chances(40)
    chances[:, GEOMETRY:] = NEVER
    for crop in _crops(shelf, chances, 20, 16):
        np.testing.assert_allclose(crop.mean((1, 2)) * 255, plain, atol=0.5)
