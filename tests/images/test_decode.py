from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from tempfile import SpooledTemporaryFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from app.images.decode import decode, decode_mask, decode_style, fitted
from tests.images.files import PIXELS, Bytes, photo, psnr, saved, small


def pixels(file: bytes, size: int | None = None) -> Bytes:
    return decode(BytesIO(file), max_pixels=PIXELS, size=size).rgb


@pytest.mark.parametrize(
    ("format", "options", "quality"),
    [
        ("jpeg", {"quality": 95}, 34),
        ("jpeg", {"quality": 95, "progressive": True}, 34),
        ("png", {}, np.inf),
        ("webp", {"quality": 95}, 36),
        ("webp", {"lossless": True}, np.inf),
        ("avif", {"quality": 95}, 38),
        ("tiff", {}, np.inf),
        ("tiff", {"compression": "tiff_lzw"}, np.inf),
        ("tiff", {"compression": "tiff_adobe_deflate"}, np.inf),
        ("tiff", {"compression": "jpeg", "quality": 95}, 36),
        ("tiff", {"compression": "packbits"}, np.inf),
        ("tiff", {"compression": "zstd"}, np.inf),
        ("bmp", {}, np.inf),
        ("gif", {}, 28),
    ],
)
def test_every_format_comes_back_as_the_photo_it_was_made_from(format, options, quality):
    decoded = decode(BytesIO(saved(photo("coffee"), format, **options)), max_pixels=PIXELS)
    assert decoded.format == format
    assert decoded.alpha is None
    assert decoded.rgb.dtype == np.uint8
    assert decoded.rgb.flags.c_contiguous
    assert decoded.rgb.shape == (400, 600, 3)
    assert psnr(decoded.rgb, photo("coffee")) >= quality


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("format", "options"),
    [("png", {}), ("tiff", {}), ("tiff", {"compression": "tiff_lzw"}), ("webp", {"lossless": True})],
)
def test_orientation_is_applied_to_the_pixel(format, options, orientation):
    stored = small()
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: stored[::-1].transpose(1, 0, 2),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: stored[:, ::-1].transpose(1, 0, 2),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(pixels(saved(stored, format, exif=exif, **options)), upright)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["jpeg", "avif"])
def test_orientation_is_applied_to_lossy_formats_and_to_masks(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain, turned = saved(small(), format), saved(small(), format, exif=exif)
    before = Image.fromarray(pixels(plain))
    before.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(before)
    np.testing.assert_array_equal(pixels(turned), np.array(upright))
    mask = decode_mask(BytesIO(turned), max_pixels=PIXELS, width=upright.width, height=upright.height)
    np.testing.assert_allclose(mask.astype(int), np.array(upright.convert("L")), atol=1)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"])
def test_broken_exif_is_no_reason_to_refuse_a_photo(exif):
    np.testing.assert_array_equal(pixels(saved(small(), "jpeg", exif=exif)), pixels(saved(small(), "jpeg")))


@pytest.mark.parametrize("format", ["gif", "png", "webp"])
def test_of_an_animation_the_first_frame_is_read(format):
    frames = [Image.new("RGB", (40, 30), (level, 0, 0)) for level in (200, 100, 50, 25)]
    file = saved(
        frames[0], format, save_all=True, append_images=frames[1:], **({"lossless": True} if format == "webp" else {})
    )
    np.testing.assert_array_equal(pixels(file), np.array(frames[0]))


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 2048))
def test_a_fitted_size_has_the_long_side_and_the_nearest_aspect(width, height, long_side):
    fitted_width, fitted_height = fitted(width, height, long_side)
    assert max(fitted_width, fitted_height) == long_side
    assert min(fitted_width, fitted_height) >= 1
    exact = min(width, height) * long_side / max(width, height)
    assert abs(min(fitted_width, fitted_height) - max(exact, 1)) <= 0.5


MODES = {
    "jpeg": ("1", "L", "RGB", "CMYK"),
    "png": ("1", "L", "P", "RGB", "LA", "RGBA"),
    "webp": ("L", "P", "RGB", "RGBA"),
    "tiff": ("1", "L", "P", "RGB", "LA", "RGBA", "CMYK"),
    "bmp": ("1", "L", "P", "RGB", "RGBA"),
    "gif": ("1", "L", "P", "RGB", "RGBA"),
}


@settings(max_examples=80)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 120),
    st.sampled_from([(format, mode) for format, modes in MODES.items() for mode in modes]),
)
def test_any_size_and_mode_comes_out_at_the_size_asked_for(width, height, size, kind):
    format, mode = kind
    file = saved(Image.fromarray(photo()).crop((200, 100, 200 + width, 100 + height)).convert(mode), format)
    assert pixels(file).shape == (height, width, 3)
    fitted_width, fitted_height = fitted(width, height, size)
    assert pixels(file, size).shape == (fitted_height, fitted_width, 3)


def test_size_enlarges_and_reduces_while_the_limit_only_reduces():
    file = saved(photo("chelsea"), "png")
    assert pixels(file, 902).shape == (600, 902, 3)
    assert pixels(file, 225).shape == (150, 225, 3)
    assert decode(BytesIO(file), max_pixels=PIXELS, limit=225).rgb.shape == (150, 225, 3)
    np.testing.assert_array_equal(decode(BytesIO(file), max_pixels=PIXELS, limit=1024).rgb, photo("chelsea"))
    assert decode(BytesIO(file), max_pixels=PIXELS, size=902, limit=225).rgb.shape == (600, 902, 3)


@pytest.mark.parametrize("name", ["china", "rocket", "astronaut"])
@pytest.mark.parametrize("size", [64, 100, 150, 256])
def test_decoding_a_jpeg_at_reduced_scale_cannot_be_told_from_reducing_all_of_it(name, size):
    file = saved(photo(name), "jpeg", quality=92)
    whole = Image.open(BytesIO(file)).convert("RGB")
    reduced = whole.resize(fitted(*whole.size, size), Image.Resampling.LANCZOS)
    assert psnr(pixels(file, size), np.array(reduced)) > 43


def test_reduction_is_antialiased():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    inside = pixels(saved(stripes, "png"), 64)[:, 4:-4].astype(int)
    assert np.abs(inside - 127.5).max() <= 1.5


def test_a_style_is_reduced_but_never_enlarged_and_laid_on_white():
    image = Image.fromarray(photo()).convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 512, 256))
    image.paste((0, 0, 0, 128), (0, 256, 512, 300))
    style = decode_style(BytesIO(saved(image, "png")), max_pixels=PIXELS, size=1024)
    assert style.shape == (512, 512, 3)
    assert (style[:256] == 255).all()
    assert (style[256:300] == 127).all()
    np.testing.assert_array_equal(style[300:], photo()[300:])
    assert decode_style(BytesIO(saved(image, "png")), max_pixels=PIXELS, size=100).shape == (100, 100, 3)


def test_a_mask_is_stretched_smoothly_and_black_where_transparent():
    image = Image.new("LA", (40, 20), (255, 255))
    image.paste((255, 0), (20, 0, 40, 20))
    mask = decode_mask(BytesIO(saved(image, "png")), max_pixels=PIXELS, width=64, height=64)
    assert mask.shape == (64, 64)
    assert (mask[:, :30] == 255).all()
    assert (mask[:, 34:] == 0).all()
    assert (np.diff(mask.astype(int), axis=1) <= 0).all()
    wide = decode_mask(BytesIO(saved(photo(), "png")), max_pixels=PIXELS, width=77, height=31)
    assert wide.shape == (31, 77)


def test_one_file_in_many_threads_is_one_picture():
    files = [saved(photo("coffee"), format) for format in ("jpeg", "png", "webp", "avif", "tiff", "bmp", "gif")] * 4
    alone = [pixels(file, 200) for file in files]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone, pool.map(lambda file: pixels(file, 200), files), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_spooled_upload_is_read_and_left_open():
    with SpooledTemporaryFile(max_size=1000) as file:
        file.write(saved(small(), "tiff", compression="tiff_lzw"))
        file.seek(0)
        np.testing.assert_array_equal(decode(file, max_pixels=PIXELS).rgb, small())
        assert not file.closed
