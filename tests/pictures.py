"""Real photos that scikit-image ships, as arrays and as files."""

import io
from functools import cache

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image
from skimage import data


@cache
def photo(name: str, side: int | None = None) -> NDArray[np.uint8]:
    """uint8 (H, W, 3): astronaut, coffee, chelsea or rocket; with `side`, its middle square at side x side."""
    picture = np.asarray(getattr(data, name)(), np.uint8)
    if side is not None:
        height, width = picture.shape[:2]
        edge = min(height, width)
        top, left = (height - edge) // 2, (width - edge) // 2
        square = Image.fromarray(picture[top : top + edge, left : left + edge])
        picture = np.asarray(square.resize((side, side)))
    picture.flags.writeable = False
    return picture


def jpeg(picture: NDArray[np.uint8], quality: int = 92) -> bytes:
    """A JPEG file of an array."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return file.getvalue()


def png(picture: NDArray[np.uint8]) -> bytes:
    """A PNG file of an array, grey, RGB or RGBA by its shape."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def heic(picture: NDArray[np.uint8], exif: bytes | None = None) -> bytes:
    """A HEIC file of an array; what its EXIF says of the orientation the boxes say too, as a phone has it."""
    pillow_heif.register_heif_opener()
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "HEIF", quality=90, exif=exif)
    return file.getvalue()
