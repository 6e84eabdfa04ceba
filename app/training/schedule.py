"""When what happens in a run: a function of the options and the step alone."""

from dataclasses import dataclass
from math import cos, pi
from typing import Final

from app.training.options import TrainingOptions, crop_shares

LAST_RATE: Final = 0.03
# Channels that begin anew later than this part of the steps would not learn much.
LAST_REVIVAL: Final = 0.8
# A batch of fewer than this, at the largest crops, would be of too few styles.
LEAST_BATCH: Final = 4


@dataclass(frozen=True)
class Phase:
    """Steps `start` to `stop` - 1: crops of `size` pixels, `batch` of them a step, `fresh` of those newly encoded.

    Where it `inverts`, pictures are only to come back from their own features.
    """

    size: int
    batch: int
    fresh: int
    start: int
    stop: int
    inverts: bool = False


def phases(options: TrainingOptions) -> list[Phase]:
    """The run's phases: inversion, then one a crop size.

    The batch shrinks as the area grows, so that steps take much the same time, though not below four pictures.
    """
    pairs = crop_shares(options.crops)
    total = sum(share for _, share in pairs)
    inversions = 0 if options.decoder else round(options.steps * options.inversion_share)
    parts = [(pairs[0][0], inversions, True)]
    done = 0.0
    for side, share in pairs:
        done += share
        parts.append((side, inversions + round((options.steps - inversions) * done / total), False))
    result = []
    start = 0
    for side, stop, inverts in parts:
        batch = max(min(options.batch, LEAST_BATCH), round(options.batch * (pairs[0][0] / side) ** 2))
        if stop > start:
            result.append(Phase(side, batch, max(1, round(batch * options.refresh)), start, stop, inverts))
        start = stop
    return result


def learning_rate(options: TrainingOptions, step: int) -> float:
    """Linear warm-up, then half a cosine down to 3 %."""
    warm = min(1.0, (step + 1) / (options.warmup + 1))
    falling = 0.5 * (1 + cos(pi * step / options.steps))
    return options.learning_rate * warm * (LAST_RATE + (1 - LAST_RATE) * falling)


def revives(options: TrainingOptions, step: int) -> bool:
    """Whether silent channels begin anew after `step` steps."""
    every = options.revive_every
    return every > 0 and step % every == 0 and step <= LAST_REVIVAL * options.steps


def ema_decay(options: TrainingOptions, step: int) -> float:
    """Less in the beginning, when the average would otherwise be one of random weights."""
    return min(options.ema, (1 + step) / (10 + step))
