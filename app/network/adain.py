"""Adaptive instance normalisation (Huang & Belongie, ICCV 2017), for batches of features."""

from torch import Tensor

from app.network.blend import EPSILON


def channel_statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, h, w) -> mean and standard deviation of each channel over positions, both (N, C, 1, 1).

    The population variance, with 1e-5 inside the square root so that a flat channel divides safely.
    """
    mean = features.mean(dim=(2, 3), keepdim=True)
    variance = features.var(dim=(2, 3), keepdim=True, correction=0)
    return mean, (variance + EPSILON).sqrt()


def adain(content: Tensor, style_mean: Tensor, style_std: Tensor, gain: float | None = None) -> Tensor:
    """Give content features (N, C, h, w) a style's channel statistics, each (N, C, 1, 1): the paper's equation 8.

    No channel's deviation grows more than `gain` times, where there is one; see `app.network.blend.adain_maps`.
    """
    mean, std = channel_statistics(content)
    if gain is not None:
        return (content - mean) * (style_std / std).clamp(max=gain) + style_mean
    return (content - mean) / std * style_std + style_mean
