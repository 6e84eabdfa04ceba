"""Partial AdaIN of a picture that is decoded part by part: statistics of all of it first, then one map for every part.

A layer's statistics are those of the whole picture, up to a megapixel; of larger ones they are taken over windows, so
that the layers below need not be computed twice for all of it.
"""

from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np

from app.engine.base import Job, feature_grid
from app.engine.stages import Rows
from app.network.blend import EPSILON, LEAST_WEIGHT, ChannelStatistics, FloatArray, mixed, partial_adain

# Positions of relu4_1 up to which all of a picture is looked at. A style is decoded for this and for nothing else.
WHOLE_CONTENT: Final = 128 * 128
WHOLE_STYLE: Final = 64 * 64
# Else this many windows of so many positions a side, evenly spread.
WINDOWS: Final = 16
WINDOW_SIDE: Final = 16

Window = tuple[slice, slice]


def windows(height: int, width: int, whole: int) -> list[Window]:
    """Rows and columns of relu4_1 to take statistics over: one window of everything up to `whole` positions."""
    if height * width <= whole:
        return [(slice(0, height), slice(0, width))]
    down = min(WINDOWS, max(1, height // WINDOW_SIDE), max(int(WINDOWS**0.5), WINDOWS * WINDOW_SIDE // width))
    return list(product(_spread(height, down), _spread(width, WINDOWS // down)))


class ShareMap:
    """What each position of a job's picture gets of each style, at the size of any of the decoder's layers."""

    def __init__(self, job: Job) -> None:
        self.alike = job.share.shape[1] == 1
        size = (1, 1) if self.alike else feature_grid(*job.content.shape[:2])
        self._share = job.share.reshape(-1, *size)

    def part(self, down: slice, across: slice, scale: int = 1) -> FloatArray:
        """(N, rows, columns) of a part given in positions of relu4_1 times `scale`; (N, 1, 1) where all are alike."""
        if self.alike:
            return self._share
        rows, columns = (np.arange(part.start, part.stop) // scale for part in (down, across))
        return self._share[:, rows][:, :, columns]


class Movement:
    """What a layer's partial AdaIN does to one picture: a map for each style, mixed at each position by its share.

    `got`: the picture's statistics, one for all styles or one for each, where each meets those of its own positions.
    """

    def __init__(
        self, weight: FloatArray, got: Sequence[ChannelStatistics], wanted: Sequence[ChannelStatistics]
    ) -> None:
        mean, std, style_mean, style_std = (
            np.stack([getattr(one, part) for one in many]) for many in (got, wanted) for part in ("mean", "std")
        )
        self._scales, self._biases = partial_adain(mean, std, style_mean, style_std, weight)

    def apply(self, features: Rows, share: FloatArray) -> Rows:
        """(C, rows, columns), changed in place; `share` as `ShareMap.part` gives it."""
        scale, bias = mixed(self._scales, self._biases, share.reshape(len(share), -1))
        features *= scale.reshape(-1, *share.shape[1:])
        features += bias.reshape(-1, *share.shape[1:])
        return features


def layer_statistics(parts: Sequence[Rows], shares: Sequence[FloatArray]) -> list[ChannelStatistics]:
    """Statistics of a layer over all `parts`, (C, rows, columns) each, with their shares as `ShareMap.part` gives them.

    One where positions are alike, else one for each style, over the positions it acts on.
    """
    flat = [part.reshape(len(part), -1) for part in parts]
    if shares[0].shape[1:] == (1, 1):
        positions = sum(part.shape[1] for part in flat)
        sums = np.sum([part.sum(1) for part in flat], 0)
        squares = np.sum([np.einsum("cp,cp->c", part, part) for part in flat], 0)
        return [_statistics(sums / positions, squares / positions)]
    weights = [np.maximum(share, LEAST_WEIGHT).reshape(len(share), -1) for share in shares]
    total = np.sum([weight.sum(1) for weight in weights], 0)[:, None]
    pairs = list(zip(weights, flat, strict=True))
    means = np.sum([weight @ part.T for weight, part in pairs], 0) / total
    squares = np.sum([weight @ np.square(part).T for weight, part in pairs], 0) / total
    return [_statistics(mean, square) for mean, square in zip(means, squares, strict=True)]


def _statistics(mean: FloatArray, square: FloatArray) -> ChannelStatistics:
    # A difference of sums: what rounding makes of a flat channel's deviation is multiplied by that deviation.
    variance = np.maximum(square - np.square(mean), 0)
    return ChannelStatistics(mean.astype(np.float32), np.sqrt(variance + EPSILON).astype(np.float32))


def _spread(length: int, count: int) -> list[slice]:
    side = min(length, WINDOW_SIDE)
    count = min(count, max(1, length // side))
    starts = [length * (2 * n + 1) // (2 * count) - side // 2 for n in range(count)]
    return [slice(start, start + side) for start in starts]
