"""What a fuzzer begins with: small sound files of every kind, so that it need not find out by chance what they are."""

import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile

import httpx
import numpy as np
from PIL import Image
from safetensors.numpy import save

from tests.archives import archive
from tests.images.files import heic, photo, saved, tiff_of
from tests.video.clips import pan, write

SMALL: Final = np.ascontiguousarray(photo()[60:84, 180:212])
GREY: Final = SMALL[:, :, 1]
FADED: Final = np.dstack((SMALL, np.tile(np.linspace(0, 255, 32).astype(np.uint8), (24, 1))))
BOUNDARY: Final = "b"


def images() -> Iterator[bytes]:
    """JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP and GIF of each inner kind."""
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb, grey, faded = (Image.fromarray(pixels) for pixels in (SMALL, GREY, FADED))
    yield from (saved(rgb, "jpeg", exif=exif), saved(rgb, "jpeg", progressive=True), saved(grey, "jpeg"))
    yield from (saved(rgb.convert("CMYK"), "jpeg"), saved(rgb, "jpeg", restart_marker_blocks=2))
    for image in (rgb, grey, faded, faded.convert("LA"), rgb.quantize(), rgb.convert("1")):
        yield saved(image, "png")
    yield from (saved(Image.fromarray(GREY.astype(np.uint16) * 257), "png"), saved(rgb, "png", exif=exif))
    yield from (saved(rgb, "webp"), saved(faded, "webp", lossless=True), saved(faded, "webp", exif=exif))
    yield from (saved(rgb, "avif"), saved(faded, "avif"), heic(rgb, exif=exif.tobytes()), heic(faded))
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd"):
        yield saved(rgb, "tiff", compression=compression)
    yield from (saved(rgb.convert("1"), "tiff", compression=fax) for fax in ("group3", "group4"))
    yield from (saved(rgb.convert("LAB"), "tiff"), saved(faded, "tiff"), saved(rgb.convert("CMYK"), "tiff"))
    yield tiff_of(SMALL, 8, 2, planar=2)
    yield from (saved(rgb, "bmp"), saved(grey, "bmp"), saved(rgb.convert("1"), "bmp"), saved(faded, "bmp"))
    yield from (saved(rgb, "gif"), saved(rgb, "gif", save_all=True, append_images=[rgb.rotate(90)]))


def forms() -> Iterator[bytes]:
    """Forms as clients write them, with lists, empty inputs, a preamble."""
    head = '--b\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
    file = '; filename="{}"'
    fields = (
        [("content", file.format("a.jpg"), "x"), ("style", file.format("b.jpg"), "y"), ("strength", "", "0.5")],
        [("content", "", "x"), ("style[]", file.format(""), ""), ("style_id", "", "0" * 32), ("weight", "", "1,2")],
        [("style[1]", "; filename*=UTF-8''%e2%82%ac.jpg", "z"), ("mask[0]", "", "m"), ("size", "", "64")],
        [("keyframes", "", "[]"), ("preserve_color", "", "match"), ("format", "", "png"), ("quality", "", "90")],
    )
    for form in fields:
        yield "".join(head.format(*field) for field in form).encode() + b"--b--\r\n"
    yield b"preamble\r\n" + head.format("size", "", "1").encode() + b"--b--\r\nepilogue"
    yield httpx.Request("POST", "http://a", files={"content": SMALL.tobytes()[:200]}).read()


def keyframes() -> Iterator[bytes]:
    """Keyframes of every kind."""
    yield b'[{"time": 0, "style": 0}, {"time": 2.5, "weights": [1, 2, 0], "strength": 0.5}]'
    yield b'[{"time": 0, "style": "style[1]"}, {"time": 0, "style": 2}, {"time": 1e3}]'
    yield b'[{"time": NaN}]'


def videos() -> Iterator[bytes]:
    """MP4, QuickTime, WebM, MKV and animations, a few frames each."""
    frames = pan(3, 32, 24)
    with tempfile.TemporaryDirectory() as folder:
        for name, codec in (("a.mp4", "libx264"), ("a.webm", "libvpx-vp9"), ("a.mkv", "ffv1"), ("a.mov", "mpeg4")):
            yield write(Path(folder) / name, frames, codec=codec).read_bytes()
        yield write(Path(folder) / "sound.mp4", frames, turn=-90, sound="aac").read_bytes()
    first, *others = (Image.fromarray(frame) for frame in frames)
    for format in ("gif", "webp", "png"):
        yield saved(first, format, save_all=True, append_images=others, duration=40)


def archives() -> Iterator[bytes]:
    """Zip archives, stored and deflated, with folders, other files, names that are no paths, and one in parts."""
    picture = saved(Image.fromarray(SMALL[:8, :8]), "png")
    for method in (ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2, ZIP_LZMA):
        yield archive({"a/one.png": picture, "two.jpg": picture, "a/": b"", "notes.txt": b"text"}, method)
    yield archive(
        {"../up.png": picture, "C:\\a.png": picture, "\u20ac.png": picture, "A.PNG": picture, "a.png": picture}
    )
    yield archive({})
    with io.BytesIO() as file:
        with ZipFile(file, "w") as zipped, zipped.open("large.png", "w", force_zip64=True) as one:
            one.write(picture)
        yield file.getvalue()


def weights() -> Iterator[bytes]:
    """Two convolutions, with and without what follows them."""
    tensors = {
        "convs.0.weight": np.ones((2, 3, 3, 3), np.float32),
        "convs.0.bias": np.ones(2, np.float32),
        "convs.1.weight": np.ones((3, 2, 3, 3), np.float32),
        "convs.1.bias": np.ones(3, np.float32),
    }
    yield save(tensors)
    yield save({name: tensor.astype(np.float16) for name, tensor in tensors.items()}, {"upsample_after": "0"})
    yield save({**tensors, "adain.0.weight": np.ones((4, 4), np.float32)}, {"adain_gain": "12", "upsample_after": "0"})


SEEDS: Final[dict[str, Callable[[], Iterator[bytes]]]] = {
    "images": images,
    "form": forms,
    "keyframes": keyframes,
    "videos": videos,
    "archives": archives,
    "weights": weights,
}
