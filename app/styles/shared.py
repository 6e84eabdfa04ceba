"""The library of a service with replicas: its memory is the first level before a store that all of them share.

The store is asked by the threads that read pictures, written by a thread of its own, and never waited for by the event
loop or a device. While it is out of order, requests go on from memory and uploads.
"""

import hashlib
import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Full, Queue
from typing import IO, Final, Protocol, TypeVar

from app.network.blend import StyleCode
from app.styles.library import StyleLibrary
from app.styles.store import (
    PICTURE,
    Malformed,
    StoreDown,
    StyleStore,
    code_part,
    pack_code,
    pack_picture,
    sizes_of,
    unpack_code,
    unpack_picture,
)

logger = logging.getLogger("impasto.styles")

NAME: Final = re.compile(r"[0-9a-f]{32}")
WAITING: Final = 1024  # parts to be written: names only, what they are is in the memory
OFFERED: Final = 8192
# Who is used is written again, so that the store keeps it: an upload soon, an id now and then.
UPLOADED_SECONDS: Final = 60.0
USED_SECONDS: Final = 3600.0
STOP_SECONDS: Final = 1.0

T = TypeVar("T")


def weights_name(*files: Path) -> str:
    """What codes of these weights are told apart by from others'. A file that can't be read has a name too."""
    digest = hashlib.sha256()
    for file in files:
        with suppress(OSError):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


class Store(StyleStore, Protocol):
    """A store with a life of its own."""

    @property
    def up(self) -> bool:
        """Whether it answers."""

    @property
    def generation(self) -> int:
        """Another number where it may have lost what it had."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class SharedLibrary(StyleLibrary):
    """`make_store` gets what is to hear of styles forgotten elsewhere; `weights` names the networks of the codes.

    `on_lookup` hears how each question to the store ended: hit, miss, down, or malformed.
    """

    def __init__(
        self,
        max_bytes: int,
        ready: Mapping[str, Path],
        make_store: Callable[[Callable[[str], None]], Store],
        weights: str,
        on_lookup: Callable[[str], None],
    ) -> None:
        super().__init__(max_bytes, ready)
        self._store = make_store(self._forget_here)
        self._weights = weights
        self._on_lookup = on_lookup
        self._offered: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._queue: Queue[tuple[str, str] | None] = Queue(WAITING)
        self._writer = threading.Thread(target=self._write, name="impasto-style-store", daemon=True)

    def start(self) -> None:
        self._writer.start()
        self._store.start()

    def stop(self) -> None:
        try:
            self._queue.put(None, timeout=STOP_SECONDS)
            self._writer.join(STOP_SECONDS)
        except Full:
            pass
        self._store.stop()

    @property
    def store_up(self) -> bool:
        return self._store.up

    def knows(self, name: str) -> bool:
        return super().knows(name) or bool(self._parts(name))

    def known(self, name: str) -> list[str]:
        return [*super().known(name), *(["store"] if self._parts(name) else [])]

    def sizes(self, name: str) -> list[int]:
        return sorted({*super().sizes(name), *sizes_of(self._parts(name), self._weights)})

    def has_picture(self, name: str) -> bool:
        return super().has_picture(name) or PICTURE in self._parts(name)

    def find_picture(self, name: str) -> bytes | None:
        data = self.picture(name)
        if data is not None:
            self._offer(name, PICTURE, USED_SECONDS)
            return data
        return self._asked(name, PICTURE, lambda value: unpack_picture(value, name), self._insert_picture)

    def find_code(self, name: str, size: int) -> StyleCode | None:
        part = code_part(self._weights, size)
        code = self.code(name, size)
        if code is not None:
            self._offer(name, part, USED_SECONDS)
            return code
        return self._asked(name, part, unpack_code, lambda name, code: self._insert_code(name, size, code))

    def keep_picture(self, name: str, file: IO[bytes]) -> None:
        super().keep_picture(name, file)
        self._offer(name, PICTURE, UPLOADED_SECONDS)

    def keep_code(self, name: str, size: int, code: StyleCode) -> None:
        super().keep_code(name, size, code)
        self._offer(name, code_part(self._weights, size), UPLOADED_SECONDS)

    def forget(self, name: str) -> None:
        self._forget_here(name)
        self._store.forget(name)

    def _forget_here(self, name: str) -> None:
        super().forget(name)
        for asked in [asked for asked in tuple(self._offered) if asked[0] == name]:
            self._offered.pop(asked, None)

    def _parts(self, name: str) -> list[str]:
        """What the store has of a style; nothing while it is down."""
        if not NAME.fullmatch(name):
            return []
        try:
            return self._store.parts(name)
        except StoreDown:
            self._on_lookup("down")
            return []

    def _asked(self, name: str, part: str, unpack: Callable[[bytes], T], insert: Callable[[str, T], None]) -> T | None:
        """A part as the store has it, which is then in the memory too."""
        if not NAME.fullmatch(name):
            return None
        try:
            value = self._store.get(name, part)
            self._on_lookup("miss" if value is None else "hit")
            if value is None:
                return None
            found = unpack(value)
        except StoreDown:
            self._on_lookup("down")
            return None
        except Malformed as error:
            self._on_lookup("malformed")
            logger.warning("%s of the style %s in the store is dropped: %s", part, name, error)
            with suppress(StoreDown):
                self._store.drop(name, part)
            return None
        insert(name, found)
        self._note(name, part)
        return found

    def _offer(self, name: str, part: str, seconds: float) -> None:
        """Have a part written to the store, unless it was in the last `seconds`."""
        if not NAME.fullmatch(name):
            return
        generation, since = self._offered.get((name, part), (-1, 0.0))
        if generation == self._store.generation and time.monotonic() < since + seconds:
            return
        self._note(name, part)
        try:
            self._queue.put_nowait((name, part))
        except Full:
            self._offered.pop((name, part), None)

    def _note(self, name: str, part: str) -> None:
        self._offered[name, part] = self._store.generation, time.monotonic()
        while len(self._offered) > OFFERED:
            with suppress(KeyError):
                self._offered.popitem(last=False)

    def _write(self) -> None:
        while (asked := self._queue.get()) is not None:
            name, part = asked
            value = self._value(name, part)
            if value is None:
                continue
            try:
                self._store.put(name, part, value)
            except StoreDown:
                self._offered.pop(asked, None)

    def _value(self, name: str, part: str) -> bytes | None:
        if part == PICTURE:
            data = None if name in self._ready else self.picture(name)
            return None if data is None else pack_picture(data)
        code = self.code(name, int(part.rpartition(":")[2]))
        return None if code is None else pack_code(code)
