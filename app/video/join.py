"""Segments to one file: their packets or pictures as they are, each at its time, with the sound beside them."""

import heapq
import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from av.filter import Graph

from app.video.formats import Format
from app.video.sound import Sound, Timed

MUXERS: Final[dict[Format, str]] = {"mp4": "mp4", "webm": "webm"}
TIMES: Final = "frames.json"
HUNDREDTH: Final = Fraction(1, 100)  # what times are told in by a GIF
# A pattern that stands still, where diffused errors would swarm.
DITHER: Final = "dither=bayer:bayer_scale=3"


@dataclass(frozen=True)
class Part:
    """A segment's file, and when each of its frames is shown and for how long, in ticks of the result."""

    path: Path
    ticks: Sequence[int]
    durations: Sequence[int]


def join(format: Format, parts: Sequence[Part], time_base: Fraction, alpha: bool, sound: Sound, to: Path) -> None:
    """Write a result into a file, which is not whole before this returns. Raises OSError as writing does."""
    if format == "zip":
        _archive(parts, time_base, to)
    elif format == "gif":
        _gif(parts, time_base, alpha, to)
    else:
        _movie(format, parts, time_base, alpha, sound, to)


def _movie(format: Format, parts: Sequence[Part], time_base: Fraction, alpha: bool, sound: Sound, to: Path) -> None:
    # Players start before they have it all; and without "bitexact" the file would get a random number.
    options = {"fflags": "+bitexact"}
    if format == "mp4":
        options |= {"movflags": "+faststart", "video_track_timescale": str(time_base.denominator)}
    with closing(av.open(f"file:{to}", "w", format=MUXERS[format], options=options)) as output:
        with closing(av.open(f"file:{parts[0].path}")) as first:
            stream = output.add_stream_from_template(first.streams.video[0])
        stream.time_base = Fraction(1, time_base.denominator)
        if alpha:
            stream.metadata["alpha_mode"] = "1"
        tracks = [_timed(parts, time_base, stream)]
        if sound.there:
            tracks.append(sound.packets(output))
        for timed in heapq.merge(*tracks, key=lambda timed: timed.time):
            output.mux(timed.packet)


def _timed(parts: Sequence[Part], time_base: Fraction, stream: Any) -> Iterator[Timed]:
    for part in parts:
        for ticks, duration, packet in _packets(part):
            packet.pts = packet.dts = ticks * time_base.numerator
            packet.duration = duration * time_base.numerator
            packet.time_base = Fraction(1, time_base.denominator)
            packet.stream = stream
            yield Timed(ticks * time_base, packet)


def _packets(part: Part) -> Iterator[tuple[int, int, Any]]:
    """When a frame is shown, for how long, and what it is coded as."""
    with closing(av.open(f"file:{part.path}")) as segment:
        packets = (packet for packet in segment.demux(segment.streams.video[0]) if packet.size)
        yield from zip(part.ticks, part.durations, packets, strict=True)


def _frames(parts: Sequence[Part]) -> Iterator[tuple[int, Any]]:
    """Decoded again, for what has to be seen whole before any of it can be written."""
    for part in parts:
        with closing(av.open(f"file:{part.path}")) as segment:
            yield from zip(part.ticks, segment.decode(video=0), strict=True)


def _gif(parts: Sequence[Part], time_base: Fraction, alpha: bool, to: Path) -> None:
    """All frames have one palette, so that what stands still keeps its colours."""
    painted = _Palette(parts, alpha)
    last = max(1, round(parts[-1].durations[-1] * time_base / HUNDREDTH))
    with closing(av.open(f"file:{to}", "w", format="gif", options={"loop": "0", "final_delay": str(last)})) as output:
        stream: Any = output.add_stream("gif", rate=100)
        stream.width, stream.height, stream.pix_fmt = painted.width, painted.height, "pal8"
        stream.codec_context.time_base = HUNDREDTH
        for ticks, frame in _frames(parts):
            frame.pts, frame.time_base = round(ticks * time_base / HUNDREDTH), HUNDREDTH
            output.mux(stream.encode(painted(frame)))
        output.mux(stream.encode(None))


class _Palette:
    """The colours that serve all frames best, and frames in them."""

    def __init__(self, parts: Sequence[Part], alpha: bool) -> None:
        finding: Any = None
        for number, (_, frame) in enumerate(_frames(parts)):
            if finding is None:
                self.width, self.height = frame.width, frame.height
                finding, source = _source(frame)
                generator = finding.add("palettegen", f"reserve_transparent={int(alpha)}")
                source.link_to(generator)
                _ended(finding, generator)
            frame.pts, frame.time_base = number, HUNDREDTH
            finding.vpush(frame)
        finding.vpush(None)
        palette = finding.vpull()
        self._graph, source = _source(frame)
        colours = self._graph.add_buffer(
            width=palette.width, height=palette.height, format=palette.format, time_base=HUNDREDTH, name="palette"
        )
        use = self._graph.add("paletteuse", DITHER)
        source.link_to(use, 0, 0)
        colours.link_to(use, 0, 1)
        _ended(self._graph, use)
        palette.pts, palette.time_base = 0, HUNDREDTH
        self._graph.vpush(palette, 1)
        self._graph.vpush(None, 1)

    def __call__(self, frame: Any) -> Any:
        """A frame in pal8."""
        self._graph.vpush(frame, 0)
        return self._graph.vpull()


def _archive(parts: Sequence[Part], time_base: Fraction, to: Path) -> None:
    """A picture for each frame, and a list of when each is shown and for how long, in seconds."""
    shown: list[dict[str, object]] = []
    with zipfile.ZipFile(to, "w", zipfile.ZIP_STORED) as archive:  # PNG is compressed already
        for part in parts:
            for ticks, duration, packet in _packets(part):
                name = f"frame-{len(shown):06}.png"
                # A ZipInfo made by hand has no time of day in it.
                archive.writestr(zipfile.ZipInfo(name), bytes(packet))
                times = {"time": float(ticks * time_base), "duration": float(duration * time_base)}
                shown.append({"file": name, **times})
        archive.writestr(zipfile.ZipInfo(TIMES), json.dumps(shown, indent=1))


def _source(frame: Any) -> tuple[Graph, Any]:
    """A graph of filters, and where frames like this one go in."""
    graph = Graph()
    return graph, graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=HUNDREDTH, name="frames"
    )


def _ended(graph: Graph, last: Any) -> None:
    last.link_to(graph.add("buffersink"))
    graph.configure()
