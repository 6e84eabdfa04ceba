from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from app.images.decode import decode
from tests.images import profiles
from tests.images.files import PIXELS, Bytes, chunk, photo, psnr, saved


def pixels(file: bytes, size: int | None = None) -> Bytes:
    return decode(BytesIO(file), max_pixels=PIXELS, size=size).rgb


def in_srgb(rgb: Bytes, primaries: tuple[profiles.Row, profiles.Row, profiles.Row], exponent: float) -> Bytes:
    """What a profile of those primaries and that gamma means, in float64, by the definition of sRGB (IEC 61966-2-1)."""
    light = (rgb / 255.0) ** exponent
    linear = (light @ np.array(primaries) @ np.linalg.inv(np.array(profiles.SRGB))).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("format", "options"),
    [("png", {}), ("tiff", {}), ("webp", {"lossless": True}), ("jpeg", {"quality": 97}), ("avif", {"quality": 97})],
)
def test_a_wide_gamut_photo_is_converted_by_its_profile(format, options):
    stored = photo("coffee")
    file = saved(stored, format, icc_profile=profiles.rgb(profiles.DISPLAY_P3, 2.2), **options)
    expected = in_srgb(pixels(saved(stored, format, **options)), profiles.DISPLAY_P3, 2.2)
    assert psnr(expected, stored) < 35
    off = np.abs(pixels(file).astype(int) - expected)
    assert off.mean() < 0.5
    assert np.percentile(off, 99.9) <= 3


def test_a_profile_may_mean_anything_and_is_taken_at_its_word():
    red, green, blue = profiles.SRGB
    file = saved(photo("coffee"), "png", icc_profile=profiles.rgb((green, red, blue), 2.2))
    assert psnr(pixels(file), photo("coffee")[:, :, [1, 0, 2]]) > 35


def test_a_profile_is_applied_below_transparency_and_after_resizing():
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 255))
    image.paste((255, 0, 0, 100), (0, 0, 20, 40))
    red, green, blue = profiles.SRGB
    swapped = profiles.rgb((green, red, blue), 2.2)
    decoded = decode(BytesIO(saved(image, "png", icc_profile=swapped)), max_pixels=PIXELS, size=20)
    assert decoded.alpha is not None
    assert decoded.alpha[10].tolist()[:6] == [100] * 6
    assert np.abs(decoded.rgb.astype(int) - (0, 255, 0)).max() <= 1


def test_a_palette_has_a_profile_too():
    image = Image.fromarray(photo("coffee")).quantize(64)
    red, green, blue = profiles.SRGB
    file = saved(image, "png", icc_profile=profiles.rgb((green, red, blue), 2.2))
    assert psnr(pixels(file), np.array(image.convert("RGB"))[:, :, [1, 0, 2]]) > 35


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_grey_of_another_gamma_is_brightened(format):
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    rgb = pixels(saved(ramp, format, icc_profile=profiles.grey(1.8)))
    expected = in_srgb(np.repeat(ramp[:, :, None], 3, axis=2), profiles.SRGB, 1.8)
    assert np.abs(expected.astype(int) - ramp[:, :, None]).max() > 10
    assert np.abs(rgb.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("format", ["jpeg", "tiff"])
def test_inks_have_the_colours_that_the_profile_gives_them(format):
    printer = profiles.cmyk({0: (100, 0, 0), 8: (54.29, 80.81, 69.89), 2: (29.57, 68.30, -112.03)})
    for inks, colour in (((0, 0, 0, 0), (255, 255, 255)), ((255, 0, 0, 0), (255, 0, 0)), ((0, 0, 255, 0), (0, 0, 255))):
        file = saved(Image.new("CMYK", (16, 16), inks), format, icc_profile=printer)
        assert np.abs(pixels(file).astype(int) - colour).max() <= 8


def test_lab_needs_no_profile():
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.fromarray(photo("coffee")), srgb, lab, outputMode="LAB")
    assert image is not None
    assert psnr(pixels(saved(image, "tiff")), photo("coffee")) > 40
    assert pixels(saved(image, "tiff"), 60).shape == (40, 60, 3)


@pytest.mark.parametrize(
    "broken",
    [
        b"no profile",
        profiles.rgb(profiles.SRGB, 2.2)[:200],
        bytes(128) + profiles.rgb(profiles.SRGB, 2.2)[128:],
        profiles.grey(1.0),
        profiles.cmyk({}),
        profiles.rgb(((0, 0, 0), (0, 0, 0), (0, 0, 0)), 2.2)[:-40] + b"\xff" * 40,
    ],
)
@pytest.mark.parametrize("format", ["png", "tiff"])
def test_a_profile_that_is_broken_or_of_another_space_is_ignored(format, broken):
    np.testing.assert_array_equal(pixels(saved(photo("coffee"), format, icc_profile=broken)), photo("coffee"))


def test_a_profile_chunk_of_no_sense_is_ignored():
    plain = saved(photo("coffee"), "png")
    for body in (b"", b"name", b"name\0\0junk", b"\0" * 100):
        np.testing.assert_array_equal(pixels(plain[:33] + chunk(b"iCCP", body) + plain[33:]), photo("coffee"))
