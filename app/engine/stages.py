"""Rows of a picture through a chain of network stages, a slab at a time.

A stage is a few layers. It keeps the rows it still needs of what came before, so that no row is computed twice for
another stage's sake, and what is in memory is a few slabs, however tall the picture.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import ceil
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]  # (C, rows, W): float32 features, or uint8 pixels


class Stage(Protocol):
    """Some layers of a network, from (C, h, w) to (C', h * up / down, w * up / down).

    `halo` is how far from an inner edge its output is wrong, in input positions, rounded up to a multiple of `down`;
    `rows` how many input rows, halo apart, it takes at once, a multiple of `down` too.
    """

    halo: int
    rows: int
    up: int
    down: int

    def __call__(self, rows: Rows) -> Rows: ...


def run(stages: Sequence[Stage], slabs: Iterable[Rows], height: int) -> Iterator[Rows | None]:
    """Slabs that are `height` rows in all through every stage in turn; gives slabs in order, and None between any two
    calls of stages."""
    passing: Iterable[Rows | None] = slabs
    for stage in stages:
        passing = _run_stage(stage, passing, height)
        height = height * stage.up // stage.down
    return iter(passing)


def reach(stages: Sequence[Stage]) -> int:
    """How far from an inner edge the last stage's output is wrong, in positions of relu4_1."""
    position = Fraction(1)
    total = Fraction(0)
    for stage in stages:
        total += stage.halo * position
        position *= Fraction(stage.down, stage.up)
    return ceil(total / max(position, Fraction(1)))


def even_parts(length: int, largest: int, multiple: int = 1) -> int:
    """The size to cut `length` into so that no part is larger than `largest` and they are nearly equal."""
    return min(largest, -(-length // (-(-length // largest) * multiple)) * multiple)


def _run_stage(stage: Stage, slabs: Iterable[Rows | None], height: int) -> Iterator[Rows | None]:
    step = even_parts(height, stage.rows, stage.down)
    held: deque[tuple[int, Rows]] = deque()
    arrived = done = 0
    for slab in slabs:
        yield None
        if slab is None:
            continue
        held.append((arrived, slab))
        arrived += slab.shape[1]
        while done < height and arrived >= min(height, done + step + stage.halo):
            until = min(height, done + step)
            first, last = max(0, done - stage.halo), min(height, until + stage.halo)
            output = stage(_between(held, first, last))
            yield output[:, (done - first) * stage.up // stage.down : (until - first) * stage.up // stage.down]
            done = until
            while held and held[0][0] + held[0][1].shape[1] <= done - stage.halo:
                held.popleft()


def _between(held: Iterable[tuple[int, Rows]], first: int, last: int) -> Rows:
    parts = [
        rows[:, max(0, first - start) : last - start]
        for start, rows in held
        if start < last and first < start + rows.shape[1]
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
