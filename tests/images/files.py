"""Real photos, and files made of them."""

import struct
import zlib
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_images

PIXELS = 50_000_000
Bytes = NDArray[np.uint8]


@cache
def photo(name: str = "astronaut") -> Bytes:
    """(H, W, 3): astronaut 512 x 512, chelsea 300 x 451, coffee 400 x 600, rocket 427 x 640, china 427 x 640."""
    pixels = load_sample_images().images[0] if name == "china" else getattr(data, name)()
    pixels.setflags(write=False)
    return pixels


def small(height: int = 48, width: int = 64) -> Bytes:
    """A piece of a photo, not square."""
    return np.ascontiguousarray(photo()[60 : 60 + height, 180 : 180 + width])


def saved(image: Image.Image | Bytes, format: str, **options: Any) -> bytes:
    file = BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, format, **options)
    return file.getvalue()


def psnr(one: Bytes, other: Bytes) -> float:
    error = np.mean((one.astype(np.float64) - other) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    """A PNG made by hand. `rows`: each one filter byte and its samples; `extra`: chunks before the pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + head + extra + body + chunk(b"IEND", b"")


def tiff(*entries: tuple[int, int, int, int], tail: bytes = b"") -> bytes:
    """A TIFF directory made by hand, of (tag, type, count, value or offset)."""
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + struct.pack("<I", 0) + tail
