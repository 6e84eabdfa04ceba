"""Pictures come upright wherever their orientation is kept, and are turned once."""

import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from app.images.decode import decode
from app.images.orientation import xmp_orientation
from tests.images.files import PIXELS, Bytes, chunk, saved, small

EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0%c\0\0\0\0\0\0"
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" %s</rdf:RDF></x:xmpmeta>'
)
TURNED = 'tiff:Orientation="%d"/>'


def xmp(orientation: int) -> bytes:
    return XMP % (TURNED % orientation).encode()


def pixels(file: bytes) -> Bytes:
    return decode(BytesIO(file), max_pixels=PIXELS).rgb


def with_chunk(kind: bytes, body: bytes, **options: bytes) -> bytes:
    plain = saved(small(), "png", **options)
    return plain[:33] + chunk(kind, body) + plain[33:]


def raw_profile(name: bytes, content: bytes) -> bytes:
    """As ImageMagick writes it."""
    digits = content.hex().encode()
    lines = b"\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return b"\n%s\n%8d\n%s\n" % (name, len(content), lines)


ITXT = b"XML:com.adobe.xmp\0"
APP1 = b"Raw profile type APP1\0"
FILES = {
    "png iTXt": lambda o: with_chunk(b"iTXt", ITXT + b"\0\0\0\0" + xmp(o)),
    "png packed iTXt": lambda o: with_chunk(b"iTXt", ITXT + b"\1\0en\0XMP\0" + zlib.compress(xmp(o))),
    "png tEXt": lambda o: with_chunk(b"tEXt", b"Raw profile type exif\0" + raw_profile(b"exif", EXIF % o)),
    "png zTXt": lambda o: with_chunk(
        b"zTXt",
        APP1 + b"\0" + zlib.compress(raw_profile(b"generic profile", EXIF % o))
        if o % 2
        else APP1 + b"\0" + zlib.compress(raw_profile(b"app1", EXIF % o)),
    ),
    "png xmp as APP1": lambda o: with_chunk(
        b"tEXt", APP1 + raw_profile(b"APP1", b"http://ns.adobe.com/xap/1.0/\0" + xmp(o))
    ),
    "png eXIf": lambda o: saved(small(), "png", exif=EXIF % o),
    "webp": lambda o: saved(small(), "webp", lossless=True, xmp=xmp(o)),
    "tiff": lambda o: saved(small(), "tiff", tiffinfo={700: xmp(o)}),
    "lzw tiff": lambda o: saved(small(), "tiff", tiffinfo={700: xmp(o)}, compression="tiff_lzw"),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", FILES)
def test_an_orientation_is_found_wherever_it_is_kept(kind, orientation):
    stored = Image.fromarray(small())
    stored.getexif()[0x0112] = orientation
    np.testing.assert_array_equal(pixels(FILES[kind](orientation)), np.array(ImageOps.exif_transpose(stored)))


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_jpeg_is_turned_by_its_xmp(orientation):
    turned = pixels(saved(small(), "jpeg", xmp=xmp(orientation)))
    np.testing.assert_array_equal(turned, pixels(saved(small(), "jpeg", exif=EXIF % orientation)))
    assert turned.shape == ((64, 48, 3) if orientation == 6 else (48, 64, 3))


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize(("exif", "shape"), [(1, (48, 64, 3)), (8, (64, 48, 3)), (0, (64, 48, 3)), (9, (64, 48, 3))])
def test_exif_wins_over_xmp_unless_it_says_nothing_sensible(format, exif, shape):
    options = {"tiffinfo": {700: xmp(6), 274: exif}} if format == "tiff" else {"exif": EXIF % exif}
    if format == "png":
        file = with_chunk(b"iTXt", ITXT + b"\0\0\0\0" + xmp(6), **options)
    else:
        file = saved(small(), format, **options, **({} if format == "tiff" else {"xmp": xmp(6)}))
    assert pixels(file).shape == shape
    wanted = pixels(saved(small(), format, **({"tiffinfo": {274: exif}} if format == "tiff" else options)))
    if exif in (1, 8):
        np.testing.assert_array_equal(pixels(file), wanted)


def test_avif_is_turned_by_its_own_box_once_and_by_no_metadata():
    plain = saved(small(), "avif")
    np.testing.assert_array_equal(pixels(saved(small(), "avif", xmp=xmp(6))), pixels(plain))
    turned = pixels(saved(small(), "avif", exif=EXIF % 6, xmp=xmp(6)))
    np.testing.assert_array_equal(turned, np.rot90(pixels(plain), -1))


@pytest.mark.parametrize(
    "packet",
    [
        XMP % b"tiff:Orientation='6'/>",
        XMP % b'tiff:Orientation = "6"/>',
        XMP % b"><tiff:Orientation>6</tiff:Orientation></rdf:Description>",
        XMP % b"><tiff:Orientation rdf:datatype='x'> 6 </tiff:Orientation></rdf:Description>",
        XMP.replace(b"xmlns:tiff", b"xmlns:tf") % b'tf:Orientation="6"/>',
        (XMP % b'tiff:Orientation="6"/>').decode().encode("utf-16"),
        (XMP % b'tiff:Orientation="6"/>').decode().encode("utf-32-be"),
    ],
)
def test_xmp_is_understood_however_it_is_spelt(packet):
    assert xmp_orientation(packet) == 6


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"no packet",
        XMP % b'tiff:Orientation="0"/>',
        XMP % b'tiff:Orientation="9"/>',
        XMP % b'tiff:Orientation=""/>',
        XMP % b'tiff:Orientation="61"/>',
        XMP % b'exif:Orientation="6"/>',
        b"tiff:Orientation" * 100_000,
    ],
)
def test_what_xmp_does_not_say_is_not_made_up(packet):
    assert xmp_orientation(packet) is None


@pytest.mark.parametrize(
    "body",
    [
        b"Raw profile type exif\0",
        b"Raw profile type exif\0\nexif\n 9\nxyz",
        b"Raw profile type exif\0" + b"4" * 2_000_001,
        APP1 + raw_profile(b"APP1", b"Exif\0\0II*\0\xff\xff\xff\xff"),
        ITXT,
    ],
)
def test_a_broken_text_is_no_reason_to_refuse_a_png(body):
    for kind in (b"tEXt", b"zTXt", b"iTXt"):
        np.testing.assert_array_equal(pixels(with_chunk(kind, body)), small())
