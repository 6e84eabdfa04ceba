"""Which work a device goes on with at each step: lines by class and size that share its time.

A line is first come, first served. Lines of one class share the device's time equally while they want it, so that a
preview does not wait for a poster's end, nor the poster for the last of the previews; the classes share it by weight.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from app.queue.run import Run
from app.queue.work import Line, Priority

# What is due goes by size: a burst of small pictures this long goes before a large one, which gets its share after.
LEAD_SECONDS: Final = 0.25
WEIGHTS: Final = {Priority.INTERACTIVE: 0.9, Priority.BACKGROUND: 0.1}
# A large picture that is begun holds its features while others have the device: so many may be begun at once.
LARGE_PIXELS: Final = 2**20
MOST_LARGE: Final = {Priority.INTERACTIVE: 2, Priority.BACKGROUND: 1}

REMEMBERED: Final = 1024  # of those who had a share; who has no more than others needs no remembering

K = TypeVar("K", bound=Hashable)


class FairShares(Generic[K]):
    """Start-time fair queueing (Goyal, Vin & Cheng 1996): who wants time gets it in parts as the weights, 1 by default.

    Who wanted none has no claim to what he left: he starts beside whoever is served.
    """

    def __init__(self, weights: Mapping[K, float] | None = None, lead: float = LEAD_SECONDS) -> None:
        self._weights = weights or {}
        self._lead = lead
        self._starts: dict[K, float] = {}  # seconds had, a unit of weight
        self._now = 0.0

    def choose(self, wanting: Sequence[K]) -> K:
        """Who is served next, of those who want it in order of preference."""
        starts = [self._start(one) for one in wanting]
        self._now = min(starts)
        return next(one for one, start in zip(wanting, starts, strict=True) if start <= self._now + self._lead)

    def charge(self, served: K, seconds: float) -> None:
        """Note that one had the device so long."""
        self._starts[served] = self._start(served) + seconds / self._weights.get(served, 1.0)
        if len(self._starts) > REMEMBERED:
            self._starts = {one: start for one, start in self._starts.items() if start > self._now}

    def _start(self, one: K) -> float:
        return max(self._starts.get(one, 0.0), self._now)


class Desk:
    """What one worker has begun, and what it goes on with."""

    def __init__(self) -> None:
        self.runs: tuple[Run, ...] = ()
        self._classes = FairShares(WEIGHTS)
        self._sizes: dict[Priority, FairShares[int]] = {priority: FairShares() for priority in Priority}

    def choose(self, waiting: Iterable[Line]) -> Line | None:
        """The line to serve next, of those with a run here and those that wait; None where there is none."""
        begun = {run.line for run in self.runs}
        lines = sorted(begun.union(line for line in waiting if self._may_begin(line, begun)))
        if not lines:
            return None
        wanting = [priority for priority in Priority if any(line.priority is priority for line in lines)]
        chosen = self._classes.choose(wanting)
        return Line(chosen, self._sizes[chosen].choose([line.level for line in lines if line.priority is chosen]))

    def add(self, run: Run) -> None:
        """Put a run here."""
        self.runs = (*self.runs, run)

    def remove(self, run: Run) -> None:
        """Take a run away, if it is still here."""
        self.runs = tuple(one for one in self.runs if one is not run)

    def charge(self, line: Line, seconds: float) -> None:
        """Note how long a step of a line took."""
        self._classes.charge(line.priority, seconds)
        self._sizes[line.priority].charge(line.level, seconds)

    def run_of(self, line: Line) -> Run | None:
        """What is begun in a line."""
        return next((run for run in self.runs if run.line == line), None)

    @staticmethod
    def _may_begin(line: Line, begun: set[Line]) -> bool:
        if line.least_pixels < LARGE_PIXELS:
            return True
        large = sum(one.priority is line.priority and one.least_pixels >= LARGE_PIXELS for one in begun)
        return large < MOST_LARGE[line.priority]
