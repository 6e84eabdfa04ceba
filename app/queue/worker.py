"""One device's thread: loads its engine, then takes steps until the queue closes; outlives its own death.

A picture that fails is given up alone. An error of the device, or failures on one picture after another, lose the
worker: what it held is given up, and its engine made anew. A device that fails again then, as CUDA does for the rest of
a process, is hopeless.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

import numpy as np

from app.engine.base import Engine, Picture, SteppedEngine, complete
from app.engine.faults import device_failed, out_of_memory
from app.files import DISK_FULL
from app.network.blend import shares
from app.queue.desk import Desk
from app.queue.health import Health, loss
from app.queue.hooks import Hooks
from app.queue.run import Run, batch_steps
from app.queue.watch import Pulse
from app.queue.work import Done, Item, StorageFull, Work, WorkerDied, WorkFailed
from app.styles.library import StyleLibrary

logger = logging.getLogger("impasto.worker")

WARM_UP_SIDE: Final = 256
LOAD_SECONDS: Final = 60.0  # a load may well take so long, from a slow disk
RESTART_PAUSE: Final = 1.0
LONGEST_RESTART_PAUSE: Final = 30.0
KNOWN_SHAPES: Final = 1024
# How much the last batch says of the next: neighbours on the machine come and go within seconds.
RATE_WEIGHT: Final = 0.5


class Worker(threading.Thread):
    """Takes steps of what `next_run` gives, which sleeps until there is work, on an engine that it makes by `make`.

    `desk` is what it has begun, for `next_run` to choose from. `ready` is set once the first engine has loaded and run,
    or failed to: then `failure` says why.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Engine],
        next_run: "Callable[[Worker], Run | None]",
        closing: threading.Event,
        library: StyleLibrary,
        hooks: Hooks,
        pulse: Pulse,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._make = make
        self._next_run = next_run
        self._closing = closing
        self._library = library
        self._hooks = hooks
        self._pulse = pulse
        self._engine: Engine | None = None
        self._stepped: SteppedEngine | None = None  # the same: to ask a protocol takes long, and steps are short
        self._shapes: set[tuple[int, int, int]] = set()
        self._pause = RESTART_PAUSE
        self._health = Health()
        self.desk = Desk()
        self.ready = threading.Event()
        self.failure: Exception | None = None
        self.alive = False
        self.engine_name = ""
        self.rate = 1e6

    @property
    def serving(self) -> bool:
        """Whether it takes work, and is not stuck in a step."""
        return self.alive and not self.stuck

    @property
    def stuck(self) -> bool:
        """Whether a step takes many times what it should."""
        return self._pulse.overdue

    def begin(self, items: list[Item]) -> Run:
        """Put a batch on the desk."""
        if self._engine is None:
            raise RuntimeError("a worker without an engine has no use for a batch")
        self._hooks.batch(len(items))
        run = Run(items, self._engine, self._library)
        self.desk.add(run)
        return run

    def pixels_left(self, run: Run) -> float:
        """Estimated rest of a run on the desk: as it tells, or where it has a single step by its time."""
        return run.pixels * (1 - run.part) if run.part else max(0.0, run.pixels - self.rate * run.seconds)

    def run(self) -> None:
        while not self._closing.is_set():
            try:
                self._load()
                while self._serve():
                    pass
            except BaseException as error:
                loaded = self.alive
                self._lose()
                self._engine = None
                if not self.ready.is_set():
                    self.failure = error if isinstance(error, Exception) else RuntimeError(repr(error))
                    self.ready.set()
                    return
                self._hooks.lost(loss(error))
                hopeless = device_failed(error) and (not loaded or self._health.device_lost_again)
                if hopeless and not self._closing.is_set():
                    text = str(error).partition("\n")[0]
                    self._hooks.hopeless(f"{self.name}: the device fails again after its engine was made anew: {text}")
                    return
                logger.exception("the worker is lost (%s), and starts again in %g s", loss(error), self._pause)
            self._closing.wait(self._pause)
            self._pause = min(2 * self._pause, LONGEST_RESTART_PAUSE)

    def stop(self, timeout: float | None) -> None:
        """Wait for what is begun once the queue is closing; after `timeout` seconds give its items up."""
        if self.ident is not None and self is not threading.current_thread():
            self.join(timeout)
        self._lose()

    def _load(self) -> None:
        with self._pulse.step("loading its engine", 0.0, LOAD_SECONDS):
            engine = self._make()
            self.engine_name = engine.name
            self._warm_up(engine)
        logger.info("%s: the network runs by %s", self.name, engine.name)
        self._engine = engine
        self._stepped = engine if isinstance(engine, SteppedEngine) else None
        self._shapes.clear()
        self.alive = True
        self.ready.set()

    def _warm_up(self, engine: Engine) -> None:
        """Run a picture twice: the first pays for what libraries put off, the second gives a rate to start from."""
        picture: Picture = np.zeros((WARM_UP_SIDE, WARM_UP_SIDE, 3), np.uint8)
        work = Work(picture, (engine.encode_style(picture),), shares([1.0]))
        for _ in range(2):
            since = time.monotonic()
            complete(batch_steps(engine, [work], self._library))
            self.rate = work.pixels / (time.monotonic() - since)

    def _serve(self) -> bool:
        """Take one step; False when there will be no more."""
        run = self._next_run(self)
        if run is None:
            return False
        if run.dropped:
            run.close()
            self._hooks.dropped()
        else:
            self._advance(run)
        return True

    def _advance(self, run: Run) -> None:
        """Take one step of a run, and hand over its results where it was the last."""
        before = run.seconds
        try:
            with self._step(run):
                results = run.step()
        except Exception as error:
            self._fail(run, error)
            return
        finally:
            self.desk.charge(run.line, run.seconds - before)
            self._hooks.step(run.line.priority, run.seconds - before)
        if results is None:
            for item in run.items:
                item.advance(run.part)
            return
        self.desk.remove(run)
        self._note_success(run)
        now = time.monotonic()
        for item, pixels in zip(run.items, results, strict=True):
            item.resolve(Done(pixels, now - item.since - run.seconds, run.seconds, len(run.items)))

    def _step(self, run: Run) -> AbstractContextManager[None]:
        """The pulse of one step of a run, by the most work there may be in one."""
        engine = self._stepped
        expected, patience = run.pixels, 0.0
        if engine:
            expected = sum(min(item.pixels, engine.step_pixels) for item in run.items)
            patience = 0.0 if run.shape in self._shapes else engine.compile_seconds
        height, width, count = run.shape
        return self._pulse.step(f"in one step of {count} x {width}x{height} pixels", expected / self.rate, patience)

    def _note_success(self, run: Run) -> None:
        self._pause = RESTART_PAUSE
        self._health.succeeded()
        self.rate += RATE_WEIGHT * (run.pixels_here / run.seconds - self.rate)
        if len(self._shapes) >= KNOWN_SHAPES:
            self._shapes.clear()
        self._shapes.add(run.shape)

    def _fail(self, run: Run, error: Exception) -> None:
        """A batch that failed is tried again picture by picture; a picture that failed alone is given up.

        Raises what loses the worker.
        """
        pictures = [item.work.content for item in run.items]
        if device_failed(error):
            self._health.failed(pictures, error)
        self.desk.remove(run)
        if len(run.items) > 1:
            logger.warning("a batch of %d failed (%r); trying each alone", len(run.items), error)
            for item in run.items:
                self.begin([item])
            return
        (item,) = run.items
        logger.error("a picture of %s could not be stylised", item.work.content.shape, exc_info=error)
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            item.resolve(StorageFull("the temporary folder is full"))
            return
        item.resolve(WorkFailed(f"the network failed on this picture ({type(error).__name__})"))
        if not out_of_memory(error):
            self._health.failed(pictures, error)

    def _lose(self) -> None:
        """Give back what was held when the thread's work broke off."""
        self.alive = False
        lost, self.desk.runs = self.desk.runs, ()
        for run in lost:
            for item in run.items:
                item.resolve(WorkerDied("the worker stopped while it held this picture"))
