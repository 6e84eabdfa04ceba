"""MP4, QuickTime, WebM and MKV, which FFmpeg's libraries demultiplex and decode."""

from collections.abc import Iterator
from contextlib import closing, suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.error import FFmpegError
from av.sidedata.sidedata import Type as SideData

from app.video.colour import to_srgb
from app.video.errors import UnreadableVideo
from app.video.frames import DEFAULT_DURATION, Bytes, Frame, Info, Limits

DEMUXERS: Final = {"mp4": "mov", "webm": "matroska", "mkv": "matroska"}
CODECS_READ: Final = "H.264, HEVC, VP9 or AV1"
FIRST_PACKETS: Final = 300  # among them is one that can be decoded, or none is looked for
# Frames further apart than the first of these, in seconds, are told, and further than the second if others come faster.
SURE_GAP: Final = Fraction(2)
LEAST_GAP: Final = Fraction(1, 4)
USUAL_FRAMES: Final = 5
# What turns a frame upright, as the upper left part of its display matrix.
Turn = tuple[int, int, int, int]
UPRIGHT: Final[Turn] = (1, 0, 0, 1)


def open_container(path: Path, kind: str) -> Any:
    """The file as PyAV's container, by the one demultiplexer for it: none that would follow links to other files.

    Raises UnreadableVideo.
    """
    try:
        options = {"protocol_whitelist": "file"}
        return av.open(f"file:{path}", format=DEMUXERS[kind], options=options, metadata_errors="replace")
    except FFmpegError as error:
        raise UnreadableVideo(
            f"The {kind.upper()} cannot be read, being damaged, cut off or of an unusual kind: send it whole."
        ) from error


class Movie:
    """A movie; meets `app.video.frames.Video`."""

    def __init__(self, path: Path, kind: str, limits: Limits) -> None:
        self.path = path
        self.notes: list[str] = []
        self._kind = kind
        self._limits = limits
        self.info, self._turn = self._header()

    def frames(self, size: tuple[int, int], skip: int = 0) -> Iterator[Frame]:
        self.notes.clear()
        self._limits.check(pixels=size[0] * size[1])
        width, height = size[::-1] if self._turn[0] == 0 else size
        for index, (ticks, duration, frame) in enumerate(self._timed()):
            self._limits.check(frames=index + 1, seconds=float((ticks + duration) * self.info.time_base))
            if index >= skip:
                rgb, alpha = to_srgb(frame, width, height)
                yield Frame(
                    index,
                    ticks,
                    duration,
                    turned(rgb, self._turn),
                    None if alpha is None or alpha.min() == 255 else turned(alpha, self._turn),
                )

    def close(self) -> None:
        """Nothing is held open between two readings."""

    def _header(self) -> tuple[Info, Turn]:
        with closing(open_container(self.path, self._kind)) as container:
            stream = _best(container)
            context = stream.codec_context
            self._limits.check(pixels=context.width * context.height)
            seconds = _seconds(container, stream)
            self._limits.check(frames=stream.frames, seconds=seconds or 0.0)
            frame = next(self._decoded(container, stream, FIRST_PACKETS), None)
            if frame is None:
                raise UnreadableVideo(f"Nothing of the video can be decoded: send it whole, in {CODECS_READ}.")
            turn = turn_of(frame)
            size = (max(1, round(frame.width * (stream.sample_aspect_ratio or 1))), frame.height)
            self._limits.check(pixels=size[0] * size[1])
            width, height = size[::-1] if turn[0] == 0 else size
            alpha = any(component.is_alpha for component in frame.format.components)
            start = (frame.pts or 0) * stream.time_base
            info = Info(self._kind, width, height, stream.time_base, stream.frames or None, seconds, alpha, start)
            return info, turn

    def _timed(self) -> Iterator[tuple[int, int, Any]]:
        """Frames with when and for how long each is shown, in ticks from the first on, which never go backwards."""
        usual = round(DEFAULT_DURATION / self.info.time_base) or 1
        waiting: tuple[int, int, Any] | None = None
        shift = -round(self.info.start / self.info.time_base)
        gaps: list[tuple[int, int]] = []
        backwards = count = end = 0
        with closing(open_container(self.path, self._kind)) as container:
            stream = _best(container)
            if stream.average_rate:
                usual = round(1 / (stream.average_rate * self.info.time_base)) or 1
            gap = min(SURE_GAP, max(USUAL_FRAMES * usual * self.info.time_base, LEAST_GAP)) / self.info.time_base
            for frame in self._decoded(container, stream):
                count += 1
                duration = frame.duration or usual
                if waiting is None:
                    waiting = (0, duration, frame)
                    continue
                before, lasted, _ = waiting
                ticks = before + lasted if frame.pts is None else frame.pts + shift
                if ticks <= before:
                    backwards += 1
                    shift += before + lasted - ticks
                    ticks = before + lasted
                if ticks - before > gap:
                    gaps.append((before, ticks))
                yield before, ticks - before, waiting[2]
                waiting = (ticks, duration, frame)
            if waiting is not None:
                end = waiting[0] + waiting[1]
                yield waiting
        if backwards:
            self.notes.append(f"Time stamps went backwards {backwards} times; those frames follow the ones before.")
        if gaps:
            self._note_gaps(gaps)
        self._note_missing(count, float(end * self.info.time_base))

    def _decoded(self, container: Any, stream: Any, packets: int | None = None) -> Iterator[Any]:
        """All frames that can be decoded, of the first `packets` or of all; what cannot be is noted."""
        context = _decoder(stream, self._limits)
        damaged = corrupt = 0
        for packet in islice(self._packets(container, stream), packets):
            try:
                frames = context.decode(packet)
            except FFmpegError:
                damaged += 1
                continue
            for frame in frames:
                corrupt += frame.is_corrupt
                yield frame
        with suppress(FFmpegError, EOFError):
            yield from context.decode(None)
        if damaged or corrupt:
            self.notes.append(f"{damaged} frames are damaged and left out, {corrupt} more were mended by the decoder.")

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError:
                self.notes.append("The file is damaged or cut off; what came before is done.")
                return
            if packet is None or (packet.dts is None and packet.size == 0):
                return
            yield packet

    def _note_gaps(self, gaps: list[tuple[int, int]]) -> None:
        longest = max(gaps, key=lambda gap: gap[1] - gap[0])
        at, seconds = (float(ticks * self.info.time_base) for ticks in (longest[0], longest[1] - longest[0]))
        times = f"{len(gaps)} time{'s' if len(gaps) > 1 else ''}"
        self.notes.append(
            f"No frames for a while {times}, at most for {seconds:.1f} s from {at:.1f} s on; the one before stands."
        )

    def _note_missing(self, count: int, seconds: float) -> None:
        if self.info.frames and count < self.info.frames:
            self.notes.append(f"{count} of {self.info.frames} frames could be read.")
        elif self.info.seconds and seconds < self.info.seconds - max(0.5, self.info.seconds / 20):
            self.notes.append(f"The header tells of {self.info.seconds:.1f} s; there are pictures for {seconds:.1f} s.")


def turn_of(frame: Any) -> Turn:
    """The signs of a frame's display matrix, whose other parts no camera uses."""
    matrix = frame.side_data.get(SideData.DISPLAYMATRIX)
    if matrix is None:
        return UPRIGHT
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5]
    a, b, c, d = (int(np.sign(part)) for part in ((a, 0, 0, d) if abs(a) >= abs(b) else (0, b, c, 0)))
    return (a, b, c, d) if a * d or b * c else UPRIGHT


def turned(pixels: Bytes, turn: Turn) -> Bytes:
    """(H, W, ...) as it is to be seen: a pixel at (x, y) goes to (a x + c y, b x + d y)."""
    a, b, c, d = turn
    across, down = (a, d) if a else (c, b)
    pixels = pixels if a else pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels[::down, ::across])


def _best(container: Any) -> Any:
    stream = container.streams.best("video")
    if stream is None:
        raise UnreadableVideo("There is no picture in this file, at most sound: send a video.")
    if stream.codec_context is None:
        raise UnreadableVideo(f"The video's codec is none that is read here: send {CODECS_READ}.")
    return stream


def _decoder(stream: Any, limits: Limits) -> Any:
    context = stream.codec_context
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    if tags.get("alpha_mode") == "1" and context.name in ("vp8", "vp9"):
        # FFmpeg's own decoders do not see alpha.
        context = av.CodecContext.create("libvpx-vp9" if context.name == "vp9" else "libvpx", "r")
    # What a decoder finds in the stream itself may be larger than the header promised.
    context.options = {"max_pixels": str(2 * limits.pixels)}
    return context


def _seconds(container: Any, stream: Any) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None
