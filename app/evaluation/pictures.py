"""Pictures of a folder, as tensors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from app.evaluation.errors import EvaluationError
from app.images.decode import decode_style
from app.images.errors import ImageError
from app.images.sniff import PICTURE_SUFFIXES

MAX_PIXELS: Final = 200_000_000


def pictures_in(folder: Path) -> list[Path]:
    """Files with a picture's suffix in a folder and all below it, sorted, but not hidden ones.

    Raises EvaluationError when there are none.
    """
    if not folder.is_dir():
        raise EvaluationError(f"{folder}: is not a folder; give a folder of pictures")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    found = [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
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
    from torchvision.transforms import v2

    framed = v2.Compose([v2.Resize(side, v2.InterpolationMode.BICUBIC, antialias=True), v2.CenterCrop(side)])
    squares = []
    for path in paths:
        try:
            # A picture of this side already is not touched; a longer one is read at enough pixels for its short side.
            squares.append(framed(read(path, 8 * side)))
        except (OSError, ImageError) as error:
            raise EvaluationError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    return torch.stack(squares).float() / 255
