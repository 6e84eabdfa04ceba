"""What files of pictures were found to be."""

import hashlib
import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from app.evaluation.pictures import MAX_PIXELS
from app.images.decode import decode_style
from app.images.errors import ImageError

EXAMINED_AT: Final = 64


@dataclass(frozen=True)
class Examined:
    """What is known of a file: the SHA-256 of its bytes, or why it cannot be read."""

    size: int
    mtime_ns: int
    sha256: str
    fault: str


class Index:
    """Remembers what files were found to be, so that a large collection is read through once, not at every start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._known = {name: Examined(*entry) for name, entry in json.loads(path.read_bytes()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            self._known = {}

    def examine(self, path: Path) -> Examined:
        """Hash a file and decode it once; the answer of last time if size and time of change are the same."""
        name = str(path.resolve())
        try:
            status = path.stat()
            known = self._known.get(name)
            if known and (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
                return known
            data = path.read_bytes()
        except OSError as error:
            return Examined(0, 0, "", error.strerror or str(error))
        fault = ""
        try:
            decode_style(BytesIO(data), max_pixels=MAX_PIXELS, size=EXAMINED_AT)
        except ImageError as error:
            fault = str(error)
        examined = Examined(status.st_size, status.st_mtime_ns, hashlib.sha256(data).hexdigest(), fault)
        self._known[name] = examined
        return examined

    def encoded(self) -> bytes:
        entries = {name: (e.size, e.mtime_ns, e.sha256, e.fault) for name, e in sorted(self._known.items())}
        return json.dumps(entries).encode()
