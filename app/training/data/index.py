"""What files of pictures were found to be, on disk, so that a collection is read through once and not by every run."""

import hashlib
import logging
import os
import re
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from app.evaluation.pictures import MAX_PIXELS
from app.images.decode import Picture
from app.images.errors import ImageError

logger = logging.getLogger("impasto.training")

EXAMINED_AT: Final = 64
# One number more whenever the table is to hold something else, so that versions of this program don't meet.
NAME: Final = "pictures-1.sqlite"
TABLE: Final = """
CREATE TABLE IF NOT EXISTS pictures (path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    sha256 TEXT NOT NULL, height INTEGER NOT NULL, width INTEGER NOT NULL, fault TEXT NOT NULL) WITHOUT ROWID
"""
LOOK_UP: Final = "SELECT * FROM pictures WHERE path = ?"
KEEP: Final = "INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?)"
# What is lost at most when the process is killed, and how long another run's writing is waited for.
SAVE_SECONDS: Final = 0.5
BUSY_SECONDS: Final = 30.0


def cache_folder() -> Path:
    """Where what can be found out again is kept: XDG_CACHE_HOME/impasto, which is ~/.cache/impasto by default."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "impasto"


@dataclass(frozen=True)
class Examined:
    """A file of `size` bytes, last changed at `mtime_ns`: why it cannot be read, or what it is.

    That is the SHA-256 of its bytes, and the picture's sides in pixels, the shorter one a little more at most.
    """

    size: int
    mtime_ns: int
    sha256: str = ""
    height: int = 0
    width: int = 0
    fault: str = ""

    @property
    def sound(self) -> bool:
        """Whether it can have been written by this program."""
        numbers = (self.size, self.mtime_ns, self.height, self.width)
        if not all(isinstance(number, int) for number in numbers) or not isinstance(self.fault, str):
            return False
        return bool(self.fault) or (
            min(self.height, self.width) > 0 and bool(re.fullmatch("[0-9a-f]{64}", self.sha256))
        )


class Index:
    """A database that all runs share.

    What was found out is on disk half a second later, whatever becomes of the process. A damaged database is thrown
    away; where none can be kept, what is found out is forgotten in the end.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def examine(self, paths: Sequence[Path], threads: int, title: str) -> list[Examined]:
        """Hash every file and decode it once, or take the answer of last time if size and time of change are the same.

        `title` is of the progress bar, which appears where it takes a while.
        """
        database = self._opened()
        pool = ThreadPoolExecutor(threads)
        found: list[Examined] = []
        new: list[tuple[Any, ...]] = []
        saved = time.monotonic()
        try:
            known = [self._known(database, path) for path in paths]
            results = pool.map(_examined, paths, known)
            for path, before, examined in zip(
                paths, known, tqdm(results, title, len(paths), leave=False, unit="file", delay=1), strict=True
            ):
                found.append(examined)
                if examined is not before and examined.size:
                    new.append((_key(path), *astuple(examined)))
                if time.monotonic() - saved > SAVE_SECONDS:
                    database = self._keep(database, new)
                    saved = time.monotonic()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            database = self._keep(database, new)
            if database:
                database.close()
        return found

    def _opened(self) -> sqlite3.Connection | None:
        for _ in range(2):
            database = None
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                database = sqlite3.connect(self.path, timeout=BUSY_SECONDS)
                database.execute(TABLE)
                (state,) = database.execute("PRAGMA quick_check(1)").fetchone()
                if state == "ok":
                    return database
                raise sqlite3.DatabaseError(state)
            except sqlite3.OperationalError as error:
                self._warn(error)
                return None
            except OSError as error:
                self._warn(error.strerror)
                return None
            except sqlite3.DatabaseError as error:
                logger.warning("%s: is damaged (%s) and begins anew", self.path, error)
                if database:
                    database.close()
                for part in (self.path.with_name(f"{NAME}-journal"), self.path):
                    part.unlink(missing_ok=True)
        return None

    def _known(self, database: sqlite3.Connection | None, path: Path) -> Examined | None:
        row = database and database.execute(LOOK_UP, (_key(path),)).fetchone()
        examined = Examined(*row[1:]) if row else None
        return examined if examined and examined.sound else None

    def _keep(self, database: sqlite3.Connection | None, new: list[tuple[Any, ...]]) -> sqlite3.Connection | None:
        if database and new:
            try:
                with database:
                    database.executemany(KEEP, new)
            except sqlite3.Error as error:
                self._warn(error)
                database.close()
                database = None
        new.clear()
        return database

    def _warn(self, why: object) -> None:
        logger.warning("%s: cannot be kept (%s); what is found out of pictures will be forgotten", self.path, why)


def _key(path: Path) -> bytes:
    # As the system has it: a name need not be text.
    return os.fsencode(path.resolve())


def _examined(path: Path, known: Examined | None) -> Examined:
    try:
        status = path.stat()
        if known and (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
            return known
        data = path.read_bytes()
    except OSError as error:
        return Examined(0, 0, fault=error.strerror or str(error))
    try:
        height, width = _sides(data)
    except ImageError as error:
        return Examined(status.st_size, status.st_mtime_ns, fault=str(error))
    return Examined(status.st_size, status.st_mtime_ns, hashlib.sha256(data).hexdigest(), height, width)


def _sides(data: bytes) -> tuple[int, int]:
    """Of a picture as it is shown, from decoding it small. Raises ImageError."""
    picture = Picture(BytesIO(data), MAX_PIXELS)
    rgb, _ = picture.pixels(min(EXAMINED_AT, picture.long_side))
    height, width = rgb.shape[:2]
    short = min(picture.long_side, ceil((min(height, width) + 0.5) / max(height, width) * picture.long_side))
    return (picture.long_side, short) if height >= width else (short, picture.long_side)
