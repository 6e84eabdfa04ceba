"""The power a GPU draws while something runs, where nvidia-smi tells it."""

import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

COMMAND = ("nvidia-smi", "--query-gpu=power.draw.instant", "--format=csv,noheader,nounits", "--id=0", "--loop-ms=50")


@dataclass
class Used:
    """Mean watts; None where nobody tells."""

    watts: float | None = None


class Power:
    """Reads the first GPU's power 20 times a second as long as it is entered."""

    def __init__(self, on_gpu: bool) -> None:
        self._on_gpu = on_gpu
        self._read: list[float] = []
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        if self._on_gpu:
            try:
                self._process = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            except OSError:
                return self
            threading.Thread(target=self._follow, args=(self._process.stdout,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process:
            self._process.terminate()

    @contextmanager
    def measured(self) -> Iterator[Used]:
        """What is drawn inside; known when it is left."""
        used = Used()
        first = len(self._read)
        yield used
        read = self._read[first:]
        used.watts = sum(read) / len(read) if read else None

    def _follow(self, lines: Iterable[str]) -> None:
        for line in lines:
            try:
                self._read.append(float(line))
            except ValueError:
                return
