"""Photos in a zip archive, whoever made it: what an archive may hold is bounded before any of it is unpacked.

Nothing is unpacked to disk. One photo at a time is read into memory, never more of it than the archive's directory says
it has, which is held to limits first.
"""

import errno
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath
from typing import BinaryIO, Final, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from app.images.errors import ImageError, UnreadableImage
from app.images.folders import hidden
from app.images.sniff import PICTURE_SUFFIXES, reader
from app.jobs.work import Fault, Upload, invalid

SIGNATURES: Final = (b"PK\x03\x04", b"PK\x05\x06")  # a first file, or the end of an archive that has none
DIRECTORY_BYTES: Final = 4 << 20  # of the list of all files, which takes some ten times as much memory
# No picture gets smaller than that by deflate, but for large ones of next to nothing.
MOST_RATIO: Final = 100
SMALL: Final = 1 << 20  # bytes that do no harm whatever they come from
CHUNK: Final = 1 << 16
ENCRYPTED: Final = 0x1
UTF_8: Final = 0x800
LONGEST_PART: Final = 100
DEEPEST: Final = 32
MOST_TOLD: Final = 10  # of files passed over
NOT_IN_NAMES: Final = frozenset('<>:"|?*')
# What zipfile raises for bytes that make no sense; and OSError, of places that no file has.
DAMAGES: Final = (BadZipFile, RuntimeError, ValueError, OverflowError, EOFError, struct.error, zlib.error)


@dataclass(frozen=True)
class ArchiveLimits:
    """The most `photos` of an archive, `file_bytes` of one and `bytes` of all of them, unpacked."""

    photos: int
    file_bytes: int
    bytes: int


@dataclass(frozen=True)
class Photo:
    """One of a job's photos: `field` names it in errors, `name` is what it is called, in an archive its path.

    `open` raises UnreadableImage for what can't be read.
    """

    field: str
    name: str
    open: Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True)
class Contents:
    """A job's photos. Where they came in an archive, its `name`, and lines for a person on what else is in it."""

    photos: tuple[Photo, ...]
    report: tuple[str, ...] = ()
    name: str | None = None


def is_archive(file: BinaryIO) -> bool:
    """Whether a file is a zip archive by its first bytes; leaves it at its beginning."""
    start = file.read(4)
    file.seek(0)
    return start in SIGNATURES


@contextmanager
def opened(upload: Upload, limits: ArchiveLimits) -> Iterator[Contents]:
    """The photos of an archive, to be read as long as the context.

    Raises Fault for an archive that is none, has none, or too much.
    """
    with upload.path.open("rb") as file:
        with _told(upload.field):
            archive = ZipFile(cast(BinaryIO, _Bounded(file)))
        with archive:
            photos, report = _photos(archive, upload.field, limits)
            yield Contents(photos, report, upload.name)


class _Bounded:
    """A file of which `zipfile` reads the directory in one go, however large it says it is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable, self.close = file.seek, file.tell, file.seekable, file.close

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(DIRECTORY_BYTES + 1 if size < 0 else min(size, DIRECTORY_BYTES + 1))
        if len(data) > DIRECTORY_BYTES:
            raise _TooLong
        return data


class _TooLong(Exception):
    pass


@contextmanager
def _told(field: str) -> Iterator[None]:
    """What is wrong with an archive's directory as a Fault."""
    try:
        yield
    except _TooLong:
        text = f"{field}: the archive's list of files has more than {DIRECTORY_BYTES} bytes"
        raise Fault("unreadable-archive", text, field=field, limit=DIRECTORY_BYTES) from None
    except NotImplementedError as error:
        raise Fault("unreadable-archive", f"{field}: the archive is of an unusual kind: {error}", field=field) from None
    except UnicodeError:
        text = f"{field}: the archive says of names that they are UTF-8, which they are not"
        raise Fault("unreadable-archive", text, field=field) from None
    except (*DAMAGES, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        text = f"{field}: the archive is damaged or truncated, or no zip archive: send it whole, or make it anew"
        raise Fault("unreadable-archive", text, field=field) from None


def _photos(archive: ZipFile, field: str, limits: ArchiveLimits) -> tuple[tuple[Photo, ...], tuple[str, ...]]:
    photos: list[Photo] = []
    passed_over: list[str] = []
    renamed: list[str] = []
    total = 0
    for info in archive.infolist():
        told = _name(info)
        name = clean(told)
        if told.endswith(("/", "\\")) or any(hidden(part) for part in name.split("/")):
            continue
        if PurePosixPath(name).suffix.lower() not in PICTURE_SUFFIXES:
            passed_over.append(name or "one without a name")
            continue
        if name != told.replace("\\", "/").removeprefix("./"):
            renamed.append(f"{shown(told)} to {name}")
        total += info.file_size
        photos.append(Photo(f"{field}[{name}]", name, _opener(archive, info, limits.file_bytes)))
    if len(photos) > limits.photos:
        raise invalid(field, f"the archive has {len(photos)} photos, the most is {limits.photos}", limits.photos)
    if total > limits.bytes:
        text = f"{field}: the archive's photos have {total} bytes unpacked, the most is {limits.bytes}"
        raise Fault("file-too-large", text, field=field, limit=limits.bytes)
    if not photos:
        suffixes = " ".join(sorted(PICTURE_SUFFIXES))
        text = f"{field}: the archive has no photo in it, which is a file whose name ends with one of {suffixes}"
        raise Fault("unreadable-archive", text, field=field)
    told_of = (("passed over, no picture by its name", passed_over), ("names made safe", renamed))
    return tuple(photos), tuple(f"{field}: {what}: {_some(names)}" for what, names in told_of if names)


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_TOLD
    return ", ".join(names[:MOST_TOLD]) + (f" and {more} more" if more > 0 else "")


def _name(info: ZipInfo) -> str:
    """A file's name as it was meant: UTF-8 that is not said to be so is common, as macOS writes it."""
    name = info.orig_filename
    if not info.flag_bits & UTF_8:
        try:
            return name.encode("cp437").decode()
        except UnicodeError:
            pass
    return name


def shown(name: str) -> str:
    """A name of anybody's making, for a line."""
    return "".join(c if c.isprintable() else "?" for c in name[:200])


def clean(name: str) -> str:
    """A path that leads nowhere but down, and that every system takes; empty for one that names nothing."""
    parts = []
    for part in name.replace("\\", "/").split("/"):
        part = "".join("_" if c in NOT_IN_NAMES or not c.isprintable() else c for c in part).strip().rstrip(".")
        if part:
            stem, dot, suffix = part.rpartition(".")
            parts.append(f"{stem[: LONGEST_PART - len(suffix) - 1]}{dot}{suffix}" if stem else part)
    return "/".join(part[-LONGEST_PART:] for part in parts[-DEEPEST:])


def _opener(archive: ZipFile, info: ZipInfo, most: int) -> Callable[[], AbstractContextManager[BinaryIO]]:
    def unpacked() -> BytesIO:
        if info.flag_bits & ENCRYPTED:
            raise UnreadableImage("The file is encrypted: make the archive anew, without a password.")
        if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise UnreadableImage("The file is compressed in an unusual way: make the archive anew, with deflate.")
        if info.file_size > most:
            raise UnreadableImage(f"The file has {info.file_size} bytes and the limit is {most}: send a smaller one.")
        if info.file_size > max(SMALL, MOST_RATIO * info.compress_size):
            raise UnreadableImage(f"The file unpacks to more than {MOST_RATIO} times its bytes: send it by itself.")
        try:
            return _unpacked(archive, info)
        except ImageError:
            raise
        except (*DAMAGES, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            raise UnreadableImage("The file is damaged in the archive: make the archive anew.") from None

    return unpacked


def _unpacked(archive: ZipFile, info: ZipInfo) -> BytesIO:
    """In small parts: asked for all at once, zipfile unpacks whatever there is, and then cuts it."""
    data = BytesIO()
    with archive.open(info) as source:
        while chunk := source.read(CHUNK):
            if not data.tell():
                reader(chunk)  # no more is read of what is no picture
            data.write(chunk)
    data.seek(0)
    return data
