"""Pictures of a folder, as tensors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from app.evaluation.errors import EvaluationError
from app.images.decode import decode_style
from app.images.errors import ImageError
from app.images.folders import listing
from app.images.sniff import PICTURE_SUFFIXES

MAX_PIXELS: Final = 200_000_000


def pictures_in(folder: Path) -> list[Path]:
    """Files with a picture's suffix in a folder and all below it, sorted.

    Raises EvaluationError when there are none.
    """
    if not folder.is_dir():
        raise EvaluationError(f"{folder}: is not a folder; give a folder of pictures")
    try:
        found = list(listing(folder, below=True).pictures)
    except OSError as error:
        raise EvaluationError(f"{folder}: cannot be listed ({error.strerror})") from None
    if not found:
        raise EvaluationError(
            f"{folder}: no pictures in this folder or below it ({', '.join(sorted(PICTURE_SUFFIXES))})"
        )
    return found


def read(path: Path, size: int) -> Tensor:
    """A picture as uint8 (3, H, W), transparency on white, its long side reduced to `size` where it is longer.

    Raises OSError or ImageError.
    """
    with path.open("rb") as file:
        return torch.from_numpy(decode_style(file, max_pixels=MAX_PIXELS, size=size)).permute(2, 0, 1)


def read_squares(paths: Sequence[Path], side: int) -> Tensor:
    """The middle squares of pictures, resized to float32 (N, 3, side, side) in [0, 1].

    Raises EvaluationError for a file that cannot be read.
    """
    squares = []
    for path in paths:
        try:
            # A picture of this side already is not touched; a longer one is read at enough pixels for its short side.
            squares.append(_square(read(path, 8 * side), side))
        except (OSError, ImageError) as error:
            raise EvaluationError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    return torch.stack(squares).float() / 255


def _square(picture: Tensor, side: int) -> Tensor:
    """Of uint8 (3, H, W)."""
    height, width = picture.shape[1:]
    short = min(height, width)
    size = (side * height // short, side * width // short)
    if size != (height, width):
        picture = F.interpolate(picture[None], size, mode="bicubic", antialias=True)[0]
    top, left = (round((length - side) / 2) for length in size)
    return picture[:, top : top + side, left : left + side]
