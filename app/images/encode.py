"""Arrays to picture files, with nothing in them but pixels."""

import os
import sys
from contextlib import suppress
from io import BytesIO
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.images.errors import ImageError
from app.images.visible import WHITE, laid_on

FORMATS: Final = ("jpeg", "png", "webp")
MEDIA_TYPES: Final[dict[str, str]] = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
LONGEST_SIDE: Final = {"jpeg": 65_500, "png": 2**31 - 1, "webp": 16_383}
# From this quality on JPEG keeps colour at full resolution, as a painted picture's strokes deserve.
FULL_COLOUR: Final = 90


def encode(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, format: str, quality: int) -> bytes:
    """(H, W, 3) sRGB, and alpha (H, W) where not opaque, as a file of one of FORMATS without any metadata.

    PNG and WebP keep alpha, JPEG lays the picture on white. `quality`, 1 to 100, is of JPEG and WebP; PNG is lossless.
    Raises ImageError where the format cannot hold a picture of that size.
    """
    height, width = rgb.shape[:2]
    if max(width, height) > LONGEST_SIDE[format]:
        raise ImageError(
            f"A {format} picture has at most {LONGEST_SIDE[format]} pixels a side and this one is {width} x {height}: "
            "ask for png or a smaller size."
        )
    options: dict[str, Any] = {"quality": quality}
    if format == "jpeg":
        rgb = rgb if alpha is None else laid_on(rgb, alpha, WHITE)
        alpha = None
        options["subsampling"] = "4:4:4" if quality >= FULL_COLOUR else "4:2:0"
    elif format == "png":
        options = {"compress_level": 4}
    image = Image.fromarray(rgb if alpha is None else np.dstack((rgb, alpha)))
    with _with_a_number() if format == "jpeg" else BytesIO() as file:
        image.save(file, format, **options)
        file.seek(0)
        return file.read()


def _with_a_number() -> BinaryIO:
    """A file in memory that has a descriptor, where the system gives one.

    Pillow writes a JPEG there without the interpreter's lock, for which the network's thread would else wait.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            return os.fdopen(os.memfd_create("picture"), "w+b", buffering=0)
    return BytesIO()
