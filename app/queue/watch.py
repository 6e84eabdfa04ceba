"""Finds a worker that hangs: a step that takes many times what it should is told, and at last the process given up.

A thread inside a library cannot be stopped from outside, so there is nothing milder than a new process.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

logger = logging.getLogger("impasto.watch")

# A step is overdue once it took so many times what it should, and a sixth of `stuck_seconds` at least; when six times
# that have passed, it will not end.
OVERDUE: Final = 10.0
HOPELESS: Final = 6.0
TICKS: Final = 60


class Pulse:
    """A worker's sign of life: the step it is in, and the seconds that step may take."""

    def __init__(self, name: str, least_seconds: float) -> None:
        self._name = name
        self._least = least_seconds
        self._doing = ""
        self._allowed: float | None = None
        self._stood = 0.0
        self._beats = self._seen = 0
        self._told = False

    @contextmanager
    def step(self, doing: str, expected: float, at_least: float = 0.0) -> Iterator[None]:
        """While the worker is in one step that should take `expected` seconds, and may well take `at_least`."""
        self._doing, self._stood, self._allowed = doing, 0.0, max(OVERDUE * expected, at_least, self._least)
        self._beats += 1
        try:
            yield
        finally:
            self._allowed = None
            self._beats += 1

    @property
    def overdue(self) -> bool:
        """Whether the step at hand takes longer than it may."""
        return self._stood > self._limit

    @property
    def hopeless(self) -> bool:
        """Whether the step at hand will not end."""
        return self._stood > HOPELESS * self._limit

    @property
    def _limit(self) -> float:
        allowed = self._allowed
        return float("inf") if allowed is None else allowed

    def note(self, seconds: float) -> None:
        """Let time pass."""
        if self._beats != self._seen:
            self._seen = self._beats
            if self._told:
                self._told = False
                logger.warning("%s goes on", self._name)
            return
        self._stood += seconds
        if self.overdue and not self._told:
            self._told = True
            logger.warning("%s", self)

    def __str__(self) -> str:
        return f"{self._name} has been {self._doing} for {self._stood:.0f} s, {self._limit:.0f} s at most were expected"


class Watch(threading.Thread):
    """Lets time pass for pulses until the queue closes; `give_up` hears of the first that is hopeless.

    Time counts as it is seen to pass here, so that a process that was stopped, or a machine that slept, is not taken
    for one that hangs.
    """

    def __init__(
        self, pulses: Sequence[Pulse], tick: float, closing: threading.Event, give_up: Callable[[str], None]
    ) -> None:
        super().__init__(name="impasto-watch", daemon=True)
        self._pulses = pulses
        self._tick = tick
        self._closing = closing
        self._give_up = give_up

    def run(self) -> None:
        last = time.monotonic()
        while not self._closing.wait(self._tick):
            now = time.monotonic()
            passed, last = min(now - last, 2 * self._tick), now
            for pulse in self._pulses:
                pulse.note(passed)
                if pulse.hopeless:
                    self._give_up(str(pulse))
                    return
