"""Channel statistics of a picture gathered part by part, as exact as over the whole."""

import numpy as np
from numpy.typing import NDArray

from app.network.blend import EPSILON, ChannelStatistics, FloatArray


class Moments:
    """Weight, mean and sum of squared deviations of each channel, merged in double precision.

    The parallel algorithm of Chan, Golub & LeVeque (1983): no difference of large sums, whatever the size.
    """

    def __init__(self) -> None:
        self.weight = 0.0
        self.mean: NDArray[np.float64] = np.zeros(0)
        self.squares: NDArray[np.float64] = np.zeros(0)

    def add(self, features: FloatArray, weights: FloatArray | None = None) -> None:
        """Take in a part, (C, ...) of any size, whose positions weigh as told, (...), or 1 each."""
        part = features.reshape(features.shape[0], -1)
        if weights is None:
            weight: float = part.shape[1]
            mean = part.mean(axis=1, dtype=np.float64)
        else:
            weights = weights.reshape(-1)
            weight = float(weights.sum(dtype=np.float64))
            if not weight:
                return
            mean = np.einsum("cp,p->c", part, weights, dtype=np.float64) / weight
        deviations = part - mean.astype(np.float32)[:, None]
        weighted = deviations if weights is None else deviations * weights
        squares = np.einsum("cp,cp->c", deviations, weighted, dtype=np.float64)
        if not self.weight:
            self.weight, self.mean, self.squares = weight, mean, squares
            return
        total = self.weight + weight
        delta = mean - self.mean
        self.mean = self.mean + delta * (weight / total)
        self.squares = self.squares + squares + delta**2 * (self.weight * weight / total)
        self.weight = total

    @property
    def statistics(self) -> ChannelStatistics:
        """Mean and standard deviation of everything taken in, as AdaIN uses them."""
        std = np.sqrt(self.squares / self.weight + EPSILON)
        return ChannelStatistics(self.mean.astype(np.float32), std.astype(np.float32))
