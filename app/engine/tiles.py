"""Any size in bounded memory, and exactly: a picture in columns of tiles, each run from top to bottom in slabs.

AdaIN needs no more of the whole picture than the mean and variance of relu4_1. The first pass encodes and gathers
those; the second gives the features their styles and decodes them. Each column carries a margin as wide as the
network sees beyond an edge, which is computed and thrown away, so that no seam can be found.

A decoder with partial AdaIN is run segment by segment: over the whole of a picture that is small enough, which then is
the result; over windows of a larger one, which give the statistics its columns are decoded with.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.engine.base import Job, Picture, feature_grid, pad
from app.engine.features import FeatureStore, feature_store
from app.engine.partial import WHOLE_CONTENT, WHOLE_STYLE, Movement, ShareMap, Window, layer_statistics, windows
from app.engine.stages import Rows, Stage, even_parts, reach, run
from app.engine.statistics import Moments
from app.network.blend import ChannelStatistics, FloatArray, StyleCode, affine
from app.network.layout import STRIDE

EVERYWHERE: Final = np.ones((1, 1, 1), np.float32)
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

    `decoder` is one chain for each of its segments, between which stands partial AdaIN, `adain` its matrices.
    `before_column` is called before each of several columns: the time to let go of memory kept for reuse.
    """

    def __init__(
        self,
        encoder: Sequence[Stage],
        decoder: Sequence[Sequence[Stage]],
        adain: Sequence[FloatArray],
        limits: Limits,
        before_column: Callable[[], None] = lambda: None,
    ) -> None:
        self._encoder = encoder
        self._segments = list(zip(decoder, adain, strict=False))
        self._last = decoder[-1]
        self._limits = limits
        self._before_column = before_column

    def encode_style(self, picture: Picture) -> StyleCode:
        """uint8 (H, W, 3) RGB -> its style code. Raises OSError when features do not fit on the disk either."""
        with self._encoded(picture) as (statistics, store):
            decoded = []
            parts = [store.get(*window) for window in windows(*feature_grid(*picture.shape[:2]), WHOLE_STYLE)]
            for segment, _ in self._segments:
                parts = [_all_of(segment, part) for part in parts]
                decoded += layer_statistics(parts, [EVERYWHERE] * len(parts))
            return StyleCode(statistics, tuple(decoded))

    def stylize(self, job: Job) -> Picture:
        """Repaint one picture: uint8 (H, W, 3). Raises OSError when features do not fit on the disk either."""
        with self._encoded(job.content) as (statistics, store):
            return self._decode(job, _Adapted(job, statistics, store))

    @contextmanager
    def _encoded(self, picture: Picture) -> Iterator[tuple[ChannelStatistics, FeatureStore]]:
        moments = Moments()
        grid = feature_grid(*picture.shape[:2])
        with closing(feature_store(*grid, self._limits.feature_memory)) as store:
            for row, column, features in self._encode(picture):
                moments.add(features)
                store.put(row, column, features)
            yield moments.statistics, store

    def _encode(self, picture: Picture) -> Iterator[tuple[int, int, FloatArray]]:
        """Every part of relu4_1 once, with its place: row, column, (512, rows, columns)."""
        _, width = feature_grid(*picture.shape[:2])
        for column in self._columns(width, self._encoder):
            pixels = pad(picture[:, column.left * STRIDE : column.right * STRIDE])
            row = 0
            for features in run(self._encoder, [pixels.transpose(2, 0, 1)], pixels.shape[0]):
                yield row, column.first, column.kept(features)
                row += features.shape[1]

    def _decode(self, job: Job, adapted: "_Adapted") -> Picture:
        height, width = feature_grid(*job.content.shape[:2])
        moves, parts = self._moves(job, adapted) if self._segments else ([], [])
        picture: Picture = np.empty(job.content.shape, np.uint8)
        if len(parts) == 1:
            picture[:] = _cut(_all_of(self._last, parts[0]), picture.shape)
            return picture
        stages = [stage for segment, _ in self._segments for stage in segment]
        for column in self._columns(width, [*stages, *self._last]):
            y = 0
            for pixels in self._painted(adapted, moves, height, column):
                part = picture[y : y + pixels.shape[1], column.first * STRIDE : column.last * STRIDE]
                part[:] = _cut(column.kept(pixels, STRIDE), part.shape)
                y += pixels.shape[1]
        return picture

    def _moves(self, job: Job, adapted: "_Adapted") -> tuple[list[Movement], list[Rows]]:
        """What partial AdaIN does to this picture, and what comes out of the last of it, window by window."""
        spots = windows(*feature_grid(*job.content.shape[:2]), WHOLE_CONTENT)
        parts: list[Rows] = [adapted.part(*spot) for spot in spots]
        moves: list[Movement] = []
        scale = 1
        for number, (segment, weight) in enumerate(self._segments):
            parts = [_all_of(segment, part) for part in parts]
            scale = _height(segment, scale)
            shares = [adapted.share.part(*_scaled(spot, scale), scale) for spot in spots]
            wanted = [style.decoded[number] for style in job.styles]
            moves.append(Movement(weight, layer_statistics(parts, shares), wanted))
            parts = [moves[-1].apply(part, share) for part, share in zip(parts, shares, strict=True)]
        return moves, parts

    def _painted(self, adapted: "_Adapted", moves: Sequence[Movement], height: int, column: Column) -> Iterator[Rows]:
        slabs = adapted.slabs(height, column)
        rows = height
        for (segment, _), move in zip(self._segments, moves, strict=True):
            slabs = run(segment, slabs, rows)
            rows = _height(segment, rows)
            slabs = _moved(slabs, move, adapted.share, column, rows // height)
        return run(self._last, slabs, rows)

    def _columns(self, width: int, stages: Sequence[Stage]) -> Iterator[Column]:
        for column in columns(width, self._limits.tile_width // STRIDE, reach(stages)):
            if column.right - column.left < width:
                self._before_column()
            yield column


class _Adapted:
    """A content's features with their mixture of styles, part by part."""

    def __init__(self, job: Job, content: ChannelStatistics, store: FeatureStore) -> None:
        self.share = ShareMap(job)
        self._content = content
        self._means = np.stack([style.relu4_1.mean for style in job.styles])
        self._stds = np.stack([style.relu4_1.std for style in job.styles])
        self._store = store

    def part(self, down: slice, across: slice) -> FloatArray:
        """(512, rows, columns), an array of its own."""
        share = self.share.part(down, across)
        scale, bias = affine(
            self._content.mean, self._content.std, self._means, self._stds, share.reshape(share.shape[0], -1)
        )
        adapted = self._store.get(down, across) * scale.reshape(-1, *share.shape[1:])
        adapted += bias.reshape(-1, *share.shape[1:])
        return adapted

    def slabs(self, height: int, column: Column) -> Iterator[FloatArray]:
        """A column from top to bottom."""
        for top in range(0, height, READ_ROWS):
            yield self.part(slice(top, min(height, top + READ_ROWS)), slice(column.left, column.right))


def _moved(slabs: Iterable[Rows], move: Movement, share: ShareMap, column: Column, scale: int) -> Iterator[Rows]:
    top = 0
    for slab in slabs:
        window = slice(top, top + slab.shape[1]), slice(column.left * scale, column.right * scale)
        yield move.apply(slab, share.part(*window, scale))
        top += slab.shape[1]


def _all_of(stages: Sequence[Stage], rows: Rows) -> Rows:
    """A part with nothing around it, through some stages."""
    slabs = list(run(stages, [rows], rows.shape[1]))
    return slabs[0] if len(slabs) == 1 else np.concatenate(slabs, axis=1)


def _height(stages: Sequence[Stage], height: int) -> int:
    for stage in stages:
        height = height * stage.up // stage.down
    return height


def _scaled(window: Window, scale: int) -> Window:
    down, across = window
    return slice(down.start * scale, down.stop * scale), slice(across.start * scale, across.stop * scale)


def _cut(pixels: Rows, shape: tuple[int, ...]) -> Picture:
    """(3, rows, columns), of a padded picture perhaps, as (H, W, 3)."""
    return pixels[:, : shape[0], : shape[1]].transpose(1, 2, 0)
