"""The one kind of convolution that both networks are made of."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812


class ReflectConv(nn.Conv2d):
    """A 3x3 convolution that keeps the size, its edges padded by reflection.

    On a GPU torch's own padding would turn channels_last into the usual layout and back, and add up its gradient
    value by value: there slices are copied in place.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" or torch.compiler.is_compiling():
            return super().forward(x)
        return F.conv2d(reflect_pad(x), self.weight, self.bias)


def reflect_pad(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H + 2, W + 2) in the same layout; H and W from 2 on."""
    padded: Tensor = _ReflectPad.apply(x)
    return padded


class _ReflectPad(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        last = x.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        padded = x.new_empty((count, channels, height + 2, width + 2)).contiguous(memory_format=layout)
        padded[..., 1:-1, 1:-1] = x
        padded[..., 0, 1:-1], padded[..., -1, 1:-1] = x[..., 1, :], x[..., -2, :]
        padded[..., 0], padded[..., -1] = padded[..., 2], padded[..., -3]
        return padded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (of_padded,) = gradients
        gradient = of_padded[..., 1:-1, 1:-1].clone()
        for edge, inner in ((0, 1), (-1, -2)):
            line = of_padded[..., edge, 1:-1].clone()
            line[..., 1] += of_padded[..., edge, 0]
            line[..., -2] += of_padded[..., edge, -1]
            gradient[..., inner, :] += line
            gradient[..., inner] += of_padded[..., 1:-1, edge]
        return gradient
