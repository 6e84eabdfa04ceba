"""The decoder: relu4_1 features back to a picture."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from app.network.encoder import load_convs
from app.network.weights import WeightsError, WeightsFile

STRIDE = 8


class Decoder(nn.Module):
    """3x3 convolutions with reflection padding, ReLU after all but the last, nearest-neighbour upsampling.

    `widths` are (in, out) channels of each convolution; the size doubles after those in `upsample_after`, three
    times in all, so that relu4_1's eighth of a size becomes the whole.
    """

    def __init__(self, widths: Sequence[tuple[int, int]], upsample_after: Sequence[int]) -> None:
        super().__init__()
        self.upsample_after = frozenset(upsample_after)
        self.convs = nn.ModuleList(
            nn.Conv2d(n_in, n_out, 3, padding=1, padding_mode="reflect") for n_in, n_out in widths
        )

    @classmethod
    def from_weights(cls, weights: WeightsFile) -> "Decoder":
        """Build a decoder of the widths the file has.

        Raises WeightsError when it does not lead from 512 channels to RGB at eight times the size.
        """
        widths, upsample_after = weights.widths, weights.upsample_after
        if widths[0][0] != 512 or widths[-1][1] != 3:
            raise WeightsError(
                f"{weights.path}: leads from {widths[0][0]} to {widths[-1][1]} channels; expected 512 to 3 (RGB)"
            )
        if 2 ** len(set(upsample_after)) != STRIDE or not set(upsample_after) <= set(range(len(widths) - 1)):
            raise WeightsError(
                f"{weights.path}: doubles the size after convolutions {upsample_after}; "
                f"expected three different ones of 0 to {len(widths) - 2}"
            )
        decoder = cls(widths, upsample_after)
        load_convs(decoder.convs, weights)
        return decoder

    def forward(self, features: Tensor) -> Tensor:
        """(N, 512, h, w) -> RGB (N, 3, 8h, 8w), not clamped: what is shown is its part within [0, 1]."""
        x = features
        for index, conv in enumerate(self.convs):
            x = conv(x)
            if index < len(self.convs) - 1:
                x = torch.relu(x)
            if index in self.upsample_after:
                x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return x
