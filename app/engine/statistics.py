"""Channel statistics of a picture gathered part by part, as exact as over the whole."""

import numpy as np
from numpy.typing import NDArray

from app.network.blend import EPSILON, ChannelStatistics, FloatArray


class Moments:
    """Count, mean and sum of squared deviations of each channel, merged in double precision.

    The parallel algorithm of Chan, Golub & LeVeque (1983): no difference of large sums, whatever the size.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: NDArray[np.float64] = np.zeros(0)
        self.squares: NDArray[np.float64] = np.zeros(0)

    def add(self, features: FloatArray) -> None:
        """Take in a part, (C, ...) of any size."""
        part = features.reshape(features.shape[0], -1)
        count = part.shape[1]
        mean = part.mean(axis=1, dtype=np.float64)
        deviations = part - mean.astype(np.float32)[:, None]
        squares = np.einsum("cp,cp->c", deviations, deviations, dtype=np.float64)
        if not self.count:
            self.count, self.mean, self.squares = count, mean, squares
            return
        total = self.count + count
        delta = mean - self.mean
        self.mean = self.mean + delta * (count / total)
        self.squares = self.squares + squares + delta**2 * (self.count * count / total)
        self.count = total

    @property
    def statistics(self) -> ChannelStatistics:
        """Mean and standard deviation of everything taken in, as AdaIN uses them."""
        std = np.sqrt(self.squares / self.count + EPSILON)
        return ChannelStatistics(self.mean.astype(np.float32), std.astype(np.float32))
