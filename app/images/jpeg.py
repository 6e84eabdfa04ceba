"""JPEG: its segments up to the first scan, and those of them that pixels and their colours need."""

from struct import unpack_from
from typing import Final

from app.images.errors import UnreadableImage
from app.images.header import Header
from app.images.tiff import orientation

MAX_SEGMENTS: Final = 4096
# Each scan of a progressive file passes over all pixels, however few bytes it has. Encoders write about ten.
MAX_SCANS: Final = 100
START_OF_SCAN: Final = 0xDA
START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
TABLES: Final = frozenset({0xC4, 0xCC, 0xDB, 0xDD})  # Huffman, arithmetic, quantisation, restart interval
STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})


def jpeg(data: bytes) -> Header:
    """Raises UnreadableImage for a file without a frame or a scan, or with more segments or scans than any real one."""
    kept = [data[:2]]
    size: tuple[int, int] | None = None
    exif = b""
    position = 2
    for _ in range(MAX_SEGMENTS):
        position = data.find(b"\xff", position)
        if position < 0:
            break
        while data[position] == 0xFF:
            position += 1
        marker = data[position]
        position += 1
        if marker == 0 or marker in STANDALONE:
            continue
        (length,) = unpack_from(">H", data, position)
        body = data[position + 2 : position + length]
        if marker in START_OF_FRAME:
            if size is not None:
                break
            height, width = unpack_from(">HH", body, 1)
            size = width, height
        if marker == START_OF_SCAN:
            if size is None:
                break
            if data.count(b"\xff\xda", position) >= MAX_SCANS:
                raise UnreadableImage("The JPEG has too many scans: save it again with a picture editor.")
            kept.append(data[position - 2 :])
            return Header("jpeg", size, b"".join(kept), orientation(exif))
        if marker in START_OF_FRAME | TABLES or is_colour(marker, body):
            kept.append(b"\xff" + data[position - 1 : position + length])
        elif marker == 0xE1 and body.startswith(b"Exif\0\0") and not exif:
            exif = body
        position += length
    raise UnreadableImage("The JPEG is damaged: its header leads to no picture. Send or save it again.")


def is_colour(marker: int, body: bytes) -> bool:
    """JFIF and Adobe segments tell YCbCr from RGB and inverted CMYK; the profile says what the numbers mean."""
    return (
        (marker == 0xE0 and body.startswith(b"JFIF\0"))
        or (marker == 0xEE and body.startswith(b"Adobe"))
        or (marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14)
    )
