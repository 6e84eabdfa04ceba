"""What results can be, and how a segment of each is kept until all are there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from app.video.errors import CannotBeWritten

Format = Literal["mp4", "webm", "gif", "zip"]
# The result of a video of that kind, where no other is asked for.
OF_KIND: Final[dict[str, Format]] = {
    "mp4": "mp4",
    "mkv": "mp4",
    "webm": "webm",
    "gif": "gif",
    "webp": "webm",
    "png": "webm",
}
MEDIA_TYPES: Final[dict[Format, str]] = {
    "mp4": "video/mp4",
    "webm": "video/webm",
    "gif": "image/gif",
    "zip": "application/zip",
}
VIDEO_SUFFIXES: Final[dict[Format, str]] = {"mp4": ".mp4", "webm": ".webm", "gif": ".gif", "zip": ".zip"}
# A number of threads of its own makes what is written depend on the machine.
THREADS: Final = "4"


@dataclass(frozen=True)
class Kept:
    """How frames are kept until the result is put together: PyAV's names of codec and pixel formats.

    `options` takes the quality, 1 to 100. `even`: whether sides have to be even. `alpha_pixels` is None where a result
    has no alpha, and what is transparent is laid on white. `longest` bounds the sides; `container` is of a segment.
    """

    codec: str
    pixels: str
    alpha_pixels: str | None
    options: Callable[[int], dict[str, str]]
    even: bool = False
    longest: int = 16_384
    container: str = "matroska"


def _x264(quality: int) -> dict[str, str]:
    # Without B-frames packets are in the order of frames, so that segments can be joined by their times alone.
    # Its AVX-512 code for macroblock trees gives, once in a hundred times, what depends on where in memory it works.
    same = {"x264-params": "cpu-independent=1"}
    return {"preset": "veryfast", "crf": str(_crf(quality, 18)), "bf": "0", "threads": THREADS, **same}


def _vp9(quality: int) -> dict[str, str]:
    speed = {"deadline": "good", "cpu-used": "5", "row-mt": "1", "threads": THREADS, "auto-alt-ref": "0"}
    return {"crf": str(_crf(quality, 24)), "b": "0", **speed}


def _ffv1(quality: int) -> dict[str, str]:
    return {"threads": THREADS, "slices": "4"}


def _png(quality: int) -> dict[str, str]:
    return {"threads": THREADS, "compression_level": "4", "pred": "up"}


def _crf(quality: int, at_90: int) -> int:
    return min(51, round(at_90 + (90 - quality) * 0.4))


KEPT: Final[dict[Format, Kept]] = {
    "mp4": Kept("libx264", "yuv420p", None, _x264, even=True),
    "webm": Kept("libvpx-vp9", "yuv420p", "yuva420p", _vp9),
    "gif": Kept("ffv1", "bgr0", "bgra", _ffv1, longest=65_535),
    "zip": Kept("png", "rgb24", "rgba", _png, longest=65_535, container="mov"),
}


def writable(format: Format, width: int, height: int) -> tuple[int, int]:
    """The size nearest to width x height that a format can hold.

    Raises CannotBeWritten.
    """
    kept = KEPT[format]
    if max(width, height) > kept.longest:
        raise CannotBeWritten(f"A {format} has at most {kept.longest} pixels a side: ask for a smaller size.")
    return (max(2, width // 2 * 2), max(2, height // 2 * 2)) if kept.even else (width, height)
