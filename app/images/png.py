"""PNG: its chunks, their checksums, and the five kinds of them that pixels need."""

import zlib
from struct import unpack_from
from typing import Final

from app.images.errors import UnreadableImage
from app.images.header import Header
from app.images.tiff import orientation

# libpng writes IDAT chunks of 8 KiB; a file of hundreds of thousands of chunks is there to keep us busy.
MAX_CHUNKS: Final = 100_000
MAX_PROFILE_BYTES: Final = 4 << 20
PIXELS: Final = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
END: Final = b"\0\0\0\0IEND\xae\x42\x60\x82"


def png(data: bytes) -> Header:
    """Raises UnreadableImage for a wrong checksum anywhere and for a file that stops before its end chunk.

    Of an APNG the frames after the default image are left out.
    """
    (width, height) = unpack_from(">II", data, 16)
    kept = [data[:8]]
    profile = exif = None
    position = 8
    for _ in range(MAX_CHUNKS):
        length, kind = unpack_from(">I4s", data, position)
        end = position + length + 12
        if end > len(data):
            raise UnreadableImage("The PNG is truncated: send the whole file.")
        body = memoryview(data)[position + 8 : end - 4]
        if zlib.crc32(body, zlib.crc32(kind)) != unpack_from(">I", data, end - 4)[0]:
            raise UnreadableImage("The PNG is damaged (a checksum does not match): send or save it again.")
        if kind == b"IEND":
            return Header("png", (width, height), b"".join([*kept, END]), orientation(exif or b""), profile)
        if kind in PIXELS:
            kept.append(data[position:end])
        elif kind == b"iCCP" and profile is None:
            profile = inflated(bytes(body))
        elif kind == b"eXIf" and exif is None:
            exif = bytes(body)
        position = end
    raise UnreadableImage("The PNG has too many chunks: save it again with a picture editor.")


def inflated(chunk: bytes) -> bytes | None:
    """The profile of an iCCP chunk (a name, a zero, the method, zlib), or None if it is broken or absurdly large."""
    packed = chunk[chunk.find(b"\0") + 2 :]
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(packed, MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if inflater.eof else None
