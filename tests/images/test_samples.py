"""Every number a TIFF or BMP may hold is read as what it stands for, or refused."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from app.images.decode import Decoded, decode
from app.images.errors import UnreadableImage
from tests.images.files import PIXELS, Bytes, bmp_of, saved, small, tiff_of

RGB = small(48, 63).astype(np.int64)
GREY = np.array(Image.fromarray(small(48, 63)).convert("L")).astype(np.int64)
ALPHA = np.tile(np.linspace(0, 255, 63).round().astype(np.uint8), (48, 1))
WAYS = [
    {"order": order, "deflate": deflate, "reverse": reverse}
    for order in "<>"
    for deflate in (False, True)
    for reverse in (False, True)
]


def read(file: bytes) -> Decoded:
    return decode(BytesIO(file), max_pixels=PIXELS)


def read_or_refused(file: bytes, rgb: Bytes, alpha: Bytes | None = None, off: int = 1) -> bool:
    """Whether it was read; then it is right."""
    try:
        found = read(file)
    except UnreadableImage:
        return False
    if alpha is None:
        assert found.alpha is None
        seen = np.ones(rgb.shape[:2], bool)
    else:
        np.testing.assert_allclose(found.alpha, alpha, atol=1)
        seen = alpha > 64  # below, colours multiplied by alpha have lost too much
    assert np.abs(found.rgb.astype(int) - rgb.reshape(*rgb.shape[:2], -1))[seen].max() <= off
    return True


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 10, 12, 14, 16])
def test_grey_of_any_depth_is_read_right_or_refused_whichever_end_is_white(bits):
    top = 2**bits - 1
    levels = np.rint(GREY / 255 * top).astype(np.int64)[:, :, None]
    expected = np.rint(levels[:, :, 0] * 255 / top).astype(int)
    black = [read_or_refused(tiff_of(levels, bits, 1, **way), expected) for way in WAYS]
    white = [read_or_refused(tiff_of(top - levels, bits, 0, **way), expected) for way in WAYS]
    assert black[0] == (bits not in (10, 14))
    assert white[0] == (bits not in (10, 12, 14))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", [1, 2])
def test_colours_are_read_right_or_refused(bits, planar):
    scale = 257 if bits == 16 else 1
    cmyk = np.array(Image.fromarray(small(48, 63)).convert("CMYK")).astype(np.int64)
    read = [
        [
            read_or_refused(tiff_of(RGB * scale, bits, 2, planar=planar, **way), RGB),
            read_or_refused(tiff_of(cmyk * scale, bits, 5, planar=planar, **way), RGB, off=2),
        ]
        for way in WAYS
    ]
    assert read[0] == [True, True]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("extra", [None, 0, 1, 2])
def test_alpha_is_read_right_or_refused(bits, planar, extra):
    """An extra sample that is unspecified is no alpha, one that is not declared at all most likely is."""
    scale = 257 if bits == 16 else 1
    tags = () if extra is None else ((338, 3, [extra]),)
    alpha = None if extra == 0 else ALPHA
    for photometric, colour in ((2, RGB), (1, GREY[:, :, None])):
        if photometric == 1 and extra is None:
            continue
        part = np.rint(colour * (ALPHA[:, :, None] / 255)).astype(int) if extra == 1 else colour
        samples = np.dstack((part, ALPHA)).astype(np.int64) * scale
        for way in WAYS:
            whole = read_or_refused(
                tiff_of(samples, bits, photometric, planar=planar, tags=tags, **way), colour, alpha, 4
            )
            # What tiffs with alpha look like everywhere must be read.
            assert whole or photometric == 1 or planar == 2 or way["reverse"]


def test_lab_and_ycbcr_are_read_right_or_refused():
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(Image.fromarray(small(48, 63)), *profiles, outputMode="LAB")
    stored = np.frombuffer(lab.tobytes(), np.uint8).reshape(RGB.shape).astype(np.int64)
    ycbcr = np.array(Image.fromarray(small(48, 63)).convert("YCbCr")).astype(np.int64)
    full = (530, 3, [1, 1])
    for planar in (1, 2):
        for way in WAYS:
            whole = [
                read_or_refused(tiff_of(stored, 8, 8, planar=planar, **way), RGB, off=8),
                read_or_refused(tiff_of(ycbcr, 8, 6, planar=planar, tags=(full,), **way), RGB, off=4),
            ]
            assert planar == 2 or way["reverse"] or whole == [True, True]


def test_subsampled_colour_without_compression_is_read_right():
    block = np.array([[[100, 100, 100, 100, 90, 160]]], np.int64)  # four of Y, one of Cb and Cr
    file = tiff_of(np.tile(block, (4, 5, 1)), 8, 6, tags=((530, 3, [2, 2]),))
    # Six samples a block of 2x2 pixels, three a pixel as the directory has it.
    file = with_entry(with_entry(with_entry(file, 256, 10), 257, 8), 277, 3)
    file = with_entry(file, 278, 8)
    expected = np.array(Image.new("YCbCr", (1, 1), (100, 90, 160)).convert("RGB"))
    assert read_or_refused(file, np.broadcast_to(expected, (8, 10, 3)), off=2)


def with_entry(file: bytes, tag: int, value: int) -> bytes:
    """A little-endian TIFF with another number for a tag."""
    count = int.from_bytes(file[8:10], "little")
    (at,) = [at for at in range(10, 10 + 12 * count, 12) if int.from_bytes(file[at : at + 2], "little") == tag]
    return file[: at + 4] + (1).to_bytes(4, "little") + value.to_bytes(4, "little") + file[at + 12 :]


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("form", [2, 3])
def test_signed_numbers_and_floats_are_refused(bits, form):
    for photometric in (0, 1):
        with pytest.raises(UnreadableImage):
            read(tiff_of(GREY[:, :, None] // 2, bits, photometric, tags=((339, 3, [form]),)))


@pytest.mark.parametrize("top", [1023, 4095, 16383])
def test_a_largest_sample_that_is_a_bit_depth_is_white(top):
    levels = np.rint(GREY / 255 * top).astype(np.int64)[:, :, None]
    assert read_or_refused(tiff_of(levels, 16, 1, tags=((281, 3, [top]),)), GREY)
    assert read_or_refused(tiff_of(top - levels, 16, 0, tags=((281, 3, [top]),)), GREY)
    # Any other only tells what was found in the file, and is not to change how it looks.
    plain = np.rint(levels[:, :, 0] / 257).astype(int)
    for other in (top - 5, 65535):
        assert read_or_refused(tiff_of(levels, 16, 1, tags=((281, 3, [other]),)), plain)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("scale", [257, 1])
def test_a_palette_of_16_bits_and_one_wrongly_of_8_are_read(bits, scale):
    image = Image.fromarray(small(48, 63)).quantize(2**bits)
    colours = np.zeros((2**bits, 3), np.int64)
    found = np.array(image.getpalette()).reshape(-1, 3)[: 2**bits]
    colours[: len(found)] = found
    tags = ((320, 3, [int(level) * scale for level in colours.T.reshape(-1)]),)
    assert read_or_refused(tiff_of(np.array(image)[:, :, None], bits, 3, tags=tags), np.array(image.convert("RGB")))


def test_alpha_that_was_never_filled_is_none():
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    others = (0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    for alpha, expected in ((np.zeros_like(ALPHA), None), (ALPHA, ALPHA)):
        rgba = np.dstack((small(48, 63), alpha))
        for header in (56, 108, 124):
            for order in (masks, others):
                assert read_or_refused(bmp_of(rgba, header, order), RGB, expected)
        assert read_or_refused(tiff_of(rgba, 8, 2), RGB, expected)
        assert read_or_refused(tiff_of(rgba, 8, 2, tags=((338, 3, [0]),)), RGB, None)
    for header in (40, 52):
        assert read_or_refused(bmp_of(np.dstack((small(48, 63), ALPHA)), header, masks), RGB, None)
    hidden = read(tiff_of(np.dstack((RGB, np.zeros_like(ALPHA))), 8, 2, tags=((338, 3, [2]),)))
    assert hidden.alpha is not None, "a TIFF that declares its alpha means it"
    assert not hidden.alpha.any()


def test_a_thumbnail_before_the_picture_is_refused():
    with pytest.raises(UnreadableImage, match="begins with a thumbnail"):
        read(tiff_of(RGB, 8, 2, tags=((254, 4, [1]),)))
    assert read_or_refused(tiff_of(RGB, 8, 2, tags=((254, 4, [2]),)), RGB)


def test_sixteen_bit_grey_of_either_order_is_the_same_picture():
    levels = (GREY.astype(np.uint16) * 257)[:, :, None]
    little, big = (read(tiff_of(levels, 16, 1, order)) for order in "<>")
    np.testing.assert_array_equal(little.rgb, big.rgb)
    np.testing.assert_array_equal(little.rgb, read(saved(Image.fromarray(levels[:, :, 0]), "png")).rgb)
