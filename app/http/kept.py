"""Results that are kept, so that an equal request is answered without the network."""

import hashlib
from typing import Final

from cachetools import LRUCache

from app.options import Options
from app.pipeline import Prepared

# One large result must not push every other out.
LARGEST_PART: Final = 8


class KeptResults:
    """Files of results in memory, `max_bytes` in all; those asked for least recently go first. None with 0."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._files: LRUCache[bytes, bytes] = LRUCache(max_bytes, getsizeof=len)

    @property
    def size(self) -> float:
        """What is kept now, in bytes."""
        return self._files.currsize

    def get(self, key: bytes) -> bytes | None:
        """The file of an equal request."""
        return self._files.get(key)

    def keep(self, key: bytes, file: bytes) -> bool:
        """Keep a file, unless it would take more than an eighth of the memory; tells whether it did."""
        if len(file) > self.max_bytes // LARGEST_PART:
            return False
        self._files[key] = file
        return True


def result_key(prepared: Prepared, options: Options, format: str) -> bytes:
    """Equal for requests of equal results: a hash of all that a result's file depends on; for a thread."""
    digest = hashlib.sha256(prepared.work.key or b"")
    told = (prepared.photo.rgb.shape, prepared.box, options.preserve_color, options.quality, format)
    digest.update(repr(told).encode())
    # The network sees only what can be seen, and a file holds the rest too.
    if prepared.photo.alpha is not None:
        digest.update(prepared.photo.rgb.tobytes())
        digest.update(prepared.photo.alpha.tobytes())
    return digest.digest()
