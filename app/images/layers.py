"""A Pillow image of whatever mode as two: its colours in 8 bits a channel, and its alpha."""

from typing import Final

import numpy as np
from PIL import Image, ImageChops
from PIL.ImageFile import ImageFile

from app.images.errors import UnreadableImage
from app.images.samples import eight_bits, unfilled, widen_palette

# Pillow widens the grey levels of 2 and 4 bits as it decodes, but not the level that a PNG declares transparent.
WIDENED: Final = {"L;2": 85, "L;4": 17}
COLOURS: Final = ("L", "RGB", "CMYK", "LAB")


def load(image: ImageFile, mask: bool = False) -> tuple[Image.Image, Image.Image | None]:
    """Decode: colours as mode L, RGB, CMYK or LAB; alpha as mode L, or None where the picture is opaque everywhere."""
    stored = image.tile[0].args if image.tile else None
    widen_palette(image)
    image.load()
    key = image.info.get("transparency")
    if isinstance(key, int) and stored in WIDENED:
        image.info["transparency"] = key * WIDENED[str(stored)]
    elif isinstance(key, tuple) and stored == "RGB;16B":
        image.info["transparency"] = tuple(level >> 8 for level in key)
    colour, alpha = split(image, mask)
    if alpha is None or unfilled(image, alpha):
        return colour, None
    return colour, unless_opaque(alpha)


def unless_opaque(alpha: Image.Image) -> Image.Image | None:
    return None if alpha.getextrema() == (255, 255) else alpha


def split(image: Image.Image, mask: bool) -> tuple[Image.Image, Image.Image | None]:
    if image.mode.startswith("I;16"):
        return sixteen_bit(image, mask)
    if image.mode in ("I", "F"):
        raise UnreadableImage("The picture has 32 bits a channel, whose range is not known: save it with 8 or 16 bits.")
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Adobe stores CMYK inverted and says so. Pillow takes every CMYK JPEG for Adobe's.
        return ImageChops.invert(image), None
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        image = image.convert("LA" if image.mode in ("LA", "La") else "RGBA")
        alpha = image.getchannel("A")
        return image.convert(image.mode.removesuffix("A")), alpha
    if image.mode == "1":
        return image.convert("L"), None
    return (image if image.mode in COLOURS else image.convert("RGB")), None


def sixteen_bit(image: Image.Image, mask: bool) -> tuple[Image.Image, Image.Image | None]:
    levels = np.asarray(image)
    grey = Image.fromarray(eight_bits(image, levels, mask))
    key = image.info.get("transparency")
    alpha = None if key is None else Image.fromarray(np.where(levels == key, 0, 255).astype(np.uint8))
    return grey, alpha
