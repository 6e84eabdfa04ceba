"""What failures say of an engine: whether the pictures are to blame, or it."""

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np

from app.engine.base import Picture
from app.engine.faults import device_failed
from app.queue.hooks import Loss

FAILURES_IN_A_ROW: Final = 3


class FailsOnEveryPicture(Exception):
    """The engine failed on several pictures in a row."""


class Health:
    """Counts the different pictures that failed since the last that did not; one sent again and again counts once."""

    def __init__(self) -> None:
        self._failed: set[bytes] = set()
        self._lost_device: set[bytes] = set()

    def succeeded(self) -> None:
        """The engine made a picture."""
        self._failed.clear()
        self._lost_device.clear()

    def failed(self, pictures: Iterable[Picture], error: Exception) -> None:
        """The engine failed on pictures it had in one batch. Raises what loses the worker."""
        name = _name(pictures)
        if device_failed(error):
            self._lost_device.add(name)
            raise error
        self._failed.add(name)
        if len(self._failed) >= FAILURES_IN_A_ROW:
            self._failed.clear()
            raise FailsOnEveryPicture(f"the engine failed on {FAILURES_IN_A_ROW} pictures in a row") from error

    @property
    def device_lost_again(self) -> bool:
        """Whether the device failed on more than one picture, though the engine was made anew in between."""
        return len(self._lost_device) > 1


def loss(error: BaseException) -> Loss:
    """Why a worker is lost to an error."""
    if device_failed(error):
        return Loss.DEVICE
    return Loss.FAILURES if isinstance(error, FailsOnEveryPicture) else Loss.DIED


def _name(pictures: Iterable[Picture]) -> bytes:
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(np.ascontiguousarray(picture).data)
    return digest.digest()
