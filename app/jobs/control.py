"""What a job's thread paints by, until the job is to stop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

from app.jobs.work import Stopped
from app.queue.batching import BatchingQueue
from app.queue.work import Done, Priority, Work


class Control:
    """The `app.jobs.work.Painter` of a client's job. `stop` gives back what it has in the queue, from any thread."""

    def __init__(self, queue: BatchingQueue, loop: asyncio.AbstractEventLoop, client: str) -> None:
        self._queue = queue
        self._client = client
        self._loop = loop
        self._lock = threading.Lock()
        self._futures: set[Future[Done]] = set()
        self._stop = threading.Event()

    @property
    def stopped(self) -> bool:
        """Whether the job is to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Let the job stop as soon as it can."""
        self._stop.set()
        with self._lock:
            futures = tuple(self._futures)
        for future in futures:
            future.cancel()

    def wait(self, seconds: float) -> bool:
        """Sleep until the job is to stop; True then, False when the time is over."""
        return self._stop.wait(seconds)

    def paint(self, work: Work, on_step: Callable[[float], None] | None = None) -> "Future[Done]":
        painting = self._queue.run(work, priority=Priority.BACKGROUND, client=self._client, on_step=on_step)
        with self._lock:
            if self.stopped:
                painting.close()
                raise Stopped
            future = asyncio.run_coroutine_threadsafe(painting, self._loop)
            self._futures.add(future)
        future.add_done_callback(self._forget)
        return future

    def _forget(self, future: "Future[Done]") -> None:
        with self._lock:
            self._futures.discard(future)
