"""AdaIN, whole or partial, of layers that come part by part: statistics of all parts first, then a map for each."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.engine.stages import Rows
from app.network.blend import EPSILON, LEAST_WEIGHT, ChannelStatistics, FloatArray, adain_maps, mixed, partial_adain


class ShareMap:
    """What each position of a picture gets of each style, at the size of any of the decoder's layers.

    `share` as in `app.engine.base.Job`, of a picture whose relu4_1 has `size`.
    """

    def __init__(self, share: FloatArray, size: tuple[int, int] = (1, 1)) -> None:
        self._alike = share.shape[1] == 1
        self._share = share.reshape(-1, *((1, 1) if self._alike else size))

    def part(self, down: slice, across: slice, scale: int = 1) -> FloatArray:
        """(N, rows, columns) of a part given in positions of relu4_1 times `scale`; (N, 1, 1) where all are alike."""
        if self._alike:
            return self._share
        rows, columns = (np.arange(part.start, part.stop) // scale for part in (down, across))
        return self._share[:, rows][:, :, columns]


class LayerMoments:
    """Statistics of a layer, gathered part by part: one where positions are alike, else one for each style.

    A style's are over the positions it acts on, which weigh as much as their share. Sums of squares will do here, where
    relu4_1 asks for more: what rounding makes of a flat channel's deviation is multiplied by that deviation.
    """

    def __init__(self) -> None:
        self._weight: NDArray[np.float64] | float = 0.0
        self._sum: NDArray[np.float64] | float = 0.0
        self._squares: NDArray[np.float64] | float = 0.0

    def add(self, features: Rows, share: FloatArray) -> None:
        """Take in a part, (C, rows, columns), with its share as `ShareMap.part` gives it."""
        part = features.reshape(len(features), -1)
        if share.shape[1:] == (1, 1):
            weight, total, squares = (
                np.array([part.shape[1]]),
                part.sum(1)[None],
                np.einsum("cp,cp->c", part, part)[None],
            )
        else:
            weights = np.maximum(share, LEAST_WEIGHT).reshape(len(share), -1)
            weight, total, squares = weights.sum(1), weights @ part.T, weights @ np.square(part).T
        self._weight = self._weight + weight[:, None].astype(np.float64)
        self._sum = self._sum + total
        self._squares = self._squares + squares

    @property
    def statistics(self) -> list[ChannelStatistics]:
        means = np.asarray(self._sum / self._weight)
        variances = np.maximum(self._squares / self._weight - np.square(means), 0)
        return [
            ChannelStatistics(mean.astype(np.float32), np.sqrt(variance + EPSILON).astype(np.float32))
            for mean, variance in zip(means, np.asarray(variances), strict=True)
        ]


class Movement:
    """What AdaIN, held to `gain`, or partial AdaIN of matrix `weight`, does to a layer of one picture.

    It is a map for each style, mixed at each position by its share. `got`: the picture's statistics, one for all styles
    or one for each; `wanted`: the styles'.
    """

    def __init__(
        self,
        got: Sequence[ChannelStatistics],
        wanted: Sequence[ChannelStatistics],
        weight: FloatArray | None = None,
        gain: float | None = None,
    ) -> None:
        mean, std, style_mean, style_std = (
            np.stack([getattr(one, part) for one in many]) for many in (got, wanted) for part in ("mean", "std")
        )
        self._scales, self._biases = (
            adain_maps(mean, std, style_mean, style_std, gain)
            if weight is None
            else partial_adain(mean, std, style_mean, style_std, weight)
        )

    def __call__(self, features: Rows, share: FloatArray) -> FloatArray:
        """(C, rows, columns) moved, an array of its own; `share` as `ShareMap.part` gives it."""
        scale, bias = mixed(self._scales, self._biases, share.reshape(len(share), -1))
        moved: FloatArray = features * scale.reshape(-1, *share.shape[1:])
        moved += bias.reshape(-1, *share.shape[1:])
        return moved
