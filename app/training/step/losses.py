"""What a decoder is trained to do, each a plain function of features or pictures (Huang & Belongie 2017, and more)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from app.evaluation import metrics


def feature_identity(got: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Mean over taps of the mean squared error: a picture in its own style shows what it showed."""
    return torch.stack([F.mse_loss(a.float(), b.float()) for a, b in zip(got, wanted, strict=True)]).mean()


def pixel_identity(got: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error of RGB, of its means over 8x8 pixels, and a tenth of the mean absolute error.

    The means are a colour cast's share of the first; the absolute error goes on working where errors are small.
    """
    error = got - wanted
    return error.square().mean() + F.avg_pool2d(error, 8).square().mean() + error.abs().mean() / 10


def total_variation(pictures: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, down plus across: what noise has much of."""
    down = (pictures[..., 1:, :] - pictures[..., :-1, :]).abs().mean()
    across = (pictures[..., 1:] - pictures[..., :-1]).abs().mean()
    return down + across


def grid(pictures: Tensor) -> Tensor:
    """Mean square of what repeats every 8 pixels; see `metrics.grid`."""
    return metrics.grid(pictures).mean()


def out_of_range(pictures: Tensor) -> Tensor:
    """Mean squared distance of values from [0, 1], which clamping would cut off."""
    return (F.relu(-pictures).square() + F.relu(pictures - 1).square()).mean()
