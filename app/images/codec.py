"""Who reads and writes picture files: this process, or others beside it (`app.images.processes`)."""

from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from app.images.decode import Decoded, decode, decode_mask, decode_trimmed
from app.images.encode import encode

Pixels = NDArray[np.uint8]


class Codec(Protocol):
    """The functions of the same names in `app.images.decode` and `app.images.encode`, from any thread."""

    def decode(
        self, file: BinaryIO, *, max_pixels: int, size: int | None = None, limit: int | None = None
    ) -> Decoded: ...

    def decode_trimmed(self, file: BinaryIO, *, max_pixels: int, size: int) -> Decoded: ...

    def decode_mask(self, file: BinaryIO, *, max_pixels: int, width: int, height: int) -> Pixels: ...

    def encode(self, rgb: Pixels, alpha: Pixels | None, format: str, quality: int) -> bytes: ...


class Here:
    """In the thread that asks."""

    decode = staticmethod(decode)
    decode_trimmed = staticmethod(decode_trimmed)
    decode_mask = staticmethod(decode_mask)
    encode = staticmethod(encode)


HERE = Here()
