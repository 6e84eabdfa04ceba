"""Picture files to arrays: oriented, in sRGB, at the size wanted, and never more pixels than allowed.

The way of a file: its header is read and its size checked (`sniff`), Pillow decodes what is left of it, colour and
alpha are told apart, both are resized, and only then is colour converted and the picture turned upright, since the
result is most often far smaller than the photo.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from math import prod
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.images import layers, nclx
from app.images.errors import ImageError, TooManyPixels, UnreadableImage
from app.images.masks import acting
from app.images.orientation import exif_orientation, xmp_orientation
from app.images.profile import to_srgb
from app.images.sniff import read_header
from app.images.unended import ended
from app.images.visible import WHITE, laid_on

# Pillow's own check warns or raises by one limit for the whole process. `Picture` refuses sooner, by the caller's.
Image.MAX_IMAGE_PIXELS = None

# A JPEG's decoder may shrink it to no less than DRAFT_GAP times the size wanted, and averaging of blocks any picture to
# no less than REDUCE_GAP times: the resampling filter then hides what they did.
DRAFT_GAP: Final = 2
REDUCE_GAP: Final = 3.0
MOST_PADDING: Final = 2  # times the pixels shown: a codec's blocks may reach beyond a picture's edges
Box = tuple[float, float, float, float]
UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Decoded:
    """`rgb`: (H, W, 3) uint8 sRGB, contiguous; `alpha`: (H, W) uint8, None where the picture is opaque everywhere.

    Colour is not multiplied by alpha; it is white where alpha is 0, whatever the file had there.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    format: str


def fitted(width: int, height: int, long_side: int) -> tuple[int, int]:
    """The size with that long side and the aspect of width x height, at least 1 x 1."""
    if width >= height:
        return long_side, max(1, round(height * long_side / width))
    return max(1, round(width * long_side / height)), long_side


def decode(file: BinaryIO, *, max_pixels: int, size: int | None = None, limit: int | None = None) -> Decoded:
    """A photo. `size` is the long side of the result, up or down; without it `limit` is the most the long side may be.

    Raises UnreadableImage or TooManyPixels.
    """
    picture = Picture(file, max_pixels)
    rgb, alpha = picture.pixels(size or min(limit or picture.long_side, picture.long_side))
    return Decoded(rgb, alpha, picture.format)


def decode_trimmed(file: BinaryIO, *, max_pixels: int, size: int) -> Decoded:
    """A picture without its wholly transparent margins, then its long side reduced to `size`, never enlarged.

    Raises UnreadableImage or TooManyPixels.
    """
    picture = Picture(file, max_pixels)
    rgb, alpha = picture.pixels(min(size, picture.long_side), trimmed=True)
    return Decoded(rgb, alpha, picture.format)


def decode_style(file: BinaryIO, *, max_pixels: int, size: int) -> NDArray[np.uint8]:
    """A style as one looks at it, (H, W, 3) uint8: its long side reduced as above, transparency on white.

    Raises UnreadableImage or TooManyPixels.
    """
    picture = Picture(file, max_pixels)
    rgb, alpha = picture.pixels(min(size, picture.long_side))
    return rgb if alpha is None else laid_on(rgb, alpha, WHITE)


def decode_mask(file: BinaryIO, *, max_pixels: int, width: int, height: int) -> NDArray[np.uint8]:
    """A mask as (height, width) uint8, stretched to that size: 255 where its style acts, as `masks.acting` has it.

    Raises UnreadableImage, UnclearMask or TooManyPixels.
    """
    return Picture(file, max_pixels).mask(width, height)


class Picture:
    """A file whose header is sound and promises few enough pixels. What it is asked for first decodes them, once."""

    def __init__(self, file: BinaryIO, max_pixels: int) -> None:
        header = read_header(file.read())
        if header.size is not None:
            refuse_above(max_pixels, *header.size)
        if header.decoded is not None and prod(header.decoded) > MOST_PADDING * max_pixels:
            refuse_above(max_pixels, *header.decoded)
        self.format = header.format
        self._profile = header.profile
        self._nclx = header.nclx
        with self._guarded():
            data = header.data if header.ended else ended(header.data)
            self._image = Image.open(BytesIO(data), formats=(header.format,))
            refuse_above(max_pixels, *self._image.size)
            # Pillow would turn a TIFF by its XMP, but does not tell its size so.
            xmp = self._image.info.pop("xmp", b"")
            found = header.orientation or exif_orientation(self._image.info.get("exif", b""))
            # AVIF's own turn, which Pillow passes on as EXIF, is the only one that counts.
            self._orientation = found or (xmp_orientation(xmp) if header.format != "avif" else None) or 1
        self._size = self._image.size
        self.long_side = max(self._size)

    def size_at(self, long_side: int) -> tuple[int, int]:
        """The size it has at a long side, (width, height) as it is stored."""
        return fitted(*self._size, long_side)

    def pixels(self, long_side: int, trimmed: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Colour (H, W, 3) and alpha (H, W) or None, at that long side; trimmed, at most at that."""
        size = self.size_at(long_side)
        with self._guarded():
            colour, alpha, box = self._layers(size)
            if trimmed and alpha is not None and (bounds := alpha.getbbox()):
                colour, alpha = colour.crop(bounds), layers.unless_opaque(alpha.crop(bounds))
                box = (0, 0, *colour.size)
                size = fitted(*colour.size, min(long_side, max(colour.size)))
            profile = self._profile or self._image.info.get("icc_profile") or self._told_by_number()
            if colour.mode == "LAB":
                colour = to_srgb(colour, profile)
            if alpha is not None:
                colour, alpha = resized_together(colour, alpha, size)
            else:
                colour = resized(colour, size, box)
            colour = to_srgb(colour, profile)
            rgb = np.array(self._upright(colour))
            if alpha is None:
                return rgb, None
            opacity = np.array(self._upright(alpha))
            rgb[opacity == 0] = WHITE
            return rgb, opacity

    def _told_by_number(self) -> bytes | None:
        told = self._image.info.get("nclx_profile")  # as pillow-heif has it
        numbers = (told["color_primaries"], told["transfer_characteristics"]) if told else self._nclx
        return nclx.profile(*numbers) if numbers else None

    def mask(self, width: int, height: int) -> NDArray[np.uint8]:
        size = (height, width) if self._orientation >= 5 else (width, height)
        with self._guarded():
            colour, alpha, box = self._layers(size, mask=True)
            grey = acting(colour, alpha)
            # Values between black and white blend two styles: a filter that overshoots would draw a line at each edge.
            return np.array(self._upright(resized(grey, size, box, Image.Resampling.BILINEAR)))

    def _layers(self, size: tuple[int, int], mask: bool = False) -> tuple[Image.Image, Image.Image | None, Box]:
        """Colour, alpha, and the part of both that is the picture: a draft's last column may be half a column."""
        draft = self._image.draft(None, (DRAFT_GAP * size[0], DRAFT_GAP * size[1]))
        colour, alpha = layers.load(self._image, mask)
        return colour, alpha, draft[1] if draft else (0, 0, *colour.size)

    def _upright(self, image: Image.Image) -> Image.Image:
        turn = UPRIGHT.get(self._orientation)
        return image if turn is None else image.transpose(turn)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Pillow and what it stands on raise nearly anything on bad bytes. To the sender it is all the same."""
        try:
            yield
        except ImageError:
            raise
        except Exception as error:
            raise UnreadableImage(
                f"The {self.format.upper()} cannot be decoded, being damaged, truncated or of an unusual kind: "
                "send it whole, or save it again with a picture editor."
            ) from error


def refuse_above(max_pixels: int, width: int, height: int) -> None:
    if width * height > max_pixels:
        raise TooManyPixels(width, height, max_pixels)


def resized(
    image: Image.Image, size: tuple[int, int], box: Box, resampling: Image.Resampling = Image.Resampling.LANCZOS
) -> Image.Image:
    return image.resize(size, resampling, box, reducing_gap=REDUCE_GAP)


def resized_together(colour: Image.Image, alpha: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """Colour is resized multiplied by alpha and then divided, so that what is invisible bleeds into nothing.

    In floats: clipped in between, the filter's overshoot would draw bright fringes.
    """
    if colour.size == size:
        return colour, alpha
    box = (0, 0, *colour.size)
    opacity = np.asarray(alpha, np.float32)
    resized_opacity = np.asarray(resized(Image.fromarray(opacity), size, box))
    channels = []
    for channel in colour.split():
        levels = np.asarray(resized(Image.fromarray(np.asarray(channel) * opacity), size, box))
        channels.append(eight_bits(levels / np.maximum(resized_opacity, 0.5)))
    return Image.merge(colour.mode, channels), eight_bits(resized_opacity)


def eight_bits(levels: NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(np.rint(levels).clip(0, 255).astype(np.uint8))
