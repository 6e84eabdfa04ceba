"""Statistics of a layer that comes part by part, the same to the bit however it is cut."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.engine.stages import Rows
from app.network.blend import EPSILON, ChannelStatistics, FloatArray


class Moments:
    """Means and deviations of a layer's channels over a picture `width` positions wide: one of each, or one a style.

    Each column of positions adds up from top to bottom by itself, and columns are added up at the end, so that no cut
    changes the order. Sums are of differences from the first position, so that a flat channel's variance is not what
    is left of two large numbers.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._origin: FloatArray = np.zeros(0, np.float32)
        self._weight: FloatArray = np.zeros(0, np.float32)
        self._sum: FloatArray = np.zeros(0, np.float32)
        self._squares: FloatArray = np.zeros(0, np.float32)

    def add(self, column: int, features: Rows, weights: FloatArray | None = None) -> None:
        """Take in a part, (C, rows, columns), whose first column is the picture's `column`.

        Parts of the same columns come from top to bottom. `weights` (N or 1, rows, columns) are what positions weigh,
        for each of N styles; None where all weigh 1.
        """
        positions = features.transpose(1, 2, 0)
        if not self._origin.size:
            count = 1 if weights is None else len(weights)
            self._origin = positions[0, 0].copy()
            shape = (count, self._width, len(features))
            self._weight = np.zeros((*shape[:2], 1), np.float32)
            # They lie in memory as the features do.
            self._sum, self._squares = (np.zeros_like(positions, shape=shape) for _ in range(2))
        across = slice(column, column + positions.shape[1])
        for index, row in enumerate(positions):
            difference = row - self._origin
            for style in range(len(self._sum)):
                weight = 1 if weights is None else weights[style, index, :, None]
                weighted = difference if weights is None else difference * weight
                self._weight[style, across] += weight
                self._sum[style, across] += weighted
                self._squares[style, across] += weighted * difference

    def keep(self) -> dict[str, NDArray[Any]]:
        """What is needed to go on in another process."""
        # As they lie in memory: in another order they would add up to other last bits.
        order = sorted(range(3), key=lambda axis: -self._sum.strides[axis])
        sums = {"sum": self._sum.transpose(order), "squares": self._squares.transpose(order)}
        return {"origin": self._origin, "weight": self._weight, "order": np.array(order), **sums}

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        """Go on with what another process kept."""
        back = np.argsort(kept["order"])
        self._origin, self._weight = kept["origin"], kept["weight"]
        self._sum, self._squares = (kept[name].transpose(back) for name in ("sum", "squares"))

    @property
    def statistics(self) -> list[ChannelStatistics]:
        """As AdaIN uses them, one for each style, or one where all positions weigh alike."""
        weight, total, squares = (np.sum(part, 1, np.float64) for part in (self._weight, self._sum, self._squares))
        mean = np.asarray(total / weight)
        variance = np.asarray(np.maximum(squares / weight - np.square(mean), 0))
        return [
            ChannelStatistics((m + self._origin).astype(np.float32), np.sqrt(v + EPSILON).astype(np.float32))
            for m, v in zip(mean, variance, strict=True)
        ]
