"""JPEG: its segments and scans, and those of them that pixels and their colours need."""

import re
from collections.abc import Sequence
from struct import unpack_from
from typing import Final

from app.images.errors import UnreadableImage
from app.images.header import Header
from app.images.orientation import XMP_NAMESPACE, exif_orientation, xmp_orientation

MAX_SEGMENTS: Final = 4096
MOST_ZEROS: Final = 4  # that are pixels at the end of a scan
TRUNCATED: Final = "The JPEG is truncated: send the whole file."
# Each scan of a progressive file passes over all pixels, however few bytes it has. Encoders write 10, 18 of CMYK.
MAX_SCANS: Final = 32
START_OF_SCAN: Final = 0xDA
END_OF_IMAGE: Final = 0xD9
END: Final = bytes((0xFF, END_OF_IMAGE))
START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Scans, frames, and tables: Huffman, arithmetic, quantisation, restart interval, number of lines.
PIXELS: Final = START_OF_FRAME | {START_OF_SCAN, 0xC4, 0xCC, 0xDB, 0xDC, 0xDD}
# Neither a byte of a scan that happens to be 255, nor a marker without a segment, nor padding.
MARKER: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")


def jpeg(data: bytes) -> Header:
    """Raises UnreadableImage for a file without a frame, or with more segments or scans than any real one.

    What follows the first picture's end is left out: a phone's depth map, or its film of the moment.
    """
    kept = [data[:2]]
    frame = exif = xmp = b""
    scans: list[bytes] = []
    position = 2
    for _ in range(MAX_SEGMENTS):
        found = MARKER.search(data, position)
        ended = found is not None
        if found is None or data[found.start() + 1] == END_OF_IMAGE:
            if not ended and (position > len(data) or not covered(frame, scans)):
                raise UnreadableImage(TRUNCATED)
            if not frame or not scans:
                break
            height, width = unpack_from(">HH", frame, 1)
            upright = exif_orientation(exif) or xmp_orientation(xmp)
            pixels = b"".join([*kept, END]) if ended else without_padding(b"".join(kept))
            return Header("jpeg", (width, height), pixels, upright, ended=ended)
        marker, position = data[found.start() + 1], found.end()
        (length,) = unpack_from(">H", data, position)
        body = data[position + 2 : position + length]
        position += length
        if marker in START_OF_FRAME:
            if frame:
                break
            frame = body
        elif marker == START_OF_SCAN:
            scans.append(body)
            if len(scans) > MAX_SCANS:
                raise UnreadableImage("The JPEG has too many scans: save it again with a picture editor.")
            following = MARKER.search(data, position)
            position = following.start() if following else len(data)
        elif marker == 0xE1 and body.startswith(b"Exif\0\0") and not exif:
            exif = body
        elif marker == 0xE1 and body.startswith(XMP_NAMESPACE) and not xmp:
            xmp = body
        if marker in PIXELS or is_colour(marker, body):
            kept.append(data[found.start() : position])
    raise UnreadableImage("The JPEG is damaged: its header leads to no picture. Send or save it again.")


def without_padding(data: bytes) -> bytes:
    """A file that breaks off, without the zeros that stand for what never came."""
    data = data.rstrip(b"\xff")
    bare = data.rstrip(b"\0")
    return bare if len(data) - len(bare) > MOST_ZEROS else data


def covered(frame: bytes, scans: Sequence[bytes]) -> bool:
    """Whether scans bring every coefficient of every component to its last bit: of a progressive file all must."""
    bits_left = {}
    for scan in scans:
        first, last, bits = unpack_from("3B", scan, len(scan) - 3)
        for component in scan[1:-3:2]:
            bits_left.update({(component, index): bits & 15 for index in range(first, last + 1)})
    components = frame[6::3]
    return bool(components) and all(bits_left.get((c, index)) == 0 for c in components for index in range(64))


def is_colour(marker: int, body: bytes) -> bool:
    """JFIF and Adobe segments tell YCbCr from RGB and inverted CMYK; the profile says what the numbers mean."""
    return (
        (marker == 0xE0 and body.startswith(b"JFIF\0"))
        or (marker == 0xEE and body.startswith(b"Adobe"))
        or (marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14)
    )
