"""Does the jobs that wait: each in a thread of its own, its pictures by the worker queue as background work.

A job that is broken off, by a stop, a kill or a full disk, is begun again, and goes on from what its work finds in its
folder. One that is begun again and again without getting further, as where it takes the process with it, is given up.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from app.jobs.attempt import DISK_NOTE, RETRY_SECONDS, Attempt
from app.jobs.board import Board
from app.jobs.control import Control
from app.jobs.folder import DataFolder
from app.jobs.record import Job
from app.jobs.store import Store, StoreFull
from app.jobs.work import Kind
from app.queue.batching import BatchingQueue

logger = logging.getLogger("impasto.jobs")

STOP_SECONDS: Final = 5.0


class Runner:
    """Takes jobs from the store, `at_once` at a time.

    `attempts` is how often a job is begun without getting further; `on_end` hears of each that ended, in the event
    loop's thread.
    """

    def __init__(
        self,
        store: Store,
        folder: DataFolder,
        kinds: Mapping[str, Kind],
        queue: BatchingQueue,
        board: Board,
        at_once: int,
        attempts: int,
        on_end: Callable[[Job], None],
    ) -> None:
        self._store = store
        self._folder = folder
        self._kinds = kinds
        self._queue = queue
        self._board = board
        self._at_once = at_once
        self._attempts = attempts
        self._on_end = on_end
        self._threads = ThreadPoolExecutor(at_once, "impasto-job")
        self._controls: dict[str, Control] = {}
        self._servers: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self.note = ""  # what all jobs wait for
        self._wake = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether a job's thread still runs, as one may for a moment after `stop`."""
        return bool(self._controls)

    def start(self) -> None:
        """Begin with what waits."""
        self._loop = asyncio.get_running_loop()
        self._servers = [self._loop.create_task(self._serve()) for _ in range(self._at_once)]

    def wake(self) -> None:
        """There may be a job to begin."""
        self._wake.set()
        self._wake = asyncio.Event()

    def cancel(self, id: str) -> bool:
        """Stop a job that runs, which removes its folder then; False where it does not run."""
        control = self._controls.get(id)
        if control:
            control.stop()
        return control is not None

    async def stop(self) -> None:
        """Leave every job where it is, for the next start."""
        self._stop.set()
        self.wake()
        for control in self._controls.values():
            control.stop()
        if self._servers:
            await asyncio.wait(self._servers, timeout=STOP_SECONDS)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                await self._serve_next()
                self.note = ""
            except StoreFull as error:
                logger.warning("no job can be begun: %s", error)
                self.note = DISK_NOTE
                await _wait(self._stop, RETRY_SECONDS)
            except Exception:
                logger.exception("no job can be begun")
                await _wait(self._stop, RETRY_SECONDS)

    async def _serve_next(self) -> None:
        """Do a job, or wait until there may be one. Raises StoreFull."""
        wake = self._wake
        job = await asyncio.to_thread(self._store.claim, time.time())
        if job is not None:
            await self._do(job)
            return
        due = await asyncio.to_thread(self._store.next_due)
        await _wait(wake, None if due is None else max(0.0, due - time.time()))

    async def _do(self, job: Job) -> None:
        control = self._controls[job.id] = Control(self._queue, self._loop, job.client)
        if self._stop.is_set():
            control.stop()
        try:
            attempt = Attempt(job, self._kinds, self._store, self._folder, control, self._show, self._attempts)
            ended = await self._loop.run_in_executor(self._threads, attempt.run)
        finally:
            del self._controls[job.id]
        if ended is None:
            await asyncio.to_thread(self._folder.remove, job.id)
            self._board.forget(job.id)
        elif ended.state.ended:
            self._on_end(ended)

    def _show(self, job: Job) -> None:
        """Tell listeners, from a job's thread."""
        self._loop.call_soon_threadsafe(self._board.show, job)


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
