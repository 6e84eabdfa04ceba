"""HEIC and HEIF photos, as phones and cameras write them."""

import sys
from io import BytesIO

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms, ImageOps

from app.images.decode import Decoded, decode, decode_mask
from app.images.errors import UnreadableImage
from app.images.heif import read_by_pillow
from app.images.nclx import profile
from tests.images.files import PIXELS, Bytes, heic, photo, psnr, saved, small
from tests.images.profiles import DISPLAY_P3, rgb


def read(file: bytes, size: int | None = None) -> Decoded:
    return decode(BytesIO(file), max_pixels=PIXELS, size=size)


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def test_a_photo_comes_back_as_it_was_taken():
    decoded = read(heic(photo("coffee")))
    assert (decoded.format, decoded.alpha) == ("heif", None)
    assert decoded.rgb.shape == (400, 600, 3)
    assert psnr(decoded.rgb, photo("coffee")) > 36
    assert psnr(read(heic(photo("coffee")), 300).rgb, read(saved(photo("coffee"), "png"), 300).rgb) > 38


@pytest.mark.parametrize("brand", [b"mif1", b"msf1", b"heic", b"heix", b"hevc"])
def test_every_brand_is_read(brand):
    file = heic(small())
    np.testing.assert_array_equal(read(file[:8] + brand + file[12:]).rgb, read(file).rgb)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_boxes_turn_a_photo_once(orientation):
    # pillow-heif writes an orientation as irot and imir, beside the EXIF.
    file = heic(small(), exif=exif(orientation))
    assert (b"irot" in file or b"imir" in file) == (orientation > 1)
    expected = Image.fromarray(small())
    expected.getexif()[0x0112] = orientation
    upright = np.array(ImageOps.exif_transpose(expected))
    assert read(file).rgb.shape == upright.shape
    assert psnr(read(file).rgb, upright) > 30


def test_metadata_alone_turn_nothing():
    file = heic(small(), exif=exif(1), xmp=b'<rdf:Description tiff:Orientation="1"/>')
    turned = file.replace(exif(1), exif(6)).replace(b'Orientation="1"', b'Orientation="6"')
    assert turned != file
    np.testing.assert_array_equal(read(turned).rgb, read(file).rgb)


def test_alpha_grey_ten_bits_and_the_first_of_several_are_read():
    alpha = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    seen = read(heic(np.dstack((small(), alpha))))
    assert seen.alpha is not None
    assert np.abs(seen.alpha.astype(int) - alpha).max() <= 12
    assert psnr(seen.rgb[:, 32:], small()[:, 32:]) > 28
    grey = np.array(Image.fromarray(small()).convert("L"))
    assert psnr(read(heic(grey)).rgb[:, :, 0], grey) > 30
    deep = BytesIO()
    pillow_heif.from_bytes("RGB;16", (64, 48), (small().astype("<u2") * 257).tobytes()).save(deep, quality=90)
    assert pillow_heif.open_heif(BytesIO(deep.getvalue())).info["bit_depth"] == 10
    assert psnr(read(deep.getvalue()).rgb, small()) > 30
    others = [Image.new("RGB", (80, 20)), Image.new("RGB", (10, 90))]
    assert psnr(read(heic(small(), save_all=True, append_images=others)).rgb, small()) > 30


def in_p3(picture: Bytes) -> Bytes:
    wide = ImageCms.ImageCmsProfile(BytesIO(rgb(DISPLAY_P3, 2.2)))
    converted = ImageCms.profileToProfile(
        Image.fromarray(picture), ImageCms.createProfile("sRGB"), wide, outputMode="RGB"
    )
    return np.array(converted)


def test_a_profile_is_applied():
    file = heic(in_p3(small()), icc_profile=rgb(DISPLAY_P3, 2.2))
    assert psnr(read(file).rgb, small()) > psnr(read(heic(in_p3(small()))).rgb, small()) + 3


def test_colours_told_by_number_are_applied_in_heic_and_avif():
    wide = in_p3(small())
    told = {"color_primaries": 12, "transfer_characteristics": 4, "matrix_coefficients": 6, "full_range_flag": 1}
    plain = saved(wide, "avif", quality=95)
    at = plain.index(b"colrnclx") + 8
    avif = plain[:at] + b"\0\x0c\0\x04" + plain[at + 4 :]
    for told_file, untold in ((heic(wide, **told), heic(wide)), (avif, plain)):
        assert psnr(read(told_file).rgb, small()) > psnr(read(untold).rgb, small()) + 3


def test_a_profile_by_number_has_the_primaries_and_the_curve():
    def shown(level: int, primaries: int, transfer: int) -> tuple[int, ...]:
        told = profile(primaries, transfer)
        assert told is not None
        pixel = Image.new("RGB", (1, 1), (level, level, level))
        source = ImageCms.ImageCmsProfile(BytesIO(told))
        result = ImageCms.profileToProfile(pixel, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        return tuple(np.array(result)[0, 0].tolist())

    for transfer in (13, 4, 8, 16, 18):
        assert shown(0, 9, transfer) == (0, 0, 0)
        assert shown(255, 12, transfer) == (255, 255, 255)
    assert shown(128, 12, 13) == (128, 128, 128)
    assert abs(shown(55, 1, 8)[0] - 128) <= 1  # linear: 0.2158 is sRGB's middle
    # Reference white, of 203 cd/m2: 58 % of PQ's range and 75 % of HLG's (ITU-R BT.2408).
    assert shown(148, 9, 16)[0] >= 253
    assert shown(191, 9, 18)[0] >= 253
    assert shown(120, 9, 16)[0] < 200
    assert profile(1, 13) is profile(2, 2) is profile(1, 1) is profile(99, 13) is profile(12, 99) is None


def test_a_heic_serves_as_a_mask():
    half = np.zeros((64, 64), np.uint8)
    half[:, 32:] = 255
    mask = decode_mask(BytesIO(heic(half)), max_pixels=PIXELS, width=64, height=64)
    assert mask[:, :28].max() < 8
    assert mask[:, 36:].min() > 247


def test_without_pillow_heif_it_is_said_what_to_send(monkeypatch):
    photo_file = heic(small())
    read_by_pillow.cache_clear()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableImage, match="for want of pillow-heif: send a JPEG, PNG or WebP"):
        read(photo_file)
    monkeypatch.undo()
    assert read(photo_file).rgb.shape == small().shape
