"""How long new work will take: estimates from what waits and what is begun."""

import time
from collections import defaultdict, deque
from typing import Final

from app.queue.desk import WEIGHTS
from app.queue.work import Line, Priority

REMEMBERED_SECONDS: Final = 10.0
REMEMBERED: Final = 64
TELLING: Final = 8  # fewer say nothing of the next


class Load:
    """Work ahead in content pixels, by line, as `app.queue.desk` shares the device among them."""

    def __init__(self) -> None:
        self._lines: defaultdict[Line, float] = defaultdict(float)

    def add(self, line: Line, pixels: float) -> None:
        """Count in an item that waits, or what is left of one begun."""
        self._lines[line] += pixels

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self._lines.values())

    def until(self, line: Line, pixels: float = 0.0) -> float:
        """What the device does until a new item in this line is begun; with its own `pixels`, until it is done.

        Meanwhile every other line of the class gets as much as this one, and another class its weight's part, or less
        where it wants less.
        """
        own = self._lines.get(line, 0.0) + pixels
        same = own + sum(
            min(load, own) for other, load in self._lines.items() if other.priority is line.priority and other != line
        )
        return same + sum(
            min(self._of(other), same * WEIGHTS[other] / WEIGHTS[line.priority])
            for other in Priority
            if other is not line.priority
        )

    def _of(self, priority: Priority) -> float:
        return sum(load for line, load in self._lines.items() if line.priority is priority)


class RecentSizes:
    """How much work recent items were, for a guess at one that is still to be read."""

    def __init__(self) -> None:
        self._last: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)

    def add(self, pixels: float) -> None:
        """Note one."""
        self._last.append((time.monotonic(), pixels))

    @property
    def least(self) -> float:
        """The least work of those of the last seconds, in content pixels; 0 where they were few."""
        since = time.monotonic() - REMEMBERED_SECONDS
        recent = [pixels for at, pixels in tuple(self._last) if at > since]
        return min(recent) if len(recent) >= TELLING else 0.0

    @property
    def age(self) -> float:
        """Seconds since the last one."""
        return time.monotonic() - self._last[-1][0] if self._last else float("inf")
