"""Engines with the embedded weights, loaded once, and jobs for them."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from app.engine.base import Engine, Job, Picture, feature_grid
from app.engine.create import create_engine
from app.engine.tiles import Limits
from app.network.blend import StyleCode, shares
from tests.pictures import photo

WHOLE = Limits(tile_width=4096, slab_rows=4096)


@cache
def engine(name: str, limits: Limits | None = None) -> Engine:
    return create_engine(name, "cpu", limits=limits)  # type: ignore[arg-type]


@cache
def style(name: str) -> StyleCode:
    """A photo's style code, as torch has it."""
    return engine("torch").encode_style(photo(name, 256))


def job(
    content: Picture,
    styles: Sequence[str] = ("coffee",),
    weights: Sequence[float] = (1.0,),
    strength: float = 1.0,
    masks: Sequence[NDArray[np.uint8]] | None = None,
) -> Job:
    return Job(content, tuple(style(name) for name in styles), shares(weights, strength, masks))


def gradient_masks(content: Picture) -> list[NDArray[np.uint8]]:
    """Two masks that fade into each other, and leave some of the picture uncovered."""
    height, width = feature_grid(*content.shape[:2])
    across = np.linspace(0, 255, width, dtype=np.uint8)[None].repeat(height, 0)
    down = np.linspace(200, 0, height, dtype=np.uint8)[:, None].repeat(width, 1)
    return [across, down]


def differences(one: Picture, other: Picture) -> NDArray[np.int16]:
    """Absolute differences in steps of 1/255; the two have the same shape."""
    assert one.shape == other.shape
    assert one.dtype == other.dtype == np.uint8
    return np.abs(one.astype(np.int16) - other.astype(np.int16))
