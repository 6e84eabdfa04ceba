"""Picture files read and written by processes beside this one, over memory they share.

Encoding holds the interpreter's lock, and half of decoding does, so that threads of one process come to some two
hundred pictures a second however many cores there are.
"""

import json
import logging
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import LifoQueue
from typing import Any, BinaryIO, Final

import app
from app.images.beside import place, placed
from app.images.codec import Pixels
from app.images.decode import Decoded
from app.images.errors import ImageError, TooManyPixels, UnclearMask, UnreadableImage

logger = logging.getLogger("impasto.images")

ERRORS: Final = {kind.__name__: kind for kind in (ImageError, UnreadableImage, UnclearMask, TooManyPixels)}
# What a process keeps of the memory shared with it when it has done; a large picture's goes back to the system.
KEPT_BYTES: Final = 2**24
END_SECONDS: Final = 1.0


class ProcessFailed(RuntimeError):
    """A process failed on a picture in a way nobody foresaw, or died of it."""


class Processes:
    """`count` processes, each with room for a file, or its pixels and their alpha, of `room` bytes. Linux only.

    As a `Codec` does what `app.images.decode` and `app.images.encode` do, and raises the same; also ProcessFailed: a
    process that died is started again with the next picture. Raises ProcessFailed or OSError where there can be none.
    """

    def __init__(self, count: int, room: int) -> None:
        # The last one used is the next: its memory is near.
        self._free: LifoQueue[_Process] = LifoQueue()
        self._all = [_Process(room) for _ in range(count)]
        for process in self._all:
            self._free.put(process)
        try:
            for process in self._all:
                process.ask(0, do="encode", shape=(1, 1), transparent=False, format="png", quality=1)
        except ProcessFailed:
            self.close()
            raise

    def decode(self, file: BinaryIO, *, max_pixels: int, size: int | None = None, limit: int | None = None) -> Decoded:
        return self._decoded("decode", file, max_pixels=max_pixels, size=size, limit=limit)

    def decode_trimmed(self, file: BinaryIO, *, max_pixels: int, size: int) -> Decoded:
        return self._decoded("decode_trimmed", file, max_pixels=max_pixels, size=size)

    def decode_mask(self, file: BinaryIO, *, max_pixels: int, width: int, height: int) -> Pixels:
        with self._process() as process:
            used = place(process.memory, file.read())
            found = process.ask(used, do="decode_mask", file=used, max_pixels=max_pixels, width=width, height=height)
            return placed(process.memory, found["shape"], 1)

    def encode(self, rgb: Pixels, alpha: Pixels | None, format: str, quality: int) -> bytes:
        with self._process() as process:
            used = place(process.memory, rgb, alpha)
            asked = {"shape": rgb.shape[:2], "transparent": alpha is not None, "format": format, "quality": quality}
            return process.memory[: process.ask(used, do="encode", **asked)["used"]]

    def close(self) -> None:
        """End them; whoever is in the midst of a picture gets ProcessFailed."""
        for process in self._all:
            process.close()

    def _decoded(self, do: str, file: BinaryIO, **asked: Any) -> Decoded:
        with self._process() as process:
            used = place(process.memory, file.read())
            found = process.ask(used, do=do, file=used, **asked)
            rgb = placed(process.memory, found["shape"], 3)
            alpha = placed(process.memory, found["shape"], 1, rgb.size) if found["transparent"] else None
            return Decoded(rgb, alpha, found["format"])

    @contextmanager
    def _process(self) -> "Iterator[_Process]":
        process = self._free.get()
        try:
            yield process
        finally:
            process.tidy()
            self._free.put(process)


class _Process:
    """One process, for one thread at a time."""

    def __init__(self, room: int) -> None:
        # Not in /dev/shm, which containers keep small; no page of it exists before it is used.
        self._file = os.fdopen(os.memfd_create("impasto-pictures"), "r+b", buffering=0)
        self._room = room
        self._file.truncate(room)
        self.memory = mmap.mmap(self._file.fileno(), room)
        self._used = 0
        self._closed = False
        self._start()

    def ask(self, used: int, **request: Any) -> dict[str, Any]:
        """Have a request answered, of `used` bytes of shared memory. Raises an ImageError or ProcessFailed."""
        self._used = max(self._used, used)
        if self._process.poll() is not None and not self._closed:
            self._start()
        assert self._process.stdin  # noqa: S101
        assert self._process.stdout  # noqa: S101
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except (OSError, ValueError):
            line = ""
        if not line:
            status = self._end()
            logger.warning("a process that reads and writes pictures died (%s), and starts again", status)
            raise ProcessFailed(f"the process that had the picture died ({status})")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise ProcessFailed(answer["failed"])
        if "error" in answer:
            raise ERRORS[answer["error"]](*answer["arguments"])
        self._used = max(self._used, answer["used"])
        return answer

    def tidy(self) -> None:
        """Give a large picture's memory back."""
        if self._used > KEPT_BYTES:
            self._file.truncate(0)
            self._file.truncate(self._room)
        self._used = 0

    def close(self) -> None:
        self._closed = True
        self._process.kill()
        self._end()

    def _start(self) -> None:
        file = self._file.fileno()
        command = [sys.executable, "-m", "app.images.beside", str(file), str(self._room)]
        found = os.pathsep.join(filter(None, (str(Path(app.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(file,),
            env=os.environ | {"PYTHONPATH": found},
        )

    def _end(self) -> str:
        try:
            status = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        return f"signal {-status}" if status < 0 else f"status {status}"
