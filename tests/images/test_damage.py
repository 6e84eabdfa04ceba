"""Whatever the bytes, the answer is a picture or an ImageError that a user can act on."""

import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from app.images.decode import decode, decode_mask, decode_style
from app.images.errors import ImageError, UnreadableImage
from tests.images.files import chunk, heic, photo, saved, small

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")  # it warns and then raises

LIMIT = 1_000_000
EXIF = Image.Exif()
EXIF[0x0112] = 6
TURNED = EXIF.tobytes()  # Pillow takes the orientation out of an object it saves as AVIF
ALPHA = np.dstack((small(), np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))))
FILES = {
    "jpeg": saved(small(), "jpeg", exif=EXIF),
    "progressive jpeg": saved(small(), "jpeg", progressive=True),
    "cmyk jpeg": saved(Image.fromarray(small()).convert("CMYK"), "jpeg"),
    "png": saved(ALPHA, "png", exif=EXIF),
    "palette png": saved(Image.fromarray(small()).quantize(), "png", transparency=3),
    "webp": saved(ALPHA, "webp", exif=EXIF),
    "lossless webp": saved(small(), "webp", lossless=True),
    "avif": saved(ALPHA, "avif", exif=EXIF),
    "tiff": saved(small(), "tiff", exif=EXIF),
    "lzw tiff": saved(ALPHA, "tiff", compression="tiff_lzw"),
    "deflate tiff": saved(small(), "tiff", compression="tiff_adobe_deflate"),
    "jpeg tiff": saved(small(), "tiff", compression="jpeg"),
    "fax tiff": saved(Image.fromarray(small()).convert("1"), "tiff", compression="group4"),
    "bmp": saved(small(), "bmp"),
    "gif": saved(small(), "gif"),
    "heic": heic(small(), exif=TURNED),
    "heic with alpha": heic(ALPHA),
}
kinds = st.sampled_from(sorted(FILES))


def survives(file: bytes) -> None:
    for read in (
        lambda: decode(BytesIO(file), max_pixels=LIMIT),
        lambda: decode_style(BytesIO(file), max_pixels=LIMIT, size=20),
        lambda: decode_mask(BytesIO(file), max_pixels=LIMIT, width=9, height=7),
    ):
        complaint = "."
        try:
            read()
        except ImageError as error:
            complaint = str(error)
        assert complaint.endswith(".")


@settings(max_examples=150)
@given(st.binary(max_size=400))
def test_random_bytes_get_an_image_error(file):
    with pytest.raises(ImageError):
        decode(BytesIO(file), max_pixels=LIMIT)


@settings(max_examples=150)
@given(kinds, st.integers(1, 40), st.binary(max_size=300))
def test_the_beginning_of_a_format_and_then_noise_get_an_image_error(kind, length, noise):
    survives(FILES[kind][:length] + noise)


@settings(max_examples=300)
@given(kinds, st.data())
def test_a_changed_file_gets_a_picture_or_an_image_error(kind, data):
    file = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(file), data.draw(st.sampled_from([60, 700, 10**6])))))
        patch = data.draw(st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 4, b"\0" * 4])))
        file[at : at + data.draw(st.sampled_from([0, len(patch), 9]))] = patch
    survives(with_right_checksums(file) if kind.endswith("png") else bytes(file))


def with_right_checksums(file: bytearray) -> bytes:
    """A PNG whose damage is not given away by its checksums."""
    at = 8
    while at + 12 <= len(file):
        end = at + 12 + int.from_bytes(file[at : at + 4])
        if end > len(file):
            break
        file[end - 4 : end] = zlib.crc32(file[at + 4 : end - 4]).to_bytes(4)
        at = end
    return bytes(file)


@pytest.mark.parametrize("kind", sorted(FILES))
def test_a_truncated_file_is_refused_wherever_it_stops(kind):
    file = FILES[kind]
    # Their last bytes only say that it is over, or that no further picture follows.
    spare = 12 if kind.endswith("png") else 2 if kind.endswith("jpeg") else {"gif": 2, "fax tiff": 4}.get(kind, 0)
    for length in {*range(1, 100, 7), *range(100, len(file), max(1, len(file) // 40)), len(file) - spare - 1}:
        with pytest.raises(UnreadableImage):
            decode(BytesIO(file[:length]), max_pixels=LIMIT)


def test_a_large_truncated_photo_is_refused():
    for format in ("jpeg", "png", "webp", "avif", "tiff", "bmp", "gif"):
        file = saved(photo("coffee"), format)
        for part in (0.3, 0.7, 0.99):
            with pytest.raises(UnreadableImage):
                decode(BytesIO(file[: int(len(file) * part)]), max_pixels=LIMIT)


def with_wrong_checksum(file: bytes, kind: bytes) -> bytes:
    at = file.index(kind)
    end = at + 4 + int.from_bytes(file[at - 4 : at])
    return file[:end] + bytes((file[end] ^ 1,)) + file[end + 1 :]


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"tRNS", b"IDAT"])
def test_a_png_with_a_wrong_checksum_of_what_pixels_need_is_refused(kind):
    with pytest.raises(UnreadableImage, match="checksum"):
        decode(BytesIO(with_wrong_checksum(FILES["palette png"], kind)), max_pixels=LIMIT)


@pytest.mark.parametrize("kind", [b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"iCCP", b"tIME", b"pHYs", b"prVt", b"IEND"])
def test_a_png_with_another_wrong_checksum_is_read(kind):
    plain = saved(small(), "png", exif=TURNED)
    if kind not in plain:
        plain = plain[:33] + chunk(kind, b"Comment\0 by some program") + plain[33:]
    upright = decode(BytesIO(plain), max_pixels=LIMIT).rgb
    assert upright.shape == (64, 48, 3)
    np.testing.assert_array_equal(decode(BytesIO(with_wrong_checksum(plain, kind)), max_pixels=LIMIT).rgb, upright)


@pytest.mark.parametrize("tail", [b"", b"\0", b"\0\0\0\0IEND", b"no chunk at all, and long", bytes(500)])
def test_a_png_needs_no_end_chunk_where_its_pixels_are_all_there(tail):
    file = saved(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8), "png")
    whole = decode(BytesIO(file), max_pixels=LIMIT).rgb
    np.testing.assert_array_equal(decode(BytesIO(file[:-12] + tail), max_pixels=LIMIT).rgb, whole)
    second = file.index(b"IDAT", file.index(b"IDAT") + 4) - 4  # where the first chunk of pixels ends
    with pytest.raises(UnreadableImage):
        decode(BytesIO(file[:second] + tail), max_pixels=LIMIT)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("tail", [b"", b"\xff", b"\0", bytes(500)])
def test_a_jpeg_needs_no_end_marker_where_its_pixels_are_all_there(progressive, tail):
    file = saved(photo("coffee"), "jpeg", exif=TURNED, progressive=progressive)
    whole = decode(BytesIO(file), max_pixels=LIMIT).rgb
    np.testing.assert_array_equal(decode(BytesIO(file[:-2] + tail), max_pixels=LIMIT).rgb, whole)
    for cut in (40, 300, 4000):
        with pytest.raises(UnreadableImage, match="truncated"):
            decode(BytesIO(file[:-cut] + tail), max_pixels=LIMIT)


def test_a_progressive_jpeg_without_its_last_scans_is_refused():
    file = saved(photo("coffee"), "jpeg", progressive=True)
    last = file.rindex(b"\xff\xda")
    for at in (last, file.rindex(b"\xff\xc4", 0, last)):
        with pytest.raises(UnreadableImage, match="truncated"):
            decode(BytesIO(file[:at]), max_pixels=LIMIT)


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "avif", "tiff", "bmp", "gif"])
def test_what_follows_the_end_is_left_alone(format):
    file = saved(small(), format)
    for tail in (b"\0", bytes(700), b"<!-- a comment of some server -->", saved(small(), "jpeg")):
        np.testing.assert_array_equal(
            decode(BytesIO(file + tail), max_pixels=LIMIT).rgb, decode(BytesIO(file), max_pixels=LIMIT).rgb
        )


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"", "The file is empty: send a JPEG, PNG"),
        (b"hello, this is text\n" * 50, "no picture of a supported format"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b'\n<?xml version="1.0"?><svg/>', "an SVG drawing"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"PK\x03\x04" + bytes(100), "a zip archive"),
        (b"\0\0\0\x14ftypisom\0\0\0\0mp42", "a video"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "a video"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "a video"),
        (b"P6 2 2 255\n" + bytes(12), "no picture of a supported format"),
        (bytes(1000), "no picture of a supported format"),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(file, message):
    with pytest.raises(UnreadableImage, match=message):
        decode(BytesIO(file), max_pixels=LIMIT)


def test_a_format_that_is_not_supported_is_refused_though_pillow_reads_it():
    for format in ("ppm", "tga", "ico", "jpeg2000", "pcx", "eps"):
        with pytest.raises(UnreadableImage):
            decode(BytesIO(saved(small(), format)), max_pixels=LIMIT)
