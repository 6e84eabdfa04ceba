"""Any size in bounded memory, and exactly: a picture in columns of tiles, each run from top to bottom in slabs.

AdaIN needs no more of the whole picture than the mean and variance of relu4_1. The first pass encodes and gathers
those; the second gives the features their styles and decodes them. Each column carries a margin as wide as the
network sees beyond an edge, which is computed and thrown away, so that no seam can be found.

A decoder with partial AdaIN is run segment by segment in the same way: each layer is kept until it is known whole.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from math import prod
from typing import Final

import numpy as np

from app.engine.base import Job, Picture, Steps, complete, feature_grid, pad
from app.engine.features import FeatureStore, feature_store
from app.engine.partial import Movement, ShareMap
from app.engine.stages import Rows, Stage, even_parts, reach, run
from app.engine.statistics import Moments
from app.network.blend import ChannelStatistics, FloatArray, StyleCode
from app.network.layout import FEATURES, STRIDE

ALL: Final = np.ones((1, 1), np.float32)  # a share
READ_ROWS: Final = 32  # rows of a layer adapted at once: several arrays of their size are in memory then


@dataclass(frozen=True)
class Limits:
    """How much a tiled run may hold.

    `tile_width`: the widest tile in pixels, margins included; `slab_rows`: rows a stage takes at once, a multiple of
    2; `feature_memory`: bytes of features kept in memory, beyond which they wait on disk.
    """

    tile_width: int = 1024
    slab_rows: int = 96
    feature_memory: int = 256 * 2**20


@dataclass(frozen=True)
class Column:
    """A column of tiles in positions of relu4_1: computed from `left` to `right`, kept from `first` to `last`."""

    left: int
    right: int
    first: int
    last: int

    def kept(self, rows: Rows, scale: int = 1) -> Rows:
        """What is not margin of (C, rows, columns)."""
        return rows[:, :, (self.first - self.left) * scale : (self.last - self.left) * scale]


def columns(width: int, widest: int, margin: int) -> Iterator[Column]:
    """Cut `width` positions into columns of one size, `widest` at most, that overlap by two margins."""
    if width <= widest:
        yield Column(0, width, 0, width)
        return
    step = even_parts(width - 2 * margin, max(1, widest - 2 * margin))
    kept = 0
    while kept < width:
        left = min(max(0, kept - margin), width - step - 2 * margin)
        right = left + step + 2 * margin
        last = width if right == width else right - margin
        yield Column(left, right, kept, last)
        kept = last


class TiledNetwork:
    """Encoder and decoder as chains of stages, for pictures of any size.

    `decoder` is one chain for each of its segments, between which stands partial AdaIN, `adain` its matrices; `gain`
    is what AdaIN before it is held to.
    `before_column` is called before each of several columns: the time to let go of memory kept for reuse.
    """

    def __init__(
        self,
        encoder: Sequence[Stage],
        decoder: Sequence[Sequence[Stage]],
        adain: Sequence[FloatArray],
        limits: Limits,
        before_column: Callable[[], None] = lambda: None,
        gain: float | None = None,
    ) -> None:
        self._gain = gain
        self._encoder = encoder
        self._segments = list(zip(decoder, adain, strict=False))
        self._last = decoder[-1]
        self._limits = limits
        self._before_column = before_column

    def encode_style(self, picture: Picture, alpha: Picture | None = None) -> StyleCode:
        """As an `app.engine.base.Engine`. Raises OSError when features do not fit on the disk either."""
        return complete(self.encode_style_steps(picture, alpha))

    def stylize(self, job: Job) -> Picture:
        """Repaint one picture: uint8 (H, W, 3). Raises OSError when features do not fit on the disk either."""
        return complete(self.stylize_steps(job))

    def encode_style_steps(self, picture: Picture, alpha: Picture | None = None) -> Steps[StyleCode]:
        """`encode_style`, a step for each slab of each stage."""
        share = ShareMap(ALL, alpha=alpha)
        layer, statistics = yield from self._relu4_1(picture, share)
        decoded = []
        for segment, weight in self._segments:
            layer, moments = yield from self._through(segment, len(weight) // 2, layer, share)
            decoded += moments
        layer.store.close()
        return StyleCode(statistics, tuple(decoded))

    def stylize_steps(self, job: Job) -> Steps[Picture]:
        """`stylize`, a step for each slab of each stage."""
        share = ShareMap(job.share, feature_grid(*job.content.shape[:2]), job.alpha)
        layer, statistics = yield from self._relu4_1(job.content, share)
        layer.move = Movement([statistics], [style.relu4_1 for style in job.styles], gain=self._gain)
        for number, (segment, weight) in enumerate(self._segments):
            layer, moments = yield from self._through(segment, len(weight) // 2, layer, share)
            layer.move = Movement(moments, [style.decoded[number] for style in job.styles], weight)
        return (yield from self._painted(layer, share, job.content.shape))

    def _relu4_1(self, picture: Picture, share: ShareMap) -> Steps[tuple["_Layer", ChannelStatistics]]:
        height, width = feature_grid(*picture.shape[:2])
        moments = Moments(width)
        with _filled(feature_store(FEATURES, height, width, self._limits.feature_memory)) as store:
            for column in self._columns(width, 1, self._encoder):
                pixels = pad(picture[:, column.left * STRIDE : column.right * STRIDE])
                row = 0
                for slab in run(self._encoder, [pixels.transpose(2, 0, 1)], pixels.shape[0]):
                    if slab is None:
                        yield
                        continue
                    features = column.kept(slab)
                    down = slice(row, row + features.shape[1])
                    moments.add(column.first, features, share.visible(down, slice(column.first, column.last)))
                    store.put(row, column.first, features)
                    row = down.stop
        return _Layer(store, height, width, 1), moments.statistics[0]

    def _through(
        self, segment: Sequence[Stage], channels: int, layer: "_Layer", share: ShareMap
    ) -> Steps[tuple["_Layer", list[ChannelStatistics]]]:
        """The layer of `channels` at the end of a segment, and its statistics; the one before it is let go."""
        up = prod(stage.up for stage in segment)
        height, width, scale = layer.height * up, layer.width * up, layer.scale * up
        moments = Moments(width)
        memory = self._limits.feature_memory - layer.store.memory  # two layers are held at once
        with closing(layer.store), _filled(feature_store(channels, height, width, memory)) as store:
            for part in self._parts(segment, layer, share):
                if part is None:
                    yield
                    continue
                down, across, features = part
                moments.add(across.start, features, share.weights(down, across, scale))
                store.put(down.start, across.start, features)
        return _Layer(store, height, width, scale), moments.statistics

    def _painted(self, layer: "_Layer", share: ShareMap, shape: tuple[int, ...]) -> Steps[Picture]:
        picture: Picture = np.empty(shape, np.uint8)
        with closing(layer.store):
            for part in self._parts(self._last, layer, share):
                if part is None:
                    yield
                    continue
                down, across, pixels = part
                place = picture[down, across]
                place[:] = pixels[:, : place.shape[0], : place.shape[1]].transpose(1, 2, 0)
        return picture

    def _parts(
        self, stages: Sequence[Stage], layer: "_Layer", share: ShareMap
    ) -> Iterator[tuple[slice, slice, Rows] | None]:
        """Every part of what stages make of a layer once: its rows, its columns, (C, rows, columns); None between."""
        up = prod(stage.up for stage in stages)
        for column in self._columns(layer.width, layer.scale, stages):
            row = 0
            for slab in run(stages, layer.slabs(column, share), layer.height):
                if slab is None:
                    yield None
                    continue
                down = slice(row, row + slab.shape[1])
                yield down, slice(column.first * up, column.last * up), column.kept(slab, up)
                row = down.stop

    def _columns(self, width: int, scale: int, stages: Sequence[Stage]) -> Iterator[Column]:
        """Of a layer `scale` times as wide as relu4_1."""
        for column in columns(width, self._limits.tile_width // STRIDE * scale, reach(stages)):
            if column.right - column.left < width:
                self._before_column()
            yield column


@contextmanager
def _filled(store: FeatureStore) -> Iterator[FeatureStore]:
    """A store that is closed when it could not be filled, as where the disk is full."""
    try:
        yield store
    except BaseException:
        store.close()
        raise


@dataclass
class _Layer:
    """A layer of a picture, `scale` times as large as relu4_1, and what is done to it before the next segment."""

    store: FeatureStore
    height: int
    width: int
    scale: int
    move: Movement | None = None

    def slabs(self, column: Column, share: ShareMap) -> Iterator[FloatArray]:
        """A column from top to bottom."""
        across = slice(column.left, column.right)
        for top in range(0, self.height, READ_ROWS):
            down = slice(top, min(self.height, top + READ_ROWS))
            features = self.store.get(down, across)
            yield self.move(features, share.part(down, across, self.scale)) if self.move else features
