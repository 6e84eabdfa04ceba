"""Adaptive instance normalisation (Huang & Belongie, ICCV 2017), for batches of features."""

import torch
from torch import Tensor

from app.network.blend import EPSILON, affine


def channel_statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, h, w) -> mean and standard deviation of each channel over positions, both (N, C, 1, 1).

    The population variance, with 1e-5 inside the square root so that a flat channel divides safely.
    """
    mean = features.mean(dim=(2, 3), keepdim=True)
    variance = features.var(dim=(2, 3), keepdim=True, correction=0)
    return mean, (variance + EPSILON).sqrt()


def adain(content: Tensor, style_mean: Tensor, style_std: Tensor) -> Tensor:
    """Give content features (N, C, h, w) a style's channel statistics, each (N, C, 1, 1): the paper's equation 8."""
    mean, std = channel_statistics(content)
    return (content - mean) / std * style_std + style_mean


def blended(features: Tensor, styles: Tensor, share: Tensor) -> Tensor:
    """relu4_1 of a batch, float32 (N, C, h, w), with each picture's mixture of styles, as `affine` mixes them.

    `styles` (N, S, 2, C): means and deviations of S styles each; `share` (N, S, h, w), or (N, S, 1, 1) where all
    positions are alike: what each position gets of each style.
    """
    mean, std = (part.flatten(2).mT for part in channel_statistics(features))
    style_means, style_stds = styles.unbind(2)
    scale, bias = affine(mean, std, style_means, style_stds, share.flatten(2))
    shape = (*scale.shape[:2], *share.shape[2:])
    return torch.addcmul(bias.view(shape), features, scale.view(shape))
