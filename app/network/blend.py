"""How strength, weights and masks act on relu4_1: one affine map per channel, per position where there are masks.

AdaIN gives a style's statistics to content features x: s_std * (x - mean) / std + s_mean. A blend is a weighted
sum of such features, strength interpolates towards x itself, and a mask weighs both per position. All of it is
linear in x, so that any mixture is x * scale + bias. Works on numpy arrays, which any engine can take.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

EPSILON: Final = 1e-5
FloatArray = NDArray[np.float32]

# A numpy array or a torch tensor: `affine` uses only what the two spell alike.
ArrayT = TypeVar("ArrayT", bound=Any)


@dataclass(frozen=True)
class ChannelStatistics:
    """Mean and standard deviation of relu4_1's channels over a picture, float32 (C,) each.

    Of a style picture this is all the network keeps: its style code, 4 KiB for 512 channels.
    """

    mean: FloatArray
    std: FloatArray


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


def affine(mean: ArrayT, std: ArrayT, style_means: ArrayT, style_stds: ArrayT, share: ArrayT) -> tuple[ArrayT, ArrayT]:
    """The map x * scale + bias that gives content features their mixture of styles.

    `mean`, `std`: the content's channel statistics (C,); `style_means`, `style_stds`: the styles' (N, C);
    `share`: (N, P) as from `shares`, P being 1 or the number of positions. Returns scale and bias, (C, P) each.
    """
    ratio = style_stds / std
    shift = style_means - mean * ratio
    return ratio.T @ share + (1 - share.sum(0)), shift.T @ share
