"""The decoder: relu4_1 features back to a picture."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from app.network.encoder import load_convs
from app.network.layout import decoder_upsampling
from app.network.weights import WeightsFile


class Decoder(nn.Module):
    """3x3 convolutions with reflection padding, ReLU after all but the last, nearest-neighbour upsampling.

    `widths` are (in, out) channels of each convolution; the size doubles after those in `upsample_after`, three
    times in all, so that relu4_1's eighth of a size becomes the whole.
    """

    def __init__(self, widths: Sequence[tuple[int, int]], upsample_after: Collection[int]) -> None:
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
        decoder = cls(weights.widths, decoder_upsampling(weights))
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
