"""What is known of a video, and its frames one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from app.video.errors import VideoTooLarge

Bytes = NDArray[np.uint8]
DEFAULT_DURATION: Final = Fraction(1, 25)  # of a frame of which nothing else is known, in seconds


@dataclass(frozen=True)
class Frame:
    """One frame, upright, in sRGB: `rgb` (H, W, 3) uint8, `alpha` (H, W) uint8 or None where it is opaque.

    `ticks` is when it is shown, from the first frame on, and `duration` for how long, both in the video's `time_base`.
    """

    index: int
    ticks: int
    duration: int
    rgb: Bytes
    alpha: Bytes | None = None


@dataclass(frozen=True)
class Limits:
    """The most a video may have: `bytes` of its file, `pixels` of a frame, `frames`, `seconds`; see the settings."""

    bytes: int
    pixels: int
    frames: int
    seconds: float

    def check(self, *, bytes: int = 0, pixels: int = 0, frames: int = 0, seconds: float = 0.0) -> None:
        """Raises VideoTooLarge where one of them is over its limit."""
        if bytes > self.bytes:
            raise VideoTooLarge("bytes", bytes, self.bytes)
        if pixels > self.pixels:
            raise VideoTooLarge("pixels", pixels, self.pixels)
        if frames > self.frames:
            raise VideoTooLarge("frames", frames, self.frames)
        if seconds > self.seconds:
            raise VideoTooLarge("seconds", seconds, self.seconds)


@dataclass(frozen=True)
class Info:
    """What a video's header tells, which need not be true but for `width`, `height` and `time_base`.

    `width` and `height` are of a frame as it is shown: upright, its pixels square. `frames` and `seconds` are None
    where it does not tell. `time_base` is the seconds of a tick. `kind` is the container: "mp4", "webm", "mkv", "gif",
    "webp" or "png". `start` is when the first frame is shown, in seconds on the clock of the container. `loops`: the
    first frame follows the last one.
    """

    kind: str
    width: int
    height: int
    time_base: Fraction
    frames: int | None
    seconds: float | None
    alpha: bool = False
    start: Fraction = Fraction(0)
    loops: bool = False


class Video(Protocol):
    """A video file that is open. `notes` tells, once its frames have been read, what could not be."""

    path: Path
    info: Info
    notes: list[str]

    def frames(self, size: tuple[int, int], skip: int = 0) -> Iterator[Frame]:
        """All that can be read but the first `skip`, at `size`, (width, height).

        Raises VideoTooLarge as soon as a limit is passed.
        """

    def close(self) -> None:
        """Let go of the file."""
