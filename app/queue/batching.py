"""The batching worker queue: asyncio on one side, one worker thread per device on the other.

A worker sleeps until there is work, takes an item and whatever waits that batches with it, within a budget of pixels,
and never waits on a timer. Between two steps of it the device may go to other work (`app.queue.desk`). A failure stays
with its item, and a result is the same as if it had come alone.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from app.engine.base import Engine
from app.queue.hooks import Hooks
from app.queue.load import Arrivals, Load, RecentSizes
from app.queue.run import Run
from app.queue.waiting import Waiting
from app.queue.watch import HOPELESS, TICKS, Pulse, Watch
from app.queue.work import DeadlinePassed, Done, Item, Priority, Refused, Work, WorkerDied, line_of
from app.queue.worker import Worker
from app.styles.library import StyleLibrary

# Where requests are turned away before they are read, one is let in this often, to see what sizes are asked for now.
PROBE_SECONDS: Final = 1.0


class BatchingQueue:
    """A bounded queue before one worker thread per engine.

    `engines` make an engine each, in the worker's own thread, again after a worker died. `budget` is the most pixels
    in one batch (one item may be larger); `max_seconds` bounds an interactive item's wait, as estimated from the rate
    measured. A step that takes `stuck_seconds`, and many times what it should, is hopeless (`app.queue.watch`).
    """

    def __init__(
        self,
        engines: Sequence[Callable[[], Engine]],
        library: StyleLibrary,
        budget: int,
        max_seconds: float,
        hooks: Hooks | None = None,
        stuck_seconds: float = 60.0,
    ) -> None:
        self._budget = budget
        self._max_seconds = max_seconds
        self._hooks = hooks or Hooks()
        self._waiting = Waiting(max_seconds)
        self._by_key: dict[tuple[bytes | None, Priority], Item] = {}
        self._sizes = RecentSizes()
        self._arrivals = Arrivals()
        self._wake = threading.Condition()
        self._idle = 0
        self._closing = threading.Event()
        names = [f"impasto-worker-{index}" for index in range(len(engines))]
        pulses = [Pulse(name, stuck_seconds / HOPELESS) for name in names]
        self._watch = Watch(pulses, stuck_seconds / TICKS, self._closing, self._hooks.hopeless)
        self._workers = [
            Worker(name, make, self._next_run, self._closing, library, self._hooks, pulse)
            for name, make, pulse in zip(names, engines, pulses, strict=True)
        ]

    def start(self) -> None:
        """Start the workers and wait until each has loaded and run once; raises what kept one from it."""
        self._watch.start()
        for worker in self._workers:
            worker.start()
        for worker in self._workers:
            worker.ready.wait()
            if worker.failure:
                self.close()
                raise worker.failure

    def close(self, timeout: float | None = None) -> None:
        """Fail what waits, let what is begun end within `timeout` seconds, and stop the workers."""
        self._closing.set()
        with self._wake:
            dropped = self._waiting.take_all()
            self._wake.notify_all()
        for item in dropped:
            item.resolve(WorkerDied("the service is stopping"))
        for worker in self._workers:
            worker.stop(timeout)

    @property
    def alive(self) -> bool:
        """Whether every worker has an engine loaded and takes work."""
        return all(worker.serving for worker in self._workers)

    @property
    def serving(self) -> bool:
        """Whether any worker takes work."""
        return any(worker.serving for worker in self._workers)

    @property
    def stuck(self) -> int:
        """Workers that are in one step for many times what it should take."""
        return sum(worker.stuck for worker in self._workers)

    @property
    def busy(self) -> bool:
        """Whether a worker's thread still runs, as one may after `close` gave up what it had begun."""
        return any(worker.is_alive() for worker in self._workers)

    @property
    def engine_name(self) -> str:
        """The engines' names, for people."""
        return ", ".join(sorted({worker.engine_name for worker in self._workers}))

    @property
    def items(self) -> int:
        """Interactive items waiting."""
        return len(self._items(Priority.INTERACTIVE))

    @property
    def background_items(self) -> int:
        """Background items waiting."""
        return len(self._items(Priority.BACKGROUND))

    @property
    def pixels(self) -> float:
        """Interactive work waiting, in content pixels."""
        return sum(item.pixels for item in self._items(Priority.INTERACTIVE))

    @property
    def paused(self) -> int:
        """Batches begun and left for others, for the time being."""
        return sum(max(0, len(worker.desk.runs) - 1) for worker in self._workers)

    @property
    def rate(self) -> float:
        """Content pixels a second, all workers together, as last measured."""
        return sum(worker.rate for worker in self._workers if worker.alive) or self._workers[0].rate

    @property
    def backlog_seconds(self) -> float:
        """Estimated time until all that waits or is begun now is done."""
        return self._load().total / self.rate

    def seconds_ahead(self, pixels: float) -> float:
        """Estimated time until an interactive item of this size, put in now, would be begun."""
        return self._load().until(line_of(Priority.INTERACTIVE, pixels)) / self.rate

    def admit(self, seconds_left: float, pixels: float | None = None, client: str = "") -> None:
        """Raise Refused where a client's interactive work of this size would wait too long, or end past its deadline.

        None for work of a size not known yet: it is taken to be as little as the least that has come lately.
        """
        if pixels is None:
            pixels = self._sizes.least
        line, load, rate = line_of(Priority.INTERACTIVE, pixels), self._load(), self.rate
        # Who comes later may overtake: lines and clients whose work is never long have their shares of the time too.
        # For the end of a large picture, long after, only those are taken to go on coming who are here now.
        rates = self._arrivals.rates()
        arriving = {line: {one: came / rate for one, came in of_clients.items()} for line, of_clients in rates.items()}
        ahead = self._waiting.ahead(line, client)
        late = max(
            load.until(line, 0.0, client, arriving, ahead) / rate - self._max_seconds,
            load.until(line, pixels, client, load.here(arriving), ahead) / rate - seconds_left,
        )
        if load.total and late > 0:
            raise Refused(late, self._max_seconds)

    def admit_unread(self, seconds_left: float, client: str = "") -> None:
        """`admit` for a request before its upload is read; now and then one is let in to learn its size."""
        if self._sizes.age < PROBE_SECONDS:
            self.admit(seconds_left, None, client)

    async def run(
        self,
        work: Work,
        deadline: float = math.inf,
        priority: Priority = Priority.INTERACTIVE,
        client: str = "",
        on_step: Callable[[float], None] | None = None,
    ) -> Done:
        """Wait for a result until `deadline`, on the clock of time.monotonic. Clients share the device.

        `on_step` hears after each step but the last how much is done, from 0 to less than 1; it is called from the
        worker's thread and must be quick. Cancelling gives the place in the queue back, or the device at the next step.
        Background work is not refused: who sends it, a frame after another, bounds what he has in the queue. Raises a
        QueueError.
        """
        seconds_left = deadline - time.monotonic()
        if seconds_left <= 0:
            raise DeadlinePassed("the time was over before the work was queued")
        with self._wake:
            item = self._enter(work, seconds_left, priority, client)
            future = item.join(deadline, on_step)
        try:
            async with asyncio.timeout(seconds_left if seconds_left < math.inf else None):
                return await future
        except TimeoutError:
            raise DeadlinePassed("the time was over before the result was there") from None
        finally:
            self._leave(item, future)

    def _enter(self, work: Work, seconds_left: float, priority: Priority, client: str) -> Item:
        """The item of equal work that is in the queue or begun, else a new one."""
        with self._wake:
            if self._closing.is_set():
                raise WorkerDied("the service is stopping")
            if work.key is not None and (known := self._by_key.get((work.key, priority))):
                self._hooks.shared()
                return known
            item = Item(work, priority, self._forget, client)
            if priority is Priority.INTERACTIVE:
                self._sizes.add(item.pixels)
                self.admit(seconds_left, item.pixels, client)
            self._arrivals.add(item.line, item.pixels, client)
            self._waiting.add(item)
            if work.key is not None:
                self._by_key[work.key, priority] = item
            self._wake.notify()
            return item

    def _leave(self, item: Item, future: "asyncio.Future[Done]") -> None:
        with self._wake:
            if item.leave(future) and self._waiting.remove(item):
                self._forget(item)

    def _forget(self, item: Item) -> None:
        """Nobody can join an item whose outcome is there."""
        key = (item.work.key, item.line.priority)
        with self._wake:
            if self._by_key.get(key) is item:
                del self._by_key[key]

    def _items(self, priority: Priority | None = None) -> list[Item]:
        """What waits."""
        with self._wake:
            return self._waiting.items(priority)

    def _load(self) -> Load:
        load = Load()
        for item in self._items():
            load.add(item.line, item.pixels, item.client)
        for worker in self._workers:
            for run in worker.desk.runs:
                load.add(run.line, worker.pixels_left(run), None)
        return load

    def _next_run(self, worker: Worker) -> Run | None:
        """Sleep until there is a step for a worker to take, and say of what; None when there will be none."""
        with self._wake:
            while True:
                now = time.monotonic()
                for item in self._waiting.take_late(now):
                    item.resolve(DeadlinePassed("the time was over before the work was begun"))
                for run in worker.desk.runs:
                    if not run.wanted(now):
                        return self._dropped(run, worker)
                # What waits is left to workers that have nothing to do.
                waiting = [] if worker.desk.runs and self._idle else self._waiting.lines
                line = worker.desk.choose(waiting)
                if line:
                    begun = worker.desk.run_of(line)
                    return begun or worker.begin(self._waiting.take_batch(line, self._budget))
                if self._closing.is_set():
                    return None
                self._idle += 1
                self._wake.wait()
                self._idle -= 1

    def _dropped(self, run: Run, worker: Worker) -> Run:
        """A run nobody waits for any longer: from here on nobody can join it."""
        for item in run.items:
            item.resolve(DeadlinePassed("the time was over before the result was there"))
        run.dropped = True
        worker.desk.remove(run)
        return run
