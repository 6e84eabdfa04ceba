"""Where each part of a frame was in the frame before: dense inverse search (Kroeger et al. 2016), both ways.

What the two ways agree on is carried on; the tests are those of Sundaram et al. (2010), and that the frames look alike
there.
"""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.video.frames import Bytes

LONG_SIDE: Final = 448  # pixels of the grey pictures that flow is found in; details of it are no finer than strokes
# Sundaram's tests: what two ways may disagree by, and how much flow may change from one pixel to the next.
AGREEMENT: Final = (0.01, 0.5)
EVENNESS: Final = (0.01, 0.02)
LEAST_LIKENESS: Final = 28.0  # levels of 255 that a part may change by on its way
CUT: Final = 0.3  # of a frame: where less was there before it is another scene
STILL: Final = 0.02  # pixels: flow below that is none, so that what stands still is not resampled

# What runs beside the network is not to take its cores.
cv2.setNumThreads(1)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Carry:
    """What can be carried on from the frame before, at the size of the grey pictures.

    `place` (h, w, 2) float32: where each part was, in parts of the frame's width and height from its own place;
    `trust` (h, w) float32 in [0, 1]: how far that is so.
    """

    place: Floats
    trust: Floats


def guide(rgb: Bytes) -> Bytes:
    """(H, W, 3) as the grey picture (h, w) that flow is found in."""
    height, width = rgb.shape[:2]
    scale = min(1.0, LONG_SIDE / max(height, width))
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))


class Flow:
    """Finds flow; holds what the search needs of memory, and is for one thread."""

    def __init__(self) -> None:
        self._search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def carry(self, before: Bytes, now: Bytes) -> Carry | None:
        """From one grey picture (h, w) to the next; None at a cut."""
        back, forth = self._search.calc(now, before, None), self._search.calc(before, now, None)
        back[(np.abs(back) < STILL).all(2)] = 0
        height, width = now.shape
        at = np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))) + back
        returned = _sampled(forth, at)
        looked = _sampled(before, at)
        inside = (at[:, :, 0] >= 0) & (at[:, :, 0] <= width - 1) & (at[:, :, 1] >= 0) & (at[:, :, 1] <= height - 1)
        length = _square(back)
        part, rest = AGREEMENT
        agreed = _square(back + returned) <= part * (length + _square(returned)) + rest
        part, rest = EVENNESS
        change = sum(_square(np.gradient(back, axis=axis)) for axis in (0, 1))
        even = change <= part * length + rest
        difference = cv2.GaussianBlur(cv2.absdiff(looked, now), (5, 5), 0).astype(np.float32)
        likeness = np.clip(2 - difference / (LEAST_LIKENESS / 2), 0, 1)
        trust = cv2.erode((inside & agreed & even).astype(np.float32), np.ones((3, 3), np.uint8))
        trust = cv2.GaussianBlur(trust, (5, 5), 0) * trust * likeness
        if trust.mean() < CUT:
            return None
        return Carry(back / np.array([width, height], np.float32), trust)


def carried(picture: Bytes, painted: Bytes, carry: Carry, weight: float) -> Bytes:
    """`painted` (H, W, 3) with the one before, `picture`, carried on to it where it can be, with `weight` in [0, 1]."""
    height, width = painted.shape[:2]
    place: Floats = np.asarray(cv2.resize(carry.place, (width, height), interpolation=cv2.INTER_LINEAR))
    place *= np.array([width, height], np.float32)
    place[:, :, 0] += np.arange(width, dtype=np.float32)
    place[:, :, 1] += np.arange(height, dtype=np.float32)[:, None]
    moved = _sampled(picture, place, cv2.INTER_CUBIC)
    part = weight * cv2.resize(carry.trust, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.blendLinear(moved, painted, part, 1 - part))


def _sampled(picture: Any, at: Floats, interpolation: int = cv2.INTER_LINEAR) -> Any:
    """(h, w, ...) at other places, (h, w, 2): across, then down."""
    no_second: Any = None
    return cv2.remap(picture, at, no_second, interpolation, borderMode=cv2.BORDER_REFLECT)


def _square(vectors: Floats) -> Floats:
    return np.asarray(np.einsum("hwc,hwc->hw", vectors, vectors))
