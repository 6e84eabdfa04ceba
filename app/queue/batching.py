"""The batching worker queue: asyncio on one side, one worker thread per device on the other.

A worker sleeps until there is work, takes the oldest item and whatever waits that batches with it, within a budget
of pixels, and never waits on a timer. A failure stays with its item, and a result is the same as if it had come alone.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from app.engine.base import Engine
from app.engine.styles import StyleLibrary
from app.queue.work import DeadlinePassed, Done, Item, Refused, Work, WorkerDied
from app.queue.worker import Worker


class BatchingQueue:
    """A bounded queue before one worker thread per engine.

    `engines` make an engine each, in the worker's own thread, again after a worker died. `budget` is the most pixels
    in one batch (one item may be larger); `max_seconds` bounds the work that waits, as estimated from the rate
    measured. `on_batch` hears the size of each batch, `on_shared` of each request that shares another's result.
    """

    def __init__(
        self,
        engines: Sequence[Callable[[], Engine]],
        library: StyleLibrary,
        budget: int,
        max_seconds: float,
        on_batch: Callable[[int], None],
        on_shared: Callable[[], None],
    ) -> None:
        self._budget = budget
        self._max_seconds = max_seconds
        self._on_shared = on_shared
        self._waiting: deque[Item] = deque()
        self._by_key: dict[bytes, Item] = {}
        self._wake = threading.Condition()
        self._closing = threading.Event()
        self._workers = [
            Worker(f"impasto-worker-{index}", make, self._take, self._closing, library, on_batch)
            for index, make in enumerate(engines)
        ]

    def start(self) -> None:
        """Start the workers and wait until each has loaded and run once; raises what kept one from it."""
        for worker in self._workers:
            worker.start()
        for worker in self._workers:
            worker.ready.wait()
            if worker.failure:
                self.close()
                raise worker.failure

    def close(self, timeout: float | None = None) -> None:
        """Fail what waits, let running batches end within `timeout` seconds, and stop the workers."""
        self._closing.set()
        with self._wake:
            dropped = list(self._waiting)
            self._waiting.clear()
            self._wake.notify_all()
        for item in dropped:
            item.resolve(WorkerDied("the service is stopping"))
        for worker in self._workers:
            worker.stop(timeout)

    @property
    def alive(self) -> bool:
        """Whether every worker has an engine loaded and takes work."""
        return all(worker.alive for worker in self._workers)

    @property
    def serving(self) -> bool:
        """Whether any worker takes work."""
        return any(worker.alive for worker in self._workers)

    @property
    def busy(self) -> bool:
        """Whether a worker's thread still runs, as one may after `close` gave up its batch."""
        return any(worker.is_alive() for worker in self._workers)

    @property
    def engine_name(self) -> str:
        """The engines' names, for people."""
        return ", ".join(sorted({worker.engine_name for worker in self._workers}))

    @property
    def items(self) -> int:
        """Items waiting."""
        return len(self._waiting)

    @property
    def pixels(self) -> float:
        """Work waiting, in content pixels."""
        with self._wake:
            return sum(item.work.pixels for item in self._waiting)

    @property
    def rate(self) -> float:
        """Content pixels a second, all workers together, as last measured."""
        return sum(worker.rate for worker in self._workers if worker.alive) or self._workers[0].rate

    def seconds_ahead(self) -> float:
        """Estimated time until an item put in now would be started."""
        now = time.monotonic()
        running = sum(worker.pixels_left(now) for worker in self._workers)
        return (self.pixels + running) / self.rate

    def admit(self, seconds_left: float, pixels: float = 0.0) -> None:
        """Raise Refused where work of this size would wait too long, or end past its deadline."""
        ahead = self.seconds_ahead()
        longest_wait = min(self._max_seconds, seconds_left - pixels / self.rate)
        if ahead > max(0.0, longest_wait):
            raise Refused(ahead - max(0.0, longest_wait), self._max_seconds)

    async def run(self, work: Work, deadline: float) -> Done:
        """Wait for a result until `deadline`, on the clock of time.monotonic.

        Cancelling gives the place in the queue back. Raises a QueueError.
        """
        seconds_left = deadline - time.monotonic()
        if seconds_left <= 0:
            raise DeadlinePassed("the time was over before the work was queued")
        with self._wake:
            item = self._enter(work, seconds_left)
            future = item.join(deadline)
        try:
            async with asyncio.timeout(seconds_left):
                return await future
        except TimeoutError:
            raise DeadlinePassed("the time was over before the result was there") from None
        finally:
            self._leave(item, future)

    def _enter(self, work: Work, seconds_left: float) -> Item:
        """The item of equal work that is in the queue or running, else a new one."""
        with self._wake:
            if self._closing.is_set():
                raise WorkerDied("the service is stopping")
            if work.key is not None and (item := self._by_key.get(work.key)):
                self._on_shared()
                return item
            self.admit(seconds_left, work.pixels)
            item = Item(work, self._forget)
            self._waiting.append(item)
            if work.key is not None:
                self._by_key[work.key] = item
            self._wake.notify()
            return item

    def _leave(self, item: Item, future: "asyncio.Future[Done]") -> None:
        with self._wake:
            if item.leave(future) and item in self._waiting:
                self._waiting.remove(item)
                self._forget(item)

    def _forget(self, item: Item) -> None:
        """Nobody can join an item whose outcome is there."""
        with self._wake:
            if item.work.key is not None and self._by_key.get(item.work.key) is item:
                del self._by_key[item.work.key]

    def _take(self) -> list[Item]:
        """Sleep until there is work, then the oldest item and what batches with it; nothing when closing."""
        with self._wake:
            while not self._waiting and not self._closing.is_set():
                self._wake.wait()
            batch: list[Item] = []
            left: deque[Item] = deque()
            budget = float(self._budget)
            now = time.monotonic()
            for item in self._waiting:
                pixels = math.prod(item.work.shape)
                if item.deadline <= now:
                    item.resolve(DeadlinePassed("the time was over before the work was started"))
                elif not batch or (item.work.shape == batch[0].work.shape and pixels <= budget):
                    batch.append(item)
                    budget -= pixels
                else:
                    left.append(item)
            self._waiting = left
            return batch
