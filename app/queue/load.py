"""How long new work will take: estimates from what waits and what is begun."""

import math
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Final

from app.queue.desk import WEIGHTS
from app.queue.work import Line, Priority

REMEMBERED_SECONDS: Final = 10.0
REMEMBERED: Final = 64
TELLING: Final = 8  # fewer say nothing of the next
ARRIVAL_SECONDS: Final = (10.0, 45.0)
CLOSE: Final = 1.001  # of an estimate that comes nearer by being made again


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

    def until(
        self,
        line: Line,
        pixels: float = 0.0,
        client: str = "",
        arriving: Mapping[Line, Mapping[str, float]] | None = None,
        ahead: float = 0.0,
    ) -> float:
        """What the device does until a client's new item here is begun; with its own `pixels`, until it is done.

        Meanwhile every other client in the line gets as much as this one, every other line of the class as much as this
        line, and another class its weight's part, or less where it wants less. `arriving` is what is still to come by
        line and client, as a part of what the device does: without it nothing is.
        """
        arriving = arriving or {}
        of_clients, of_one = self._lines.get(line, {}), self._lines.get(line, {}).get(client, 0.0) + pixels
        of_others = max(of_one, ahead + pixels)
        begun = of_clients.get(None, 0.0)
        others: set[str] = {one for one in (*of_clients, *arriving.get(line, ())) if one not in (None, client)}
        done, before = begun + of_one, 0.0
        # What comes meanwhile makes it longer, in which more comes; never more than shares allow, so this ends.
        while done > CLOSE * before:
            before = done
            came = {other: before * sum(parts.values()) for other, parts in arriving.items()}
            wanted = {other: self._in(other) + came.get(other, 0.0) for other in {*self._lines, *came}}
            own = begun + of_one
            for one in others:
                own += min(of_clients.get(one, 0.0) + before * arriving.get(line, {}).get(one, 0.0), of_others)
            same = own + sum(
                min(work, own) for other, work in wanted.items() if other.priority is line.priority and other != line
            )
            done = same + sum(
                min(
                    sum(work for other, work in wanted.items() if other.priority is priority),
                    same * WEIGHTS[priority] / WEIGHTS[line.priority],
                )
                for priority in Priority
                if priority is not line.priority
            )
        return done

    def here(self, arriving: Mapping[Line, Mapping[str, float]]) -> dict[Line, Mapping[str, float]]:
        """Of what is still to come that for lines in which there is work now."""
        return {line: parts for line, parts in arriving.items() if line in self._lines}

    def _in(self, line: Line) -> float:
        return sum(self._lines[line].values()) if line in self._lines else 0.0


class Arrivals:
    """Work let in of late, by line and client: the larger of a mean that forgets soon, and sees a rush when it begins,
    and of one that forgets late, and does not take a lull for the end of it."""

    def __init__(self) -> None:
        # When the last came, and its pixels and those before, faded by either's time.
        self._lines: dict[Line, dict[str, tuple[float, float, float]]] = {}

    def add(self, line: Line, pixels: float, client: str) -> None:
        """Note an item."""
        now, of_clients = time.monotonic(), self._lines.setdefault(line, {})
        soon, late = _faded(of_clients.get(client, (now, 0.0, 0.0)), now)
        of_clients[client] = (now, soon + pixels, late + pixels)

    def rates(self) -> dict[Line, dict[str, float]]:
        """Content pixels a second."""
        now = time.monotonic()
        for line, of_clients in self._lines.items():
            self._lines[line] = {one: came for one, came in of_clients.items() if _faded(came, now)[1] >= 1}
        return {
            line: {
                one: max(pixels / seconds for pixels, seconds in zip(_faded(came, now), ARRIVAL_SECONDS, strict=True))
                for one, came in of_clients.items()
            }
            for line, of_clients in self._lines.items()
        }


def _faded(came: tuple[float, float, float], now: float) -> tuple[float, float]:
    at, soon, late = came
    return soon * math.exp((at - now) / ARRIVAL_SECONDS[0]), late * math.exp((at - now) / ARRIVAL_SECONDS[1])


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
