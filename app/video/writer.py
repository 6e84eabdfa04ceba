"""What the network made of frames, into segments."""

from dataclasses import dataclass, field
from typing import BinaryIO, Final

from app.images.colour import keep_colours
from app.queue.work import Work
from app.video.formats import Format
from app.video.frames import Bytes, Frame
from app.video.options import VideoOptions
from app.video.segment import Segment
from app.video.steady import Carrier, Steady
from app.video.store import State, Store

SEGMENT: Final = 48  # frames: what is done again at most after a kill


@dataclass(frozen=True)
class Prepared:
    """A frame, its work for the network, None where there is nothing to be seen of it, and what `steady` found.

    `shown`: whether it is of the result, and not only what that begins with.
    """

    frame: Frame
    work: Work | None = None
    steady: Steady = field(default_factory=Steady)
    shown: bool = True


class Writer:
    """Takes frames in their order, from one thread at a time; finished segments go to the store."""

    def __init__(self, store: Store, format: Format, size: tuple[int, int], alpha: bool, options: VideoOptions) -> None:
        self.newest: Bytes | None = None
        self._store = store
        self._format = format
        self._size = size
        self._alpha = alpha
        self._options = options
        self._carrier = Carrier(store.state)
        self._state: State = {}
        self._file: BinaryIO | None = None
        self._segment: Segment | None = None
        self._ticks: list[int] = []
        self._durations: list[int] = []

    def add(self, prepared: Prepared, painted: Bytes | None) -> None:
        """`painted`: (H, W, 3) uint8, None where there was nothing to be painted."""
        frame = prepared.frame
        picture = frame.rgb if painted is None else self._carrier.carry(painted, prepared.steady)
        if not prepared.shown:
            return
        if self._options.preserve_color == "luminance":
            picture = keep_colours(picture, frame.rgb)
        segment = self._segment or self._begun()
        segment.add(picture, frame.alpha)
        self._ticks.append(frame.ticks)
        self._durations.append(frame.duration)
        self.newest = picture
        self._state = prepared.steady.state or {}
        if len(self._ticks) == SEGMENT:
            self.finish()

    def finish(self) -> None:
        """Finish the segment that was begun."""
        if self._segment is None or self._file is None:
            return
        self._segment.close()
        self._file.close()
        self._store.finish(self._ticks, self._durations, {**self._state, **self._carrier.state})
        self._segment = self._file = None
        self._ticks, self._durations = [], []

    def _begun(self) -> Segment:
        self._store.next_file.unlink(missing_ok=True)  # whoever was taken for dead may still write to that one
        self._file = self._store.next_file.open("xb")
        self._segment = Segment(self._file, self._format, self._size, self._alpha, self._options.quality)
        return self._segment
