"""The rolling pool of encoded crops: each step encodes a few new ones and draws the rest from those of steps before.

Encoding content and style of every picture anew takes more than a third of a plain step. What the pool holds is a
function of the stream of crops and the step, so that a resumed run fills it again to the same. What is drawn is chosen
on the CPU, as tables of small numbers; a device then takes whole batches by them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Final

import torch
from torch import Generator, Tensor

from app.network.layout import FEATURES, STRIDE

# Contents lend their statistics too, as they are and at no cost, lest the decoder learn the few paintings by heart.
CONTENTS_AS_STYLES: Final = 0.25
# Parts of the draws whose style is a picture of two, side by side, a blend of two, and is taken at less strength. The
# last two are `lerp`s between statistics.
PAIRED: Final = 0.25
BLENDS: Final = 0.25
WEAKENED: Final = 0.15
LEAST_STRENGTH: Final = 0.3

Table = dict[str, Tensor]


@dataclass(frozen=True)
class Encoded:
    """New crops: RGB `pictures` (2n, 3, S, S), contents before styles, their `taps`, and `statistics` (2n, 2, C)."""

    pictures: Tensor
    taps: list[Tensor]
    statistics: Tensor


@dataclass(frozen=True)
class Batch:
    """`features` (N, 512, h, w) of contents, and the statistics (N, 2, C) of the style each is to get.

    Those begin with the decoder's partial AdaIN, where it has one, and go on with the encoder's taps. The first `own`
    are the newest contents in their own style.
    """

    features: Tensor
    wanted: Tensor
    own: int


@dataclass(frozen=True)
class Pairs:
    """Features (N, 512, h, w) at relu4_1, and the pictures, RGB (N, 3, S, S), they are of."""

    features: Tensor
    wanted: Tensor


class Pool:
    """The last crops of either kind, `fresh` of both an addition: features at relu4_1 as float16, statistics, pictures.

    Contents are in the first `rows` of each tensor, styles in as many after them. `pictures` are kept, as uint8, only
    where `originals` says so.
    """

    def __init__(
        self, capacity: int, fresh: int, size: int, channels: int, originals: bool, device: torch.device
    ) -> None:
        self.refreshes = max(1, capacity // fresh)
        self.rows = self.refreshes * fresh
        self.added = 0
        self._fresh = fresh
        side = size // STRIDE
        self.features = torch.zeros(2 * self.rows, side, side, FEATURES, dtype=torch.float16, device=device)
        self.statistics = torch.zeros(2 * self.rows, 2, channels, device=device)
        count = 2 * self.rows if originals else 0
        self.pictures = torch.zeros(count, size, size, 3, dtype=torch.uint8, device=device)

    def place(self) -> Table:
        """Where the next addition goes, in place of the oldest: `rows` int64 (2n,)."""
        first = self.added % self.refreshes * self._fresh
        self.added += 1
        rows = torch.arange(first, first + self._fresh)
        return {"rows": torch.cat([rows, rows + self.rows])}

    def add(self, encoded: Encoded, table: Table) -> None:
        """Keep new crops in the rows `place` gave."""
        self.features.index_copy_(0, table["rows"], encoded.taps[-1].permute(0, 2, 3, 1).half())
        self.statistics.index_copy_(0, table["rows"], encoded.statistics)
        if len(self.pictures):
            pictures = (encoded.pictures * 255).round().to(torch.uint8)
            self.pictures.index_copy_(0, table["rows"], pictures.permute(0, 2, 3, 1))

    def choose_pairs(self, count: int, generator: Generator) -> Table:
        """What `pairs` takes: `count` rows of either kind, different ones while there are as many."""
        held = self._held
        order = torch.randperm(2 * held, generator=generator).repeat(ceil(count / (2 * held)))[:count]
        return {"pairs": torch.where(order < held, order, order - held + self.rows)}

    def pairs(self, table: Table) -> Pairs:
        """Features with their pictures."""
        pictures = self.pictures[table["pairs"]].permute(0, 3, 1, 2)
        return Pairs(self._features(table["pairs"]), pictures.float() / 255)

    def choose(self, count: int, own: int, generator: Generator) -> Table:
        """What `batch` takes: `count` contents, each but the first `own` with a style of others'.

        Those are of any: a painting, or now and then a photograph; two paired or blended, or one at less strength. How
        many are, of a batch, is the same for all batches but one more or less, so that these are all of one shape.
        """
        held, others = self._held, count - own
        newest = self.added - 1
        mine = torch.arange(own) + newest % self.refreshes * self._fresh
        order = torch.randperm(held, generator=generator).repeat(ceil(others / held))[:others]
        contents = torch.cat([mine, order])
        table = {"contents": contents}
        looked_up = [mine, self._any(others, held, generator)]
        for name, part in (("paired", PAIRED), ("blended", BLENDS)):
            places, share = _some(part, others, generator)
            table |= {f"{name}_at": own + places, f"{name}_share": share}
            looked_up.append(self._any(len(places), held, generator))
        places, weakened = _some(WEAKENED, others, generator)
        strength = torch.where(weakened > 0, LEAST_STRENGTH + (1 - LEAST_STRENGTH) * weakened, 1.0)
        table |= {"weakened_at": own + places, "strength": strength}
        looked_up.append(contents[own + places])
        return table | {"styles": torch.cat(looked_up)}

    def batch(self, table: Table, own: int, decoded: Callable[[Tensor], Tensor]) -> Batch:
        """The batch that `choose` chose.

        `decoded` gives the statistics (n, 2, C) of the decoder's layers with partial AdaIN while it decodes features
        (n, 512, h, w). They are asked for as the decoder is when a style is drawn, whenever that was encoded.
        """
        styles = torch.cat([decoded(self._features(table["styles"])), self.statistics[table["styles"]]], 2)
        names = ("contents", "paired_at", "blended_at", "weakened_at")
        wanted, pairs, blends, contents = torch.split(styles, [len(table[name]) for name in names])
        for name, others, mix in (("paired", pairs, paired), ("blended", blends, torch.lerp)):
            at, share = table[f"{name}_at"], table[f"{name}_share"][:, None, None]
            wanted = wanted.index_copy(0, at, torch.where(share > 0, mix(wanted[at], others, share), wanted[at]))
        at = table["weakened_at"]
        wanted = wanted.index_copy(0, at, torch.lerp(contents, wanted[at], table["strength"][:, None, None]))
        return Batch(self._features(table["contents"]), wanted, own)

    @property
    def _held(self) -> int:
        """How many crops of either kind there are."""
        return min(self.added, self.refreshes) * self._fresh

    def _features(self, rows: Tensor) -> Tensor:
        """(n, 512, h, w), channels_last."""
        return self.features[rows].float().permute(0, 3, 1, 2)

    def _any(self, count: int, held: int, generator: Generator) -> Tensor:
        """Rows of styles, a part of them contents."""
        rows = torch.randint(held, (count,), generator=generator)
        return torch.where(torch.rand(count, generator=generator) < CONTENTS_AS_STYLES, rows, rows + self.rows)


def paired(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Statistics (N, 2, C) of a picture of which `share` (N, 1, 1) is as `other` and the rest as `one`.

    Unlike a blend's, its deviations hold how far the two means are apart.
    """
    share = share[:, 0]
    mean = torch.lerp(one[:, 0], other[:, 0], share)
    square = torch.lerp(one.square().sum(1), other.square().sum(1), share)
    return torch.stack([mean, (square - mean.square()).clamp_min(0).sqrt()], 1)


def _some(part: float, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Different places of `count`, each as likely as `part`, with a share in (0, 1]; 0 at those taken for the shape."""
    most = ceil(part * count)
    places = torch.randperm(count, generator=generator)[:most]
    taken = torch.rand(most, generator=generator) * most < part * count
    return places, torch.where(taken, 1 - torch.rand(most, generator=generator), 0.0)
