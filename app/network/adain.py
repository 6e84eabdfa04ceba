"""Adaptive instance normalisation (Huang & Belongie, ICCV 2017), for batches of features."""

import torch
from torch import Tensor, nn

from app.network.blend import EPSILON, affine


def channel_statistics(features: Tensor, visible: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(N, C, h, w) -> mean and standard deviation of each channel over positions, both (N, C, 1, 1).

    The population variance, with 1e-5 inside the square root so that a flat channel divides safely. `visible`
    (N, 1, H, W), in [0, 1], is how far each of a picture's pixels can be seen: that is what a position weighs.
    """
    if visible is None:
        mean = features.mean(dim=(2, 3), keepdim=True)
        variance = features.var(dim=(2, 3), keepdim=True, correction=0)
    else:
        weights = at_size_of(features, visible)
        weights = weights / weights.sum(dim=(2, 3), keepdim=True)
        mean = (features * weights).sum(dim=(2, 3), keepdim=True)
        variance = ((features - mean).square() * weights).sum(dim=(2, 3), keepdim=True)
    return mean, (variance + EPSILON).sqrt()


def at_size_of(features: Tensor, visible: Tensor) -> Tensor:
    """(N, 1, H, W) averaged to (N, 1, h, w), what features (N, C, h, w) have for each of their positions."""
    return nn.functional.interpolate(visible, size=features.shape[2:], mode="area")


def adain(content: Tensor, style_mean: Tensor, style_std: Tensor, gain: float | None = None) -> Tensor:
    """Give content features (N, C, h, w) a style's channel statistics, each (N, C, 1, 1): the paper's equation 8.

    No channel's deviation grows more than `gain` times, where there is one; see `app.network.blend.adain_maps`.
    """
    mean, std = channel_statistics(content)
    if gain is not None:
        return (content - mean) * (style_std / std).clamp(max=gain) + style_mean
    return (content - mean) / std * style_std + style_mean


def blended(
    features: Tensor, styles: Tensor, share: Tensor, visible: Tensor | None = None, gain: float | None = None
) -> Tensor:
    """relu4_1 of a batch, float32 (N, C, h, w), with each picture's mixture of styles, as `affine` mixes them.

    `styles` (N, S, 2, C): means and deviations of S styles each; `share` (N, S, h, w), or (N, S, 1, 1) where all
    positions are alike: what each position gets of each style; `visible` as in `channel_statistics`, `gain` as in
    `adain`.
    """
    mean, std = (part.flatten(2).mT for part in channel_statistics(features, visible))
    style_means, style_stds = styles.unbind(2)
    scale, bias = affine(mean, std, style_means, style_stds, share.flatten(2), gain)
    shape = (*scale.shape[:2], *share.shape[2:])
    return torch.addcmul(bias.view(shape), features, scale.view(shape))
