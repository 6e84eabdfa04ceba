"""Any size in bounded memory, and exactly: a picture in columns of tiles, each run from top to bottom in slabs.

AdaIN needs no more of the whole picture than the mean and variance of relu4_1. The first pass encodes and gathers
those; the second gives the features their styles and decodes them. Each column carries a margin as wide as the
network sees beyond an edge, which is computed and thrown away, so that no seam can be found.

A decoder with partial AdaIN is run segment by segment in the same way: each layer is kept until it is known whole.
Between two columns all is on disk that the next ones need, so that another process can go on from there.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import prod
from typing import Final

import numpy as np

from app.engine.base import Job, Picture, Steps, complete, feature_grid, pad, within
from app.engine.begun import Arrays, Begun, Canvas, fingerprint
from app.engine.features import FeatureStore, Spilled, feature_store, fits
from app.engine.partial import Movement, ShareMap
from app.engine.stages import Rows, Stage, even_parts, reach, run
from app.engine.statistics import Moments
from app.files import DISK_FULL
from app.network.blend import ChannelStatistics, FloatArray, StyleCode
from app.network.layout import FEATURES, STRIDE

Weights = Callable[[slice, slice], FloatArray | None]

ALL: Final = np.ones((1, 1), np.float32)  # a share
CANVAS: Final = "picture"
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
    is what AdaIN before it is held to. `costs` say how the work divides between the encoder and each segment.
    `before_column` is called before each of several columns: the time to let go of memory kept for reuse. `made_of`
    names all that a result depends on beside its job.
    """

    def __init__(
        self,
        encoder: Sequence[Stage],
        decoder: Sequence[Sequence[Stage]],
        adain: Sequence[FloatArray],
        limits: Limits,
        costs: Sequence[float],
        before_column: Callable[[], None] = lambda: None,
        gain: float | None = None,
        made_of: str = "",
    ) -> None:
        self._gain = gain
        self._encoder = encoder
        self._segments = list(zip(decoder, adain, strict=False))
        self._last = decoder[-1]
        self._limits = limits
        self._ends = np.cumsum([0.0, *costs]) / sum(costs)
        self._before_column = before_column
        self._made_of = made_of
        # Channels of the layer before each segment, and how many times as large as relu4_1 it is.
        self._shapes = [(FEATURES, 1)]
        for stages, weight in self._segments:
            self._shapes.append((len(weight) // 2, self._shapes[-1][1] * prod(stage.up for stage in stages)))

    def encode_style(self, picture: Picture, alpha: Picture | None = None) -> StyleCode:
        """As an `app.engine.base.Engine`. Raises OSError when features do not fit on the disk either."""
        return complete(self.encode_style_steps(picture, alpha))

    def stylize(self, job: Job) -> Picture:
        """Repaint one picture: uint8 (H, W, 3). Raises OSError when features do not fit on the disk either."""
        return complete(self.stylize_steps(job))

    def encode_style_steps(self, picture: Picture, alpha: Picture | None = None) -> Steps[StyleCode]:
        """`encode_style`, a step for each slab of each stage."""
        share = ShareMap(ALL, alpha=alpha)
        layer, statistics = None, []
        for number in range(len(self._shapes)):
            steps = self._layer(number, picture, layer, share, Begun())
            layer = yield from within(steps, 0.0, 1 / self._ends[-2])
            statistics += layer.statistics
        if layer:
            layer.store.close()
        return StyleCode(statistics[0], tuple(statistics[1:]))

    def all_steps(self, jobs: Sequence[Job]) -> Steps[list[Picture]]:
        """`stylize_steps` of one job after another."""
        pictures = []
        for number, job in enumerate(jobs):
            steps = self.stylize_steps(job)
            pictures.append((yield from within(steps, number / len(jobs), (number + 1) / len(jobs))))
        return pictures

    def stylize_steps(self, job: Job) -> Steps[Picture]:
        """`stylize`, a step for each slab of each stage. Where `job.begun` is, what is finished is kept."""
        size = feature_grid(*job.content.shape[:2])
        share = ShareMap(job.share, size, job.alpha)
        begun = job.begun or Begun()
        if fits(FEATURES, *size, self._limits.feature_memory):
            begun.clear()  # what takes so little is not worth keeping
            begun = Begun()
        elif job.begun:
            begun.resume(self._fingerprint(job))
        number, layer = begun.number, self._finished(begun, size)
        try:
            while True:
                if layer:
                    layer.move = self._movement(number - 1, layer, job)
                if layer and number == len(self._shapes):
                    return (yield from self._painted(layer, share, job.content.shape, begun))
                layer = yield from self._layer(number, job.content, layer, share, begun)
                number += 1
        except OSError as error:
            if error.errno in DISK_FULL:
                begun.clear()  # who waits for room must not hold it
            raise

    def _layer(
        self, number: int, picture: Picture, source: "_Layer | None", share: ShareMap, begun: Begun
    ) -> Steps["_Layer"]:
        """A layer and its statistics: relu4_1 of the picture, or what a segment makes of `source`, which is let go."""
        channels, scale = self._shapes[number]
        height, width = (side * scale for side in feature_grid(*picture.shape[:2]))
        finished, kept = begun.taken(number)
        if source:
            parts = self._parts(self._segments[number - 1][0], source, share, finished)
            weights: Weights = partial(share.weights, scale=scale)
            memory = source.store.memory
        else:
            parts, weights, memory = self._encoded(picture, finished), share.visible, 0
        # Two layers are held at once.
        memory = self._limits.feature_memory - memory
        moments = Moments(width)
        with (
            closing(source.store) if source else nullcontext(),
            _filled(feature_store(channels, height, width, memory, partial(begun.file, _file(number)))) as store,
        ):
            if finished:
                store.restore(kept["store"])
                moments.restore(kept["moments"])
            done = max(begun.part, self._part(number, 0.0))
            for part in parts:
                if part is None:
                    yield done
                    continue
                down, across, features = part
                moments.add(across.start, features, weights(down, across))
                store.put(down.start, across.start, features)
                done = self._part(number, _area(down, across, height, width))
                if down.stop == height:
                    finished += 1
                    if begun.due and across.stop < width:
                        begun.save(number, finished, done, {"source": source, "store": store, "moments": moments})
        layer = _Layer(number, store, height, width, scale, moments.statistics)
        if begun.saved:
            with _filled(store):
                begun.save(number + 1, 0, done, {"source": layer})
        if source:
            begun.drop(_file(source.number))
        return layer

    def _painted(self, layer: "_Layer", share: ShareMap, shape: tuple[int, ...], begun: Begun) -> Steps[Picture]:
        number = len(self._shapes)
        height, width = (side * STRIDE // layer.scale for side in (layer.height, layer.width))
        finished, _ = begun.taken(number)
        with closing(layer.store), closing(Canvas(shape, partial(begun.file, CANVAS), finished > 0)) as canvas:
            done = max(begun.part, self._part(number, 0.0))
            for part in self._parts(self._last, layer, share, finished):
                if part is None:
                    yield done
                    continue
                down, across, pixels = part
                place = canvas.picture[down, across]
                place[:] = pixels[:, : place.shape[0], : place.shape[1]].transpose(1, 2, 0)
                done = self._part(number, _area(down, across, height, width))
                if down.stop == height:
                    finished += 1
                    if begun.due and across.stop < width:
                        begun.save(number, finished, done, {"source": layer, "canvas": canvas})
        return canvas.picture

    def _movement(self, number: int, layer: "_Layer", job: Job) -> Movement:
        """What is done to a layer before the next segment."""
        if not number:
            return Movement(layer.statistics, [style.relu4_1 for style in job.styles], gain=self._gain)
        wanted = [style.decoded[number - 1] for style in job.styles]
        return Movement(layer.statistics, wanted, self._segments[number - 1][1])

    def _finished(self, begun: Begun, size: tuple[int, int]) -> "_Layer | None":
        """The layer another process had finished, from which the next one is made."""
        if not begun.number:
            return None
        number = begun.number - 1
        channels, scale = self._shapes[number]
        height, width = (side * scale for side in size)
        kept = begun.taken(begun.number)[1]["source"]
        store = Spilled(channels, width, begun.file(_file(number)))
        store.restore(kept)
        statistics = [ChannelStatistics(mean, std) for mean, std in zip(kept["mean"], kept["std"], strict=True)]
        return _Layer(number, store, height, width, scale, statistics)

    def _fingerprint(self, job: Job) -> str:
        layers = [layer for style in job.styles for layer in (style.relu4_1, *style.decoded)]
        arrays = [job.content, job.share, job.alpha, *(one for layer in layers for one in (layer.mean, layer.std))]
        return fingerprint(self._made_of, arrays)

    def _part(self, number: int, part: float) -> float:
        """How much of a picture is done, when a part of a layer is."""
        start, end = self._ends[number : number + 2]
        return float(start + (end - start) * part)

    def _encoded(self, picture: Picture, finished: int) -> Iterator[tuple[slice, slice, Rows] | None]:
        """Every part of relu4_1 but of finished columns: its rows, its columns, (C, rows, columns); None between."""
        width = feature_grid(*picture.shape[:2])[1]
        for column in islice(self._columns(width, 1, self._encoder), finished, None):
            pixels = pad(picture[:, column.left * STRIDE : column.right * STRIDE])
            yield from _placed(run(self._encoder, [pixels.transpose(2, 0, 1)], pixels.shape[0]), column, 1)

    def _parts(
        self, stages: Sequence[Stage], layer: "_Layer", share: ShareMap, finished: int
    ) -> Iterator[tuple[slice, slice, Rows] | None]:
        """The same of what stages make of a layer."""
        up = prod(stage.up for stage in stages)
        for column in islice(self._columns(layer.width, layer.scale, stages), finished, None):
            yield from _placed(run(stages, layer.slabs(column, share), layer.height), column, up)

    def _columns(self, width: int, scale: int, stages: Sequence[Stage]) -> Iterator[Column]:
        """Of a layer `scale` times as wide as relu4_1."""
        for column in columns(width, self._limits.tile_width // STRIDE * scale, reach(stages)):
            if column.right - column.left < width:
                self._before_column()
            yield column


def _placed(slabs: Iterable[Rows | None], column: Column, up: int) -> Iterator[tuple[slice, slice, Rows] | None]:
    """Slabs of a column from top to bottom without its margins, each with its place."""
    row = 0
    for slab in slabs:
        if slab is None:
            yield None
            continue
        down = slice(row, row + slab.shape[1])
        yield down, slice(column.first * up, column.last * up), column.kept(slab, up)
        row = down.stop


def _area(down: slice, across: slice, height: int, width: int) -> float:
    """How much is done when columns are, from left to right, and the last as far as these rows."""
    return float(across.start * height + (across.stop - across.start) * down.stop) / (height * width)


def _file(number: int) -> str:
    return f"layer-{number}"


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

    number: int
    store: FeatureStore
    height: int
    width: int
    scale: int
    statistics: list[ChannelStatistics]
    move: Movement | None = None

    def keep(self) -> Arrays | None:
        """As of `app.engine.begun.Kept`."""
        kept = self.store.keep()
        if kept is None:
            return None
        parts = {part: np.stack([getattr(one, part) for one in self.statistics]) for part in ("mean", "std")}
        return {**kept, **parts}

    def slabs(self, column: Column, share: ShareMap) -> Iterator[FloatArray]:
        """A column from top to bottom."""
        across = slice(column.left, column.right)
        for top in range(0, self.height, READ_ROWS):
            down = slice(top, min(self.height, top + READ_ROWS))
            features = self.store.get(down, across)
            yield self.move(features, share.part(down, across, self.scale)) if self.move else features
