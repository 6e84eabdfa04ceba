"""Frames that are painted alone flicker, since each has strokes of its own: strokes are carried on from frame to frame.

From time to time what the network made of a frame becomes a source. The frames after it show the source, moved along
with what they show, for as long as it can be followed there, and what the network made of them where it cannot. After
a while the next source fades in. Each source is sampled once, by all the flow since then: nothing is resampled again
and again, so that nothing blurs, and nothing drifts.

While two pictures fade their strokes, which have nothing to do with each other, would grow pale: contrast is kept up.

A loop begins with what its last frames leave, and is made to leave just that at its end: its seam is a step as others.
"""

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from app.network.blend import FloatArray
from app.video.flow import Floats, Step, followed, guide, likeness, repeatably, sampled, standing, step_back
from app.video.frames import Bytes
from app.video.store import State

LONGEST: Final = 32  # frames that a source is shown before the next comes, at steadiness 1
FADE: Final = 1 / 5  # of that time the next takes to come
CHANGED: Final = 0.06  # of the mix of styles: from there on a source is old
ANOTHER: Final = 0.5  # of the mix: from one frame to the next that is a jump
LOST: Final = 0.5  # of a source: where less of it can be followed the next one comes
BLOCK: Final = 8  # pixels a side, whose contrast is kept up
MOST_GAIN: Final = 2.0
# Sources are sampled between pixels by cubics, from pictures twice as fine: as sharp as by Lanczos, at a quarter of its
# time. Those are by Lanczos, whose weights halfway between two pixels these are.
_AWAY: Final = np.arange(-3.5, 4)
HALFWAY: Final = np.sinc(_AWAY) * np.sinc(_AWAY / 4) / (np.sinc(_AWAY) * np.sinc(_AWAY / 4)).sum()
ALONE: Final = np.ones(1)
WIDEST_FINE: Final = 16_383  # pixels a side of what is made twice as fine: OpenCV samples no more than twice that


@dataclass(frozen=True)
class Layer:
    """A source as it lies on a frame: `place` (h, w, 2) in pixels of a grey picture (h, w), and its `opacity` there."""

    slot: int
    place: Floats
    opacity: Floats


@dataclass(frozen=True)
class Steady:
    """What is laid on what the network makes of a frame, from below, and the slot where that becomes a source.

    `state`, where it was asked for, is all that the next frame has to know.
    """

    layers: tuple[Layer, ...] = ()
    keep: int | None = None
    state: State | None = None


@dataclass(frozen=True)
class _Source:
    slot: int
    age: int
    guide: Bytes
    share: FloatArray
    way: Step


class Follower:
    """Decides what is carried to each frame; `state` is what an earlier one has left.

    `loop`: of how many frames what is followed is a loop, whose last `lead` are to be followed before the first; None
    where it is none.
    """

    def __init__(self, steadiness: float, state: State, loop: int | None = None) -> None:
        self._period = max(1, round(LONGEST * steadiness))
        self._fade = max(1, round(FADE * self._period))
        self._loop = loop
        if loop is not None:
            self._fade = min(self._fade, max(1, (loop - 1) // 2))
        self._before: Bytes | None = state.get("guide")
        self._share: FloatArray | None = state.get("share")
        self._sources = [_restored(state, number) for number in range(int(state.get("sources", 0)))]

    @property
    def lead(self) -> int:
        """How many of a loop's last frames leave all that the first has to know."""
        return self._fade + 1

    def follow(self, rgb: Bytes, share: FloatArray, with_state: bool, index: int = 0) -> Steady:
        """The next frame, (H, W, 3), and its shares of the styles, of the same shape at every frame.

        `index` is its number in a loop, from 0.
        """
        repeatably()
        now = guide(rgb)
        left = None if self._loop is None else self._loop - 1 - index
        closing = left == self._fade
        step = None
        if self._before is not None and self._share is not None and _distance(share, self._share) < ANOTHER:
            step = step_back(self._before, now)
        self._before, self._share = now, share
        self._sources = [] if step is None else [_older(source, step, now) for source in self._sources]
        layers = self._layers()
        keep = None
        newest = self._sources[-1] if self._sources else None
        if len(self._sources) == 2 and (closing or self._sources[1].age >= self._fade):
            del self._sources[0]
        fading = len(self._sources) == 2 or (left is not None and left <= 2 * self._fade)
        if newest is None or closing or (not fading and self._is_old(newest, share)):
            keep = 0 if newest is None else 1 - newest.slot
            self._sources.append(_Source(keep, 0, now, share, standing((now.shape[0], now.shape[1]))))
        return Steady(layers, keep, self._state() if with_state else None)

    def forget(self) -> None:
        """There is nothing to be seen of the next frame."""
        self._before = None
        self._sources = []

    def _layers(self) -> tuple[Layer, ...]:
        if not self._sources:
            return ()
        newest = self._sources[-1]
        layers = [Layer(newest.slot, newest.way.place, newest.way.trust)]
        for old in self._sources[:-1]:
            left = max(0.0, 1 - newest.age / self._fade)
            layers.append(Layer(old.slot, old.way.place, np.float32(left) * old.way.trust))
        return tuple(layers)

    def _is_old(self, source: _Source, share: FloatArray) -> bool:
        return (
            source.age >= self._period - self._fade
            or _distance(share, source.share) > CHANGED
            or float(source.way.trust.mean()) < LOST
        )

    def _state(self) -> State:
        parts: dict[str, np.ndarray] = {"sources": np.array(len(self._sources))}
        if self._before is not None and self._share is not None:
            parts |= {"guide": self._before, "share": self._share}
        for number, source in enumerate(self._sources):
            parts[f"{number}.times"] = np.array([source.slot, source.age])
            parts |= {f"{number}.guide": source.guide, f"{number}.share": source.share}
            parts |= {f"{number}.place": source.way.place, f"{number}.trust": source.way.trust}
        return parts


class Carrier:
    """Makes frames of what the network made and of sources; `state` is what an earlier one has left."""

    def __init__(self, state: State) -> None:
        self._pictures: dict[int, Bytes] = {
            slot: state[f"picture.{slot}"] for slot in (0, 1) if f"picture.{slot}" in state
        }
        self._finer: dict[int, Bytes] = {}

    def carry(self, painted: Bytes, steady: Steady) -> Bytes:
        """The picture of a frame, (H, W, 3), from what the network made of it alone."""
        repeatably()
        size = (painted.shape[0], painted.shape[1])
        for layer in steady.layers:
            if layer.slot not in self._finer:
                self._finer[layer.slot] = _finer(self._pictures[layer.slot])
        pictures = [_laid(self._finer[layer.slot], layer, size) for layer in steady.layers]
        if steady.keep is not None:
            self._pictures[steady.keep] = painted
            self._finer.pop(steady.keep, None)
        return _mixed(painted, pictures, steady.layers) if pictures else painted

    @property
    def state(self) -> State:
        """What the next one has to know."""
        return {f"picture.{slot}": picture for slot, picture in self._pictures.items()}


def _older(source: _Source, step: Step, now: Bytes) -> _Source:
    way = followed(step, source.way)
    trust = np.minimum(way.trust, likeness(source.guide, now, way.place))
    return replace(source, age=source.age + 1, way=Step(way.place, trust))


def _restored(state: State, number: int) -> _Source:
    slot, age = (int(part) for part in state[f"{number}.times"])
    way = Step(state[f"{number}.place"], state[f"{number}.trust"])
    return _Source(slot, age, state[f"{number}.guide"], state[f"{number}.share"], way)


def _distance(one: FloatArray, other: FloatArray) -> float:
    """Between two mixes of styles, (N, P) each, 0 to 1."""
    return float(np.abs(one - other).mean(1).max())


def _finer(picture: Bytes) -> Bytes:
    """(H, W, 3) with what is halfway between its pixels, to the right and below: (2H, 2W, 3)."""
    height, width = picture.shape[:2]
    if max(height, width) > WIDEST_FINE:
        return picture
    before = len(HALFWAY) // 2 - 1
    across = cv2.sepFilter2D(picture, -1, HALFWAY, ALONE, anchor=(before, 0), borderType=cv2.BORDER_REFLECT)
    wide = np.stack((picture, across), 2).reshape(height, 2 * width, 3)
    down = cv2.sepFilter2D(wide, -1, ALONE, HALFWAY, anchor=(0, before), borderType=cv2.BORDER_REFLECT)
    return np.asarray(np.stack((wide, down), 1).reshape(2 * height, 2 * width, 3))


def _laid(finer: Bytes, layer: Layer, size: tuple[int, int]) -> Bytes:
    """A source of `size`, (H, W), as a layer moves it; `finer` as `_finer` makes it."""
    height, width = size
    rows, columns = layer.opacity.shape
    place = np.asarray(cv2.resize(layer.place, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    if (rows, columns) != (height, width):
        scale = np.array([width / columns, height / rows], np.float32)
        place = (place + np.float32(0.5)) * scale - np.float32(0.5)
    place *= np.float32(finer.shape[0] // height)
    return np.asarray(sampled(finer, place, cv2.INTER_CUBIC))


def _mixed(painted: Bytes, pictures: list[Bytes], layers: tuple[Layer, ...]) -> Bytes:
    """Pictures (H, W, 3), one for each layer, laid on what is painted, with as much contrast as each has there."""
    height, width = painted.shape[:2]
    result, wanted = painted, _contrast(painted)
    for picture, layer in zip(pictures, layers, strict=True):
        opacity = cv2.resize(layer.opacity, (width, height), interpolation=cv2.INTER_LINEAR)
        result = np.asarray(cv2.blendLinear(picture, result, opacity, 1 - opacity))
        coarse = _blocks(layer.opacity, (height, width))
        wanted = wanted + coarse * (_contrast(picture) - wanted)
    gain = np.sqrt((wanted + 1) / (_contrast(result) + 1)).clip(1, MOST_GAIN)
    gain = cv2.resize(cv2.blur(gain, (3, 3)), (width, height), interpolation=cv2.INTER_LINEAR)
    base = cv2.resize(_blocks(result, (height, width)), (width, height), interpolation=cv2.INTER_LINEAR)
    # From the mean of a block away by the gain, which is at least 1.
    return np.asarray(cv2.blendLinear(result, base, gain, 1 - gain))


def _contrast(picture: Bytes) -> Floats:
    """The variance of brightness in each block of (H, W, 3)."""
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)
    size = (picture.shape[0], picture.shape[1])
    return np.asarray(_blocks(grey * grey, size) - np.square(_blocks(grey, size)))


def _blocks(picture: Bytes | Floats, size: tuple[int, int]) -> np.ndarray:
    """The mean of each block of a picture (h, w, ...) that stands for one of `size`, (H, W)."""
    height, width = (-(-side // BLOCK) for side in size)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
