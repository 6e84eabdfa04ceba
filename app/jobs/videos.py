"""A video as a job, which comes back as one."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath
from typing import BinaryIO, Final

import numpy as np
from PIL import Image
from pydantic import ValidationError

from app.files import write_whole
from app.images.encode import encode
from app.jobs.work import Fault, Order, Painter, Plan, Progress, Result, Steps, invalid
from app.pipeline import FieldError, Limits, SizeError, StyleSource, fault
from app.styles.library import StyleLibrary
from app.video.errors import BadKeyframes, CannotBeWritten, VideoError, VideoTooLarge
from app.video.formats import VIDEO_SUFFIXES
from app.video.frames import Bytes
from app.video.frames import Limits as VideoLimits
from app.video.masks import WrongMask
from app.video.options import VideoOptions
from app.video.read import is_video_file
from app.video.store import frames_in
from app.video.stylize import Request, Stylisation, plan

PREVIEW_SIDE: Final = 512
PREVIEW_QUALITY: Final = 85
PREVIEW_SECONDS: Final = 2.0
NOT_IN_NAMES: Final = re.compile(r"[^\w .()+-]")


class Videos:
    """A `app.jobs.work.Kind`."""

    name = "video"
    fields: Sequence[str] = ("steadiness", "keyframes", "video_format")

    def __init__(self, library: StyleLibrary, limits: VideoLimits, pictures: Limits) -> None:
        self._library = library
        self._limits = limits
        self._pictures = pictures

    def takes(self, content: BinaryIO) -> bool:
        return is_video_file(content)

    def check(self, order: Order) -> Plan:
        if len(order.contents) > 1:
            raise invalid("content", "one video is a job: send others as jobs of their own")
        with ExitStack() as stack:
            stylisation = self.stylisation(order, stack)
            with _told():
                stylisation.check()
            frames = stylisation.plan.total
            width, height = stylisation.plan.size
            return Plan(frames, "frames", (frames or 1) * width * height)

    def work(self, order: Order) -> "VideoWork":
        return VideoWork(self, order)

    def stylisation(self, order: Order, stack: ExitStack) -> Stylisation:
        """The work on a video, its files open for as long as the stack. Raises Fault."""
        options = _options(order)
        source = order.contents[0].path
        styles = [StyleSource(one.field, one.name, stack.enter_context(one.path.open("rb"))) for one in order.styles]
        masks = [mask.path for mask in order.masks]
        keyframes = order.fields.get("keyframes", ())
        with _told():
            planned = plan(source, options, self._limits, self._pictures)
            request = Request(source, styles, options, masks, keyframes[0] if keyframes else None)
            return Stylisation(request, planned, self._library, self._limits, self._pictures, order.folder)


class VideoWork:
    """A `app.jobs.work.Work`: a part is a segment."""

    def __init__(self, kind: Videos, order: Order) -> None:
        self._kind = kind
        self._order = order
        self._preview = order.folder / "preview.jpg"

    def finished(self) -> float:
        return frames_in(self._order.folder)

    def steps(self, painter: Painter) -> Steps:
        with ExitStack() as stack:
            stylisation = self._kind.stylisation(self._order, stack)
            with _told():
                steps = stylisation.steps(painter)
                stack.callback(steps.close)
                shown = 0.0
                while True:
                    try:
                        progress = next(steps)
                    except StopIteration as end:
                        report = end.value
                        break
                    if progress.picture is not None and time.monotonic() - shown >= PREVIEW_SECONDS:
                        shown = time.monotonic()
                        write_whole(self._preview, _small(progress.picture))
                    yield Progress(progress.done, progress.total, "frames", progress.finished)
        stem = NOT_IN_NAMES.sub("_", PurePath(self._order.contents[0].name).stem)[:100].strip(" .")
        name = f"{stem or 'video'}{VIDEO_SUFFIXES[report.format]}"
        return Result(report.path, report.media_type, name, report.notes)

    def preview(self) -> Path | None:
        return self._preview if self._preview.exists() else None


def _options(order: Order) -> VideoOptions:
    """Those of pictures and those of videos alone. Raises Fault."""
    if order.options.format is not None:
        raise invalid("format", "is of pictures: a video's is asked for as video_format")
    given = order.options.model_dump(exclude_unset=True)
    for field, name in (("steadiness", "steadiness"), ("video_format", "format")):
        for text in order.fields.get(field, ())[:1]:
            given[name] = text
    try:
        return VideoOptions.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = "video_format" if first["loc"][0] == "format" else str(first["loc"][0])
        raise invalid(field, f"{first['msg']}; found {str(first['input'])[:100]!r}") from None


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with a video as a Fault."""
    try:
        yield
    except WrongMask as error:
        raise _of_video(error.field, error.cause) from None
    except BadKeyframes as error:
        raise invalid("keyframes", str(error)) from None
    except CannotBeWritten as error:
        raise invalid("size", str(error)) from None
    except SizeError as error:
        raise invalid("size", str(error), error.limit) from None
    except FieldError as error:
        problem, detail, members = fault([error])
        raise Fault(problem, detail, **members) from None
    except VideoError as error:
        raise _of_video("content", error) from None


def _of_video(field: str, error: VideoError) -> Fault:
    if isinstance(error, VideoTooLarge):
        return Fault("video-too-large", f"{field}: {error}", field=field, limit=error.limit, unit=error.measure)
    return Fault("unreadable-video", f"{field}: {error}", field=field)


def _small(picture: Bytes) -> bytes:
    image = Image.fromarray(picture)
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    return encode(np.asarray(image), None, "jpeg", PREVIEW_QUALITY)
