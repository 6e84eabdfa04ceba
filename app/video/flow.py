"""Where each part of a frame was in the one before: dense inverse search (Kroeger et al. 2016), both ways.

What the two ways agree on, as Sundaram et al. (2010) test it, and what looks as it did, can be followed.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.video.frames import Bytes

LONG_SIDE: Final = 320  # pixels of the grey pictures that flow is found in; details of it are no finer than strokes
AGREEMENT: Final = (0.01, 0.5)  # what the two ways may differ by: a part of their squares, and square pixels
FINEST: Final = 1  # of the scales, 0 being the grey picture's own: half the error of 2, for three times its time
LEAST_LIKENESS: Final = 40.0  # levels of 255 that a part may change by on its way
CUT: Final = 0.3  # of a frame: where less of it was there before it is another scene
STILL: Final = 0.02  # pixels: flow below that is none, so that what stands still is not resampled

Floats = NDArray[np.float32]

# What runs beside the network is not to take its cores.
cv2.setNumThreads(1)


def repeatably() -> None:
    """What OpenCV computes in this thread from now on depends on nothing but what it is given.

    The last bits of what Intel's IPP computes may depend on where in memory that lies, which differs from run to run;
    OpenCV's own code is as fast here.
    """
    cv2.ipp.setUseIPP(False)


@dataclass(frozen=True)
class Step:
    """From a grey picture (h, w) back to another one.

    `place` (h, w, 2) float32: where each part was, in pixels across and down; `trust` (h, w) float32 in [0, 1]: how
    far that is so.
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


@lru_cache(4)
def standing(shape: tuple[int, int]) -> Step:
    """Of a picture (h, w) to itself."""
    height, width = shape
    across, down = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    step = Step(np.dstack((across, down)), np.ones(shape, np.float32))
    step.place.flags.writeable = step.trust.flags.writeable = False
    return step


def sampled(picture: Any, place: Floats, interpolation: int = cv2.INTER_LINEAR) -> Any:
    """(h, w, ...) at other places, (H, W, 2): across, then down."""
    no_second: Any = None
    return cv2.remap(picture, place, no_second, interpolation, borderMode=cv2.BORDER_REFLECT)


def step_back(before: Bytes, now: Bytes) -> Step | None:
    """From `now` back to `before`, both (h, w); None at a cut."""
    # The way forth is only to check the way back by.
    back, forth = _found(now, before, FINEST), _found(before, now, FINEST + 1)
    still = cv2.inRange(back, (-STILL, -STILL), (STILL, STILL))
    back *= (still == 0)[:, :, None]
    height, width = now.shape
    place = standing((height, width)).place + back
    returned = sampled(forth, place)
    across, down = place[:, :, 0], place[:, :, 1]
    inside = (across >= 0) & (across <= width - 1) & (down >= 0) & (down <= height - 1)
    length = _square(back)
    part, rest = AGREEMENT
    agreed = _square(back + returned) <= part * (length + _square(returned)) + rest
    trust = cv2.erode((inside & agreed).astype(np.float32), np.ones((3, 3), np.uint8))
    trust = cv2.GaussianBlur(trust, (5, 5), 0) * trust
    alike = trust * likeness(before, now, place)
    return Step(place, trust) if alike.mean() >= CUT else None


def followed(step: Step, further: Step) -> Step:
    """Where parts were in a third picture: a step back, and what led from there further back."""
    place = sampled(further.place, step.place)
    return Step(place, np.minimum(step.trust, sampled(further.trust, step.place)))


def likeness(before: Bytes, now: Bytes, place: Floats) -> Floats:
    """How much each part looks as it did, (h, w) in [0, 1]."""
    difference = cv2.GaussianBlur(cv2.absdiff(sampled(before, place), now), (5, 5), 0).astype(np.float32)
    return np.asarray(np.clip(2 - difference / (LEAST_LIKENESS / 2), 0, 1))


def _found(one: Bytes, other: Bytes, finest: int) -> Floats:
    """(h, w, 2): from each place in one picture to where that is in the other."""
    # Of pictures that are too small for its scales a search changes its own settings: each is by a new one.
    search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    search.setFinestScale(finest)
    no_flow: Any = None
    return np.asarray(search.calc(one, other, no_flow))


def _square(vectors: Floats) -> Floats:
    return np.asarray(np.einsum("hwc,hwc->hw", vectors, vectors))
