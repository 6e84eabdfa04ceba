"""The network with a border around each layer, so that no padding is a pass of its own.

A layer (N, C, h, w) is kept as (N, C, h + 2, w + 2). Before a convolution reads it, its outermost rows and columns are
set to what reflection has there: a few lines are copied in place, where padding copies the whole layer. The convolution
pads by zeros, which puts nonsense into the outermost positions of its result and a true value into all others; a 2x2
pooling with a padding of one does the same. Before the size is doubled the border repeats the edge instead, so that
the doubled layer, whose border is two wide, has at its inner ring what reflection would put there.

On a GPU, bias and ReLU are the convolution's own (cuDNN fuses them): nothing then reads or writes a layer but the
convolutions, pooling, doubling, and partial AdaIN. It needs no compiler.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from app.engine.torch import TorchEngine
from app.network.decoder import Decoder
from app.network.encoder import VGGEncoder


class BorderedEncoder(VGGEncoder):
    """Of pictures whose sides are multiples of 8, as every engine gives them."""

    def forward(self, images: Tensor) -> Tensor:
        x = framed(images)
        convs = iter(self.convs)
        for index, stage in enumerate(self.stages):
            if index:
                x = F.max_pool2d(x, 2, padding=1)
            for _ in stage:
                reflect(x)
                x = convolved(next(convs), x, padding=1)
        return x[..., 1:-1, 1:-1]


class BorderedDecoder(Decoder):
    def segment(self, number: int, x: Tensor) -> Tensor:
        x = framed(x)
        convs = self.segment_convs(number)
        for index in convs:
            last = index == convs[-1]
            doubles = index - 1 in self.upsample_after
            if doubles:
                repeat(x)
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            else:
                reflect(x)
            without_border = last and not doubles
            x = convolved(
                self.convs[index], x, padding=0 if doubles or without_border else 1, relu=index < len(self.convs) - 1
            )
            if last and doubles:
                x = x[..., 1:-1, 1:-1]
        return x


class BorderedEngine(TorchEngine):
    networks = (BorderedEncoder, BorderedDecoder)


def convolved(conv: nn.Module, x: Tensor, padding: int, relu: bool = True) -> Tensor:
    """(N, C, H, W), with `padding` zeros on each side, through a 3x3 convolution, its bias and its ReLU."""
    weight, bias = conv.weight, conv.bias
    if relu and x.is_cuda:
        return torch.cudnn_convolution_relu(x, weight, bias, (1, 1), (padding, padding), (1, 1), 1)  # type: ignore[no-any-return]
    y = F.conv2d(x, weight, bias, padding=padding)  # type: ignore[arg-type]
    return y.relu_() if relu else y


def framed(x: Tensor) -> Tensor:
    """(N, C, h, w) with a border of one that is not set yet, channels_last."""
    count, channels, height, width = x.shape
    y = torch.empty(
        (count, channels, height + 2, width + 2), dtype=x.dtype, device=x.device, memory_format=torch.channels_last
    )
    y[..., 1:-1, 1:-1] = x
    return y


def reflect(x: Tensor) -> None:
    """Set the border to the lines behind the edge, in place."""
    for lines in (x, x.transpose(2, 3)):
        last = lines.shape[2] - 1
        if last < 5:
            lines[:, :, 0] = lines[:, :, 2]
            lines[:, :, last] = lines[:, :, last - 2]
        else:
            lines[:, :, ::last] = lines[:, :, 2 : last - 1 : last - 4]  # both lines in one copy


def repeat(x: Tensor) -> None:
    """Set the border to the edge itself, in place."""
    for lines in (x, x.transpose(2, 3)):
        last = lines.shape[2] - 1
        lines[:, :, ::last] = lines[:, :, 1 : last : last - 2]
