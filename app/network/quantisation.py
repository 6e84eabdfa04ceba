"""8-bit convolutions: what numbers stand for activations and weights; knows nothing of torch, as `weights`.

An activation x of input channel c becomes the level u = round((x - low_c) / step_c), held to 0 to 255; a weight an
integer of -127 to 127 times a scale of its output channel. Every step and every low is folded into the weights and the
bias of the convolution that reads them: it multiplies bytes, adds up integers, and scales once at the end. Where bytes
are too coarse an activation is two of them, which one convolution reads each.

Ranges are the weights', never a picture's, so that a result depends on nothing but its own pixels.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.network.weights import Convolution

LEVELS: Final = 255
# A channel that was never seen to do anything may still, a little.
LEAST_SPAN: Final = 1e-3
# Between one step for all channels (0) and each its own (1): what activations gain, weights lose.
BALANCE: Final = 0.5
# The part of a channel's room that is below what was seen, where channels go below 0.
ROOM_BELOW: Final = 0.1

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Range:
    """The least and the greatest value seen of each input channel of a convolution, float32 (C,) each."""

    low: FloatArray
    high: FloatArray

    def joined(self, other: "Range") -> "Range":
        """What covers both."""
        return Range(np.minimum(self.low, other.low), np.maximum(self.high, other.high))


@dataclass(frozen=True)
class Grid:
    """The levels of a convolution's input: `low` and `step` of each channel, float32 (C,)."""

    low: FloatArray
    step: FloatArray

    @property
    def high(self) -> FloatArray:
        """The value of the last level."""
        return self.low + np.float32(LEVELS) * self.step


@dataclass(frozen=True)
class QuantisedConvolution:
    """int8 `weight` (out, in, 3, 3), float32 `scale` and `bias` (out,): y = scale * (weight @ levels) + bias."""

    weight: NDArray[np.int8]
    scale: FloatArray
    bias: FloatArray


def grid(seen: Range) -> Grid:
    """Levels that cover what was seen, with room to spare for channels that do less than others.

    Where channels go below 0, as after AdaIN, some of the room is below; else all of it is above.
    """
    low, high = np.minimum(seen.low, 0), np.maximum(seen.high, 0)
    span = np.maximum(high - low, LEAST_SPAN)
    whole = span.max()
    room = whole ** (1 - BALANCE) * span**BALANCE - span
    if low.min() < 0:
        low = low - ROOM_BELOW * room
    return Grid(low.astype(np.float32), ((span + room) / LEVELS).astype(np.float32))


def wide(levels: Grid) -> Grid:
    """Levels of twice the range, as far below as above: with a second byte they are fine enough all the same."""
    step = np.float32(2) * levels.step
    return Grid(np.float32(0.5) * (levels.low + levels.high - np.float32(LEVELS) * step), step)


def rest(levels: Grid) -> Grid:
    """Levels for a second byte: of what the first leaves of a value, at most half a step."""
    return Grid(np.float32(-0.5) * levels.step, np.float32(1 / LEVELS) * levels.step)


def byte_grid(channels: int = 3) -> Grid:
    """Pixels are levels already."""
    return Grid(np.zeros(channels, np.float32), np.full(channels, 1 / LEVELS, np.float32))


def quantised(convolution: Convolution, levels: Grid) -> QuantisedConvolution:
    """A convolution that reads these levels. That its weights are rounded costs the less the nearer values are to 0."""
    weight = convolution.weight * levels.step[:, None, None]
    scale = np.maximum(np.abs(weight).max((1, 2, 3)), np.finfo(np.float32).tiny) / np.float32(127)
    whole = _rounded(weight / scale[:, None, None, None])
    zero = -levels.low / levels.step
    bias = convolution.bias - scale * np.einsum("oikl,i->o", whole, zero, dtype=np.float64)
    return QuantisedConvolution(whole, scale.astype(np.float32), bias.astype(np.float32))


def _rounded(weight: FloatArray) -> NDArray[np.int8]:
    """(out, in, h, w) to integers, each kernel's sum the nearest to what it was.

    What the taps of a kernel read is nearly alike, so that rounding them one by one would add up to several steps:
    those that were rounded furthest go to the other side instead.
    """
    taps = weight.reshape(*weight.shape[:2], -1)
    nearest = np.rint(taps)
    left = taps - nearest
    lacking = np.rint(left.sum(2, keepdims=True))
    rank = left.argsort(2).argsort(2)
    changed = nearest + (rank >= taps.shape[2] - lacking) - (rank < -lacking)
    whole: NDArray[np.int8] = changed.clip(-127, 127).astype(np.int8).reshape(weight.shape)
    return whole
