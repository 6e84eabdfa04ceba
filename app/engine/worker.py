"""One device's thread: loads its engine, then takes batches until the queue closes; outlives its own death."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from app.engine.base import Engine, Job
from app.engine.styles import StyleLibrary
from app.engine.work import Done, Item, StorageFull, Style, Work, WorkerDied, WorkFailed
from app.files import DISK_FULL
from app.network.blend import StyleCode, shares

logger = logging.getLogger("impasto.worker")

WARM_UP_SIDE: Final = 256
LONGEST_RESTART_PAUSE: Final = 30.0
# How much the last batch says of the next: neighbours on the machine come and go within seconds.
RATE_WEIGHT: Final = 0.5


def encode_styles(engine: Engine, work: Work, library: StyleLibrary) -> Job:
    """The job for an engine: styles that are still pictures are encoded, unless the library has their code by now."""

    def code(style: Style) -> StyleCode:
        if isinstance(style, StyleCode):
            return style
        if style.name is None:
            return engine.encode_style(style.pixels, style.alpha)
        known = library.code(style.name, style.size)
        if known is None:
            known = engine.encode_style(style.pixels, style.alpha)
            library.keep_code(style.name, style.size, known)
        return known

    return Job(work.content, tuple(code(style) for style in work.styles), work.share, work.alpha)


class Worker(threading.Thread):
    """Runs what `take` gives, which sleeps until there is a batch, on the engine that `make` makes in this thread.

    `ready` is set once the first engine has loaded and run, or failed to: then `failure` says why.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Engine],
        take: Callable[[], list[Item]],
        closing: threading.Event,
        library: StyleLibrary,
        on_batch: Callable[[int], None],
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._make = make
        self._take = take
        self._closing = closing
        self._library = library
        self._on_batch = on_batch
        self.ready = threading.Event()
        self.failure: Exception | None = None
        self.alive = False
        self.engine_name = ""
        self.rate = 1e6
        self._batch: list[Item] = []
        self._batch_since = 0.0
        self._batch_pixels = 0.0

    def pixels_left(self, now: float) -> float:
        """Estimated rest of the batch that is running."""
        return max(0.0, self._batch_pixels - self.rate * (now - self._batch_since)) if self._batch else 0.0

    def run(self) -> None:
        pause = 1.0
        while not self._closing.is_set():
            try:
                engine = self._load()
                pause = 1.0
                while self._serve(engine):
                    pass
            except BaseException as error:
                self._lose()
                if not self.ready.is_set():
                    self.failure = error if isinstance(error, Exception) else RuntimeError(repr(error))
                    self.ready.set()
                    return
                logger.exception("the worker died, and starts again in %g s", pause)
                self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_RESTART_PAUSE)

    def stop(self, timeout: float | None) -> None:
        """Wait for the running batch once the queue is closing; after `timeout` seconds give its items up."""
        if self.ident is not None:
            self.join(timeout)
        self._lose()

    def _load(self) -> Engine:
        engine = self._make()
        self.engine_name = engine.name
        self._warm_up(engine)
        self.alive = True
        self.ready.set()
        return engine

    def _warm_up(self, engine: Engine) -> None:
        """Run a picture twice: the first pays for what libraries put off, the second gives a rate to start from."""
        picture = np.zeros((WARM_UP_SIDE, WARM_UP_SIDE, 3), np.uint8)
        work = Work(picture, (engine.encode_style(picture),), shares([1.0]))
        for _ in range(2):
            since = time.monotonic()
            engine.stylize([encode_styles(engine, work, self._library)])
            self.rate = work.pixels / (time.monotonic() - since)

    def _serve(self, engine: Engine) -> bool:
        batch = self._take()
        if not batch:
            return not self._closing.is_set()
        self._batch_since = time.monotonic()
        self._batch_pixels = sum(item.work.pixels for item in batch)
        self._batch = batch
        self._on_batch(len(batch))
        done = self._stylize(engine, batch)
        seconds = time.monotonic() - self._batch_since
        if done:
            self.rate += RATE_WEIGHT * (self._batch_pixels / seconds - self.rate)
        self._batch = []
        return True

    def _stylize(self, engine: Engine, batch: list[Item]) -> bool:
        """Run one batch and hand over its results; one by one where together they fail. True if it ran at once."""
        try:
            jobs = [encode_styles(engine, item.work, self._library) for item in batch]
            results = engine.stylize(jobs)
        except Exception as error:
            if len(batch) == 1:
                logger.exception("a picture of %s could not be stylised", batch[0].work.content.shape)
                full = isinstance(error, OSError) and error.errno in DISK_FULL
                text = f"the network failed on this picture ({type(error).__name__})"
                batch[0].resolve(StorageFull("the temporary folder is full") if full else WorkFailed(text))
            else:
                logger.warning("a batch of %d failed (%r); trying each alone", len(batch), error)
                for item in batch:
                    self._stylize(engine, [item])
            return False
        now = time.monotonic()
        for item, pixels in zip(batch, results, strict=True):
            waited = self._batch_since - item.since
            item.resolve(Done(pixels, waited, now - self._batch_since, len(batch)))
        return True

    def _lose(self) -> None:
        """Give back what was held when the thread's work broke off."""
        self.alive = False
        lost, self._batch = self._batch, []
        for item in lost:
            item.resolve(WorkerDied("the worker stopped while it held this picture"))
