"""Animated GIF, WebP and PNG, which Pillow composes frame by frame."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, repeat
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from PIL import Image

from app.images.decode import resized, resized_together
from app.images.profile import to_srgb
from app.video.errors import UnreadableVideo
from app.video.frames import Bytes, Frame, Info, Limits
from app.video.gif import canvases

MILLISECOND: Final = Fraction(1, 1000)
# Browsers show what is to be shown for less than 20 ms for 100 ms: files have 0 where nobody thought of it.
LEAST_DURATION: Final = 20
DEFAULT_DURATION: Final = 100


def is_animated(file: BinaryIO, kind: str) -> bool:
    """Whether a GIF, WebP or PNG has more than one frame."""
    if kind == "gif":
        return len(list(islice(canvases(file), 2))) > 1
    try:
        image = Image.open(file, formats=(kind,))
        return bool(getattr(image, "is_animated", False))
    except Exception:  # Pillow raises nearly anything on bad bytes
        return False


class Animation:
    """An animation; meets `app.video.frames.Video`."""

    def __init__(self, path: Path, kind: str, limits: Limits) -> None:
        self.path = path
        self.notes: list[str] = []
        self._limits = limits
        if kind == "gif":
            with path.open("rb") as file:
                width, height = next(canvases(file), (0, 0))
            limits.check(pixels=width * height)
        try:
            self._image = Image.open(path, formats=(kind,))
        except Exception as error:
            raise UnreadableVideo(f"The {kind.upper()} cannot be read, being damaged or no picture at all.") from error
        width, height = self._image.size
        limits.check(pixels=width * height)
        # Only WebP's header tells how many frames there are; of the others all would have to be read.
        frames = getattr(self._image, "n_frames", None) if kind == "webp" else None
        limits.check(frames=frames or 0)
        self.info = Info(kind, width, height, MILLISECOND, frames, None, alpha=True, loops=self._loops(kind))

    def _loops(self, kind: str) -> bool:
        """A GIF that does not tell is shown once; the others tell, and none means for ever."""
        times = self._image.info.get("loop")
        return times is not None if kind == "gif" else times != 1

    def frames(self, size: tuple[int, int], skip: int = 0) -> Iterator[Frame]:
        self.notes.clear()
        self._limits.check(pixels=size[0] * size[1])
        first = 1 if self._image.info.get("default_image") else 0  # of a PNG: what is shown by who knows no animation
        ticks = index = 0
        for width, height in self._canvases():
            self._limits.check(pixels=width * height)
            try:
                self._image.seek(first + index)
                whole = self._image.convert("RGBA")
            except EOFError:
                break
            except Exception:  # Pillow raises nearly anything on bad bytes
                self.notes.append(f"The file is damaged from frame {index} on; what came before is done.")
                break
            duration = round(self._image.info.get("duration") or 0)
            duration = duration if duration >= LEAST_DURATION else DEFAULT_DURATION
            self._limits.check(frames=index + 1, seconds=float((ticks + duration) * MILLISECOND))
            if index >= skip:
                yield Frame(index, ticks, duration, *self._pixels(whole, size))
            ticks += duration
            index += 1
        if not index:
            raise UnreadableVideo("No frame of it can be decoded.")

    def _canvases(self) -> Iterator[tuple[int, int]]:
        """The size of each frame before it is decoded."""
        if self.info.kind != "gif":
            yield from repeat(self._image.size)
        with self.path.open("rb") as file:
            yield from canvases(file)

    def _pixels(self, whole: Image.Image, size: tuple[int, int]) -> tuple[Bytes, Bytes | None]:
        colour, alpha = whole.convert("RGB"), whole.getchannel("A")
        if alpha.getextrema()[0] == 255:
            colour = resized(colour, size, (0, 0, *colour.size))
            opacity = None
        else:
            colour, alpha = resized_together(colour, alpha, size)
            opacity = np.array(alpha)
        return np.array(to_srgb(colour, self._image.info.get("icc_profile"))), opacity

    def close(self) -> None:
        self._image.close()
