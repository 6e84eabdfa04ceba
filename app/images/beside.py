"""A process that reads and writes picture files for another: `python -m app.images.beside MEMORY BYTES`.

MEMORY is the descriptor of BYTES of memory the two share, in which files and pixels lie. A request is a line of JSON on
standard input, an answer one on standard output; the process ends where its input does. No error of a picture ends it.
"""

import json
import math
import mmap
import os
import signal
import sys
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, Final

import numpy as np

from app.images.codec import HERE, Pixels
from app.images.decode import Decoded
from app.images.errors import ImageError

Answer = dict[str, Any]


def place(memory: mmap.mmap, *arrays: Pixels | bytes | None) -> int:
    """Put bytes into shared memory one behind the other; how many they are. Raises MemoryError where they don't fit."""
    at = 0
    for array in arrays:
        if array is not None:
            part = np.frombuffer(array, np.uint8) if isinstance(array, bytes) else array.reshape(-1)
            if at + len(part) > len(memory):
                raise MemoryError(f"a picture takes more than the {len(memory)} bytes of shared memory")
            np.copyto(np.frombuffer(memory, np.uint8, len(part), at), part)
            at += len(part)
    return at


def placed(memory: mmap.mmap, size: Sequence[int], channels: int, at: int = 0) -> Pixels:
    """A copy of pixels in shared memory, of size (H, W): (H, W, channels), or (H, W) of one channel."""
    shape = (*size, channels) if channels > 1 else tuple(size)
    return np.frombuffer(memory, np.uint8, math.prod(shape), at).reshape(shape).copy()


class Beside:
    """Does what `app.images.processes` asks for; each method's arguments are a request's members."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory

    def decode(self, file: int, **asked: Any) -> Answer:
        return self._decoded(HERE.decode(self._file(file), **asked))

    def decode_trimmed(self, file: int, **asked: Any) -> Answer:
        return self._decoded(HERE.decode_trimmed(self._file(file), **asked))

    def decode_mask(self, file: int, **asked: Any) -> Answer:
        mask = HERE.decode_mask(self._file(file), **asked)
        return {"shape": mask.shape, "used": place(self._memory, mask)}

    def encode(self, shape: Sequence[int], transparent: bool, format: str, quality: int) -> Answer:
        rgb = placed(self._memory, shape, 3)
        alpha = placed(self._memory, shape, 1, rgb.size) if transparent else None
        return {"used": place(self._memory, HERE.encode(rgb, alpha, format, quality))}

    def _file(self, size: int) -> BytesIO:
        return BytesIO(self._memory[:size])

    def _decoded(self, found: Decoded) -> Answer:
        used = place(self._memory, found.rgb, found.alpha)
        return {
            "shape": found.rgb.shape[:2],
            "transparent": found.alpha is not None,
            "format": found.format,
            "used": used,
        }


def answered(work: Beside, request: dict[str, Any]) -> Answer:
    """What comes of a request, a fault of its picture or of ours included."""
    method: Callable[..., Answer] = getattr(work, request.pop("do"))
    try:
        return method(**request)
    except ImageError as error:
        # What pickle would make it anew of.
        return {"error": type(error).__name__, "arguments": error.__reduce__()[1]}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def main(memory: int, size: int) -> None:
    # Whoever asked for it says when it ends; a signal to all of a terminal's or a supervisor's group is for him.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    answers: Final = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    work = Beside(mmap.mmap(memory, size))
    for line in sys.stdin:
        print(json.dumps(answered(work, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
