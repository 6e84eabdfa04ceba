"""Where a style acts, whether a mask says it in grey, in ink on nothing, or in labels."""

from typing import Final

import numpy as np
from PIL import Image, ImageChops

from app.images.errors import UnclearMask
from app.images.profile import to_srgb
from app.images.visible import ink

BLACK: Final = (0, 0, 0)
# Pascal VOC, whose colours other label pictures use too: 20 classes, the background, and what is left undecided.
UNDECIDED: Final = (224, 224, 192)
MOST_LABELS: Final = 24
GREYISH: Final = 24  # levels that the channels of what is meant as grey may differ by
LEAST_BRIGHT: Final = 64


def acting(colour: Image.Image, alpha: Image.Image | None) -> Image.Image:
    """A mask of mode L, RGB, CMYK or LAB, and its alpha, as mode L: 255 where the style acts.

    That is its luma, transparent being black, but: of ink of one colour on nothing it is the ink; of label colours on
    black, every label; and 1 is white where nothing is brighter. Raises UnclearMask for one that is all but black.
    """
    if alpha is not None and ink(colour, alpha):
        return alpha
    grey = colour if colour.mode == "L" else _labels(to_srgb(colour, None)) or to_srgb(colour, None).convert("L")
    if alpha is not None:
        grey = ImageChops.multiply(grey, alpha)
    brightest = int(np.asarray(grey).max())
    if brightest == 1:
        return grey.point(lambda level: 255 * level)
    if 0 < brightest < LEAST_BRIGHT:
        raise UnclearMask(brightest)
    return grey


def _labels(rgb: Image.Image) -> Image.Image | None:
    """Where a label picture has a label; None where it is none: labels have few flat colours, on black."""
    colours = np.array([colour for _, colour in rgb.getcolors(MOST_LABELS) or ()]).reshape(-1, 3)
    if colours.any(axis=1).all() or np.ptp(colours, axis=1).max() <= GREYISH:
        return None
    pixels = np.asarray(rgb)
    labelled = (pixels != BLACK).any(axis=2) & (pixels != UNDECIDED).any(axis=2)
    return Image.fromarray(labelled).convert("L")
