"""Photos as a job: one, as large as a print, or many, which come back as a zip archive."""

import re
from collections.abc import Generator, Sequence
from concurrent.futures import wait
from contextlib import ExitStack
from io import BytesIO
from math import prod
from pathlib import Path, PurePath
from typing import BinaryIO, Final
from zipfile import ZipFile, ZipInfo

from app.files import whole_file, write_whole
from app.images.decode import Picture, decode_style
from app.images.encode import MEDIA_TYPES, encode
from app.images.errors import ImageError
from app.images.negotiation import choose_format
from app.jobs.work import Fault, Order, Painter, Plan, Progress, Result, Steps, Upload, invalid
from app.pipeline import FieldError, Limits, Prepared, SizeError, StyleSource, fault, finish, prepare, unreadable
from app.queue.work import WorkFailed
from app.styles.library import StyleLibrary

PREVIEW_SIDE: Final = 512
PREVIEW_QUALITY: Final = 85
STEP_SECONDS: Final = 0.5
NOT_IN_NAMES: Final = re.compile(r"[^\w .()+-]")
SUFFIXES: Final = {"jpeg": "jpg", "png": "png", "webp": "webp"}
FORMATS: Final = {suffix: format for format, suffix in SUFFIXES.items()}
FAULT: Final = "fault"  # what a file is called that says why a photo is not there


class Photos:
    """A `app.jobs.work.Kind`."""

    name = "photo"
    fields: Sequence[str] = ()

    def __init__(self, library: StyleLibrary, limits: Limits) -> None:
        self._library = library
        self._limits = limits

    def takes(self, content: BinaryIO) -> bool:
        return True

    def check(self, order: Order) -> Plan:
        """Raises Fault where no photo can be done. Of many, one is enough: what becomes of the others is reported."""
        first: Fault | None = None
        for content in order.contents:
            try:
                self.prepare(order, content)
                break
            except Fault as error:
                if error.members.get("field") != content.field:
                    raise
                first = first or error
        else:
            raise first or Fault("invalid-request", "content: a photo is needed", field="content")
        return Plan(len(order.contents), "photos", sum(self._pixels(order, content) for content in order.contents))

    def _pixels(self, order: Order, content: Upload) -> int:
        """Of a photo's result, by its header; 0 where it can't be read."""
        limits, size = self._limits, order.options.size
        try:
            with content.path.open("rb") as file:
                picture = Picture(file, limits.max_pixels)
        except ImageError:
            return 0
        own = picture.long_side
        limit = own if size == 0 else min(own, limits.default_size, limits.max_size)
        return prod(picture.size_at(size or limit))

    def work(self, order: Order) -> "PhotosWork":
        return PhotosWork(self, order)

    def prepare(self, order: Order, content: Upload) -> Prepared:
        """Work for the queue of one of the photos. Raises Fault."""
        with ExitStack() as stack:
            opened = [stack.enter_context(one.path.open("rb")) for one in (content, *order.styles, *order.masks)]
            photo, *others = opened
            files, masks = others[: len(order.styles)], others[len(order.styles) :]
            styles = [StyleSource(one.field, one.name, file) for one, file in zip(order.styles, files, strict=True)]
            try:
                return prepare(photo, styles, masks, order.options, self._library, self._limits)
            except FieldError as error:
                if error.field == "content":
                    error.field = content.field
                problem, detail, members = fault(unreadable(error, styles, masks, order.options, self._limits))
                raise Fault(problem, detail, **members) from None
            except SizeError as error:
                raise invalid("size", str(error), error.limit) from None


class PhotosWork:
    """A `app.jobs.work.Work`: a part is a photo, a file in the folder named for its place."""

    def __init__(self, kind: Photos, order: Order) -> None:
        self._kind = kind
        self._order = order
        self._preview = order.folder / "preview.jpg"

    def steps(self, painter: Painter) -> Steps:
        contents = self._order.contents
        for n, content in enumerate(contents):
            if self._part(n) is None:
                try:
                    yield from self._paint(painter, n, content)
                except (Fault, WorkFailed) as error:
                    if len(contents) == 1:
                        raise
                    text = error.detail if isinstance(error, Fault) else f"{content.field}: {error}"
                    write_whole(self._order.folder / f"{n:05}.{FAULT}", text.encode())
            yield self._progress(n + 1, 0.0)
        return self._joined()

    def preview(self) -> Path | None:
        return self._preview if self._preview.exists() else None

    def _progress(self, finished: int, part: float) -> Progress:
        return Progress(finished + part, len(self._order.contents), "photos", finished)

    def _part(self, n: int) -> Path | None:
        """What became of a photo, as far as that is known."""
        return next(self._order.folder.glob(f"{n:05}.*"), None)

    def _paint(self, painter: Painter, n: int, content: Upload) -> Generator[Progress, None, None]:
        done = 0.0

        def on_step(part: float) -> None:
            nonlocal done
            done = part

        yield self._progress(n, done)
        prepared = self._kind.prepare(self._order, content)
        future = painter.paint(prepared.work, on_step)
        try:
            while not wait([future], STEP_SECONDS).done:
                yield self._progress(n, done)
        finally:
            future.cancel()
        options = self._order.options
        format = choose_format(options.format, self._order.accept, prepared.photo.format)
        try:
            body = finish(prepared, future.result().pixels, options, format)
        except FieldError as error:
            raise invalid(error.field, str(error)) from None
        write_whole(self._order.folder / f"{n:05}.{SUFFIXES[format]}", body)
        small = decode_style(BytesIO(body), max_pixels=prepared.photo.rgb.size, size=PREVIEW_SIDE)
        write_whole(self._preview, encode(small, None, "jpeg", PREVIEW_QUALITY))

    def _joined(self) -> Result:
        """The photo, or all that could be painted in one archive."""
        parts = [part for n in range(len(self._order.contents)) if (part := self._part(n))]
        names = [self._name(n, part) for n, part in enumerate(parts)]
        if len(parts) == 1:
            return Result(parts[0], MEDIA_TYPES[FORMATS[parts[0].suffix[1:]]], names[0])
        report = tuple(part.read_text() for part in parts if part.suffix[1:] == FAULT)
        if len(report) == len(parts):
            raise Fault("unreadable-image", "; ".join(report), field="content")
        archive = self._order.folder / "photos.zip"
        with whole_file(archive) as file, ZipFile(file, "w") as zipped:
            for n, (part, name) in enumerate(zip(parts, names, strict=True)):
                if part.suffix[1:] != FAULT:
                    # Of one date, so that the same photos give the same bytes.
                    entry = ZipInfo(f"{n + 1:03}-{name}")
                    with part.open("rb") as source, zipped.open(entry, "w") as target:
                        while chunk := source.read(1 << 20):
                            target.write(chunk)
        return Result(archive, "application/zip", "photos.zip", report)

    def _name(self, n: int, part: Path) -> str:
        stem = NOT_IN_NAMES.sub("_", PurePath(self._order.contents[n].name).stem)[:100].strip(" .")
        return f"{stem or 'photo'}{part.suffix}"
