"""A result in the making: its segments in a folder, of which each is there whole or not at all.

What makes a segment finished is its record, `00003.json`, written when its frames, `00003.part`, and what the next
frame needs to know of the last one, `00003.npz`, are on disk.
"""

import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.files import flush, write_whole
from app.video.join import Part

PLAN: Final = "plan.json"
State = Mapping[str, NDArray[Any]]


class Store:
    """The segments of one result in `folder`, which is emptied where `plan` is not what they were begun with."""

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        self.folder = folder
        text = json.dumps(plan, sort_keys=True).encode()
        file = folder / PLAN
        if not file.exists() or file.read_bytes() != text:
            self.clear()
            write_whole(file, text)
        self.parts = _parts_in(folder)

    @property
    def frames(self) -> int:
        """How many are finished."""
        return _frames(self.parts)

    @property
    def state(self) -> State:
        """What was kept with the last segment, or nothing."""
        if not self.parts:
            return {}
        with np.load(self._path(len(self.parts) - 1, "npz"), allow_pickle=False) as arrays:
            return dict(arrays)

    @property
    def next_file(self) -> Path:
        """Where the next segment is to be written."""
        return self._path(len(self.parts), "part")

    def finish(self, ticks: list[int], durations: list[int], state: State) -> None:
        """The next segment is written: these are its frames' times, and what is to be kept for the one after."""
        number = len(self.parts)
        flush(self.next_file)
        arrays = io.BytesIO()
        np.savez(arrays, allow_pickle=False, **state)
        write_whole(self._path(number, "npz"), arrays.getvalue())
        record = {"ticks": ticks, "durations": durations}
        write_whole(self._path(number, "json"), json.dumps(record).encode())
        self.parts.append(Part(self._path(number, "part"), ticks, durations))
        self._path(number - 1, "npz").unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget all of it."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _path(self, number: int, suffix: str) -> Path:
        return _path(self.folder, number, suffix)


def frames_in(folder: Path) -> int:
    """How many frames of a result are finished in a folder, whatever it was begun with. Raises OSError."""
    return _frames(_parts_in(folder))


def _frames(parts: Sequence[Part]) -> int:
    return sum(len(part.ticks) for part in parts)


def _parts_in(folder: Path) -> list[Part]:
    parts: list[Part] = []
    while (record := _path(folder, len(parts), "json")).exists():
        times = json.loads(record.read_bytes())
        parts.append(Part(_path(folder, len(parts), "part"), times["ticks"], times["durations"]))
    return parts


def _path(folder: Path, number: int, suffix: str) -> Path:
    return folder / f"{number:05}.{suffix}"
