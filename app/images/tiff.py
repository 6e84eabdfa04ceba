"""TIFF: the first directory of a file, which is what EXIF is too."""

from struct import calcsize, unpack_from
from typing import Final

from app.images.errors import UnreadableImage
from app.images.header import Header

MAX_ENTRIES: Final = 1024
# One strip a row is the most a writer has reason for. Pillow keeps an object for each.
MAX_STRIPS: Final = 100_000
MAX_TILE_PIXELS: Final = 1 << 24
# What any TIFF reader knows, Zstandard, and nothing whose decoder takes memory by the gigabyte: none, CCITT, LZW, JPEG,
# deflate (two numbers), PackBits.
COMPRESSIONS: Final = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946, 50000})

SUBFILE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
STRIPS, ORIENTATION, SAMPLES, LARGEST_SAMPLE, PLANES = 273, 274, 277, 281, 284
TILE_WIDTH, TILE_LENGTH, TILES, EXTRA_SAMPLES, SAMPLE_FORMAT = 322, 323, 324, 338, 339
THUMBNAIL, SIGNED, SEPARATE, RGB, LAB = 1, 2, 2, 2, 8
UNSPECIFIED, NONE = 0, -1  # extra samples
INTEGERS: Final = {1: "B", 3: "H", 4: "I", 16: "Q"}


def directory(data: bytes) -> dict[int, tuple[int, int]]:
    """Of each tag in the first directory that holds integers: how many, and the first where it is stored in place.

    Raises struct.error where the directory leaves the file, UnreadableImage where it is absurdly long.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = unpack_from(order + "H", data, 2)[0] == 43
    (start,) = unpack_from(order + "Q", data, 8) if big else unpack_from(order + "I", data, 4)
    (entries,) = unpack_from(order + ("Q" if big else "H"), data, start)
    if entries > MAX_ENTRIES:
        raise UnreadableImage("The TIFF's directory is too long: save it again with a picture editor.")
    entry, place = (order + "HHQ", 8) if big else (order + "HHI", 4)
    start += 8 if big else 2
    tags: dict[int, tuple[int, int]] = {}
    for index in range(entries):
        at = start + index * (calcsize(entry) + place)
        tag, kind, count = unpack_from(entry, data, at)
        form = INTEGERS.get(kind)
        if form and count:
            fits = count * calcsize(form) <= place
            value = unpack_from(order + form, data, at + calcsize(entry))[0] if fits else 0
            tags.setdefault(tag, (count, value))
    return tags


def mixed_up(photometric: int, samples: int, extra: int) -> bool:
    """Whether Pillow takes planes for others than they are: those of Lab, of grey with alpha, of alpha undeclared."""
    grey_and_alpha = photometric <= 1 and samples > 1 and extra != UNSPECIFIED
    return photometric == LAB or grey_and_alpha or (photometric == RGB and samples > 3 and extra == NONE)


def tiff(data: bytes) -> Header:
    """Raises UnreadableImage for what is not served or would be read wrong, and for strips or tiles beyond any use.

    The orientation is left to Pillow, which applies a TIFF's own as it decodes; one that is in XMP alone is not.
    """
    tags = directory(data)

    def value(tag: int, default: int) -> int:
        return tags.get(tag, (1, default))[1]

    if value(COMPRESSION, 1) not in COMPRESSIONS:
        raise UnreadableImage("The TIFF's compression is not supported: save it with LZW or deflate, or as PNG.")
    if value(SUBFILE, 0) & THUMBNAIL:
        raise UnreadableImage("The TIFF begins with a thumbnail, as raw files of cameras do: save it as JPEG or PNG.")
    if value(SAMPLE_FORMAT, 1) == SIGNED:
        raise UnreadableImage("The TIFF has signed numbers, whose black is not known: save it unsigned, or as PNG.")
    if value(PLANES, 1) == SEPARATE and mixed_up(value(PHOTOMETRIC, 0), value(SAMPLES, 1), value(EXTRA_SAMPLES, NONE)):
        raise UnreadableImage("The TIFF keeps its channels apart: save it with the channels interleaved, or as PNG.")
    pieces = max(tags.get(STRIPS, (0, 0))[0], tags.get(TILES, (0, 0))[0])
    if pieces > MAX_STRIPS or value(TILE_WIDTH, 1) * value(TILE_LENGTH, 1) > MAX_TILE_PIXELS:
        raise UnreadableImage("The TIFF is cut into strips or tiles of an absurd number or size: save it again.")
    upright = 1 if value(ORIENTATION, 0) in range(1, 9) else None
    return Header("tiff", (value(WIDTH, 0), value(LENGTH, 0)), data, upright)
