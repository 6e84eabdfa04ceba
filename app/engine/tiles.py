"""Any size in bounded memory, and exactly: a picture in columns of tiles, each run from top to bottom in slabs.

AdaIN needs no more of the whole picture than the mean and variance of relu4_1. The first pass encodes and gathers
those; the second gives the features their styles and decodes them. Each column carries a margin as wide as the
network sees beyond an edge, which is computed and thrown away, so that no seam can be found.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.engine.base import Job, Picture, feature_grid, pad
from app.engine.features import FeatureStore, feature_store
from app.engine.stages import Rows, Stage, even_parts, reach, run
from app.engine.statistics import Moments
from app.network.blend import ChannelStatistics, FloatArray, affine
from app.network.layout import STRIDE

READ_ROWS: Final = 32  # rows of relu4_1 adapted at once: several arrays of their size are in memory then


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

    `before_column` is called before each of several columns: the time to let go of memory kept for reuse.
    """

    def __init__(
        self,
        encoder: Sequence[Stage],
        decoder: Sequence[Stage],
        limits: Limits,
        before_column: Callable[[], None] = lambda: None,
    ) -> None:
        self._encoder = encoder
        self._decoder = decoder
        self._limits = limits
        self._before_column = before_column

    def encode_style(self, picture: Picture) -> ChannelStatistics:
        """uint8 (H, W, 3) RGB -> its style code."""
        moments = Moments()
        for _, _, features in self._encode(picture):
            moments.add(features)
        return moments.statistics

    def stylize(self, job: Job) -> Picture:
        """Repaint one picture: uint8 (H, W, 3). Raises OSError when features do not fit on the disk either."""
        grid = feature_grid(*job.content.shape[:2])
        moments = Moments()
        with closing(feature_store(*grid, self._limits.feature_memory)) as store:
            for row, column, features in self._encode(job.content):
                moments.add(features)
                store.put(row, column, features)
            return self._decode(job, moments.statistics, store)

    def _encode(self, picture: Picture) -> Iterator[tuple[int, int, FloatArray]]:
        """Every part of relu4_1 once, with its place: row, column, (512, rows, columns)."""
        _, width = feature_grid(*picture.shape[:2])
        for column in self._columns(width, self._encoder):
            pixels = pad(picture[:, column.left * STRIDE : column.right * STRIDE])
            row = 0
            for features in run(self._encoder, [pixels.transpose(2, 0, 1)], pixels.shape[0]):
                yield row, column.first, column.kept(features)
                row += features.shape[1]

    def _decode(self, job: Job, content: ChannelStatistics, store: FeatureStore) -> Picture:
        picture: Picture = np.empty(job.content.shape, np.uint8)
        height, width = feature_grid(*picture.shape[:2])
        adapt = _Adaptation(job, content)
        for column in self._columns(width, self._decoder):
            y = 0
            for pixels in run(self._decoder, self._adapted(adapt, store, height, column), height):
                part = picture[y : y + pixels.shape[1], column.first * STRIDE : column.last * STRIDE]
                part[:] = column.kept(pixels, STRIDE)[:, : part.shape[0], : part.shape[1]].transpose(1, 2, 0)
                y += pixels.shape[1]
        return picture

    def _columns(self, width: int, stages: Sequence[Stage]) -> Iterator[Column]:
        for column in columns(width, self._limits.tile_width // STRIDE, reach(stages)):
            if column.right - column.left < width:
                self._before_column()
            yield column

    def _adapted(self, adapt: "_Adaptation", store: FeatureStore, height: int, column: Column) -> Iterator[FloatArray]:
        across = slice(column.left, column.right)
        for top in range(0, height, READ_ROWS):
            down = slice(top, min(height, top + READ_ROWS))
            yield adapt(store.get(down, across), down, across)


class _Adaptation:
    """Gives parts of a content's features their mixture of styles."""

    def __init__(self, job: Job, content: ChannelStatistics) -> None:
        height, width = feature_grid(*job.content.shape[:2])
        self._content = content
        self._means = np.stack([style.mean for style in job.styles])
        self._stds = np.stack([style.std for style in job.styles])
        self._per_position = job.share.shape[1] > 1
        self._share = job.share.reshape(-1, *((height, width) if self._per_position else (1, 1)))

    def __call__(self, features: FloatArray, down: slice, across: slice) -> FloatArray:
        share = self._share[:, down, across] if self._per_position else self._share
        scale, bias = affine(
            self._content.mean, self._content.std, self._means, self._stds, share.reshape(share.shape[0], -1)
        )
        adapted = features * scale.reshape(-1, *share.shape[1:])
        adapted += bias.reshape(-1, *share.shape[1:])
        return adapted
