"""A mask does what it plainly means, however it was painted; one that would do next to nothing is told."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from app.images.decode import decode_mask
from app.images.errors import UnclearMask
from tests.images.files import PIXELS, Bytes, photo, saved, tiff_of

HALF = np.zeros((40, 60), np.uint8)
HALF[:, 30:] = 1
OPAQUE = np.full_like(HALF, 255)


def read(image: Image.Image | Bytes | bytes, format: str = "png") -> Bytes:
    file = image if isinstance(image, bytes) else saved(image, format)
    return decode_mask(BytesIO(file), max_pixels=PIXELS, width=60, height=40)


def voc_palette() -> list[int]:
    """Pascal VOC's: bits 0, 3 and 6 of the label are the highest of red, 1, 4 and 7 of green, 2 and 5 of blue."""
    colours = []
    for label in range(256):
        channels = [0, 0, 0]
        for bit in range(8):
            channels[bit % 3] |= (label >> bit & 1) << 7 - bit // 3
        colours += channels
    return colours


def labelled(labels: Bytes, palette: list[int]) -> Image.Image:
    image = Image.fromarray(labels).convert("P")
    image.putpalette(palette)
    return image


RED = (255, 0, 0)
MEANT = {
    "0 and 255": lambda: HALF * 255,
    "0 and 1": lambda: HALF,
    "0 and 1 in RGB": lambda: np.dstack([HALF] * 3),
    "0 and 1, opaque": lambda: np.dstack([HALF] * 3 + [OPAQUE]),
    "bits": lambda: Image.fromarray(HALF * 255).convert("1"),
    "0 and 1 of a palette": lambda: labelled(HALF, [level for level in range(256) for _ in range(3)]),
    "black and white palette": lambda: labelled(HALF, [0, 0, 0, 255, 255, 255]),
    "VOC label": lambda: labelled(HALF, voc_palette()),
    "VOC labels": lambda: labelled(HALF * np.tile(np.array([15, 7, 20, 12], np.uint8), (40, 15)), voc_palette()),
    "VOC undecided": lambda: labelled(np.where(HALF, 15, 255 * (np.arange(60) < 4)).astype(np.uint8), voc_palette()),
    "a coloured label": lambda: np.where(HALF[:, :, None], np.array(RED, np.uint8), np.uint8(0)),
    "black ink on nothing": lambda: np.dstack([HALF * 0] * 3 + [HALF * 255]),
    "white ink on nothing": lambda: np.dstack([OPAQUE] * 3 + [HALF * 255]),
    "red ink on nothing": lambda: np.dstack([np.full((40, 60, 3), RED, np.uint8), HALF * 255]),
    "black ink, grey file": lambda: Image.merge("LA", [Image.fromarray(HALF * 0), Image.fromarray(HALF * 255)]),
    "16 bits": lambda: HALF.astype(np.uint16) * 65535,
    "0 and 1 of 16 bits": lambda: HALF.astype(np.uint16),
    "0 and 255 of 16 bits": lambda: HALF.astype(np.uint16) * 255,
}  # fmt: skip


@pytest.mark.parametrize("kind", MEANT)
def test_a_mask_does_what_it_means(kind):
    np.testing.assert_array_equal(read(MEANT[kind]()), HALF * 255)


def test_masks_of_other_formats_do_what_they_mean():
    for format in ("bmp", "gif", "tiff"):
        np.testing.assert_array_equal(read(HALF, format), HALF * 255)
    ink = np.dstack([HALF * 0] * 3 + [HALF * 255])
    np.testing.assert_array_equal(read(saved(ink, "webp", lossless=True)), HALF * 255)
    for photometric in (0, 1):
        stored = HALF if photometric else 1 - HALF
        np.testing.assert_array_equal(read(tiff_of(stored[:, :, None], 1, photometric)), HALF * 255)


def test_a_soft_mask_is_its_grey_and_the_edge_of_ink_is_soft():
    ramp = np.tile(np.linspace(0, 255, 60).round().astype(np.uint8), (40, 1))
    np.testing.assert_array_equal(read(ramp), ramp)
    np.testing.assert_array_equal(read(ramp.astype(np.uint16) * 257), ramp)
    np.testing.assert_array_equal(read(np.dstack([ramp * 0] * 3 + [ramp])), ramp)
    np.testing.assert_array_equal(read(np.dstack([ramp] * 3 + [HALF * 255])), ramp * HALF)
    np.testing.assert_array_equal(read(np.full_like(HALF, 128)), np.full_like(HALF, 128))


def test_a_coloured_picture_of_many_colours_is_its_luma():
    piece = photo()[100:140, 200:260]
    np.testing.assert_array_equal(read(piece), np.array(Image.fromarray(piece).convert("L")))


def test_a_black_mask_acts_nowhere_and_so_does_a_transparent_one():
    assert not read(HALF * 0).any()
    assert not read(np.dstack([OPAQUE] * 3 + [HALF * 0])).any()


@pytest.mark.parametrize("brightest", [2, 20, 63])
def test_a_mask_that_would_hardly_act_is_told_with_its_brightest_level(brightest):
    for image in (HALF * brightest, np.dstack([HALF * brightest] * 3)):
        with pytest.raises(UnclearMask, match=f"brightest level is {brightest} of 255"):
            read(image)


def test_the_noise_of_jpeg_does_not_hide_that_a_mask_is_all_but_black():
    with pytest.raises(UnclearMask, match=r"white \(255\) where the style acts"):
        read(HALF * 3, "jpeg")
