"""Who hears what the queue does, as for metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from app.queue.work import Priority


class Loss(StrEnum):
    """Why a worker is lost: its thread died, its device failed, or its engine on one picture after another."""

    DIED = "died"
    DEVICE = "device-error"
    FAILURES = "failures"


def _nobody(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Hooks:
    """What is called, from any thread.

    `batch` hears the size of each batch begun, `step` the class and the seconds of each step, `shared` of each request
    that gets an equal one's result, `dropped` of each batch given up between two steps because nobody waited for it any
    longer; `lost` hears why a worker is lost and made anew, `hopeless` why that will not do and the process has to end.
    """

    batch: Callable[[int], None] = _nobody
    step: Callable[[Priority, float], None] = _nobody
    shared: Callable[[], None] = _nobody
    dropped: Callable[[], None] = _nobody
    lost: Callable[[Loss], None] = _nobody
    hopeless: Callable[[str], None] = _nobody
