"""AdaIN, whole or partial, of layers that come part by part: statistics of all parts first, then a map for each."""

from collections.abc import Sequence

import numpy as np

from app.engine.base import Picture, pad
from app.engine.stages import Rows
from app.network.blend import LEAST_WEIGHT, ChannelStatistics, FloatArray, adain_maps, mixed, partial_adain
from app.network.layout import STRIDE


class ShareMap:
    """What each position of a picture gets of each style, and what it weighs, at the size of any of the layers.

    `share` and `alpha` as in `app.engine.base.Job`, of a picture whose relu4_1 has `size`.
    """

    def __init__(self, share: FloatArray, size: tuple[int, int] = (1, 1), alpha: Picture | None = None) -> None:
        self._alike = share.shape[1] == 1
        self._share = share.reshape(-1, *((1, 1) if self._alike else size))
        self._alpha = None if alpha is None else pad(alpha)

    def part(self, down: slice, across: slice, scale: int = 1) -> FloatArray:
        """(N, rows, columns) of a part given in positions of relu4_1 times `scale`; (N, 1, 1) where all are alike."""
        if self._alike:
            return self._share
        rows, columns = (np.arange(part.start, part.stop) // scale for part in (down, across))
        return self._share[:, rows][:, :, columns]

    def visible(self, down: slice, across: slice, scale: int = 1) -> FloatArray | None:
        """How far each position of a part can be seen, (1, rows, columns) in [0, 1]; None of an opaque picture."""
        if self._alpha is None:
            return None
        side = STRIDE // scale
        part = self._alpha[down.start * side : down.stop * side, across.start * side : across.stop * side]
        means = part.reshape(1, part.shape[0] // side, side, -1, side).mean((2, 4), dtype=np.float32)
        return np.asarray(means / np.float32(255))

    def weights(self, down: slice, across: slice, scale: int = 1) -> FloatArray | None:
        """What each position of a part weighs in the statistics each style meets, (N or 1, rows, columns).

        None where all weigh alike. A style that acts nowhere meets those of all that can be seen.
        """
        visible = self.visible(down, across, scale)
        if self._alike:
            return visible
        acting = np.maximum(self.part(down, across, scale), LEAST_WEIGHT)
        return acting if visible is None else acting * visible


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
