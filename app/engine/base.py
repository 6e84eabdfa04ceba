"""What every engine takes and gives: uint8 pictures and style codes in, uint8 pictures out; at once, or in steps."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from app.engine.begun import Begun
from app.network.blend import FloatArray, StyleCode
from app.network.layout import STRIDE

Picture = NDArray[np.uint8]

T = TypeVar("T")
# Work that can be left between two steps, for other work on the same engine, and gone on with: its result is the same.
# Each step gives how much of it is done, from 0 to less than 1, by its arithmetic.
Steps = Generator[float, None, T]

SMALLEST: Final = 16  # reflection padding at relu4_1 needs two positions a side


@dataclass(frozen=True)
class Job:
    """One picture to repaint.

    `content`: uint8 (H, W, 3) RGB, any size from 1x1; `styles`: N style codes; `share`: float32 (N, 1) or, with
    masks, (N, h * w) over `feature_grid(H, W)`, as `app.network.blend.shares` gives it, strength included; `alpha`:
    uint8 (H, W), above 0 somewhere, of a picture that is not opaque: each position counts as far as it can be seen;
    `begun`: where what is finished of it is kept, and may have been by another process.
    """

    content: Picture
    styles: tuple[StyleCode, ...]
    share: FloatArray
    alpha: Picture | None = None
    begun: Begun | None = None


class Engine(Protocol):
    """Runs the network on one device. Called from one thread at a time."""

    @property
    def name(self) -> str:
        """For people: which library on which device."""

    def encode_style(self, picture: Picture, alpha: Picture | None = None) -> StyleCode:
        """uint8 (H, W, 3) RGB, and alpha as of a Job -> its style code."""

    def stylize(self, jobs: Sequence[Job]) -> list[Picture]:
        """Repaint jobs of equal `padded_shape`: uint8 (H, W, 3) each, of exactly its content's size.

        A job's result does not depend on which others it is run with, up to 1/255.
        """


@runtime_checkable
class SteppedEngine(Engine, Protocol):
    """An engine whose work on large pictures can be left between two steps.

    `step_pixels` bounds a step: the most content pixels whose arithmetic lies between two. `compile_seconds` is how
    much longer the first picture of a shape may take than those after it.
    """

    step_pixels: int
    compile_seconds: float

    def encode_style_steps(self, picture: Picture, alpha: Picture | None = None) -> Steps[StyleCode]:
        """As `encode_style`."""

    def stylize_steps(self, jobs: Sequence[Job]) -> Steps[list[Picture]]:
        """As `stylize`."""


def complete(steps: Steps[T]) -> T:
    """Take all steps, for their result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def within(steps: Steps[T], start: float, end: float) -> Steps[T]:
    """Steps that are the part of others from `start` to `end`."""
    with closing(steps):
        while True:
            try:
                part = next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result
            yield start + (end - start) * part


def encode_style_steps(engine: Engine, picture: Picture, alpha: Picture | None = None) -> Steps[StyleCode]:
    """`engine.encode_style`, in one step where the engine has no smaller ones."""
    if isinstance(engine, SteppedEngine):
        return (yield from engine.encode_style_steps(picture, alpha))
    return engine.encode_style(picture, alpha)


def stylize_steps(engine: Engine, jobs: Sequence[Job]) -> Steps[list[Picture]]:
    """`engine.stylize`, in one step where the engine has no smaller ones."""
    if isinstance(engine, SteppedEngine):
        return (yield from engine.stylize_steps(jobs))
    return engine.stylize(jobs)


def padded_shape(height: int, width: int) -> tuple[int, int]:
    """The size the network runs at: the next multiples of 8 from 16 on."""
    return max(SMALLEST, -(-height // STRIDE) * STRIDE), max(SMALLEST, -(-width // STRIDE) * STRIDE)


def feature_grid(height: int, width: int) -> tuple[int, int]:
    """The size of relu4_1 for a picture of this size, (h, w)."""
    padded_height, padded_width = padded_shape(height, width)
    return padded_height // STRIDE, padded_width // STRIDE


def pad(picture: Picture) -> Picture:
    """Extend (H, W, ...) at the bottom and the right to its padded shape by mirroring, however small it is."""
    height, width = picture.shape[:2]
    to_height, to_width = padded_shape(height, width)
    if (to_height, to_width) == (height, width):
        return picture
    margins = ((0, to_height - height), (0, to_width - width)) + ((0, 0),) * (picture.ndim - 2)
    return np.pad(picture, margins, mode="symmetric")
