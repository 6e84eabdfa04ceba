"""JPEG: its segments and scans, and those of them that pixels and their colours need."""

import re
from struct import unpack_from
from typing import Final

from app.images.errors import UnreadableImage
from app.images.header import Header
from app.images.tiff import orientation

MAX_SEGMENTS: Final = 4096
# Each scan of a progressive file passes over all pixels, however few bytes it has. Encoders write 10, 18 of CMYK.
MAX_SCANS: Final = 32
START_OF_SCAN: Final = 0xDA
END_OF_IMAGE: Final = 0xD9
START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Scans, frames, and tables: Huffman, arithmetic, quantisation, restart interval, number of lines.
PIXELS: Final = START_OF_FRAME | {START_OF_SCAN, 0xC4, 0xCC, 0xDB, 0xDC, 0xDD}
# Neither a byte of a scan that happens to be 255, nor a marker without a segment, nor padding.
MARKER: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")


def jpeg(data: bytes) -> Header:
    """Raises UnreadableImage for a file without a frame or an end, or with more segments or scans than any real one.

    What follows the first picture's end is left out: a phone's depth map, or its film of the moment.
    """
    kept = [data[:2]]
    size: tuple[int, int] | None = None
    exif = b""
    position, scans = 2, 0
    for _ in range(MAX_SEGMENTS):
        found = MARKER.search(data, position)
        if found is None:
            raise UnreadableImage("The JPEG is truncated: send the whole file.")
        marker, position = data[found.start() + 1], found.end()
        if marker == END_OF_IMAGE:
            if size is None or scans == 0:
                break
            return Header("jpeg", size, b"".join([*kept, b"\xff\xd9"]), orientation(exif))
        (length,) = unpack_from(">H", data, position)
        body = data[position + 2 : position + length]
        position += length
        if marker in START_OF_FRAME:
            if size is not None:
                break
            height, width = unpack_from(">HH", body, 1)
            size = width, height
        elif marker == START_OF_SCAN:
            scans += 1
            if scans > MAX_SCANS:
                raise UnreadableImage("The JPEG has too many scans: save it again with a picture editor.")
            following = MARKER.search(data, position)
            position = following.start() if following else len(data)
        elif marker == 0xE1 and body.startswith(b"Exif\0\0") and not exif:
            exif = body
        if marker in PIXELS or is_colour(marker, body):
            kept.append(data[found.start() : position])
    raise UnreadableImage("The JPEG is damaged: its header leads to no picture. Send or save it again.")


def is_colour(marker: int, body: bytes) -> bool:
    """JFIF and Adobe segments tell YCbCr from RGB and inverted CMYK; the profile says what the numbers mean."""
    return (
        (marker == 0xE0 and body.startswith(b"JFIF\0"))
        or (marker == 0xEE and body.startswith(b"Adobe"))
        or (marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14)
    )
