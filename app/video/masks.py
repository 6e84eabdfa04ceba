"""Where each style acts: masks that stand still, and masks that move with the video."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from app.engine.base import Picture
from app.images.colour import LUMA
from app.pipeline import Limits as PictureLimits
from app.pipeline import grid, read_mask
from app.video.errors import VideoError
from app.video.frames import Frame, Limits, Video
from app.video.read import is_video, open_video

EVERYWHERE: Final = (slice(None), slice(None))


class WrongMask(VideoError):
    """The video of `field` can't be read; the text says why."""

    def __init__(self, field: str, cause: VideoError) -> None:
        super().__init__(str(cause))
        self.field = field
        self.cause = cause


class Masks:
    """One mask a style for frames of `size`, (width, height): pictures, or videos that are shown beside.

    `notes` tells where one is shorter. Raises FieldError for a picture that can't be read, WrongMask for a video.
    """

    def __init__(self, files: Sequence[Path], size: tuple[int, int], limits: Limits, pictures: PictureLimits) -> None:
        self.notes: list[str] = []
        width, height = size
        self._tracks: list[Picture | _Track] = []
        for number, file in enumerate(files):
            field = f"mask[{number}]"
            if is_video(file):
                self._tracks.append(_Track(field, file, size, limits, self.notes))
            else:
                with file.open("rb") as opened:
                    self._tracks.append(read_mask(field, opened, height, width, EVERYWHERE, pictures))

    def at(self, seconds: float) -> list[Picture] | None:
        """What masks are at a time, which never goes back: uint8 (h, w) each, at relu4_1's size; None without any."""
        return [track if isinstance(track, np.ndarray) else track.at(seconds) for track in self._tracks] or None


class _Track:
    """A mask that is a video: at each time the frame that is shown then, and at last the last."""

    def __init__(self, field: str, file: Path, size: tuple[int, int], limits: Limits, notes: list[str]) -> None:
        self._field = field
        self._notes = notes
        try:
            self._video: Video = open_video(file, limits)
            self._frames: Iterator[Frame] = self._video.frames(size)
            self._next: Frame | None = next(self._frames)
        except VideoError as error:
            raise WrongMask(field, error) from None
        except StopIteration:
            raise WrongMask(field, VideoError("The mask's video has no frame that can be read.")) from None
        self._seconds = float(self._video.info.time_base)
        self._end = 0.0
        self._grid: Picture = np.zeros((0, 0), np.uint8)

    def at(self, seconds: float) -> Picture:
        while self._next is not None and (not self._grid.size or self._next.ticks * self._seconds <= seconds):
            frame = self._next
            self._grid = grid(_grey(frame))
            self._end = (frame.ticks + frame.duration) * self._seconds
            try:
                self._next = next(self._frames, None)
            except VideoError as error:
                raise WrongMask(self._field, error) from None
        if self._next is None and seconds >= self._end > 0:
            self._notes.append(f"{self._field} ends at {self._end:.1f} s; its last frame stands from there on.")
            self._end = 0.0
        return self._grid


def _grey(frame: Frame) -> Picture:
    grey = frame.rgb @ LUMA
    if frame.alpha is not None:
        grey = grey * (frame.alpha / np.float32(255))
    return np.asarray(grey.round().clip(0, 255).astype(np.uint8))
