"""Which way is up: an orientation, 1 to 8, as EXIF numbers them, or None where what is given does not say.

A wrong or broken one is no reason to refuse a picture.
"""

import re
from struct import error
from typing import Final

from app.images.errors import UnreadableImage
from app.images.tiff import ORIENTATION, directory

XMP_NAMESPACE: Final = b"http://ns.adobe.com/xap/1.0/\0"
# The prefix that stands for TIFF's properties, "tiff" by custom; and the property, as an attribute or as an element.
# What each may repeat is bounded, so that no packet is slow to search.
PREFIX: Final = re.compile(rb"""xmlns:([\w.-]{1,40})\s{0,9}=\s{0,9}["']http://ns\.adobe\.com/tiff/1\.0/["']""")
PROPERTY: Final = rb"""%s:Orientation(?:\s{0,9}=\s{0,9}["']|(?:\s[^<>]{0,200})?>)\s{0,99}([1-8])\s{0,99}["'<]"""


def exif_orientation(exif: bytes) -> int | None:
    """Of an EXIF block, with or without its introduction."""
    exif = exif.removeprefix(b"Exif\0\0")
    if exif[:2] not in (b"II", b"MM"):
        return None
    try:
        _, value = directory(exif).get(ORIENTATION, (1, 0))
    except (error, UnreadableImage, OverflowError):
        return None
    return value if 1 <= value <= 8 else None


def xmp_orientation(xmp: bytes) -> int | None:
    """Of an XMP packet, in any UTF: all that is searched for is ASCII."""
    xmp = xmp.replace(b"\0", b"")
    prefix = PREFIX.search(xmp)
    found = re.search(PROPERTY % re.escape(prefix[1] if prefix else b"tiff"), xmp)
    return int(found[1]) if found else None


def raw_profile(text: bytes) -> bytes:
    """What ImageMagick writes into a PNG's text: a name, a length, and that many bytes in hexadecimal."""
    _, _, rest = text.strip().partition(b"\n")
    _, *digits = rest.split()
    return bytes.fromhex(b"".join(digits).decode("ascii"))
