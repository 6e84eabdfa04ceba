from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from app.images.decode import Decoded, decode
from app.images.errors import UnreadableImage
from tests.images.files import PIXELS, chunk, photo, png, psnr, saved, small


def read(file: bytes, size: int | None = None) -> Decoded:
    return decode(BytesIO(file), max_pixels=PIXELS, size=size)


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_sixteen_bit_grey_keeps_its_whole_range(format):
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    rgb = read(saved(Image.fromarray(levels), format)).rgb
    assert np.abs(rgb - levels[:, :, None] / 257).max() <= 0.5


def test_sixteen_bit_colour_and_alpha_keep_their_whole_range():
    levels = np.arange(65536, dtype=">u2").reshape(256, 256)
    for colour, channels in ((2, 3), (4, 2), (6, 4)):
        rows = np.repeat(levels[:, :, None], channels, axis=2).reshape(256, -1)
        packed = b"".join(b"\0" + row.tobytes() for row in rows)
        decoded = read(png(256, 256, packed, depth=16, colour=colour))
        visible = np.ones((256, 256), bool) if decoded.alpha is None else decoded.alpha > 0
        assert np.abs(decoded.rgb - levels[:, :, None] / 257)[visible].max() <= 1
        if channels != 3:
            assert decoded.alpha is not None
            assert np.abs(decoded.alpha - levels / 257).max() <= 1


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_grey_of_few_bits_is_widened_and_so_is_its_transparent_level(depth):
    top = 2**depth - 1
    row = np.array([0, top, 0, top, top, 0, top, top])
    bits = "".join(format(level, f"0{depth}b") for level in row)
    packed = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    opaque = read(png(8, 1, b"\0" + packed, depth=depth, colour=0))
    np.testing.assert_array_equal(opaque.rgb[0, :, 0], np.where(row == top, 255, 0))
    keyed = read(png(8, 1, b"\0" + packed, depth=depth, colour=0, extra=chunk(b"tRNS", top.to_bytes(2))))
    assert keyed.alpha is not None
    np.testing.assert_array_equal(keyed.alpha[0], np.where(row == top, 0, 255))


def test_a_transparent_colour_is_found_at_any_depth():
    for depth, form in ((8, "u1"), (16, ">u2")):
        scale = 257 if depth == 16 else 1
        rows = b"\0" + (np.array([[10, 20, 30], [200, 20, 30]]) * scale).astype(form).tobytes()
        key = chunk(b"tRNS", (np.array([10, 20, 30]) * scale).astype(">u2").tobytes())
        decoded = read(png(2, 1, rows, depth=depth, extra=key))
        assert decoded.alpha is not None
        assert decoded.alpha.tolist() == [[0, 255]]
        assert decoded.rgb.tolist() == [[[255, 255, 255], [200, 20, 30]]]


def test_a_palette_keeps_its_colours_and_its_transparency():
    image = Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8)).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    opaque = read(saved(image, "png"))
    assert opaque.alpha is None
    assert opaque.rgb.tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]]
    some = read(saved(image, "png", transparency=b"\x00\x80\xff"))
    assert some.alpha is not None
    assert some.alpha.tolist() == [[0, 128], [255, 255]]
    assert some.rgb.tolist() == [[[255, 255, 255], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]]
    one = read(saved(image, "gif", transparency=1))
    assert one.alpha is not None
    assert one.alpha.tolist() == [[255, 0], [255, 255]]


@pytest.mark.parametrize(
    ("format", "options"), [("png", {}), ("webp", {"lossless": True, "exact": True}), ("tiff", {})]
)
def test_alpha_is_kept_beside_colours_that_it_did_not_touch(format, options):
    alpha = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    decoded = read(saved(np.dstack((small(), alpha)), format, **options))
    assert decoded.alpha is not None
    np.testing.assert_array_equal(decoded.alpha, alpha)
    np.testing.assert_array_equal(decoded.rgb[alpha > 0], small()[alpha > 0])
    assert (decoded.rgb[alpha == 0] == 255).all()


@pytest.mark.parametrize("format", ["png", "webp", "tiff", "avif"])
def test_an_alpha_channel_without_transparency_is_dropped(format):
    assert read(saved(Image.fromarray(small()).convert("RGBA"), format)).alpha is None


@pytest.mark.parametrize("size", [24, 200])
def test_what_is_invisible_bleeds_into_nothing_when_resized(size):
    image = np.zeros((64, 64, 4), np.uint8)
    image[:, :, 1] = 255  # green, and invisible
    image[16:48, 16:48] = (200, 0, 0, 255)
    decoded = read(saved(image, "png"), size)
    assert decoded.alpha is not None
    seen = decoded.alpha > 8
    assert decoded.rgb[seen][:, 1].max() <= 2
    assert np.abs(decoded.rgb[seen][:, 0].astype(int) - 200).max() <= 1


def test_cmyk_jpeg_comes_close_to_the_colours_it_was_made_from():
    cmyk = Image.fromarray(photo("coffee")).convert("CMYK")
    assert psnr(read(saved(cmyk, "jpeg", quality=95)).rgb, photo("coffee")) > 35
    np.testing.assert_array_equal(read(saved(cmyk, "tiff")).rgb, np.array(cmyk.convert("RGB")))


def test_cmyk_jpeg_without_an_adobe_mark_is_not_inverted():
    inverted = Image.fromarray(255 - np.array(Image.fromarray(photo("coffee")).convert("CMYK")), "CMYK")
    file = saved(inverted, "jpeg", quality=95)
    at = file.index(b"\xff\xee")
    length = int.from_bytes(file[at + 2 : at + 4])
    assert psnr(read(file[:at] + file[at + 2 + length :]).rgb, photo("coffee")) > 35


def test_grey_jpeg_is_grey():
    grey = Image.fromarray(photo("coffee")).convert("L")
    rgb = read(saved(grey, "jpeg", quality=95)).rgb
    assert (rgb == rgb[:, :, :1]).all()
    assert psnr(rgb[:, :, 0], np.array(grey)) > 38


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_numbers_of_unknown_range_are_refused_rather_than_guessed(dtype):
    with pytest.raises(UnreadableImage, match="not known: save it"):
        read(saved(Image.fromarray(np.ones((8, 8), dtype)), "tiff"))
