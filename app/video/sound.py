"""The sound of a video, for its result: copied packet by packet where the result's container takes it."""

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, NamedTuple

from av.error import FFmpegError

from app.video.formats import Format
from app.video.movie import open_container
from app.video.sniff import MOVIES

# What browsers play out of each.
COPIED: Final[dict[Format, tuple[str, ...]]] = {
    "mp4": ("aac", "mp3", "ac3", "eac3", "alac", "flac", "opus"),
    "webm": ("opus", "vorbis"),
}
ENCODED: Final[dict[Format, str]] = {"mp4": "aac", "webm": "libopus"}
RATE: Final = 48_000


class Timed(NamedTuple):
    """A packet for a container, and when it is to be there, in seconds."""

    time: Fraction
    packet: Any


class Sound:
    """The sound of the file at `path`, on the clock of a result that starts `start` seconds later.

    `notes` tells what became of it, where it is not what it was.
    """

    def __init__(self, path: Path, kind: str, start: Fraction, format: Format) -> None:
        self.notes: list[str] = []
        self._path = path
        self._kind = kind
        self._start = start
        self._format = format
        self._copied = True
        self.there = kind in MOVIES and self._looked_for()

    def _looked_for(self) -> bool:
        with closing(open_container(self._path, self._kind)) as container:
            streams = container.streams.audio
            stream = container.streams.best("audio")
            if not streams:
                return False
            if self._format not in COPIED:
                self.notes.append(f"A {self._format} has no sound; the video's is left out.")
                return False
            if stream is None or stream.codec_context is None:
                self.notes.append("The sound is of a codec that is not read here, and is left out.")
                return False
            if len(streams) > 1:
                self.notes.append(f"Of {len(streams)} sound tracks the first is kept.")
            name = stream.codec_context.codec.canonical_name
            self._copied = name in COPIED[self._format]
            if not self._copied:
                encoded = ENCODED[self._format].removeprefix("lib")
                self.notes.append(f"The sound is encoded anew, as {encoded}: a {self._format} does not take {name}.")
            return True

    def packets(self, output: Any) -> Iterator[Timed]:
        """A stream is added to a container at once; its packets come as they are asked for."""
        container = open_container(self._path, self._kind)
        stream = container.streams.best("audio")
        if self._copied:
            target = output.add_stream_from_template(stream)
        else:
            target = output.add_stream(ENCODED[self._format], rate=RATE, layout=_layout(stream))
        return self._timed(container, stream, target)

    def _timed(self, container: Any, stream: Any, target: Any) -> Iterator[Timed]:
        with closing(container):
            for packet in self._copies(container, stream) if self._copied else self._encoded(container, stream, target):
                packet.stream = target
                yield Timed(packet.dts * packet.time_base, packet)

    def _copies(self, container: Any, stream: Any) -> Iterator[Any]:
        shift = round(self._start / stream.time_base)
        last = None
        for packet in self._read(container.demux(stream)):
            if packet.dts is None:
                continue
            if last is not None and packet.dts <= last:  # no container takes that
                packet.dts = last + 1
                packet.pts = max(packet.pts if packet.pts is not None else packet.dts, packet.dts)
            last = packet.dts
            packet.dts -= shift
            packet.pts = packet.dts if packet.pts is None else packet.pts - shift
            yield packet

    def _encoded(self, container: Any, stream: Any, target: Any) -> Iterator[Any]:
        shift = self._start
        for frame in self._read(self._frames(container, stream)):
            if frame.pts is not None:
                frame.pts -= round(shift / frame.time_base)
            yield from target.encode(frame)
        yield from target.encode(None)

    def _frames(self, container: Any, stream: Any) -> Iterator[Any]:
        damaged = 0
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except FFmpegError:
                damaged += 1
        if damaged:
            self.notes.append(f"{damaged} parts of the sound are damaged and left out.")

    def _read(self, parts: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from parts
        except FFmpegError:
            self.notes.append("The sound is damaged or cut off; what came before is kept.")


def _layout(stream: Any) -> str:
    return "mono" if stream.codec_context.channels == 1 else "stereo"
