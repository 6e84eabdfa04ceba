"""Clips made here, as cameras and programs write them."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray

from tests.pictures import photo

Bytes = NDArray[np.uint8]
# A phone's ticks, and frames that don't come evenly.
TIME_BASE = Fraction(1, 600)
UNEVEN = (0, 20, 41, 60, 100, 119, 140, 160, 183, 200, 220, 240)


def pan(count: int, width: int, height: int, step: int = 2, name: str = "astronaut") -> list[Bytes]:
    """A camera that moves over a photo, `step` pixels a frame."""
    wide = photo(name, width + step * count)
    return [np.ascontiguousarray(wide[:height, step * n : step * n + width]) for n in range(count)]


def around(count: int, height: int, step: int) -> list[Bytes]:
    """A camera that goes once around, `step` pixels a frame, so that the first frame follows the last."""
    half = photo("astronaut", count * step)[:height, : count * step // 2]
    whole = np.concatenate((half, half[:, ::-1]), 1)
    return [np.ascontiguousarray(np.roll(whole, -step * n, 1)) for n in range(count)]


def steps(frames: Sequence[Bytes], step: int) -> list[float]:
    """How much each frame of such a clip differs from the one before, moved along; the first from the last."""
    back = [np.roll(frame, step * n, 1).astype(int) for n, frame in enumerate(frames)]
    return [float(np.abs(now - before).mean()) for before, now in zip([back[-1], *back], back, strict=False)]


def write(
    path: Path,
    frames: Iterable[Bytes],
    ticks: Sequence[int] | None = None,
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    turn: int = 0,
    sound: str | None = None,
    last: int = 20,
    options: dict[str, str] | None = None,
    mirrored: bool = False,
    aspect: Fraction | None = None,
    noise: bool = False,
) -> Path:
    """Frames, (H, W, 3) each, shown at `ticks` of TIME_BASE, the last for `last`; turned by `turn` degrees to the left.

    `sound`: a codec for a tone as long as the pictures; `aspect`: of a pixel; `noise` makes all frames about as large.
    """
    frames = list(frames)
    if noise:
        rng = np.random.default_rng(0)
        frames = [(frame // 2 + rng.integers(0, 100, frame.shape, np.uint8)).astype(np.uint8) for frame in frames]
    ticks = ticks or [20 * n for n in range(len(frames))]
    with av.open(str(path), "w", options=options or {}) as container:
        video: Any = container.add_stream(codec, rate=30, options={"bf": "2", **(options or {})})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = pixels
        video.codec_context.time_base = TIME_BASE
        if turn or mirrored:
            video.set_display_rotation(turn, hflip=mirrored)
        if aspect:
            video.sample_aspect_ratio = aspect
        tone: Any = container.add_stream(sound, rate=48_000, layout="mono") if sound else None
        for at, pixels_of in zip(ticks, frames, strict=True):
            frame = VideoFrame.from_ndarray(pixels_of, "rgb24")
            frame.pts, frame.time_base, frame.duration = at, TIME_BASE, last
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if tone:
            seconds = float((ticks[-1] + last) * TIME_BASE)
            wave = np.sin(np.arange(int(48_000 * seconds)) * 0.05).astype(np.float32)[None]
            for at in range(0, wave.shape[1], 1000):
                part = AudioFrame.from_ndarray(np.ascontiguousarray(wave[:, at : at + 1000]), "fltp", "mono")
                part.sample_rate, part.pts, part.time_base = 48_000, at, Fraction(1, 48_000)
                container.mux(tone.encode(part))
            container.mux(tone.encode(None))
    return path


def phone(path: Path, width: int = 96, height: int = 64) -> Path:
    """As a phone writes it: upright by its display matrix alone, at a variable rate, with sound."""
    return write(path, pan(len(UNEVEN), width, height), UNEVEN, turn=-90, sound="aac")


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """A stream's packets: when each is shown, in seconds, and what is in it."""
    with av.open(str(path)) as container:
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(**{kind: 0})
            if packet.size and packet.pts is not None
        ]


def shown(path: Path) -> list[tuple[Fraction, Bytes]]:
    """Frames as a player shows them, but not turned, and when."""
    with av.open(str(path)) as container:
        return [(frame.pts * frame.time_base, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def duration(path: Path) -> Fraction:
    """How long the pictures last, in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.duration * stream.time_base
