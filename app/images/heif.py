"""HEIF and AVIF: boxes in boxes, and what has to be known of them before a decoder is asked."""

from collections.abc import Iterator
from functools import cache
from math import prod
from struct import error, unpack_from
from typing import Final

from app.images.errors import UnreadableImage
from app.images.header import Header

MAX_BOXES: Final = 10_000
# These have a version before what they hold.
VERSIONED: Final = (b"meta", b"iref")
# pillow-heif copies EXIF and XMP for each picture they describe: a phone has two or three such ties, all to one.
MAX_METADATA_BYTES: Final = 256 << 20
MISSING: Final = "HEIC and HEIF photos are not read here, for want of pillow-heif: send a JPEG, PNG or WebP."

Part = tuple[bytes, int, int]  # a box: its kind, and where its content begins and ends


def avif(data: bytes) -> Header:
    return Header("avif", None, data, nclx=nclx(data), decoded=largest(data))


def heif(data: bytes) -> Header:
    """Raises UnreadableImage for a file that ties its metadata to very many pictures.

    The decoder turns the picture as the file's boxes say, which in HEIF are all that counts.
    """
    if ties(data) * len(data) > MAX_METADATA_BYTES:
        raise UnreadableImage("The HEIF ties its metadata to too many pictures: save it again with a picture editor.")
    read_by_pillow()
    return Header("heif", None, data, orientation=1, decoded=largest(data))


@cache
def read_by_pillow() -> None:
    """Let Pillow read HEIF from now on. Raises UnreadableImage where pillow-heif is not installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise UnreadableImage(MISSING) from None
    register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)


def boxes(data: bytes, start: int, end: int) -> Iterator[Part]:
    """The boxes that lie side by side there, as far as they are whole."""
    for _ in range(MAX_BOXES):
        if start + 8 > end:
            return
        size, kind = unpack_from(">I4s", data, start)
        header = 8
        if size == 1:
            header = 16
            (size,) = unpack_from(">Q", data, start + 8)
        size = size or end - start
        if size < header or start + size > end:
            return
        yield kind, start + header + 4 * (kind in VERSIONED), start + size
        start += size


def within(data: bytes, *path: bytes) -> Iterator[Part]:
    """The boxes that `path` leads to, from the outermost kind on."""
    *outer, innermost = path
    start, end = 0, len(data)
    for kind in outer:
        found = next((part for part in boxes(data, start, end) if part[0] == kind), None)
        if found is None:
            return
        _, start, end = found
    yield from (part for part in boxes(data, start, end) if part[0] == innermost)


def ties(data: bytes) -> int:
    """How many pictures metadata describe, all counted."""
    total = 0
    for _, start, end in within(data, b"meta", b"iref"):
        count_at = 4 if data[start - 4] else 2  # behind an id of 32 bits or 16
        for kind, at, _ in boxes(data, start, end):
            if kind == b"cdsc":
                total += int.from_bytes(data[at + count_at : at + count_at + 2])
    return total


def largest(data: bytes) -> tuple[int, int] | None:
    """Width and height of the largest picture stored, of which another box may show no more than a part."""
    extents = within(data, b"meta", b"iprp", b"ipco", b"ispe")
    sizes = [unpack_from(">II", data, start + 4) for _, start, end in extents if end >= start + 12]
    return max(sizes, key=prod, default=None)


def nclx(data: bytes) -> tuple[int, int] | None:
    """The colour primaries and the transfer a file tells by number, where all its pictures agree (ITU-T H.273)."""
    try:
        told = {
            unpack_from(">HH", data, start + 4)
            for _, start, _ in within(data, b"meta", b"iprp", b"ipco", b"colr")
            if data[start : start + 4] == b"nclx"
        }
    except error:
        return None
    return told.pop() if len(told) == 1 else None
