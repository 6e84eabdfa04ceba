"""Where a layer of a whole picture waits until its statistics are known: in memory, or on disk where it is large."""

import tempfile
from collections.abc import Callable, Mapping
from io import BufferedRandom
from typing import Final, Protocol

import numpy as np

from app.network.blend import FloatArray

SPILL_TYPE: Final = np.dtype(np.float16)  # 11 bits of precision: far within 1/255 of the picture they become


class FeatureStore(Protocol):
    """A layer of one picture, (C, h, w). `memory`: bytes of memory it takes."""

    memory: int

    def put(self, row: int, column: int, features: FloatArray) -> None:
        """Keep a part, (C, rows, columns), whose first position is (row, column)."""

    def get(self, rows: slice, columns: slice) -> FloatArray:
        """A part as it was put, (C, rows, columns), not to be changed."""

    def keep(self) -> dict[str, FloatArray] | None:
        """What is needed beside its file to go on with it in another process; None where it has no file."""

    def restore(self, kept: Mapping[str, FloatArray]) -> None:
        """Go on with what another process kept of the same file."""

    def close(self) -> None:
        """Give the memory or the disk back."""


class Memory:
    """All of it in one float32 array."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        self._shape = (channels, height, width)
        self._array: FloatArray = np.empty(0, np.float32)
        self.memory = 4 * channels * height * width

    def put(self, row: int, column: int, features: FloatArray) -> None:
        if not self._array.size:
            # It lies in memory as the features do, channels first or last.
            self._array = np.empty_like(features, np.float32, shape=self._shape)
        self._array[:, row : row + features.shape[1], column : column + features.shape[2]] = features

    def get(self, rows: slice, columns: slice) -> FloatArray:
        return self._array[:, rows, columns]

    def keep(self) -> None:
        return None

    def restore(self, kept: Mapping[str, FloatArray]) -> None:
        raise ValueError("what is in memory does not outlive its process")

    def close(self) -> None:
        del self._array


class Spilled:
    """float16 in a file; of relu4_1 16 bytes a pixel.

    What is kept is each channel's difference from the first position put: normalisation divides by the channel's
    deviation, so where a picture is nearly flat, rounding must be small beside the deviation, not the mean.

    Raises OSError when the disk is full.
    """

    memory = 0

    def __init__(self, channels: int, width: int, file: BufferedRandom) -> None:
        self._channels = channels
        self._width = width
        self._offset: FloatArray | None = None
        self._file = file

    def put(self, row: int, column: int, features: FloatArray) -> None:
        if self._offset is None:
            self._offset = features[:, :1, :1].copy()
        halves = np.ascontiguousarray((features - self._offset).astype(SPILL_TYPE).transpose(1, 2, 0))
        for index, line in enumerate(halves):
            self._seek(row + index, column)
            self._file.write(line.data)

    def get(self, rows: slice, columns: slice) -> FloatArray:
        halves = np.empty((rows.stop - rows.start, columns.stop - columns.start, self._channels), SPILL_TYPE)
        for index, line in enumerate(halves):
            self._seek(rows.start + index, columns.start)
            self._file.readinto(line.data)
        features = halves.transpose(2, 0, 1).astype(np.float32, order="C")
        if self._offset is not None:
            features += self._offset
        return features

    def keep(self) -> dict[str, FloatArray] | None:
        return {} if self._offset is None else {"offset": self._offset}

    def restore(self, kept: Mapping[str, FloatArray]) -> None:
        self._offset = kept["offset"]

    def close(self) -> None:
        self._file.close()

    def _seek(self, row: int, column: int) -> None:
        self._file.seek((row * self._width + column) * self._channels * SPILL_TYPE.itemsize)


def temporary_file() -> BufferedRandom:
    """A file without a name, where TMPDIR says."""
    return tempfile.TemporaryFile()


def fits(channels: int, height: int, width: int, memory: int) -> bool:
    """Whether (channels, height, width) float32 takes at most `memory` bytes."""
    return channels * height * width * 4 <= memory


def feature_store(
    channels: int, height: int, width: int, memory: int, file: Callable[[], BufferedRandom] = temporary_file
) -> FeatureStore:
    """In memory where it fits in `memory` bytes, else in a file."""
    if fits(channels, height, width, memory):
        return Memory(channels, height, width)
    return Spilled(channels, width, file())
