"""How good results are: the two losses of Huang & Belongie (2017), and what the eye holds against a stylised photo."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from app.network.layout import STRIDE
from app.network.moments import channel_moments

# Wang et al. (2004): a Gaussian window of 11 pixels, deviation 1.5, and their two constants for a range of 1.
WINDOW: Final = 11
DEVIATION: Final = 1.5
C1: Final = 0.01**2
C2: Final = 0.03**2
SMALLEST_ERROR: Final = 1e-10


def statistics(taps: Sequence[Tensor]) -> Tensor:
    """Taps (N, C_k, h_k, w_k) -> float32 (N, 2, sum of C_k): each channel's mean, then its standard deviation."""
    return torch.cat([channel_moments(tap) for tap in taps], 2)


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Mean squared error at relu4_1 between the result and the AdaIN target: the paper's equation 12."""
    return F.mse_loss(features.float(), target)


def style_loss(got: Tensor, wanted: Tensor, channels: Sequence[int]) -> Tensor:
    """Sum over taps of the mean squared errors of channel means and of deviations: the paper's equation 13, squared.

    `got`, `wanted`: (N, 2, sum of `channels`) as from `statistics`; `channels` of each tap.
    """
    parts = torch.split(got - wanted, list(channels), 2)
    return torch.stack([part.square().mean((0, 2)).sum() for part in parts]).sum()


def psnr(got: Tensor, wanted: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of each picture, (N, 3, H, W) in [0, 1] -> (N,); 100 for equal ones."""
    error = (got - wanted).square().mean((1, 2, 3)).clamp_min(SMALLEST_ERROR)
    return -10 * error.log10()


def edges(pictures: Tensor) -> Tensor:
    """Strength of edges: Sobel's gradient magnitude of luma (Rec. 601), (N, 3, H, W) -> (N, 1, H - 2, W - 2)."""
    luma = (pictures * pictures.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    across = luma.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    gradient = F.conv2d(luma, torch.stack([across, across.T])[:, None])
    return gradient.square().sum(1, keepdim=True).sqrt()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each pair of pictures (N, 1, H, W) of range 1 -> (N,), over whole windows."""
    place = torch.arange(WINDOW, dtype=a.dtype, device=a.device) - WINDOW // 2
    line = (-place.square() / (2 * DEVIATION**2)).exp()
    line = line / line.sum()
    window = (line[:, None] * line[None])[None, None]
    mean_a, mean_b = F.conv2d(a, window), F.conv2d(b, window)
    var_a = F.conv2d(a * a, window) - mean_a * mean_a
    var_b = F.conv2d(b * b, window) - mean_b * mean_b
    covariance = F.conv2d(a * b, window) - mean_a * mean_b
    above = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    below = (mean_a.square() + mean_b.square() + C1) * (var_a + var_b + C2)
    return (above / below).mean((1, 2, 3))


def edge_ssim(results: Tensor, contents: Tensor) -> Tensor:
    """SSIM of the edges of results against those of contents, (N, 3, H, W) -> (N,): is the photo readable?"""
    return ssim(edges(results), edges(contents))


def grid(pictures: Tensor) -> Tensor:
    """What repeats from cell to cell of 8x8 pixels, as a mean square: (N, 3, H, W) from 16 x 16 on -> (N,).

    relu4_1 has one place a cell, so a decoder may draw the same dots in each. Of what a picture is beyond its own blur
    the mean over all cells is taken: details that are not a grid cancel, more so the more cells there are, and an even
    slope leaves nothing.
    """
    half = STRIDE // 2
    detail = pictures[..., half : 1 - half, half : 1 - half] - F.avg_pool2d(pictures, STRIDE, 1)
    down, across = (side // STRIDE for side in detail.shape[2:])
    whole = detail[..., : down * STRIDE, : across * STRIDE]
    mean = whole.reshape(*whole.shape[:2], down, STRIDE, across, STRIDE).mean((2, 4))
    return (mean - mean.mean((2, 3), keepdim=True)).square().mean((1, 2, 3))
