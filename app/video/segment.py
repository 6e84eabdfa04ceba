"""Some frames of a result as a file of their own, that decodes by itself."""

from fractions import Fraction
from typing import BinaryIO, Final, cast

import av
import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from av.video.stream import VideoStream

from app.images.visible import WHITE, laid_on
from app.video.formats import KEPT, Format
from app.video.frames import Bytes

CONVERSION: Final = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
RATE: Final = 25  # of a segment by itself: times are given when segments are joined


class Segment:
    """Frames of `size`, (width, height), into a file, one by one; `alpha`: whether any may have it.

    It is whole when it is closed. Raises OSError as writing does.
    """

    def __init__(self, file: BinaryIO, format: Format, size: tuple[int, int], alpha: bool, quality: int) -> None:
        kept = KEPT[format]
        self._alpha = alpha and kept.alpha_pixels is not None
        self._pixels = kept.alpha_pixels if self._alpha and kept.alpha_pixels else kept.pixels
        # Without "bitexact" the file would get a random number.
        self._container = av.open(file, "w", format=kept.container, options={"fflags": "+bitexact"})
        stream = self._container.add_stream(kept.codec, rate=RATE, options=kept.options(quality))
        self._stream = cast(VideoStream, stream)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = self._pixels
        self._yuv = self._pixels.startswith("yuv")
        if self._yuv:
            context = self._stream.codec_context
            context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
            context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        self._count = 0

    def add(self, rgb: Bytes, alpha: Bytes | None) -> None:
        """(H, W, 3) and (H, W) uint8."""
        frame = self._frame(rgb, alpha)
        frame.pts, frame.time_base = self._count, Fraction(1, RATE)
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def _frame(self, rgb: Bytes, alpha: Bytes | None) -> VideoFrame:
        if self._alpha:
            opacity = np.full(rgb.shape[:2], 255, np.uint8) if alpha is None else alpha
            frame = VideoFrame.from_ndarray(np.dstack((rgb, opacity)), "rgba")
        else:
            frame = VideoFrame.from_ndarray(rgb if alpha is None else laid_on(rgb, alpha, WHITE), "rgb24")
        if not self._yuv:
            return frame.reformat(format=self._pixels)
        frame.color_range = ColorRange.JPEG
        return frame.reformat(
            format=self._pixels,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=CONVERSION,
            threads=1,
        )

    def close(self) -> None:
        """Write what is still held."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
