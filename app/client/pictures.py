"""What may be given as a picture, and the bytes that are sent for it."""

import io
import os
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.client.errors import NotAPicture


class StyleId(str):
    """The id of a style the service remembers or that stands ready, as `Result.style_ids` and `styles()` name them."""

    __slots__ = ()


# A path, the bytes of a file, a PIL picture, or an array: uint8, (H, W), (H, W, 3) or (H, W, 4).
Picture: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]


def file_bytes(picture: Picture) -> bytes:
    """The picture as a file: as it is, or as PNG for what is none yet. Raises NotAPicture, OSError."""
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, str | os.PathLike):
        return Path(picture).read_bytes()
    if isinstance(picture, Image.Image):
        return _png(picture)
    if not isinstance(picture, np.ndarray):
        raise NotAPicture(f"{type(picture).__name__} is no picture; expected a path, bytes, a PIL picture or an array")
    if picture.dtype != np.uint8:
        raise NotAPicture(f"an array of {picture.dtype}; expected uint8, 0 to 255")
    try:
        return _png(Image.fromarray(picture))
    except (TypeError, ValueError):
        raise NotAPicture(f"an array of shape {picture.shape}; expected (H, W), (H, W, 3) or (H, W, 4)") from None


def file_name(picture: Picture) -> str:
    """What a picture is called."""
    return Path(picture).name if isinstance(picture, str | os.PathLike) else "content"


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
