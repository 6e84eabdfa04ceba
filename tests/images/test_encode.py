import errno
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from app.images.decode import decode
from app.images.encode import FORMATS, MEDIA_TYPES, encode
from app.images.errors import ImageError
from tests.images import profiles
from tests.images.files import PIXELS, chunk, photo, psnr, saved, small

OPEN_FILES = Path("/proc/self/fd")
SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@settings(max_examples=50)
@given(SHAPES.flatmap(lambda shape: arrays.arrays(np.uint8, (*shape, 4))))
def test_png_gives_back_every_pixel_of_any_picture(rgba):
    rgb, alpha = np.ascontiguousarray(rgba[:, :, :3]), np.ascontiguousarray(rgba[:, :, 3])
    decoded = decode(BytesIO(encode(rgb, None, "png", 90)), max_pixels=PIXELS)
    np.testing.assert_array_equal(decoded.rgb, rgb)
    with_alpha = decode(BytesIO(encode(rgb, alpha, "png", 90)), max_pixels=PIXELS)
    if (alpha == 255).all():
        assert with_alpha.alpha is None
    else:
        np.testing.assert_array_equal(with_alpha.alpha, alpha)
    np.testing.assert_array_equal(with_alpha.rgb[alpha > 0], rgb[alpha > 0])


@pytest.mark.parametrize("format", FORMATS)
def test_the_media_type_is_that_of_the_bytes(format):
    with Image.open(BytesIO(encode(small(), None, format, 90))) as image:
        assert image.get_format_mimetype() == MEDIA_TYPES[format]


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_quality_buys_likeness_with_bytes(format):
    files = [encode(photo("coffee"), None, format, quality) for quality in (1, 30, 60, 90, 100)]
    likeness = [psnr(decode(BytesIO(file), max_pixels=PIXELS).rgb, photo("coffee")) for file in files]
    assert sorted(map(len, files)) == [len(file) for file in files]
    assert sorted(likeness) == likeness
    assert likeness[-1] > 38


def test_a_jpeg_is_the_same_where_the_system_gives_no_file_in_memory(monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    pictures = [(photo("coffee"), 90), (small(), 75)]
    files = [encode(rgb, None, "jpeg", quality) for rgb, quality in pictures]
    monkeypatch.setattr("os.memfd_create", refuse, raising=False)
    assert [encode(rgb, None, "jpeg", quality) for rgb, quality in pictures] == files


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files where Linux lists them")
def test_a_jpeg_leaves_no_file_open():
    encode(small(), None, "jpeg", 90)
    before = len(list(OPEN_FILES.iterdir()))
    encode(small(), None, "jpeg", 90)
    assert len(list(OPEN_FILES.iterdir())) == before


def test_quality_is_nothing_to_png():
    assert encode(small(), None, "png", 1) == encode(small(), None, "png", 100)


@pytest.mark.parametrize("format", ["png", "webp"])
def test_transparency_is_kept(format):
    alpha = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    decoded = decode(BytesIO(encode(small(), alpha, format, 90)), max_pixels=PIXELS)
    np.testing.assert_array_equal(decoded.alpha, alpha)


def test_transparency_is_laid_on_white_in_jpeg():
    alpha = np.zeros((48, 64), np.uint8)
    alpha[:, 32:] = 255
    rgb = decode(BytesIO(encode(small(), alpha, "jpeg", 100)), max_pixels=PIXELS).rgb
    assert rgb[:, :24].min() >= 253
    assert psnr(rgb[:, 40:], small()[:, 40:]) > 38


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("source", ["jpeg", "png", "webp", "tiff", "avif"])
def test_nothing_of_the_photos_metadata_is_in_the_answer(source, format):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "SecretCamera", 6
    icc = profiles.rgb(profiles.DISPLAY_P3, 2.2)
    file = saved(small(), source, exif=exif, icc_profile=icc)
    if source == "png":
        file = file[:33] + chunk(b"tEXt", b"Comment\0SecretText") + file[33:]
    decoded = decode(BytesIO(file), max_pixels=PIXELS)
    answer = encode(decoded.rgb, decoded.alpha, format, 90)
    for mark in (b"Secret", b"Exif", b"EXIF", b"eXIf", b"ICC", b"iCCP", b"acsp", b"http", b"tEXt", b"Software"):
        assert mark not in answer
    with Image.open(BytesIO(answer)) as image:
        image.load()
        assert dict(image.getexif()) == {}
        assert not {"exif", "icc_profile", "xmp", "comment", "dpi"} & image.info.keys()


def test_a_picture_too_long_for_the_format_is_refused_with_advice():
    long = np.zeros((1, 16_384, 3), np.uint8)
    with pytest.raises(ImageError, match="16383 pixels a side and this one is 16384 x 1: ask for png"):
        encode(long, None, "webp", 90)
    with pytest.raises(ImageError, match="65500 pixels a side"):
        encode(np.zeros((65_501, 1, 3), np.uint8), None, "jpeg", 90)
    assert decode(BytesIO(encode(long, None, "jpeg", 90)), max_pixels=PIXELS).rgb.shape == (1, 16_384, 3)
