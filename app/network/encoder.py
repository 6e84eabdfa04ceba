"""VGG up to relu4_1: the features AdaIN works on, and the taps its style loss is read at."""

from collections.abc import Sequence
from typing import Final, Self

import torch
from torch import Tensor, nn

from app.network.convolution import ReflectConv
from app.network.layout import VGG16, Stages, encoder_stages, stage_widths
from app.network.weights import WeightsFile

TAPS: Final = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")


class VGGEncoder(nn.Module):
    """VGG-16 or VGG-19 from conv1_1 to relu4_1, with reflection padding as in Huang & Belongie (2017).

    Input RGB in [0, 1]: the usual preprocessing is folded into the first convolution's weights. The first
    convolution of each stage is a tap, so `taps` gives relu1_1, relu2_1, relu3_1 and relu4_1.
    """

    def __init__(self, stages: Stages = VGG16) -> None:
        super().__init__()
        self.stages = stages
        self.convs = nn.ModuleList(ReflectConv(n_in, n_out) for n_in, n_out in stage_widths(stages))

    @classmethod
    def from_weights(cls, weights: WeightsFile) -> Self:
        """Build the encoder whose layer table the file's shapes fit.

        Raises WeightsError when they fit neither VGG-16 nor VGG-19.
        """
        encoder = cls(encoder_stages(weights))
        load_convs(encoder.convs, weights)
        return encoder

    def taps(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] -> relu1_1 (N, 64, H, W) ... relu4_1 (N, 512, ceil(H/8), ceil(W/8)).

        H and W from 9 on: reflection padding needs two positions at relu4_1.
        """
        convs = iter(self.convs)
        taps = []
        x = images
        for index, stage in enumerate(self.stages):
            if index:
                x = nn.functional.max_pool2d(x, 2, ceil_mode=True)
            for depth, _ in enumerate(stage):
                x = torch.relu(next(convs)(x))
                if depth == 0:
                    taps.append(x)
        return taps

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> relu4_1, (N, 512, ceil(H/8), ceil(W/8)), at least 0."""
        return self.taps(images)[-1]


def load_convs(convs: Sequence[nn.Module] | nn.ModuleList, weights: WeightsFile) -> None:
    """Copy a file's convolutions into modules of the same shapes."""
    for conv, stored in zip(convs, weights.convolutions, strict=True):
        conv.load_state_dict(
            {"weight": torch.from_numpy(stored.weight), "bias": torch.from_numpy(stored.bias)}, strict=True
        )
