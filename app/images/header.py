"""What a picture file says of itself, read without a decoder.

The size of a picture is known here before any memory is taken for it. Each reader also hands on only what a decoder
needs: text, thumbnails, later frames and private chunks are where small files grow large, or slow.
"""

from dataclasses import dataclass
from struct import unpack_from
from typing import Final

from app.images.errors import UnreadableImage

# A GIF's comments and application data come in blocks of at most 255 bytes; real ones have a few before the picture.
MAX_GIF_BLOCKS: Final = 100_000
# Pillow decodes run-length-compressed BMP in Python, a run at a time or a pixel at a time.
MAX_RLE: Final = 4_000_000


@dataclass(frozen=True)
class Header:
    """`size` is (width, height) as stored, before `orientation` is applied, None where that is not known from here.

    It is None for AVIF and HEIF, whose own libraries read the size without decoding. `data` is the file as the decoder
    gets it, without its end marker unless `ended`. `profile` is an ICC profile that `data` no longer has, `nclx` the
    numbers that stand for colours where there is none. `decoded` is the size of what has to be decoded to see a part.
    """

    format: str
    size: tuple[int, int] | None
    data: bytes
    orientation: int | None = None
    profile: bytes | None = None
    ended: bool = True
    nclx: tuple[int, int] | None = None
    decoded: tuple[int, int] | None = None


def bmp(data: bytes) -> Header:
    (header_size,) = unpack_from("<I", data, 14)
    if header_size == 12:
        width, height = unpack_from("<HH", data, 18)
        compression = 0
    else:
        width, height, _, compression = unpack_from("<iiII", data, 18)
    width, height = abs(width), abs(height)
    if compression in (1, 2) and max(width * height, len(data)) > MAX_RLE:
        raise UnreadableImage("Run-length-compressed BMP pictures of this size are not read: save it as PNG.")
    return Header("bmp", (width, height), data)


def gif(data: bytes) -> Header:
    width, height, flags = unpack_from("<HHB", data, 6)
    start = position = 13 + (3 << (flags & 7) + 1 if flags & 128 else 0)
    control = b""
    for _ in range(MAX_GIF_BLOCKS):
        if data[position] == 0x2C:
            left, top, frame_width, frame_height = unpack_from("<HHHH", data, position + 1)
            size = max(width, left + frame_width), max(height, top + frame_height)
            return Header("gif", size, data[:start] + control + data[position:])
        if data[position] == 0x21:
            begin, control_block = position, data[position + 1] == 0xF9
            position += 2
            while data[position]:
                position += data[position] + 1
            if control_block:
                control = data[begin : position + 1]
        elif data[position] == 0x3B:
            break
        position += 1
    raise UnreadableImage("The GIF has no picture in it, or too much before its first picture: save it again.")


def webp(data: bytes) -> Header:
    chunk = data[12:16]
    if chunk == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif chunk == b"VP8L":
        (bits,) = unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in unpack_from("<HH", data, 26))
    return Header("webp", (width, height), data)
