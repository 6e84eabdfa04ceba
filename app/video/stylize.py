"""A video repainted: read, through the network, and written, side by side, and segment by segment on disk.

Whoever calls it has the network; everything else happens here. Memory is bounded by the frames on their way, whatever
the length.
"""

import hashlib
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from app.files import flush
from app.images.decode import fitted
from app.images.visible import Visible, filled
from app.network.blend import FloatArray, shares
from app.pipeline import Limits as PictureLimits
from app.pipeline import SizeError, StyleSource, read_style
from app.queue.work import Done, Style, StylePicture, Work
from app.styles.library import StyleLibrary
from app.video.ahead import Behind, ahead
from app.video.errors import UnreadableVideo
from app.video.formats import MEDIA_TYPES, OF_KIND, Format, writable
from app.video.frames import Bytes, Frame, Info, Limits, Video
from app.video.join import join
from app.video.keyframes import read_keyframes
from app.video.masks import EVERYWHERE, Masks
from app.video.options import VideoOptions
from app.video.read import open_video
from app.video.sound import Sound
from app.video.steady import Follower
from app.video.store import State, Store
from app.video.writer import SEGMENT, Prepared, Writer

READ_AHEAD: Final = 4
STEP_SECONDS: Final = 0.5
IN_FLIGHT: Final = 2  # frames that wait for the network or are in it, so that it never waits for the next
WRITE_BEHIND: Final = 4
VERSION: Final = 2  # of what is kept in the folder
RESULT: Final = "result"


class Painter(Protocol):
    """The network."""

    def paint(self, work: Work) -> "Future[Done]":
        """Repaint a picture, at once or later."""


@dataclass(frozen=True)
class Request:
    """A video to be repainted: its file, its styles, and how.

    `masks`, pictures or videos, are none, or one per style; `keyframes` as `app.video.keyframes` reads them.
    """

    source: Path
    styles: Sequence[StyleSource]
    options: VideoOptions
    masks: Sequence[Path] = ()
    keyframes: str | None = None


@dataclass(frozen=True)
class Progress:
    """How many frames are done of `total`, None where the header does not tell, and the newest, (H, W, 3) uint8.

    `finished`: those of them that are on disk, which no restart does again.
    """

    done: int
    total: int | None
    finished: int
    picture: Bytes | None


@dataclass(frozen=True)
class Report:
    """What came of it. `notes` are lines for a person about what could not be done, or not as it was."""

    path: Path
    format: Format
    media_type: str
    width: int
    height: int
    frames: int
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """A request that was looked at: what will be done."""

    video: Video
    format: Format
    size: tuple[int, int]
    total: int | None

    @property
    def info(self) -> Info:
        return self.video.info


def plan(source: Path, options: VideoOptions, limits: Limits, pictures: PictureLimits) -> Plan:
    """Look at a video, and decide what its result will be.

    Raises VideoError, SizeError, OSError.
    """
    video = open_video(source, limits)
    info = video.info
    format = options.format or OF_KIND[info.kind]
    long_side = max(info.width, info.height)
    if options.size == 0 and long_side > pictures.max_size:
        raise SizeError(long_side, pictures.max_size)
    wanted = options.size or min(long_side, pictures.max_size if options.size == 0 else pictures.default_size)
    size = writable(format, *fitted(info.width, info.height, wanted))
    return Plan(video, format, size, info.frames)


class Stylisation:
    """The work on one request, in `folder`, from which it goes on where an earlier one was ended.

    Its result is the same to the last byte however often that was. Raises BadKeyframes, FieldError, WrongMask.
    """

    def __init__(
        self,
        request: Request,
        plan: Plan,
        library: StyleLibrary,
        limits: Limits,
        pictures: PictureLimits,
        folder: Path,
    ) -> None:
        self._request = request
        self.plan = plan
        self._library = library
        self._pictures = pictures
        self._folder = folder
        options = request.options
        names = [(style.name, style.field, Path(style.field).name, Path(style.field).stem) for style in request.styles]
        self._keyframes = (
            read_keyframes(request.keyframes, names, options.weight, options.strength) if request.keyframes else None
        )
        self._masks = Masks(request.masks, plan.size, limits, pictures)

    def check(self) -> None:
        """Read the styles, as the first step does. Raises FieldError, StyleForgotten, VideoError."""
        self._styles()

    def steps(self, painter: Painter) -> Generator[Progress, None, Report]:
        """Do what is left, a step a frame. It may be left at any of them, and gone on with by another Stylisation.

        Raises VideoError, FieldError, StyleForgotten, OSError, and what the painter does.
        """
        plan, options = self.plan, self._request.options
        store = Store(self._folder, self._fingerprint())
        sound = Sound(self._request.source, plan.info.kind, plan.info.start, plan.format)
        state = store.state
        writer = Writer(store, plan.format, plan.size, plan.info.alpha, options)
        total = plan.total
        with ahead(self._prepared(store.frames, state), READ_AHEAD) as frames, Behind(WRITE_BEHIND) as behind:
            flying: deque[tuple[Prepared, Future[Done] | None]] = deque()
            done = store.frames
            try:
                while True:
                    prepared = next(frames, None)
                    if prepared is not None:
                        flying.append((prepared, painter.paint(prepared.work) if prepared.work else None))
                    if prepared is None and not flying:
                        break
                    if prepared is None or len(flying) >= IN_FLIGHT:
                        first, painted = flying[0]
                        while painted and not wait([painted], STEP_SECONDS).done:
                            yield Progress(done, total, store.frames, None)
                        behind.call(writer.add, first, painted.result().pixels if painted else None)
                        flying.popleft()
                        done += first.shown
                        yield Progress(done, total, store.frames, writer.newest)
            finally:
                for _, painted in flying:
                    if painted:
                        painted.cancel()
            behind.finish()
        writer.finish()
        yield Progress(done, done, store.frames, writer.newest)
        return self._joined(store, sound)

    def _joined(self, store: Store, sound: Sound) -> Report:
        plan = self.plan
        time_base = plan.info.time_base
        last = store.parts[-1]
        part, path = self._folder / f"{RESULT}.part", self._folder / f"{RESULT}.{plan.format}"
        part.unlink(missing_ok=True)  # whoever was taken for dead may still write to that one
        join(plan.format, store.parts, time_base, plan.info.alpha, sound, part)
        flush(part)
        part.replace(path)
        seconds = float((last.ticks[-1] + last.durations[-1]) * time_base)
        notes = (*plan.video.notes, *self._masks.notes, *sound.notes)
        return Report(path, plan.format, MEDIA_TYPES[plan.format], *plan.size, store.frames, seconds, notes)

    def _fingerprint(self) -> dict[str, object]:
        """All that the result depends on."""
        request = self._request
        return {
            "version": VERSION,
            "source": _digest(request.source),
            "masks": [_digest(mask) for mask in request.masks],
            "keyframes": request.keyframes,
            "styles": [style.name for style in request.styles],
            "options": request.options.model_dump(mode="json"),
            "format": self.plan.format,
            "size": self.plan.size,
        }

    def _prepared(self, skip: int, state: State) -> Iterator[Prepared]:
        """Frames with their work for the network, but those that are done, of which `state` is what is left."""
        styles = self._styles()
        follower, lead = self._follower(state)
        for frame in lead if skip == 0 else ():
            prepared = self._one(frame, styles, follower, shown=False)
            if prepared.steady.keep is not None:
                yield prepared
        for frame in self.plan.video.frames(self.plan.size, skip):
            yield self._one(frame, styles, follower)

    def _follower(self, state: State) -> tuple[Follower | None, Sequence[Frame]]:
        """What decides what is carried, and the frames that it is to see before the first: of a loop the last ones."""
        steadiness = self._request.options.steadiness
        if steadiness == 0 or not self.plan.info.loops:
            return (Follower(steadiness, state) if steadiness else None), ()
        last: deque[Frame] = deque(maxlen=Follower(steadiness, {}).lead)
        for frame in self.plan.video.frames(self.plan.size):
            last.append(frame)
        follower = Follower(steadiness, state, last[-1].index + 1)
        return follower, list(last)[-follower.lead :]

    def _one(self, frame: Frame, styles: tuple[Style, ...], follower: Follower | None, shown: bool = True) -> Prepared:
        seen = _seen(frame)
        if seen is None:
            if follower:
                follower.forget()
            return Prepared(frame, shown=shown)
        # Masks that move are never asked to go back.
        share = self._share(float(frame.ticks * self.plan.info.time_base) if shown else 0.0)
        work = Work(seen.rgb, styles, share, None, seen.alpha)
        if follower is None:
            return Prepared(frame, work)
        last = shown and (frame.index + 1) % SEGMENT == 0
        return Prepared(frame, work, follower.follow(seen.rgb, share, last, frame.index), shown)

    def _share(self, seconds: float) -> FloatArray:
        options = self._request.options
        masks = self._masks.at(seconds)
        if self._keyframes is None:
            return shares(options.weight or (1.0,) * len(self._request.styles), options.strength, masks)
        moment = self._keyframes.at(seconds)
        return shares(moment.weights.tolist(), moment.strength, masks)

    def _styles(self) -> tuple[Style, ...]:
        """Styles as pictures or codes, recoloured to the first frame where colours are to match."""
        options = self._request.options
        matched = options.preserve_color == "match"
        photo = self._first() if matched else Visible(np.zeros((1, 1, 3), np.uint8), None, EVERYWHERE)
        styles = [read_style(style, photo, options, self._library, self._pictures) for style in self._request.styles]
        return tuple(_named(style) if isinstance(style, StylePicture) else style for style in styles)

    def _first(self) -> Visible:
        for frame in self.plan.video.frames(self.plan.size):
            if seen := _seen(frame):
                return seen
        raise UnreadableVideo("All of the video is transparent: there is nothing to be painted.")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seen(frame: Frame) -> Visible | None:
    """All of a frame, whose size and place must not change from one to the next; None where it is transparent."""
    if frame.alpha is None:
        return Visible(frame.rgb, None, EVERYWHERE)
    return Visible(filled(frame.rgb, frame.alpha), frame.alpha, EVERYWHERE) if frame.alpha.any() else None


def _named(style: StylePicture) -> StylePicture:
    """A style that is recoloured has no name yet, by which it would be encoded once, and not for every frame."""
    name = style.name or hashlib.sha256(style.pixels.data).hexdigest()[:32]
    return StylePicture(style.pixels, name, style.size, style.alpha)
