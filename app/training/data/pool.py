"""The rolling pool of encoded crops: each step encodes a few new ones and draws the rest from those of steps before.

Encoding content and style of every picture anew takes more than a third of a plain step. What the pool holds is a
function of the stream of crops and the step, so that a resumed run fills it again to the same.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Generator, Tensor

from app.evaluation.encoders import TapEncoder
from app.evaluation.metrics import statistics

# Contents lend their statistics too, as they are and at no cost, lest the decoder learn the few paintings by heart.
CONTENTS_AS_STYLES: Final = 0.25
# Parts of the draws whose style is a picture of two, side by side, a blend of two, and is taken at less strength. The
# last two are `lerp`s between statistics.
PAIRED: Final = 0.25
BLENDS: Final = 0.25
WEAKENED: Final = 0.15
LEAST_STRENGTH: Final = 0.3


@dataclass(frozen=True)
class Encoded:
    """The newest crops.

    `contents`: RGB (n, 3, S, S); `taps` of them; `statistics` (n, 2, C) of contents, and `style_statistics` of
    the styles that came with them; `styles` are those pictures, `style_features` their relu4_1.
    """

    contents: Tensor
    taps: list[Tensor]
    statistics: Tensor
    styles: Tensor
    style_statistics: Tensor
    style_features: Tensor


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


class _Rolling:
    """Tensors of the last `capacity` crops of either kind; each addition is `fresh` of them."""

    def __init__(self, capacity: int, fresh: int) -> None:
        self._kept: deque[tuple[Tensor, ...]] = deque(maxlen=max(1, capacity // fresh))
        self._fresh = fresh

    @property
    def refreshes(self) -> int:
        """How many additions it holds at most."""
        return self._kept.maxlen or 0


class Originals(_Rolling):
    """Features, as float16, and pictures, as uint8, of the last crops of contents and of styles."""

    def add(self, encoded: Encoded) -> None:
        features = torch.cat([encoded.taps[-1], encoded.style_features]).half()
        pictures = torch.cat([encoded.contents, encoded.styles])
        self._kept.append((features, pictures.mul(255).round_().to(torch.uint8)))

    def draw(self, count: int, generator: Generator) -> Pairs:
        """`count` of them, different ones while there are as many."""
        places = [(kept, n) for kept in self._kept for n in range(len(kept[0]))]
        order = torch.randperm(len(places), generator=generator).tolist()
        drawn = [places[order[n % len(places)]] for n in range(count)]
        features = torch.stack([kept[0][n].float() for kept, n in drawn])
        pictures = torch.stack([kept[1][n] for kept, n in drawn]).float().div_(255)
        return Pairs(features.contiguous(memory_format=torch.channels_last), pictures)


class Pool(_Rolling):
    """Features at relu4_1, as float16, and statistics of all taps, of the last crops of either kind.

    `decoded` gives the statistics (n, 2, C) of the decoder's layers with partial AdaIN while it decodes features
    (n, 512, h, w). They are asked for as the decoder is when a style is drawn, whenever that was encoded.
    """

    def __init__(self, capacity: int, fresh: int, decoded: Callable[[Tensor], Tensor]) -> None:
        super().__init__(capacity, fresh)
        self._decoded = decoded

    def add(self, encoded: Encoded) -> None:
        of_contents = (encoded.taps[-1].half(), encoded.statistics)
        self._kept.append((*of_contents, encoded.style_features.half(), encoded.style_statistics))

    def draw(self, newest: Encoded, count: int, own: int, generator: Generator) -> Batch:
        """`count` contents, each but the first `own` with a style: any, two paired or blended, or one at less strength.

        A style is a painting's or, now and then, a photograph's.
        """
        held = len(self._kept) * self._fresh
        order = torch.randperm(held, generator=generator).tolist()
        contents = [divmod(order[n % held], self._fresh) for n in range(count - own)]
        features = [newest.taps[-1][:own].float(), *(self._kept[r][0][i : i + 1].float() for r, i in contents)]
        wanted = [self._whole(newest.taps[-1][:own], newest.statistics[:own])]
        for r, i in contents:
            style = self._style(held, generator)
            if _chance(PAIRED, generator):
                style = paired(style, self._style(held, generator), _uniform(generator))
            if _chance(BLENDS, generator):
                style = torch.lerp(style, self._style(held, generator), _uniform(generator))
            if _chance(WEAKENED, generator):
                style = torch.lerp(self._of_content(r, i), style, _strength(generator))
            wanted.append(style)
        return Batch(torch.cat(features), torch.cat(wanted), own)

    def _style(self, held: int, generator: Generator) -> Tensor:
        refresh, place = divmod(int(torch.randint(held, (), generator=generator)), self._fresh)
        if _chance(CONTENTS_AS_STYLES, generator):
            return self._of_content(refresh, place)
        features, statistics = self._kept[refresh][2:]
        return self._whole(features[place : place + 1], statistics[place : place + 1])

    def _of_content(self, refresh: int, place: int) -> Tensor:
        features, statistics = self._kept[refresh][:2]
        return self._whole(features[place : place + 1], statistics[place : place + 1])

    def _whole(self, features: Tensor, statistics: Tensor) -> Tensor:
        features = features.float().contiguous(memory_format=torch.channels_last)
        return torch.cat([self._decoded(features), statistics], 2)


def encode(encoder: TapEncoder, contents: Tensor, styles: Tensor) -> Encoded:
    """Encode uint8 crops (n, 3, S, S) of contents and styles in one pass."""
    pictures = torch.cat([contents, styles]).float().div_(255).contiguous(memory_format=torch.channels_last)
    taps = encoder.taps(pictures)
    channels = statistics(taps)
    count = len(contents)
    return Encoded(
        pictures[:count],
        [tap[:count] for tap in taps],
        channels[:count],
        pictures[count:],
        channels[count:],
        taps[-1][count:],
    )


def paired(one: Tensor, other: Tensor, share: float) -> Tensor:
    """Statistics (N, 2, C) of a picture of which `share` is as `other` and the rest as `one`.

    Unlike a blend's, its deviations hold how far the two means are apart.
    """
    mean = torch.lerp(one[:, 0], other[:, 0], share)
    square = torch.lerp(one.square().sum(1), other.square().sum(1), share)
    return torch.stack([mean, (square - mean.square()).clamp_min(0).sqrt()], 1)


def _chance(probability: float, generator: Generator) -> bool:
    return _uniform(generator) < probability


def _strength(generator: Generator) -> float:
    return LEAST_STRENGTH + (1 - LEAST_STRENGTH) * _uniform(generator)


def _uniform(generator: Generator) -> float:
    return float(torch.rand((), generator=generator))
