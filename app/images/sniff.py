"""Which format a file is, by its first bytes alone, and its header."""

import struct
from collections.abc import Callable
from typing import Final

from app.images.errors import UnreadableImage
from app.images.header import Header, bmp, gif, webp
from app.images.heif import avif, heif
from app.images.jpeg import jpeg
from app.images.png import png
from app.images.tiff import tiff

SIGNATURES: Final[dict[bytes, Callable[[bytes], Header]]] = {
    b"\xff\xd8\xff": jpeg,
    b"\x89PNG\r\n\x1a\n": png,
    b"GIF87a": gif,
    b"GIF89a": gif,
    b"BM": bmp,
    b"II*\0": tiff,
    b"MM\0*": tiff,
    b"II+\0": tiff,
    b"MM\0+": tiff,
}
STRANGERS: Final = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive (of photos, it is a job: POST it to /jobs) or an office document",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML document or an SVG drawing",
    b"8BPS": "a Photoshop document",
    b"\0\0\0\x0cjP": "a JPEG 2000 picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL": "a JPEG XL picture",
}
AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
# What such files are called; only a folder of files is judged by names, a file by its bytes.
PICTURE_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif", ".hif", ".tif", ".tiff", ".bmp", ".gif"}
)
FORMATS: Final = "JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or GIF"
SUPPORTED: Final = f"send a {FORMATS}"


def read_header(data: bytes) -> Header:
    """Raises UnreadableImage for whatever is not the sound beginning of a supported format."""
    if not data:
        raise UnreadableImage(f"The file is empty: {SUPPORTED}.")
    try:
        return reader(data)(data)
    except (struct.error, IndexError, OverflowError) as error:
        raise UnreadableImage("The file is damaged or truncated: its header is not whole. Send it again.") from error


def reader(data: bytes) -> Callable[[bytes], Header]:
    for signature, read in SIGNATURES.items():
        if data.startswith(signature):
            return read
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return webp
    kind = None
    if data[4:8] == b"ftyp":
        brands = {data[at : at + 4] for at in range(8, min(int.from_bytes(data[:4]), 256), 4)}
        if brands & AVIF_BRANDS:
            return avif
        if brands & HEIF_BRANDS:
            return heif
        kind = "a video, which is a job: POST it to /jobs"
    start = data[:256].removeprefix(b"\xef\xbb\xbf").lstrip()
    for signature, name in STRANGERS.items():
        if data.startswith(signature) or start.startswith(signature):
            kind = name
    raise UnreadableImage(f"The file is {kind or 'no picture of a supported format'}: {SUPPORTED}.")
