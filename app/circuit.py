"""A circuit before what may be out of order: after a failure that is left alone for a while, then tried once."""

import threading
import time
from collections.abc import Callable
from math import inf
from typing import Final

PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE: Final = 15.0


class Circuit:
    """Open after a failure, for a pause that doubles up to 15 seconds; then one caller at a time tries.

    `on_change` hears the error that opened it, and None when it is closed again. Safe to use from several threads.
    """

    def __init__(self, on_change: Callable[[Exception | None], None]) -> None:
        self._on_change = on_change
        self._lock = threading.Lock()
        self._pause = PAUSE_SECONDS
        self._closed = True
        self._next = 0.0
        self._failed = 0.0

    @property
    def closed(self) -> bool:
        """Whether the last call went well."""
        return self._closed

    def may_try(self) -> bool:
        """Whether to call, and then to tell how it went; until that is known, or the pause over, others may not."""
        with self._lock:
            if self._closed:
                return True
            now = time.monotonic()
            if now < self._next:
                return False
            self._next = now + self._pause
            return True

    def succeeded(self, since: float = inf) -> None:
        """A call went well, which began at `since` on the clock of time.monotonic: it says nothing where another has
        failed in the meantime."""
        with self._lock:
            if not self._closed and since < self._failed:
                return
            was_closed, self._closed, self._pause = self._closed, True, PAUSE_SECONDS
        if not was_closed:
            self._on_change(None)

    def failed(self, error: Exception) -> None:
        """A call went wrong."""
        with self._lock:
            was_closed, self._closed = self._closed, False
            self._pause = PAUSE_SECONDS if was_closed else min(2 * self._pause, LONGEST_PAUSE)
            self._failed = time.monotonic()
            self._next = self._failed + self._pause
        if was_closed:
            self._on_change(error)
