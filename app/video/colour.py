"""A decoder's frames to sRGB: matrix and range as the stream tells or as players assume, and HDR as one sees it on SDR.

The HDR curves are those of SMPTE ST 2084 (PQ) and ITU-R BT.2100 (HLG), what tames them the EETF of ITU-R BT.2390.
"""

from functools import cache
from typing import Final

import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from app.video.frames import Bytes

UNSPECIFIED: Final = 2  # of FFmpeg's colour spaces
HD_HEIGHT: Final = 720  # from here on players take an untold matrix for BT.709, below for BT.601
CONVERSION: Final = Interpolation.LANCZOS | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
HDR: Final = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)

PQ: Final = (2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32)
HLG: Final = (0.17883277, 0.28466892, 0.55991073)
SDR_WHITE: Final = 203.0  # cd/m2, BT.2408
PEAK: Final = 1000.0  # cd/m2, of the display HDR is graded for
LUMINANCE_2020: Final = np.array([0.2627, 0.6780, 0.0593])
TO_709: Final = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
# Display P3, as some phones' cameras have it, to BT.709.
P3_TO_709: Final = np.array([[1.2249, -0.2247, 0.0], [-0.0421, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]])
TABLE: Final = 33  # points along each side of a table of colours

Floats = NDArray[np.float64]


def to_srgb(frame: VideoFrame, width: int, height: int) -> tuple[Bytes, Bytes | None]:
    """A frame at a size: (height, width, 3) uint8 sRGB, and its alpha (height, width) where its format has one."""
    alpha = any(component.is_alpha for component in frame.format.components)
    pixels: Bytes = frame.reformat(  # type: ignore[assignment]
        width,
        height,
        "rgba" if alpha else "rgb24",
        src_colorspace=_matrix(frame),
        src_color_range=ColorRange.JPEG if frame.color_range == ColorRange.JPEG else None,
        dst_color_range=ColorRange.JPEG,
        interpolation=CONVERSION,
        threads=1,
    ).to_ndarray()
    rgb = np.ascontiguousarray(pixels[:, :, :3])
    if (table := _table(frame.color_trc, frame.color_primaries)) is not None:
        rgb = np.array(Image.fromarray(rgb).filter(table))
    return rgb, np.ascontiguousarray(pixels[:, :, 3]) if alpha else None


def _matrix(frame: VideoFrame) -> int | None:
    if frame.format.is_rgb or frame.colorspace != UNSPECIFIED:
        return None
    return Colorspace.ITU709 if frame.height >= HD_HEIGHT else Colorspace.ITU601


@cache
def _table(transfer: int, primaries: int) -> ImageFilter.Color3DLUT | None:
    """What turns R'G'B' of these curves and primaries into sRGB; None where it is next to that already."""
    if transfer not in HDR and primaries not in (ColorPrimaries.BT2020, ColorPrimaries.SMPTE432):
        return None
    axis = np.linspace(0, 1, TABLE)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")  # red varies fastest
    signal = np.stack([red, green, blue], 3).reshape(-1, 3)
    linear = _tamed(_nits(signal, transfer)) if transfer in HDR else _srgb_to_linear(signal)
    linear = linear @ (P3_TO_709 if primaries == ColorPrimaries.SMPTE432 else TO_709).T
    return ImageFilter.Color3DLUT(TABLE, _linear_to_srgb(linear.clip(0, 1)).astype(np.float32).reshape(-1))


def _nits(signal: Floats, transfer: int) -> Floats:
    """Light on the display, in cd/m2."""
    if transfer == ColorTrc.SMPTE2084:
        return _pq_to_nits(signal)
    a, b, c = HLG
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return np.asarray(PEAK * scene * np.maximum(scene @ LUMINANCE_2020, 1e-9)[:, None] ** 0.2)


def _tamed(nits: Floats) -> Floats:
    """Highlights rolled off so that PEAK becomes SDR's white, 1; what is below half of that stays as it was."""
    luminance = np.maximum(nits @ LUMINANCE_2020, 1e-6)
    top = _nits_to_pq(np.array(PEAK))
    most = _nits_to_pq(np.array(SDR_WHITE)) / top
    knee = 1.5 * most - 0.5
    level = np.minimum(_nits_to_pq(luminance) / top, 1)
    t = (level - knee) / (1 - knee)
    rolled = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * most
    wanted = _pq_to_nits(np.where(level < knee, level, rolled) * top)
    return np.asarray(nits * (wanted / luminance)[:, None] / SDR_WHITE)


def _pq_to_nits(signal: Floats) -> Floats:
    m1, m2, c1, c2, c3 = PQ
    power = signal ** (1 / m2)
    return np.asarray(10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1))


def _nits_to_pq(nits: Floats) -> Floats:
    m1, m2, c1, c2, c3 = PQ
    power = (nits / 10_000) ** m1
    return np.asarray(((c1 + c2 * power) / (1 + c3 * power)) ** m2)


def _srgb_to_linear(signal: Floats) -> Floats:
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def _linear_to_srgb(linear: Floats) -> Floats:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
