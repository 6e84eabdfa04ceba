"""What every part of the benchmark works on: the project's own photo and painting, at any size."""

from pathlib import Path

import numpy as np
from PIL import Image

from app.engine.base import Picture

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def photo(side: int) -> Picture:
    """uint8 (side, side, 3)."""
    return np.asarray(Image.open(PICTURES / "photo.jpg").convert("RGB").resize((side, side)))


def painting(side: int) -> Picture:
    """uint8 (side, side, 3)."""
    return np.asarray(Image.open(PICTURES / "painting.jpg").convert("RGB").resize((side, side)))
