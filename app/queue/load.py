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
    """Work ahead in content pixels, by line, as `app.queue.desk` shares the device among them, and by client."""

    def __init__(self) -> None:
        self._lines: defaultdict[Line, dict[str | None, float]] = defaultdict(dict)

    def add(self, line: Line, pixels: float, client: str | None = "") -> None:
        """Count in a client's item that waits, or (None) what is left of one begun, which goes before those."""
        of_clients = self._lines[line]
        of_clients[client] = of_clients.get(client, 0.0) + pixels

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self._in(line) for line in self._lines)

    def until(self, line: Line, pixels: float = 0.0, client: str = "") -> float:
        """What the device does until a client's new item here is begun; with its own `pixels`, until it is done.

        Meanwhile every other client in the line gets as much as this one, every other line of the class as much as this
        line, and another class its weight's part, or less where it wants less.
        """
        of_clients = self._lines.get(line, {})
        of_one = of_clients.get(client, 0.0) + pixels
        own = of_one + sum(
            load if one is None else min(load, of_one) for one, load in of_clients.items() if one != client
        )
        same = own + sum(
            min(self._in(other), own) for other in self._lines if other.priority is line.priority and other != line
        )
        return same + sum(
            min(self._of(other), same * WEIGHTS[other] / WEIGHTS[line.priority])
            for other in Priority
            if other is not line.priority
        )

    def _in(self, line: Line) -> float:
        return sum(self._lines[line].values())

    def _of(self, priority: Priority) -> float:
        return sum(self._in(line) for line in self._lines if line.priority is priority)


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
