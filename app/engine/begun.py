"""What is finished of one large picture, in a folder of its own, so that another process goes on from there.

What takes seconds is not kept. Of what takes longer, all that is finished is put on disk between two columns of tiles,
as often as that takes a small part of the time. After a kill, or a loss of power, what is told to be there is there.
Nothing is gone on with that was begun by other weights, another engine or processor, or with other pixels or styles.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import BufferedRandom
from math import inf
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from app.engine.features import temporary_file
from app.engine.processor import processor
from app.files import sync_folder

STATE: Final = "state.safetensors"
FORMAT: Final = 2  # of what is kept and how it is computed: another number is begun anew
FIRST_SECONDS: Final = 5.0  # work that takes less is not worth the disk's time
COST: Final = 20  # what is kept takes one part of so many of the time
LEAST_SECONDS: Final = 2.0

Arrays = dict[str, NDArray[Any]]


class Kept(Protocol):
    """Part of the work on a picture."""

    def keep(self) -> Arrays | None:
        """What another process needs of it beside its file; None where that can't be had."""


class Begun:
    """A folder that is there, for one picture, or none, which keeps nothing. For one thread but for `part`.

    `part` is how much of the picture's arithmetic is on disk, 0 to 1; `resumed` how much of it came from another
    process, whose work ended in the layer of `number` behind `finished` columns.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._files: dict[str, BufferedRandom] = {}
        self._arrays: Arrays = {}
        self._due = inf
        self._fingerprint = ""
        self.number = self.finished = 0
        self.resumed = 0.0
        self.saved = False
        self.part: float = self._state()[0].get("part", 0.0)

    @property
    def due(self) -> bool:
        """Whether it is time to save what is finished."""
        return time.monotonic() >= self._due

    def resume(self, fingerprint: str) -> None:
        """Go on with what is there, where it is of this fingerprint and whole; else begin anew."""
        told, arrays = self._state()
        if told.get("fingerprint") == fingerprint and self._is_there(told):
            self.number, self.finished, self._arrays = told["number"], told["finished"], arrays
            self.part = self.resumed = told["part"]
            self.saved = True
        else:
            self.clear()
        self._fingerprint = fingerprint
        self._due = time.monotonic() + FIRST_SECONDS

    def taken(self, number: int) -> tuple[int, dict[str, Arrays]]:
        """Of the layer of `number` how many columns are finished, and what was kept of its parts, by their names."""
        if number != self.number:
            return 0, {}
        parts: dict[str, Arrays] = {}
        for name, array in self._arrays.items():
            part, _, inner = name.partition(".")
            parts.setdefault(part, {})[inner] = array
        return self.finished, parts

    def file(self, name: str) -> BufferedRandom:
        """A file as it is there, else an empty one; one without a name where nobody wants the folder any longer."""
        if self._folder is None:
            return temporary_file()
        path = self._folder / name
        try:
            file: BufferedRandom = path.open("r+b" if path.exists() else "x+b")
        except FileNotFoundError:
            return temporary_file()
        self._files[name] = file
        return file

    def save(self, number: int, finished: int, part: float, kept: Mapping[str, Kept | None]) -> None:
        """Put on disk that the layer of `number` is finished as far as `finished` columns, and what is needed of it."""
        since = time.monotonic()
        arrays: Arrays = {}
        for name, one in kept.items():
            if one is not None:
                found = one.keep()
                if found is None:
                    return
                arrays |= {f"{name}.{inner}": array for inner, array in found.items()}
        sizes = {}
        for name, file in self._files.items():
            if not file.closed:
                file.flush()
                os.fsync(file.fileno())
                sizes[name] = os.fstat(file.fileno()).st_size
        told = {"fingerprint": self._fingerprint, "number": number, "finished": finished, "part": part, "files": sizes}
        with suppress(FileNotFoundError):  # nobody wants it any longer
            self._write(arrays, told)
            self.part = part
            self.saved = True
        now = time.monotonic()
        self._due = now + max(LEAST_SECONDS, COST * (now - since))

    def drop(self, name: str) -> None:
        """Let go of a file that is closed."""
        if self._files.pop(name, None) and self._folder:
            (self._folder / name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Let go of all there is."""
        if self._folder:
            with suppress(FileNotFoundError):
                for path in self._folder.iterdir():
                    path.unlink(missing_ok=True)
        self._files.clear()
        self._arrays = {}
        self.number = self.finished = 0
        self.part = self.resumed = 0.0
        self.saved = False

    def _state(self) -> tuple[dict[str, Any], Arrays]:
        if self._folder is None:
            return {}, {}
        try:
            with safe_open(self._folder / STATE, "numpy") as opened:
                told: dict[str, Any] = json.loads(opened.metadata()["told"])
                return told, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return {}, {}

    def _is_there(self, told: dict[str, Any]) -> bool:
        if self._folder is None:
            return False
        paths = {self._folder / name: size for name, size in told["files"].items()}
        return all(path.exists() and path.stat().st_size >= size for path, size in paths.items())

    def _write(self, arrays: Arrays, told: dict[str, Any]) -> None:
        """Not by `app.files.write_whole`, which would make a folder anew that was removed."""
        if self._folder is None:
            return
        part = self._folder / f".{STATE}"
        with part.open("wb") as file:
            file.write(save(arrays, {"told": json.dumps(told)}))
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._folder / STATE)
        sync_folder(self._folder)


class Canvas:
    """A picture in the making, uint8 (H, W, 3): zeros, or where it was begun what is in the file that `file` opens."""

    def __init__(self, shape: tuple[int, ...], file: Callable[[], BufferedRandom], begun: bool) -> None:
        self.picture: NDArray[np.uint8] = np.zeros(shape, np.uint8)
        self._open = file
        self._file: BufferedRandom | None = None
        if begun:
            self._file = file()
            self._file.readinto(self.picture.data)

    def keep(self) -> Arrays:
        """As of `Kept`."""
        self._file = self._file or self._open()
        self._file.seek(0)
        self._file.write(self.picture.data)
        return {}

    def close(self) -> None:
        """Let go of the file."""
        if self._file:
            self._file.close()


def fingerprint(made_of: str, arrays: Sequence[NDArray[Any] | None]) -> str:
    """Equal for work whose results are equal to the bit: a hash of a text, of arrays, and of this processor."""
    digest = hashlib.sha256(repr((FORMAT, processor(), made_of)).encode())
    for array in arrays:
        digest.update(b"-" if array is None else repr((array.shape, array.dtype)).encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
