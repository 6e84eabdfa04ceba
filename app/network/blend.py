"""How strength, weights and masks act on features: one affine map per channel, per position where there are masks.

AdaIN gives a style's statistics to content features x: s_std * (x - mean) / std + s_mean. A blend is a weighted
sum of such features, strength interpolates towards x itself, and a mask weighs both per position. All of it is
linear in x, so that any mixture is x * scale + bias. Works on numpy arrays, which any engine can take.

So it is at relu4_1, and again inside a decoder that has partial AdaIN after some of its layers, which moves statistics
a learned part of the way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

EPSILON: Final = 1e-5
# What partial AdaIN believes at most, since some channels hardly ever fire.
MOST_LOG_RATIO: Final = 1.5
MOST_DISTANCE: Final = 3.0
# A style that acts nowhere still needs statistics to meet: everyone's, each position then weighing this.
LEAST_WEIGHT: Final = 1e-6
FloatArray = NDArray[np.float32]

# A numpy array or a torch tensor: `affine` uses only what the two spell alike.
ArrayT = TypeVar("ArrayT", bound=Any)


@dataclass(frozen=True)
class ChannelStatistics:
    """Mean and standard deviation of a layer's channels over a picture, float32 (C,) each."""

    mean: FloatArray
    std: FloatArray


@dataclass(frozen=True)
class StyleCode:
    """All the network keeps of a style picture: 4 KiB, and 8 bytes for each channel of a decoder's partial AdaIN.

    `relu4_1` of the picture, and `decoded`: the decoder's layers with partial AdaIN, in their order, while it decodes
    the picture's own relu4_1.
    """

    relu4_1: ChannelStatistics
    decoded: tuple[ChannelStatistics, ...] = ()

    @property
    def nbytes(self) -> int:
        return sum(part.mean.nbytes + part.std.nbytes for part in (self.relu4_1, *self.decoded))


def shares(
    weights: Sequence[float], strength: float = 1.0, masks: Sequence[NDArray[np.uint8]] | None = None
) -> FloatArray:
    """What part of each position comes from each style; the rest of 1 stays the content's own features.

    `weights` are N numbers >= 0, not all 0, normalised here to sum 1. `masks` are N grey pictures (h, w) at
    relu4_1's size, 255 where that style acts: where they overlap they are normalised, where they cover a position
    in part the rest is the content's own. `strength` in [0, 1] scales all of it.

    Returns float32 (N, 1) without masks, (N, h * w) with them.
    """
    share = np.asarray(weights, np.float64)[:, None]
    share = share / share.sum()
    if masks is not None:
        coverage = np.stack([mask.reshape(-1) for mask in masks]) / 255.0
        weighted = share * coverage
        total = weighted.sum(axis=0)
        covered = np.minimum((coverage * (share > 0)).sum(axis=0), 1.0)
        share = weighted * np.divide(covered, total, out=np.zeros_like(total), where=total > 0)
    result: FloatArray = (strength * share).astype(np.float32)
    return result


def affine(
    mean: ArrayT, std: ArrayT, style_means: ArrayT, style_stds: ArrayT, share: ArrayT, gain: float | None = None
) -> tuple[ArrayT, ArrayT]:
    """The map x * scale + bias that gives content features their mixture of styles.

    `mean`, `std`: the content's channel statistics (C,); `style_means`, `style_stds`: the styles' (N, C);
    `share`: (N, P) as from `shares`, P being 1 or the number of positions. Returns scale and bias, (C, P) each.
    A batch has a dimension more in front: (B, 1, C), (B, N, C) and (B, N, P) give (B, C, P).
    """
    return mixed(*adain_maps(mean, std, style_means, style_stds, gain), share)


def adain_maps(
    mean: ArrayT, std: ArrayT, style_means: ArrayT, style_stds: ArrayT, gain: float | None = None
) -> tuple[ArrayT, ArrayT]:
    """AdaIN as maps x * scale + bias, one for each style: both (N, C), of statistics as `affine` takes them.

    Scales are `gain` at most, or whatever they are: where a picture is smooth its channels hardly deviate, and what
    rounding and noise leave of them would be enlarged a hundred times.
    """
    scales = style_stds / std
    if gain is not None:
        scales = scales.clip(max=gain)
    return scales, style_means - mean * scales


def mixed(scales: ArrayT, biases: ArrayT, share: ArrayT) -> tuple[ArrayT, ArrayT]:
    """Maps x * scale + bias of N styles, (N, C) each, as one: what `share` (N, P) leaves of 1 is x itself.

    Returns scale and bias, (C, P) each; a batch has a dimension more in front.
    """
    rest = 1 - share.sum(-2)[..., None, :]
    return scales.swapaxes(-1, -2) @ share + rest, biases.swapaxes(-1, -2) @ share


def partial_adain(
    mean: ArrayT, std: ArrayT, style_mean: ArrayT, style_std: ArrayT, weight: ArrayT, xp: Any = np
) -> tuple[ArrayT, ArrayT]:
    """The map x * scale + bias that moves a layer's statistics a learned part of the way to a style's.

    `mean`, `std`: of the picture, (..., C) of any shape that broadcasts with `style_mean`, `style_std`, the style's.
    `weight` (2C, 2C) leads from how they differ (logarithms of deviations, and means in deviations of the picture's)
    to what is done: logarithms of scales, and shifts in the same unit. 0 does nothing, the unit matrix is AdaIN.
    `xp` is the library they are arrays of, numpy or torch. Returns scale and bias, (..., C) each.
    """
    ratio = xp.log(style_std / std).clip(-MOST_LOG_RATIO, MOST_LOG_RATIO)
    distance = ((style_mean - mean) / std).clip(-MOST_DISTANCE, MOST_DISTANCE)
    moved = xp.concatenate([ratio, distance], -1) @ weight.T
    channels = weight.shape[0] // 2
    scale = xp.exp(moved[..., :channels])
    return scale, mean * (1 - scale) + std * moved[..., channels:]
