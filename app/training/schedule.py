"""When what happens in a run: a function of the options, the step, and how much of the run is over."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from typing import Final, Protocol

from app.training.options import TrainingOptions, crop_shares

LAST_RATE: Final = 0.03
# Warm-up takes no more of a short run than this.
LONGEST_WARMUP: Final = 0.1
# Channels that begin anew later than this part of the run would not learn much.
LAST_REVIVAL: Final = 0.8
# A batch of fewer than this, at the largest crops, would be of too few styles.
LEAST_BATCH: Final = 4
# What is kept for the end, of what a validation and saving took at most.
SAFETY: Final = 1.3


@dataclass(frozen=True)
class Phase:
    """Crops of `size` pixels, `batch` of them a step, `fresh` of those newly encoded, until `stop` of the run is over.

    Where it `inverts`, pictures are only to come back from their own features.
    """

    size: int
    batch: int
    fresh: int
    start: float
    stop: float
    inverts: bool = False


def phases(options: TrainingOptions) -> list[Phase]:
    """The run's phases: inversion, then one a crop size.

    The batch shrinks as the area grows, so that steps take much the same time, though not below four pictures.
    """
    pairs = crop_shares(options.crops)
    total = sum(share for _, share in pairs)
    inversion = 0.0 if options.decoder else options.inversion_share
    parts = [(pairs[0][0], inversion, True)]
    done = 0.0
    for side, share in pairs:
        done += share
        parts.append((side, inversion + (1 - inversion) * done / total, False))
    result = []
    start = 0.0
    for side, stop, inverts in parts:
        batch = max(min(options.batch, LEAST_BATCH), round(options.batch * (pairs[0][0] / side) ** 2))
        if stop > start:
            result.append(Phase(side, batch, max(1, round(batch * options.refresh)), start, stop, inverts))
        start = stop
    return result


class Course(Protocol):
    """How far a run is, and so which phase it is in."""

    def progress(self, step: int) -> float:
        """What part of the run is over when `step` steps were taken, from 0 to 1."""

    def over(self, step: int, phase: Phase) -> bool:
        """Whether a phase is over then."""

    def first_step(self, phase: Phase) -> int:
        """The first step that can have been of a phase."""

    def ended(self, seconds: float) -> None:
        """Takes note of how long a validation and saving took, which a run ends with."""


class Steps:
    """A run of so many steps."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def progress(self, step: int) -> float:
        return step / self._steps

    def over(self, step: int, phase: Phase) -> bool:
        return step >= round(phase.stop * self._steps)

    def first_step(self, phase: Phase) -> int:
        return round(phase.start * self._steps)

    def ended(self, seconds: float) -> None:
        pass


class Minutes:
    """A run of so many seconds, its end included, however many steps that will be.

    `since`, on `clock`, is when it began; `done` the part of it that was over before. What comes before the first
    question is preparation: the rest of the time is for the rest of the run.
    """

    def __init__(
        self, seconds: float, since: float, done: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._end = since + seconds
        self._clock = clock
        self._done = done
        self._first: float | None = None
        self._reserve = 0.0

    def progress(self, step: int) -> float:
        now = self._clock()
        if self._first is None:
            self._first = now
        left = self._end - self._reserve - self._first
        part = (now - self._first) / left if left > 0 else 1.0
        return min(1.0, self._done + (1 - self._done) * part)

    def over(self, step: int, phase: Phase) -> bool:
        return self.progress(step) >= phase.stop

    def first_step(self, phase: Phase) -> int:
        return 0

    def ended(self, seconds: float) -> None:
        self._reserve = max(self._reserve, SAFETY * seconds)


def learning_rate(options: TrainingOptions, step: int, progress: float) -> float:
    """Linear warm-up, then half a cosine down to 3 %."""
    warm = min(1.0, max((step + 1) / (options.warmup + 1), progress / LONGEST_WARMUP if options.minutes else 0.0))
    falling = 0.5 * (1 + cos(pi * progress))
    return options.learning_rate * warm * (LAST_RATE + (1 - LAST_RATE) * falling)


def revives(options: TrainingOptions, step: int, progress: float) -> bool:
    """Whether silent channels begin anew after `step` steps."""
    every = options.revive_every
    return every > 0 and step % every == 0 and progress <= LAST_REVIVAL


def ema_decay(options: TrainingOptions, step: int) -> float:
    """Less in the beginning, when the average would otherwise be one of random weights."""
    return min(options.ema, (1 + step) / (10 + step))
