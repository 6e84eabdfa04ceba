"""Jobs as the API sees them: taken, looked up, listened to, forgotten; and what goes on behind them."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.jobs.board import Board
from app.jobs.callback import Callbacks
from app.jobs.folder import DataFolder, FolderTaken, Unavailable
from app.jobs.intake import Intake, NewJob
from app.jobs.record import Job, State
from app.jobs.retention import Retention, tidy
from app.jobs.runner import Runner
from app.jobs.sqlite import SqliteStore
from app.jobs.store import Store, StoreFull
from app.jobs.work import Kind
from app.queue.batching import BatchingQueue

logger = logging.getLogger("impasto.jobs")

ASK_AGAIN_SECONDS: Final = 1.0  # for a folder that another process has
TIDY_SECONDS: Final = 60.0
CALL_SECONDS: Final = 2.0
INTAKE_THREADS: Final = 2  # more would decode side by side what may be large


@dataclass(frozen=True)
class Limits:
    """`at_once` jobs run side by side, `most` wait or run, of one client `most_of_one`; a job is begun `attempts` times
    without getting further."""

    at_once: int
    most: int
    most_of_one: int
    attempts: int
    retention: Retention


@dataclass(frozen=True)
class _Open:
    folder: DataFolder
    store: Store
    intake: Intake
    runner: Runner
    tasks: Sequence[asyncio.Task[None]]


class Jobs:
    """Jobs in a data folder. Every method but `start` and `stop` raises Unavailable where there is none.

    `callbacks` makes what tells callers of their jobs' ends, None where nobody is told; `on_end` hears of each end.
    """

    def __init__(
        self,
        root: Path,
        kinds: Sequence[Kind],
        queue: BatchingQueue,
        limits: Limits,
        callbacks: Callable[[Store], Callbacks] | None,
        on_end: Callable[[State], None],
    ) -> None:
        self._root = root
        self._kinds = {kind.name: kind for kind in kinds}
        self._queue = queue
        self._limits = limits
        self._callbacks = callbacks
        self._on_end = on_end
        self._here: _Open | None = None
        self._reason: Unavailable = Unavailable("the service is starting")
        self._opening: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._threads = ThreadPoolExecutor(INTAKE_THREADS, "impasto-intake")
        self.board = Board()

    @property
    def fields(self) -> tuple[str, ...]:
        """Texts that some kind takes beside those of /stylize."""
        return tuple(dict.fromkeys(field for kind in self._kinds.values() for field in kind.fields))

    @property
    def on(self) -> bool:
        """Whether jobs can be kept."""
        return self._here is not None

    @property
    def busy(self) -> bool:
        """Whether a job's thread still runs, as one may for a moment after `stop`."""
        return self._here is not None and self._here.runner.busy

    async def start(self) -> None:
        """Go on with what there is. Where the folder can't be had, jobs are off, and the log says why."""
        try:
            await self._begin()
        except FolderTaken as error:
            logger.warning("jobs are off for now: %s", error)
            self._opening = asyncio.create_task(self._begin_later())
        except Unavailable as error:
            logger.warning("jobs are off: %s", error)

    async def stop(self) -> None:
        """Leave every job where it is, for the next start."""
        self.board.close()
        if self._opening:
            self._opening.cancel()
        if self._here:
            for task in self._here.tasks:
                task.cancel()
            await self._here.runner.stop()
            self._reason = Unavailable("the service is stopping")

    def close(self) -> None:
        """Let another process have the folder, once nothing here is busy any more."""
        self._threads.shutdown(wait=False)
        here, self._here = self._here, None
        if here and not here.runner.busy:
            here.store.close()
            here.folder.close()

    def incoming(self) -> Path:
        """Where uploads may wait on their way in."""
        return self._open().folder.incoming

    async def accept(self, new: NewJob, count: Callable[[int], Awaitable[None]]) -> Job:
        """Take a job: it is on disk then. The same key gives the same job.

        `count` hears about how many pixels its results have, and may refuse it by raising. Raises that, Fault,
        KeyReused, TooManyJobs, NoRoom, StoreFull, OSError.
        """
        here, loop = self._open(), asyncio.get_running_loop()
        draft = await loop.run_in_executor(self._threads, here.intake.draft, new)
        if isinstance(draft, Job):
            return draft
        try:
            await count(draft.pixels)
        except BaseException:
            here.intake.drop(draft)
            raise
        job = await loop.run_in_executor(self._threads, here.intake.keep, draft)
        here.runner.wake()
        return job

    async def get(self, id: str) -> Job | None:
        """A job as it is now."""
        here = self._open()
        job = await asyncio.to_thread(here.store.get, id)
        return self._newest(here, job) if job else None

    async def page(self, owner: str, limit: int, before: str | None) -> list[Job]:
        """As of `Store.page`."""
        here = self._open()
        jobs = await asyncio.to_thread(here.store.page, owner, limit, before)
        return [self._newest(here, job) for job in jobs]

    async def remove(self, id: str) -> bool:
        """Cancel and forget a job; False where there is none. Raises StoreFull."""
        here = self._open()
        job = await asyncio.to_thread(here.store.remove, id)
        if job is None:
            return False
        newest = self.board.newest(job)
        self.board.show(newest.model_copy(update={"state": State.CANCELLED, "version": newest.version + 1}))
        if not here.runner.cancel(id):
            await asyncio.to_thread(here.folder.remove, id)
        return True

    def file(self, job: Job, name: str) -> Path:
        """A file of a job's work, by its path in the work's folder."""
        return job.asked.order(self._open().folder.of(job.id)).folder / name

    def count(self, state: State) -> int:
        """How many jobs there are in a state; 0 where jobs are off."""
        return self._here.store.counts()[state] if self._here else 0

    def bytes(self) -> int:
        """What all jobs hold on disk."""
        return self._here.store.bytes() if self._here else 0

    def _newest(self, here: _Open, job: Job) -> Job:
        job = self.board.newest(job)
        waits = job.state is State.QUEUED and not job.note
        return job.model_copy(update={"note": here.runner.note}) if waits else job

    def _open(self) -> _Open:
        if self._here is None:
            raise self._reason
        return self._here

    async def _begin(self) -> None:
        try:
            folder, store = await asyncio.to_thread(self._open_folder)
        except Unavailable as error:
            self._reason = error
            raise
        runner = Runner(
            store,
            folder,
            self._kinds,
            self._queue,
            self.board,
            self._limits.at_once,
            self._limits.attempts,
            self._note_end,
        )
        tasks = [asyncio.create_task(self._every(TIDY_SECONDS, tidy, store, folder, self._limits.retention))]
        if self._callbacks:
            tasks.append(asyncio.create_task(self._every(CALL_SECONDS, self._callbacks(store).send_due)))
        intake = Intake(store, folder, self._kinds, self._limits.most, self._limits.most_of_one, self._limits.retention)
        self._here = _Open(folder, store, intake, runner, tasks)
        runner.start()

    async def _begin_later(self) -> None:
        while self._here is None:
            await asyncio.sleep(ASK_AGAIN_SECONDS)
            try:
                await self._begin()
            except FolderTaken:
                continue
            except Unavailable as error:
                logger.warning("jobs are off: %s", error)
                return
        logger.info("jobs are on: %s is free now", self._root)

    def _open_folder(self) -> tuple[DataFolder, Store]:
        folder = DataFolder(self._root)
        try:
            store = SqliteStore(folder.database)
            jobs = store.in_state(*State)
            for job in jobs:
                if job.state is State.RUNNING:
                    store.change(job.id, state=State.QUEUED)
            folder.clear({job.id for job in jobs})
        except (sqlite3.Error, StoreFull, OSError) as error:
            folder.close()
            raise Unavailable(f"{folder.database} can't be used: {error}") from None
        return folder, store

    async def _every(self, seconds: float, function: Callable[..., object], *args: Any) -> None:
        """Call a function now, every so often, and after each end of a job."""
        while True:
            try:
                await asyncio.to_thread(function, *args)
            except StoreFull as error:
                logger.warning("the records of jobs can't be written: %s", error)
            except Exception:
                logger.exception("what is done behind jobs failed")
            ended = self._ended
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await ended.wait()

    def _note_end(self, job: Job) -> None:
        self._on_end(job.state)
        self._ended.set()
        self._ended = asyncio.Event()
