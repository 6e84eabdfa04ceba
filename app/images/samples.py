"""What a TIFF's or BMP's numbers mean, where Pillow leaves it open."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImagePalette, TiffImagePlugin
from PIL.ImageFile import ImageFile

from app.images.tiff import BITS, EXTRA_SAMPLES, LARGEST_SAMPLE, PHOTOMETRIC

# Pillow's own reader of TIFFs that are not compressed takes planes of 16 bits, and bits in reverse, for something else.
TiffImagePlugin.READ_LIBTIFF = True

COLOR_MAP: Final = 320
WHITE_IS_ZERO: Final = 0
ALPHA: Final = (1, 2)  # the meanings of an extra sample that say that it is filled
# What of 16 bits may be in use when a file says so.
BIT_DEPTHS: Final = frozenset(2**bits - 1 for bits in range(9, 16))


def tag(image: Image.Image, number: int) -> Any:
    """The first value of a TIFF's tag; None where it is absent, or no TIFF."""
    tags = getattr(image, "tag_v2", {})
    value = tags.get(number)
    return value[0] if isinstance(value, tuple) and value else value


def widen_palette(image: ImageFile) -> None:
    """Some programs wrote a TIFF's palette with 8 bits where 16 are due. To be called before the pixels are loaded."""
    levels = getattr(image, "tag_v2", {}).get(COLOR_MAP)
    if image.mode in ("P", "PA") and levels and max(levels) < 256:
        image.palette = ImagePalette.raw("RGB;L", bytes(levels))


def unfilled(image: Image.Image, alpha: Image.Image) -> bool:
    """Whether alpha is room that was never filled: 0 everywhere, in a format where that is what it most often means."""
    spare = image.format == "BMP" or (image.format == "TIFF" and tag(image, EXTRA_SAMPLES) not in ALPHA)
    return spare and alpha.getextrema() == (0, 0)


def eight_bits(image: Image.Image, levels: NDArray[np.uint16], mask: bool) -> NDArray[np.uint8]:
    """Grey levels of up to 16 bits, (H, W), as (H, W) uint8, 255 where the file's white is.

    A mask that uses no more than 8 of 16 bits has its white there.
    """
    white = 2 ** min(tag(image, BITS) or 16, 16) - 1
    if mask and levels.max() <= 255:
        white = 255
    elif tag(image, LARGEST_SAMPLE) in BIT_DEPTHS and levels.max() <= tag(image, LARGEST_SAMPLE):
        white = tag(image, LARGEST_SAMPLE)
    grey = ((levels.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)
    return 255 - grey if tag(image, PHOTOMETRIC) == WHITE_IS_ZERO else grey
