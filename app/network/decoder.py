"""The decoder: relu4_1 features back to a picture."""

from collections.abc import Collection, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from app.network.convolution import ReflectConv
from app.network.encoder import load_convs
from app.network.layout import decoder_upsampling
from app.network.moments import channel_moments
from app.network.partial import PartialAdaIN
from app.network.weights import WeightsFile


class Decoder(nn.Module):
    """3x3 convolutions with reflection padding, ReLU after all but the last, nearest-neighbour upsampling.

    `widths` are (in, out) channels of each convolution; the size doubles after those in `upsample_after`, three
    times in all, so that relu4_1's eighth of a size becomes the whole. After the ReLU of those in `adain_after`
    stands partial AdaIN, which cuts the chain into segments. `adain_gain` is what AdaIN before it is to be held to.
    """

    def __init__(
        self,
        widths: Sequence[tuple[int, int]],
        upsample_after: Collection[int],
        adain_after: Collection[int] = (),
        adain_gain: float | None = None,
    ) -> None:
        super().__init__()
        self.adain_gain = adain_gain
        self.upsample_after = frozenset(upsample_after)
        self.convs = nn.ModuleList(ReflectConv(n_in, n_out) for n_in, n_out in widths)
        self.adain = nn.ModuleDict({str(index): PartialAdaIN(widths[index][1]) for index in sorted(adain_after)})

    @classmethod
    def from_weights(cls, weights: WeightsFile) -> Self:
        """Build a decoder of the widths the file has.

        Raises WeightsError when it does not lead from 512 channels to RGB at eight times the size.
        """
        decoder = cls(weights.widths, decoder_upsampling(weights), weights.adain, weights.adain_gain)
        load_convs(decoder.convs, weights)
        for index, stored in weights.adain.items():
            decoder.adain[str(index)].load_state_dict({"weight": torch.from_numpy(stored)})
        return decoder

    @property
    def adain_after(self) -> tuple[int, ...]:
        """The convolutions partial AdaIN follows."""
        return tuple(map(int, self.adain))

    @property
    def adain_channels(self) -> tuple[int, ...]:
        """How many channels each of them has."""
        return tuple(len(adain.get_parameter("weight")) // 2 for adain in self.adain.values())

    def segment_convs(self, number: int) -> range:
        """The convolutions of a segment: up to one that partial AdaIN follows, or to the last."""
        cuts = (0, *(index + 1 for index in self.adain_after), len(self.convs))
        return range(cuts[number], cuts[number + 1])

    def segment(self, number: int, x: Tensor) -> Tensor:
        """One segment, without the partial AdaIN after it: (N, C, h, w) to (N, C', h', w')."""
        for index in self.segment_convs(number):
            if index - 1 in self.upsample_after:
                x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = self.convs[index](x)
            if index < len(self.convs) - 1:
                x = torch.relu(x)
        return x

    def forward(
        self,
        features: Tensor,
        styles: Tensor | None = None,
        share: Tensor | None = None,
        visible: Tensor | None = None,
    ) -> Tensor:
        """(N, 512, h, w) -> RGB (N, 3, 8h, 8w), not clamped: what is shown is its part within [0, 1].

        `styles` (N, S, 2, C) are the statistics, as `statistics` gives them, of S styles each; `share` (N, S, h, w),
        or (N, S, 1, 1) where all positions are alike, is what each position gets of each, by default all of the one;
        `visible` is as `app.network.adain.channel_statistics` takes it.
        Without `styles` no statistics are moved: so a photo comes back, and so a picture in its own style would.
        """
        x = features
        parts = [None] * len(self.adain) if styles is None else torch.split(styles, list(self.adain_channels), 3)
        for number, (adain, wanted) in enumerate(zip(self.adain.values(), parts, strict=True)):
            x = self.segment(number, x)
            if wanted is not None:
                x = adain(x, wanted, x.new_ones(1, 1, 1, 1, dtype=torch.float32) if share is None else share, visible)
        return self.segment(len(self.adain), x)

    def shown(self, features: Tensor) -> list[Tensor]:
        """What the layers before each partial AdaIN give, (N, C, h', w'), when nothing is moved."""
        shown = []
        x = features
        for number in range(len(self.adain)):
            x = self.segment(number, x)
            shown.append(x)
        return shown

    def statistics(self, features: Tensor) -> Tensor:
        """The channels' means and deviations of `shown`, one layer's after the other's: float32 (N, 2, C)."""
        moments = [channel_moments(x) for x in self.shown(features)]
        return torch.cat([features.new_zeros(len(features), 2, 0, dtype=torch.float32), *moments], 2)
