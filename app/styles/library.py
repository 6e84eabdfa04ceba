"""Styles the service remembers: the uploaded bytes, and their style codes by the size they were read at."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import IO, Final

from app.network.blend import StyleCode

# One large upload must not push every other style out.
LARGEST_PART: Final = 8
FORGOTTEN: Final = 1024


def style_id(file: IO[bytes]) -> str:
    """The name of a style: the first 128 bits of the SHA-256 of its file, in hexadecimal."""
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()[:32]


@dataclass
class _Entry:
    data: bytes | None = None
    codes: dict[int, StyleCode] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return len(self.data or b"") + sum(code.nbytes for code in self.codes.values())


class StyleLibrary:
    """Least recently used styles go first once `max_bytes` are held. Safe to use from several threads.

    `ready`: files of styles that are never forgotten, by id; their pictures stay on disk.
    """

    def __init__(self, max_bytes: int, ready: Mapping[str, Path] | None = None) -> None:
        self.max_bytes = max_bytes
        self._ready = ready or {}
        self.bytes = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        # What was forgotten and not uploaded since: requests that were under way with it must not bring it back.
        self._forgotten: OrderedDict[str, None] = OrderedDict()
        self._lock = Lock()

    def __contains__(self, name: str) -> bool:
        with self._lock:
            return name in self._entries or name in self._ready

    def __len__(self) -> int:
        return len(self._entries)

    def start(self) -> None:
        """Begin to share, where the library does."""

    def stop(self) -> None:
        """End it."""

    @property
    def store_up(self) -> bool:
        """Whether what it shares with others answers; always where it shares nothing."""
        return True

    def knows(self, name: str) -> bool:
        """Whether a style is known anywhere, which may take a moment to find out."""
        return name in self

    def known(self, name: str) -> list[str]:
        """Where a style is known: ready, memory, store."""
        with self._lock:
            return [*(["ready"] if name in self._ready else []), *(["memory"] if name in self._entries else [])]

    def sizes(self, name: str) -> list[int]:
        """The sizes a style's code is ready at, in pixels."""
        with self._lock:
            entry = self._entries.get(name)
            return sorted(entry.codes) if entry else []

    def has_picture(self, name: str) -> bool:
        """Whether the style's file is kept, so that it can be read at any size."""
        with self._lock:
            entry = self._entries.get(name)
            return name in self._ready or bool(entry and entry.data)

    def picture(self, name: str) -> bytes | None:
        """The style's file, where it stands ready or was small enough to keep."""
        if name in self._ready:
            return self._ready[name].read_bytes()
        with self._lock:
            entry = self._touched(name)
            return entry.data if entry else None

    def code(self, name: str, size: int) -> StyleCode | None:
        """The style's code when read at `size` pixels."""
        with self._lock:
            entry = self._touched(name)
            return entry.codes.get(size) if entry else None

    def find_picture(self, name: str) -> bytes | None:
        """`picture`, which a library that is shared looks for elsewhere too, and may take a moment for."""
        return self.picture(name)

    def find_code(self, name: str, size: int) -> StyleCode | None:
        """`code`, likewise."""
        return self.code(name, size)

    def keep_picture(self, name: str, file: IO[bytes]) -> None:
        """Remember the bytes of a style's file, unless it would take more than an eighth of the memory."""
        with self._lock:
            self._forgotten.pop(name, None)
            entry = self._entries.get(name)
            if name in self._ready or (entry and entry.data):
                return
        largest = self.max_bytes // LARGEST_PART
        file.seek(0)
        data = file.read(largest + 1)
        file.seek(0)
        if len(data) <= largest:
            self._insert_picture(name, data)

    def keep_code(self, name: str, size: int, code: StyleCode) -> None:
        """Remember a style's code at one size."""
        if name not in self._forgotten:
            self._insert_code(name, size, code)

    def forget(self, name: str) -> None:
        """Forget a style, unless it stands ready."""
        with self._lock:
            entry = self._entries.pop(name, None)
            self.bytes -= entry.bytes if entry else 0
            self._forgotten[name] = None
            if len(self._forgotten) > FORGOTTEN:
                self._forgotten.popitem(last=False)

    def _insert_picture(self, name: str, data: bytes) -> None:
        with self._lock:
            entry = self._entry(name)
            if entry.data is None:
                entry.data = data
                self._grow(len(data))

    def _insert_code(self, name: str, size: int, code: StyleCode) -> None:
        with self._lock:
            entry = self._entry(name)
            if size not in entry.codes:
                entry.codes[size] = code
                self._grow(code.nbytes)

    def _touched(self, name: str) -> _Entry | None:
        entry = self._entries.get(name)
        if entry:
            self._entries.move_to_end(name)
        return entry

    def _entry(self, name: str) -> _Entry:
        entry = self._entries.setdefault(name, _Entry())
        self._entries.move_to_end(name)
        return entry

    def _grow(self, size: int) -> None:
        self.bytes += size
        while self.bytes > self.max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self.bytes -= oldest.bytes
