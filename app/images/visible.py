"""What of a picture can be seen. The network is to take its statistics of that, and to see nothing odd beside it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageStat

from app.images.colour import LUMA
from app.images.errors import UnreadableImage

Bytes = NDArray[np.uint8]
# Below this alpha many files have noise for colours: what rounding or an editor left there.
SOLID: Final = 32
# Standard deviation, in levels: what varies less is ink of one colour.
ONE_COLOUR: Final = 8.0
WHITE: Final = 255
Box = tuple[slice, slice]
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Visible:
    """The rectangle of a picture, `box`, that has all in it that is not wholly transparent.

    `rgb` (h, w, 3) uint8, contiguous, with harmless colours where nothing is to be seen; `alpha` (h, w) uint8, None
    where all of it counts alike.
    """

    rgb: Bytes
    alpha: Bytes | None
    box: Box


def visible(rgb: Bytes, alpha: Bytes | None) -> Visible:
    """What can be seen of colour (H, W, 3) through alpha (H, W).

    Ink of one colour has nothing but its shape: it is laid on paper, and the paper counts. All else is continued
    beyond its edges by its own colours, which count for nothing. Raises UnreadableImage where all is transparent.
    """
    if alpha is None:
        return Visible(rgb, None, (slice(0, rgb.shape[0]), slice(0, rgb.shape[1])))
    box = _box(alpha)
    rgb, alpha = np.ascontiguousarray(rgb[box]), np.ascontiguousarray(alpha[box])
    if alpha.min() == 255:
        return Visible(rgb, None, box)
    if colour := ink(Image.fromarray(rgb), Image.fromarray(alpha)):
        return Visible(laid_on(rgb, alpha, WHITE if np.dot(colour, LUMA) < 128 else 0), None, box)
    return Visible(filled(rgb, alpha), alpha, box)


def ink(colour: Image.Image, alpha: Image.Image) -> list[float] | None:
    """The colour, in levels, that all is of that can be seen; None where there is more than one."""
    _, highest = alpha.getextrema()
    solid = alpha.point(lambda level: 255 * (level >= min(SOLID, highest)))
    seen = ImageStat.Stat(colour, solid)
    return seen.mean if max(seen.stddev) < ONE_COLOUR else None


def _box(alpha: Bytes) -> Box:
    rows, columns = (np.flatnonzero(alpha.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        raise UnreadableImage(
            "The picture is transparent everywhere: send one with something to see, or save it without transparency."
        )
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def laid_on(rgb: Bytes, alpha: Bytes, paper: int) -> Bytes:
    """Colour (H, W, 3) as seen through alpha (H, W) before a wall of that level of grey."""
    part = alpha[:, :, None].astype(np.uint16)
    return ((rgb * part + np.uint16(paper) * (255 - part) + 127) // 255).astype(np.uint8)


def filled(rgb: Bytes, alpha: Bytes) -> Bytes:
    """Colour (H, W, 3) continued smoothly where alpha (H, W) is next to nothing, whatever was there.

    By pull and push (Gortler et al., "The Lumigraph", 1996): what is missing comes from the picture at half the size.
    """
    colour, solid = Image.fromarray(rgb), Image.fromarray(alpha)
    level = min(SOLID, int(alpha.max()))
    known = solid.point(lambda opacity: min(255, round(255 * opacity / level)))
    half = Image.merge("RGBA", (*colour.split(), known)).convert("RGBa").reduce(2)
    *channels, weight = (np.asarray(band, np.float32) for band in half.split())
    continued = [_continued(channel, weight / np.float32(255)) for channel in channels]
    beyond = Image.fromarray(np.stack(continued, axis=2).round().clip(0, 255).astype(np.uint8))
    return np.array(Image.composite(colour, beyond.resize(colour.size, Image.Resampling.BILINEAR), known))


def _continued(colour: Plane, weight: Plane) -> Plane:
    """(h, w) of any weights up to 1, already multiplied by them, to (h, w) known everywhere."""
    if weight.size == 1:
        return colour / weight
    half, half_weight = (np.asarray(Image.fromarray(plane).reduce(2), np.float32) for plane in (colour, weight))
    # One pixel that is known makes its block of four known.
    known = np.minimum(np.float32(4), 1 / np.maximum(half_weight, np.float32(1e-12)))
    coarse = Image.fromarray(_continued(half * known, half_weight * known))
    height, width = weight.shape
    pushed = np.asarray(coarse.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    return colour + (1 - weight) * pushed
