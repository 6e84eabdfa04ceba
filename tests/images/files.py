"""Real photos, and files made of them."""

import struct
import zlib
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import pillow_heif
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


def heic(image: Image.Image | Bytes, **options: Any) -> bytes:
    """As a phone writes it; `options` are pillow-heif's."""
    pillow_heif.register_heif_opener()
    return saved(image, "heif", **{"quality": 90, **options})


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


def packed(row: NDArray[Any], bits: int, order: str) -> bytes:
    """Numbers of a row, the high bit first, up to a whole byte."""
    if bits in (8, 16, 32):
        return row.astype(f"{order}u{bits // 8}").tobytes()
    text = "".join(format(int(number), f"0{bits}b") for number in row)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8))


def tiff_of(
    samples: NDArray[Any],
    bits: int,
    photometric: int,
    order: str = "<",
    planar: int = 1,
    deflate: bool = False,
    reverse: bool = False,
    tags: tuple[tuple[int, int, list[int]], ...] = (),
) -> bytes:
    """A TIFF of one strip a plane made by hand, of whole numbers (H, W, C); more tags as (tag, type, values).

    `planar` 2 keeps channels apart, `reverse` fills bytes from the low bit on.
    """
    height, width, channels = samples.shape
    planes = [samples] if planar == 1 else np.split(samples, channels, axis=2)
    strips = [b"".join(packed(row.reshape(-1), bits, order) for row in plane) for plane in planes]
    if reverse:
        strips = [strip.translate(bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))) for strip in strips]
    if deflate:
        strips = [zlib.compress(strip) for strip in strips]
    entries = [
        (256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * channels), (259, 3, [8 if deflate else 1]),
        (262, 3, [photometric]), (266, 3, [2 if reverse else 1]), (273, 4, [0] * len(strips)), (277, 3, [channels]),
        (278, 4, [height]), (279, 4, [len(strip) for strip in strips]), (284, 3, [planar]), *tags,
    ]  # fmt: skip
    forms = {1: "B", 3: "H", 4: "I", 7: "B"}
    start = 8 + 2 + 12 * len(entries) + 4
    room = sum(length for _, kind, values in entries if (length := len(values) * struct.calcsize(forms[kind])) > 4)
    offsets = [start + room + sum(map(len, strips[:index])) for index in range(len(strips))]
    directory, tail = b"", b""
    for tag, kind, values in sorted(entries):
        content = struct.pack(f"{order}{len(values)}{forms[kind]}", *(offsets if tag == 273 else values))
        if len(content) > 4:
            place, tail = struct.pack(f"{order}I", start + len(tail)), tail + content
        else:
            place = content.ljust(4, b"\0")
        directory += struct.pack(f"{order}HHI", tag, kind, len(values)) + place
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    return head + directory + bytes(4) + tail + b"".join(strips)


def bmp_of(rgba: Bytes, header: int, masks: tuple[int, int, int, int]) -> bytes:
    """A BMP of 32 bits made by hand: a header of that many bytes, and where red, green, blue and alpha lie."""
    height, width = rgba.shape[:2]
    pixels = np.zeros((height, width), "<u4")
    for channel, mask in zip(np.moveaxis(rgba, 2, 0), masks, strict=True):
        pixels |= channel.astype("<u4") * np.uint32(mask & -mask) if mask else np.uint32(0)
    head = struct.pack("<IiiHHIIiiII", header, width, height, 1, 32, 3, pixels.nbytes, 0, 0, 0, 0)
    # Of the oldest header the masks follow, and there is none for alpha.
    head += struct.pack("<4I", *masks)[: max(12, header - 40)]
    head = head.ljust(header, b"\0")
    return (
        b"BM" + struct.pack("<III", 14 + len(head) + pixels.nbytes, 0, 14 + len(head)) + head + pixels[::-1].tobytes()
    )
