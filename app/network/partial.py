"""Partial AdaIN: what a decoder may have after some of its layers, for batches of features."""

import torch
from torch import Tensor, nn

from app.network.adain import at_size_of
from app.network.blend import EPSILON, LEAST_WEIGHT, mixed, partial_adain
from app.network.moments import channel_moments


class PartialAdaIN(nn.Module):
    """Moves each channel's statistics over a picture a learned part of the way to a style's.

    `weight` (2C, 2C) as `app.network.blend.partial_adain` takes it; 0 to begin with, which moves nothing.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2 * channels, 2 * channels))

    def forward(self, x: Tensor, styles: Tensor, share: Tensor, visible: Tensor | None = None) -> Tensor:
        """`x` (N, C, h', w') with its mixture of styles.

        `styles` (N, S, 2, C): means and deviations of S styles each; `share` (N, S, h, w): what each position gets of
        each, or (N, S, 1, 1); N may be 1 for all. Where positions differ, a style meets the statistics of those it
        acts on; and of those that can be seen, as `visible` tells `channel_statistics`.
        """
        with torch.autocast(x.device.type, enabled=False):
            alike = share.shape[2:] == (1, 1)
            if not alike:
                share = nn.functional.interpolate(share, size=x.shape[2:], mode="nearest")
            if visible is not None:
                visible = at_size_of(x, visible)
            got = channel_moments(x)[:, None] if alike and visible is None else weighted_moments(x, share, visible)
            (mean, std), (style_mean, style_std) = got.unbind(2), styles.unbind(2)
            scales, biases = partial_adain(mean, std, style_mean, style_std, self.weight.float(), torch)
            scale, bias = mixed(scales, biases, share.flatten(2))
            shape = (*scale.shape[:2], 1, 1) if alike else x.shape
            return torch.addcmul(bias.view(shape).to(x.dtype), x, scale.view(shape).to(x.dtype))


def weighted_moments(x: Tensor, weights: Tensor, visible: Tensor | None = None) -> Tensor:
    """(N, C, h, w) and S weights of each position, (N, S, h, w) -> float32 (N, S, 2, C): means and deviations.

    Weights that are nothing everywhere count as equal ones; `visible` (N, 1, h, w) multiplies them then.
    """
    values = x.float().flatten(2)
    weights = weights.clamp_min(LEAST_WEIGHT)
    if visible is None:
        middle = values.mean(2, keepdim=True)
    else:
        weights = weights * visible
        seen = visible.flatten(2)
        middle = values @ seen.mT / seen.sum(2, keepdim=True)
    weights = weights.flatten(2)
    weights = weights / weights.sum(2, keepdim=True)
    values = values - middle
    mean = weights @ values.mT
    variance = (weights @ values.square().mT - mean.square()).clamp_min(0)
    return torch.stack([mean + middle.mT, (variance + EPSILON).sqrt()], 2)
