"""Frames that are painted alone flicker, since each has strokes of its own: strokes are carried on from frame to frame.

From time to time what the network made of a frame becomes a source. The frames after it show the source, moved along
with what they show, for as long as it can be followed there, and what the network made of them where it cannot. After
a while the next source fades in. Each source is sampled once, by all the flow since then: nothing is resampled again
and again, so that nothing blurs, and nothing drifts.

While two pictures fade their strokes, which have nothing to do with each other, would grow pale: contrast is kept up.
"""

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from app.images.colour import rounded
from app.network.blend import FloatArray
from app.video.flow import Floats, Step, followed, guide, likeness, sampled, standing, step_back
from app.video.frames import Bytes
from app.video.store import State

LONGEST: Final = 32  # frames that a source is shown before the next comes, at steadiness 1
FADE: Final = 1 / 5  # of that time the next takes to come
CHANGED: Final = 0.06  # of the mix of styles: from there on a source is old
ANOTHER: Final = 0.5  # of the mix: from one frame to the next that is a jump
LOST: Final = 0.5  # of a source: where less of it can be followed the next one comes
BLOCK: Final = 8  # pixels a side, whose contrast is kept up
MOST_GAIN: Final = 2.0


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
    """Decides what is carried to each frame; `state` is what an earlier one has left."""

    def __init__(self, steadiness: float, state: State) -> None:
        self._period = max(1, round(LONGEST * steadiness))
        self._fade = max(1, round(FADE * self._period))
        self._before: Bytes | None = state.get("guide")
        self._share: FloatArray | None = state.get("share")
        self._sources = [_restored(state, number) for number in range(int(state.get("sources", 0)))]

    def follow(self, rgb: Bytes, share: FloatArray, with_state: bool) -> Steady:
        """The next frame, (H, W, 3), and its shares of the styles, of the same shape at every frame."""
        now = guide(rgb)
        step = None
        if self._before is not None and self._share is not None and _distance(share, self._share) < ANOTHER:
            step = step_back(self._before, now)
        self._before, self._share = now, share
        self._sources = [] if step is None else [_older(source, step, now) for source in self._sources]
        layers = self._layers()
        keep = None
        newest = self._sources[-1] if self._sources else None
        if len(self._sources) == 2 and self._sources[1].age >= self._fade:
            del self._sources[0]
        if newest is None or (len(self._sources) == 1 and self._is_old(newest, share)):
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

    def carry(self, painted: Bytes, steady: Steady) -> Bytes:
        """The picture of a frame, (H, W, 3), from what the network made of it alone."""
        pictures = [_laid(self._pictures[layer.slot], layer) for layer in steady.layers]
        if steady.keep is not None:
            self._pictures[steady.keep] = painted
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


def _laid(picture: Bytes, layer: Layer) -> Bytes:
    """A source (H, W, 3) as a layer moves it."""
    height, width = picture.shape[:2]
    rows, columns = layer.opacity.shape
    place = np.asarray(cv2.resize(layer.place, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    if (rows, columns) != (height, width):
        scale = np.array([width / columns, height / rows], np.float32)
        place = (place + np.float32(0.5)) * scale - np.float32(0.5)
    return np.asarray(sampled(picture, place, cv2.INTER_LANCZOS4))


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
    detail = cv2.subtract(result, base, dtype=cv2.CV_32F)
    return np.asarray(rounded(base + detail * gain[:, :, None]))


def _contrast(picture: Bytes) -> Floats:
    """The variance of brightness in each block of (H, W, 3)."""
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)
    size = (picture.shape[0], picture.shape[1])
    return np.asarray(_blocks(grey * grey, size) - np.square(_blocks(grey, size)))


def _blocks(picture: Bytes | Floats, size: tuple[int, int]) -> np.ndarray:
    """The mean of each block of a picture (h, w, ...) that stands for one of `size`, (H, W)."""
    height, width = (-(-side // BLOCK) for side in size)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
