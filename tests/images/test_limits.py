"""Small files that promise, or hide, more than anyone should decode."""

import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from app.images.decode import decode
from app.images.errors import ImageError, TooManyPixels, UnreadableImage
from tests.images.files import PIXELS, chunk, heic, photo, png, saved, small, tiff

HUGE = 60_000
WEBP = b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (HUGE - 1).to_bytes(3, "little") * 2 + bytes(40)
GIF_FRAME = b"\x2c" + struct.pack("<HHHHB", 0, 0, HUGE, HUGE, 0) + b"\x02\x02\x44\x01\0;"
BMP = b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 54, 40, HUGE, HUGE, 1, 24, 0, 0, 0, 0, 0, 0)
GREY_TIFF = (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)


def huge_jpeg() -> bytes:
    file = bytearray(saved(small(), "jpeg"))
    frame = file.index(b"\xff\xc0")
    file[frame + 5 : frame + 9] = struct.pack(">HH", HUGE, HUGE)
    return bytes(file)


def of_size(file: bytes, width: int, height: int) -> bytes:
    """An AVIF or HEIC that says it has another size than it has."""
    at = file.index(b"ispe") + 8
    return file[:at] + struct.pack(">II", width, height) + file[at + 8 :]


@contextmanager
def at_most(megabytes: float) -> Iterator[None]:
    """Of what Python and numpy allocate: pixels, copies of the file, lists of strips."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < megabytes * 1e6


@pytest.mark.parametrize(
    "file",
    [
        png(HUGE, HUGE, bytes(1000)),
        huge_jpeg(),
        WEBP,
        b"GIF89a" + struct.pack("<HHBBB", HUGE, HUGE, 0, 0, 0) + GIF_FRAME,
        b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b"\x21\xf9\x04\x08\0\0\0\0" + GIF_FRAME,
        BMP,
        tiff((256, 4, 1, HUGE), (257, 4, 1, HUGE), *GREY_TIFF, (273, 4, 1, 200), tail=bytes(100)),
    ],
    ids=["png", "jpeg", "webp", "gif canvas", "gif frame", "bmp", "tiff"],
)
def test_a_promise_of_too_many_pixels_is_refused_from_the_header(file, monkeypatch):
    def no_decoder(*_args, **_options):
        raise AssertionError("Pillow was handed the file")

    monkeypatch.setattr(Image, "open", no_decoder)
    with at_most(1), pytest.raises(TooManyPixels, match="60000 x 60000 pixels and the limit is 50 million") as refusal:
        decode(BytesIO(file), max_pixels=PIXELS)
    assert (refusal.value.width, refusal.value.height, refusal.value.limit) == (HUGE, HUGE, PIXELS)


@pytest.mark.parametrize("make", [saved, heic], ids=["avif", "heic"])
def test_avif_and_heic_of_too_many_pixels_are_refused_before_they_are_decoded(make):
    file = of_size(make(small(), *(("avif",) if make is saved else ())), 16_000, 16_000)
    with at_most(1), pytest.raises(TooManyPixels):
        decode(BytesIO(file), max_pixels=PIXELS)


def test_a_heic_that_is_larger_than_it_says_is_refused():
    file = of_size(heic(np.zeros((1024, 1024, 3), np.uint8), quality=10), 64, 48)
    with at_most(1), pytest.raises(UnreadableImage):
        decode(BytesIO(file), max_pixels=PIXELS)


def test_a_heic_whose_metadata_belong_to_thousands_of_pictures_is_refused():
    file = bytearray(heic(small(), exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"))
    tie = file.index(b"cdsc")
    assert file[tie + 6 : tie + 8] == b"\0\1"
    file[tie + 6 : tie + 8] = b"\xff\xff"
    with pytest.raises(UnreadableImage, match="too many pictures"):
        decode(BytesIO(bytes(file) + bytes(10_000)), max_pixels=PIXELS)


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "avif", "heif", "tiff", "bmp", "gif"])
def test_the_limit_is_exact_and_the_callers_own(format):
    file = heic(small()) if format == "heif" else saved(small(), format)
    assert decode(BytesIO(file), max_pixels=48 * 64).rgb.shape == (48, 64, 3)
    with pytest.raises(TooManyPixels, match="64 x 48"):
        decode(BytesIO(file), max_pixels=48 * 64 - 1)


def test_no_limit_but_the_callers_own_refuses_or_warns():
    file = png(20_000, 10_000, bytes(20_000 // 8 * 10_000 + 10_000), depth=1, colour=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(BytesIO(file), max_pixels=200_000_000, size=100).rgb.shape == (50, 100, 3)


def test_text_and_private_chunks_of_a_png_are_never_unpacked():
    bomb = zlib.compress(bytes(50_000_000), 9)
    extra = chunk(b"zTXt", b"a\0\0" + bomb) + chunk(b"iTXt", b"a\0\1\0\0\0" + bomb) + chunk(b"prVt", bytes(1000))
    plain = saved(small(), "png")
    with at_most(2):
        rgb = decode(BytesIO(plain[:33] + extra + plain[33:]), max_pixels=PIXELS).rgb
    np.testing.assert_array_equal(rgb, small())


def test_texts_that_might_hold_an_orientation_are_unpacked_a_little_and_a_few_times():
    bomb = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"a" * 50_000_000, 9))
    packet = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"xmlns:tiff:Orientation " * 2_000_000, 9))
    plain = saved(small(), "png")
    with at_most(8):
        rgb = decode(BytesIO(plain[:33] + packet + bomb * 20 + plain[33:]), max_pixels=PIXELS).rgb
    np.testing.assert_array_equal(rgb, small())


def test_a_profile_that_unpacks_without_end_is_given_up():
    plain = saved(small(), "png")
    bomb = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100_000_000), 9))
    with at_most(20):
        rgb = decode(BytesIO(plain[:33] + bomb * 100 + plain[33:]), max_pixels=PIXELS).rgb
    np.testing.assert_array_equal(rgb, small())


def test_a_png_of_endless_chunks_is_refused():
    plain = saved(small(), "png")
    with pytest.raises(UnreadableImage, match="too many chunks"):
        decode(BytesIO(plain[:33] + chunk(b"prVt", b"") * 100_001 + plain[33:]), max_pixels=PIXELS)


def test_a_jpeg_of_endless_segments_or_scans_is_refused():
    plain = saved(small(), "jpeg", progressive=True)
    comment = b"\xff\xfe\0\x04ab"
    with pytest.raises(UnreadableImage, match="damaged"):
        decode(BytesIO(plain[:2] + comment * 5000 + plain[2:]), max_pixels=PIXELS)
    last_scan = plain[plain.rindex(b"\xff\xda") : -2]
    with pytest.raises(UnreadableImage, match="too many scans"):
        decode(BytesIO(plain[:-2] + last_scan * 100 + plain[-2:]), max_pixels=PIXELS)


def test_jpeg_with_much_metadata_is_read_for_what_it_is():
    plain = saved(small(), "jpeg")
    exif = b"\xff\xe1\0\x0aExif\0\0" + b"ab"
    junk = b"\xff\xed" + (60_002).to_bytes(2) + bytes(60_000)
    stuffed = plain[:2] + exif * 1000 + junk * 100 + plain[2:]
    with at_most(25):
        rgb = decode(BytesIO(stuffed), max_pixels=PIXELS).rgb
    np.testing.assert_array_equal(rgb, decode(BytesIO(plain), max_pixels=PIXELS).rgb)


def test_a_phones_film_behind_its_photo_is_left_alone():
    plain = saved(photo("coffee"), "jpeg", progressive=True)
    film = np.random.default_rng(1).bytes(12_000_000)
    rgb = decode(BytesIO(plain + film), max_pixels=PIXELS).rgb
    np.testing.assert_array_equal(rgb, decode(BytesIO(plain), max_pixels=PIXELS).rgb)


def test_a_tiff_cut_into_millions_of_strips_or_into_giant_tiles_is_refused():
    size = (256, 4, 1, 100), (257, 4, 1, 100)
    strips = tiff(*size, *GREY_TIFF, (273, 4, 4_000_000, 200), tail=bytes(16_000_000))
    tiles = (322, 4, 1, HUGE), (323, 4, 1, HUGE), (324, 4, 1, 200), (325, 4, 1, 100)
    giant = tiff(*size, (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), *tiles, tail=zlib.compress(bytes(10**6)))
    for file in (strips, giant):
        with at_most(20), pytest.raises(UnreadableImage, match="strips or tiles"):
            decode(BytesIO(file), max_pixels=PIXELS)


def test_tiff_tags_that_all_show_the_same_megabytes_are_not_copied_for_each():
    tags = [(1000 + index, 7, 1_000_000, 0) for index in range(900)]
    size = (256, 4, 1, 100), (257, 4, 1, 100)
    file = tiff(*size, *GREY_TIFF, (273, 4, 1, 20_000), *tags, tail=bytes(2_000_000))
    with at_most(30), pytest.warns(UserWarning, match="larger than file"):
        assert decode(BytesIO(file), max_pixels=PIXELS).rgb.shape == (100, 100, 3)


def test_a_tiff_compression_that_takes_memory_by_the_gigabyte_is_refused():
    file = tiff((256, 4, 1, 9), (257, 4, 1, 9), (258, 3, 1, 8), (259, 3, 1, 34925), (262, 3, 1, 1), (273, 4, 1, 100))
    with pytest.raises(UnreadableImage, match="compression is not supported"):
        decode(BytesIO(file), max_pixels=PIXELS)


def test_thousands_of_frames_cost_no_more_than_one():
    frames = [Image.new("RGB", (64, 48), (index % 256, index // 256, 0)) for index in range(1500)]
    for format in ("gif", "png", "webp"):
        file = saved(frames[0], format, save_all=True, append_images=frames[1:])
        with at_most(3):
            assert decode(BytesIO(file), max_pixels=PIXELS).rgb.shape == (48, 64, 3)


@pytest.mark.parametrize("width", [1, 8_000_000])
def test_a_picture_of_one_line_is_reduced_in_bounded_memory(width):
    height = 8_000_000 // width
    rows = b"\0" * (height * (width + 1))
    with at_most(60):
        rgb = decode(BytesIO(png(width, height, rows, colour=0)), max_pixels=PIXELS, limit=1024).rgb
    assert sorted(rgb.shape) == [1, 3, 1024]


def test_a_run_length_compressed_bmp_is_read_unless_it_is_large():
    def rle(width: int, height: int, runs: bytes) -> bytes:
        head = struct.pack("<IIIIiiHHIIiiII", 0, 0, 54 + 1024, 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
        return b"BM" + head + bytes(level for index in range(256) for level in (index, 0, 0, 0)) + runs

    runs = b"\x02\x30\x02\x60\0\0\x04\x90\0\0\0\1"
    blue = decode(BytesIO(rle(4, 2, runs)), max_pixels=PIXELS).rgb[:, :, 2]
    assert blue.tolist() == [[0x90] * 4, [0x30, 0x30, 0x60, 0x60]]
    with pytest.raises(UnreadableImage, match="save it as PNG"):
        decode(BytesIO(rle(4000, 4000, runs)), max_pixels=PIXELS)


def test_a_refused_picture_harms_no_later_one():
    for file in (png(HUGE, HUGE, b""), b"", huge_jpeg(), WEBP):
        with pytest.raises(ImageError):
            decode(BytesIO(file), max_pixels=PIXELS)
        np.testing.assert_array_equal(
            decode(BytesIO(saved(photo("coffee"), "png")), max_pixels=PIXELS).rgb, photo("coffee")
        )
