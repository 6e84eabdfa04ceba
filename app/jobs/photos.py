"""Photos as a job: one, as large as a print, or many, by themselves or in a zip archive, which come back as one."""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import wait
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from io import BytesIO
from itertools import count
from math import prod
from pathlib import Path
from shutil import copyfileobj, rmtree
from typing import BinaryIO, Final
from zipfile import ZipFile, ZipInfo

from app.engine.begun import Begun
from app.files import whole_file, write_whole
from app.images.decode import Picture, decode_style
from app.images.encode import MEDIA_TYPES, encode
from app.images.errors import ImageError
from app.images.negotiation import choose_format
from app.jobs.archive import ArchiveLimits, Contents, Photo, is_archive, opened
from app.jobs.names import Names, called
from app.jobs.work import Fault, Order, Painter, Plan, Progress, Result, Steps, Upload, invalid
from app.pipeline import FieldError, Limits, Prepared, SizeError, StyleSource, fault, finish, prepare, unreadable
from app.queue.work import WorkFailed
from app.styles.library import StyleLibrary

PREVIEW_SIDE: Final = 512
PREVIEW_QUALITY: Final = 85
STEP_SECONDS: Final = 0.5
# Of a photo, as progress tells: the rest is the file that is made of the picture. And so much is left of the last photo
# until the job's result is whole.
NETWORK_PART: Final = 0.98
LAST_PART: Final = 0.01
CHUNK: Final = 1 << 20
REPORT: Final = "report.txt"
SUFFIXES: Final = {"jpeg": "jpg", "png": "png", "webp": "webp"}
FORMATS: Final = {suffix: format for format, suffix in SUFFIXES.items()}
FAULT: Final = "fault"  # what a file is called that says why a photo is not there


class Photos:
    """A `app.jobs.work.Kind`."""

    name = "photo"
    fields: Sequence[str] = ()

    def __init__(self, library: StyleLibrary, limits: Limits, archives: ArchiveLimits) -> None:
        self._library = library
        self._limits = limits
        self._archives = archives

    def takes(self, content: BinaryIO) -> bool:
        return True

    def check(self, order: Order) -> Plan:
        """Raises Fault where no photo can be done. Of many, one is enough: what becomes of the others is reported."""
        with self.contents(order) as contents:
            first: Fault | None = None
            for photo in contents.photos:
                try:
                    self.prepare(order, photo)
                    break
                except Fault as error:
                    if error.members.get("field") != photo.field:
                        raise
                    first = first or error
            else:
                raise first or Fault("invalid-request", "content: a photo is needed", field="content")
            photos = contents.photos
            return Plan(len(photos), "photos", sum(self._pixels(order, photo) for photo in photos))

    @contextmanager
    def contents(self, order: Order) -> Iterator[Contents]:
        """The photos of an order, to be read as long as the context. Raises Fault."""
        archive = next((one for one in order.contents if _is_archive(one)), None)
        if archive is None:
            yield Contents(tuple(Photo(one.field, one.name, partial(_binary, one.path)) for one in order.contents))
            return
        if len(order.contents) > 1:
            raise invalid("content", "one archive is a job: send others, and photos, as jobs of their own", 1)
        with opened(archive, self._archives) as contents:
            yield contents

    def _pixels(self, order: Order, photo: Photo) -> int:
        """Of a photo's result, by its header; 0 where it can't be read."""
        limits, size = self._limits, order.options.size
        try:
            with photo.open() as file:
                picture = Picture(file, limits.max_pixels)
        except ImageError:
            return 0
        own = picture.long_side
        limit = own if size == 0 else min(own, limits.default_size, limits.max_size)
        return prod(picture.size_at(size or limit))

    def work(self, order: Order) -> "PhotosWork":
        return PhotosWork(self, order)

    def prepare(self, order: Order, photo: Photo) -> Prepared:
        """Work for the queue of one of the photos. Raises Fault."""
        with ExitStack() as stack:
            files = [stack.enter_context(one.path.open("rb")) for one in order.styles]
            masks = [stack.enter_context(one.path.open("rb")) for one in order.masks]
            styles = [StyleSource(one.field, one.name, file) for one, file in zip(order.styles, files, strict=True)]
            try:
                file = stack.enter_context(photo.open())
                return prepare(file, styles, masks, order.options, self._library, self._limits)
            except ImageError as error:
                problem, detail, members = fault([FieldError(photo.field, error)])
                raise Fault(problem, detail, **members) from None
            except FieldError as error:
                if error.field == "content":
                    error.field = photo.field
                problem, detail, members = fault(unreadable(error, styles, masks, order.options, self._limits))
                raise Fault(problem, detail, **members) from None
            except SizeError as error:
                raise invalid("size", str(error), error.limit) from None


def _binary(path: Path) -> BinaryIO:
    return path.open("rb")


def _is_archive(content: Upload) -> bool:
    with _binary(content.path) as file:
        return is_archive(file)


class PhotosWork:
    """A `app.jobs.work.Work`: a part is a photo, a file in the folder named for its place, or what of one is kept."""

    def __init__(self, kind: Photos, order: Order) -> None:
        self._kind = kind
        self._order = order
        self._preview = order.folder / "preview.jpg"

    def finished(self) -> float:
        whole = next(n for n in count() if self._part(n) is None)
        return whole + Begun(self._begun(whole)).part

    def steps(self, painter: Painter) -> Steps:
        with self._kind.contents(self._order) as contents:
            photos = contents.photos
            for n, photo in enumerate(photos):
                if self._part(n) is None:
                    try:
                        for done, kept in self._paint(painter, n, photo):
                            yield self._progress(n, done, kept, len(photos))
                    except (Fault, WorkFailed) as error:
                        if len(photos) == 1 and contents.name is None:
                            raise
                        text = error.detail if isinstance(error, Fault) else f"{photo.field}: {error}"
                        write_whole(self._order.folder / f"{n:05}.{FAULT}", text.encode())
                rmtree(self._begun(n), ignore_errors=True)
                yield self._progress(n + 1, 0.0, 0.0, len(photos))
            return self._joined(contents)

    def preview(self) -> Path | None:
        return self._preview if self._preview.exists() else None

    def _progress(self, finished: int, part: float, kept: float, total: int) -> Progress:
        return Progress(min(finished + part, total - LAST_PART), total, "photos", finished + kept)

    def _part(self, n: int) -> Path | None:
        """What became of a photo, as far as that is known."""
        return next(self._order.folder.glob(f"{n:05}.*"), None)

    def _begun(self, n: int) -> Path:
        """A folder for what of a photo is finished."""
        return self._order.folder / f"begun-{n:05}"

    def _paint(self, painter: Painter, n: int, photo: Photo) -> Generator[tuple[float, float], None, None]:
        """Gives how much of it is done, and how much of that is on disk, again and again."""
        self._begun(n).mkdir(exist_ok=True)
        begun = Begun(self._begun(n))
        done = 0.0

        def on_step(part: float) -> None:
            nonlocal done
            done = part

        yield NETWORK_PART * max(done, begun.part), begun.part
        prepared = self._kind.prepare(self._order, photo)
        future = painter.paint(replace(prepared.work, begun=begun), on_step)
        try:
            while not wait([future], STEP_SECONDS).done:
                yield NETWORK_PART * max(done, begun.part), begun.part
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

    def _joined(self, contents: Contents) -> Result:
        """The photo, or all that could be painted in one archive."""
        parts = [part for n in range(len(contents.photos)) if (part := self._part(n))]
        if len(parts) == 1 and contents.name is None:
            name = called(contents.photos[0].name, parts[0].suffix)
            return Result(parts[0], MEDIA_TYPES[FORMATS[parts[0].suffix[1:]]], name)
        report = [part.read_text() for part in parts if part.suffix[1:] == FAULT]
        if len(report) == len(parts):
            raise Fault("unreadable-image", "; ".join(report), field="content")
        report += contents.report
        names = Names() if contents.name is not None else None
        archive = self._order.folder / "photos.zip"
        with whole_file(archive) as file, ZipFile(file, "w") as zipped:
            for n, (part, photo) in enumerate(zip(parts, contents.photos, strict=True)):
                if part.suffix[1:] == FAULT:
                    continue
                name = names.new(photo.name, part.suffix) if names else f"{n + 1:03}-{called(photo.name, part.suffix)}"
                # Of one date, so that the same photos give the same bytes.
                with part.open("rb") as source, zipped.open(ZipInfo(name), "w") as target:
                    copyfileobj(source, target, CHUNK)
            report += names.report if names else ()
            if names and report:
                zipped.writestr(ZipInfo(REPORT), "".join(f"{line}\n" for line in report))
        return Result(archive, "application/zip", called(contents.name or "photos", ".zip"), tuple(report))
