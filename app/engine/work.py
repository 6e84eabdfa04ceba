"""What passes through the worker queue: work in, results or the reason there is none out."""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Final

from app.engine.base import Picture, padded_shape
from app.network.blend import ChannelStatistics, FloatArray

logger = logging.getLogger("impasto.queue")

# Of a picture's arithmetic: the encoder's 53.6 GMAC to 26.8 of the decoder, at 512x512.
ENCODER_PART: Final = 2 / 3


class QueueError(Exception):
    """Why an item has no result; each kind is told apart by whoever asked for it."""


class Refused(QueueError):
    """More work is waiting than can be done in time; come again in `retry_after` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"the queue is full; a place is expected in {retry_after:.1f} s")
        self.retry_after = retry_after


class DeadlinePassed(QueueError):
    """The item's time was over before its result was there."""


class WorkerDied(QueueError):
    """The worker stopped while it held the item."""


class WorkFailed(QueueError):
    """The engine could not do this item; its neighbours were not touched."""


@dataclass(frozen=True)
class StylePicture:
    """A style still to be encoded: uint8 (H, W, 3) RGB. `name` is where its code is kept, None to keep it nowhere."""

    pixels: Picture
    name: str | None
    size: int


Style = ChannelStatistics | StylePicture


@dataclass(frozen=True)
class Work:
    """One picture to repaint, its styles encoded or not; `share` as in `app.engine.base.Job`."""

    content: Picture
    styles: tuple[Style, ...]
    share: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        """What batches together."""
        return padded_shape(*self.content.shape[:2])

    @property
    def pixels(self) -> float:
        """Estimated arithmetic, as the number of content pixels that would cost as much."""
        styles = sum(s.pixels.size // 3 for s in self.styles if isinstance(s, StylePicture))
        height, width = self.shape
        return height * width + ENCODER_PART * styles


@dataclass(frozen=True)
class Done:
    """A result, uint8 (H, W, 3), and how it came about: times in seconds, and the batch it was in."""

    pixels: Picture
    queue_seconds: float
    network_seconds: float
    batch_size: int


@dataclass(eq=False)
class Item:
    """Work in the queue, and the future of the event loop that waits for it."""

    work: Work
    deadline: float
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Done]"
    since: float = field(default_factory=time.monotonic)

    def resolve(self, outcome: Done | QueueError) -> None:
        """Hand over the outcome from the worker's thread; whoever no longer waits is not disturbed."""
        try:
            self.loop.call_soon_threadsafe(self._set, outcome)
        except RuntimeError:
            logger.info("a result came after its event loop had closed")

    def _set(self, outcome: Done | QueueError) -> None:
        if self.future.done():
            return
        if isinstance(outcome, Done):
            self.future.set_result(outcome)
        else:
            self.future.set_exception(outcome)
