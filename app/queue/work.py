"""What passes through the worker queue: work in, results or the reason there is none out."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from app.engine.base import Picture, padded_shape
from app.engine.begun import Begun
from app.network.blend import FloatArray, StyleCode

logger = logging.getLogger("impasto.queue")

# Of a picture's arithmetic: the encoder's 53.6 GMAC to 26.8 of the decoder, at 512x512.
ENCODER_PART: Final = 2 / 3
# A style is decoded too, up to a size, as far as the last partial AdaIN: 14.4 GMAC with the embedded weights.
STYLE_PART: Final = ENCODER_PART + 0.18
# What a picture costs however small it is, so that a run of thumbnails does not make the network look slow.
LEAST_PIXELS: Final = 4096


class Priority(StrEnum):
    """Classes of work, first those whom somebody waits for; for them background work gives way between two steps."""

    INTERACTIVE = "interactive"
    BACKGROUND = "background"


class Line(NamedTuple):
    """Where an item waits: with those of its class whose work is between `least_pixels` and four times that."""

    priority: Priority
    level: int

    @property
    def least_pixels(self) -> int:
        """The least work in this line, in content pixels."""
        return int(4**self.level)


class QueueError(Exception):
    """Why an item has no result; each kind is told apart by whoever asked for it."""


class Refused(QueueError):
    """More work is waiting than `limit` seconds; come again in `retry_after` seconds."""

    def __init__(self, retry_after: float, limit: float) -> None:
        super().__init__(f"the queue is full; a place is expected in {retry_after:.1f} s")
        self.retry_after = retry_after
        self.limit = limit


class DeadlinePassed(QueueError):
    """The item's time was over before its result was there."""


class WorkerDied(QueueError):
    """The worker stopped while it held the item."""


class StorageFull(QueueError):
    """There is no room for the features of a picture that is too large for memory."""


class WorkFailed(QueueError):
    """The engine could not do this item; its neighbours were not touched."""


@dataclass(frozen=True)
class StylePicture:
    """A style still to be encoded: uint8 (H, W, 3) RGB, and `alpha` as of an `app.engine.base.Job`.

    `name` is where its code is kept, None to keep it nowhere.
    """

    pixels: Picture
    name: str | None
    size: int
    alpha: Picture | None = None


Style = StyleCode | StylePicture


@dataclass(frozen=True)
class Work:
    """One picture to repaint, its styles encoded or not; `share` and `alpha` as in `app.engine.base.Job`.

    Works of equal `key` have equal results, and are run once when they are in the queue together; None for no other's.
    `begun` as of a Job.
    """

    content: Picture
    styles: tuple[Style, ...]
    share: FloatArray
    key: bytes | None = None
    alpha: Picture | None = None
    begun: Begun | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """What batches together."""
        return padded_shape(*self.content.shape[:2])

    @property
    def pixels(self) -> float:
        """Estimated arithmetic, as the number of content pixels that would cost as much."""
        styles = sum(s.pixels.size // 3 for s in self.styles if isinstance(s, StylePicture))
        return self.content_pixels + STYLE_PART * styles

    @property
    def content_pixels(self) -> float:
        """The same of the photo alone."""
        height, width = self.shape
        return LEAST_PIXELS + height * width


@dataclass(frozen=True)
class Done:
    """A result, uint8 (H, W, 3), and how it came about: times in seconds, and the batch it was in.

    `queue_seconds` is all the time that others had the network, those in the midst of it too.
    """

    pixels: Picture
    queue_seconds: float
    network_seconds: float
    batch_size: int


def line_of(priority: Priority, pixels: float) -> Line:
    """The line for work of a class and a size."""
    return Line(priority, (int(pixels).bit_length() - 1) // 2)


class Item:
    """Work in the queue, and everyone who waits for it, each until a deadline of his own."""

    def __init__(self, work: Work, priority: Priority, on_resolve: "Callable[[Item], None]", client: str = "") -> None:
        self.work = work
        self.client = client
        self.pixels = work.pixels
        self.line = line_of(priority, work.pixels)
        self._on_resolve = on_resolve
        self.since = time.monotonic()
        self._waiters: dict[asyncio.Future[Done], float] = {}
        self._watchers: dict[asyncio.Future[Done], Callable[[float], None]] = {}

    @property
    def deadline(self) -> float:
        """When the last of those who wait gives up, on the clock of time.monotonic; the past when nobody does."""
        return max(self._waiters.values(), default=0.0)

    def join(self, deadline: float, on_step: Callable[[float], None] | None = None) -> "asyncio.Future[Done]":
        """One more who waits, on the running event loop; `on_step` as of `BatchingQueue.run`."""
        future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._waiters[future] = deadline
        if on_step:
            self._watchers[future] = on_step
        return future

    def leave(self, future: "asyncio.Future[Done]") -> bool:
        """One who waits no longer; True if he was the last."""
        self._waiters.pop(future, None)
        self._watchers.pop(future, None)
        return not self._waiters

    def advance(self, part: float) -> None:
        """Tell those who watch how much is done, 0 to 1."""
        for on_step in tuple(self._watchers.values()):
            on_step(part)

    def resolve(self, outcome: Done | QueueError) -> None:
        """Hand over the outcome, from any thread."""
        self._on_resolve(self)
        for future in list(self._waiters):
            try:
                future.get_loop().call_soon_threadsafe(_settle, future, outcome)
            except RuntimeError:
                logger.info("a result came after its event loop had closed")


def _settle(future: "asyncio.Future[Done]", outcome: Done | QueueError) -> None:
    if future.done():
        return
    if isinstance(outcome, Done):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)
