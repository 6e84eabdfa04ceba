"""PNG: its chunks, their checksums, and those kinds of them that pixels need."""

import zlib
from struct import unpack_from
from typing import Final

from app.images.errors import UnreadableImage
from app.images.header import Header
from app.images.orientation import exif_orientation, raw_profile, xmp_orientation

# libpng writes IDAT chunks of 8 KiB; a file of hundreds of thousands of chunks is there to keep us busy.
MAX_CHUNKS: Final = 100_000
MAX_PROFILE_BYTES: Final = 4 << 20
# Of what a text says of the orientation: it stands near the beginning of a packet.
MAX_TEXT_BYTES: Final = 1 << 20
MAX_TEXTS: Final = 8
TEXTS: Final = (b"tEXt", b"zTXt", b"iTXt")
XMP_KEYWORD: Final = b"XML:com.adobe.xmp"
RAW_PROFILE: Final = b"Raw profile type "
PIXELS: Final = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
END: Final = b"\0\0\0\0IEND\xae\x42\x60\x82"


def png(data: bytes) -> Header:
    """Raises UnreadableImage for a file that stops before its pixels do, and for a wrong checksum of what they need.

    Other checksums are not looked at: a program that changed a comment and left its checksum did no harm. Of an APNG
    the frames after the default image are left out.
    """
    (width, height) = unpack_from(">II", data, 16)
    kept = [data[:8]]
    profile: bytes | None = None
    packed_profile = exif = b""
    texts = Texts()
    position = 8
    for _ in range(MAX_CHUNKS):
        length, kind = unpack_from(">I4s", data, position) if position + 8 <= len(data) else (0, b"")
        end = position + length + 12
        behind_pixels = kind != b"IDAT" and kept[-1][4:8] == b"IDAT"
        if kind == b"IEND" or (end > len(data) and behind_pixels):
            upright = exif_orientation(exif) or texts.orientation
            return Header("png", (width, height), b"".join([*kept, END]), upright, profile)
        if end > len(data):
            raise UnreadableImage("The PNG is truncated: send the whole file.")
        body = memoryview(data)[position + 8 : end - 4]
        if kind in PIXELS:
            if zlib.crc32(body, zlib.crc32(kind)) != unpack_from(">I", data, end - 4)[0]:
                raise UnreadableImage("The PNG is damaged (a checksum does not match): send or save it again.")
            kept.append(data[position:end])
        elif kind == b"iCCP" and not packed_profile:
            packed_profile = bytes(body)
            profile = inflated(packed_profile)
        elif kind == b"eXIf" and not exif:
            exif = bytes(body)
        elif kind in TEXTS:
            texts.add(kind, bytes(body))
        position = end
    raise UnreadableImage("The PNG has too many chunks: save it again with a picture editor.")


class Texts:
    """What a PNG's texts say of the orientation: ImageMagick's copy of EXIF, or an XMP packet."""

    def __init__(self) -> None:
        self._left = MAX_TEXTS
        self._exif: int | None = None
        self._xmp: int | None = None

    @property
    def orientation(self) -> int | None:
        return self._exif or self._xmp

    def add(self, kind: bytes, body: bytes) -> None:
        """Take in a tEXt, zTXt or iTXt chunk."""
        keyword, _, text = body.partition(b"\0")
        if not self._left or (keyword != XMP_KEYWORD and not keyword.startswith(RAW_PROFILE)):
            return
        self._left -= 1
        packed = kind == b"zTXt"
        if kind == b"iTXt":
            packed, text = text[:1] == b"\1", text[2:].split(b"\0", 2)[-1]
        elif packed:
            text = text[1:]
        try:
            text = zlib.decompressobj().decompress(text, MAX_TEXT_BYTES) if packed else text[:MAX_TEXT_BYTES]
            profile = text if keyword == XMP_KEYWORD else raw_profile(text)
        except (zlib.error, ValueError):
            return
        self._exif = self._exif or exif_orientation(profile)
        self._xmp = self._xmp or xmp_orientation(profile)


def inflated(chunk: bytes) -> bytes | None:
    """The profile of an iCCP chunk (a name, a zero, the method, zlib), or None if it is broken or absurdly large."""
    packed = chunk[chunk.find(b"\0") + 2 :]
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(packed, MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if inflater.eof else None
