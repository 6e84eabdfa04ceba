"""Jobs as the API sees them: taken, looked up, listened to, forgotten; and what goes on behind them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.jobs.board import Board
from app.jobs.callback import Callbacks
from app.jobs.folder import FolderTaken, Unavailable
from app.jobs.home import Home
from app.jobs.intake import Intake, NewJob
from app.jobs.record import Job, State
from app.jobs.retention import Retention, tidy
from app.jobs.runner import Runner
from app.jobs.store import Store, StoreDown, StoreFull
from app.jobs.trace import JobTrace
from app.jobs.work import Kind
from app.queue.batching import BatchingQueue

logger = logging.getLogger("impasto.jobs")

ASK_AGAIN_SECONDS: Final = 1.0  # for a folder that another process has, or a store that does not answer
FOLLOW_SECONDS: Final = 1.0  # how often is looked what becomes of jobs that run elsewhere and somebody listens to
COUNT_SECONDS: Final = 5.0
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
    home: Home
    intake: Intake
    runner: Runner
    tasks: Sequence[asyncio.Task[None]]


class Jobs:
    """Jobs, in the home that `open_home` opens, in a thread. Every method but `start` and `stop` raises Unavailable
    where it can't; those that ask its store, StoreDown where that does not answer.

    `callbacks` makes what tells callers of their jobs' ends, None where nobody is told; `begin_trace` hears of each
    attempt at a job, `on_end` of each end.
    """

    def __init__(
        self,
        open_home: Callable[[], Home],
        kinds: Sequence[Kind],
        queue: BatchingQueue,
        limits: Limits,
        callbacks: Callable[[Store], Callbacks] | None,
        begin_trace: Callable[[Job], JobTrace],
        on_end: Callable[[State], None],
    ) -> None:
        self._open_home = open_home
        self._kinds = {kind.name: kind for kind in kinds}
        self._queue = queue
        self._limits = limits
        self._callbacks = callbacks
        self._begin_trace = begin_trace
        self._on_end = on_end
        self._here: _Open | None = None
        self._reason: Unavailable = Unavailable("the service is starting")
        self._opening: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._counts: dict[State, int] = {}
        self._bytes = 0
        self._threads = ThreadPoolExecutor(INTAKE_THREADS, "impasto-intake")
        self.board = Board()

    @property
    def fields(self) -> tuple[str, ...]:
        """Texts that some kind takes beside those of /stylize."""
        return tuple(dict.fromkeys(field for kind in self._kinds.values() for field in kind.fields))

    @property
    def busy(self) -> bool:
        """Whether a job's thread still runs, as one may for a moment after `stop`."""
        return self._here is not None and self._here.runner.busy

    @property
    def up(self) -> bool:
        """Whether jobs can be kept, and their store answered when it was last asked."""
        return self._here is not None and self._here.home.store.up

    @property
    def store_up(self) -> bool:
        """Whether no store that should answer is silent."""
        return self._here.home.store.up if self._here else not isinstance(self._reason, StoreDown)

    async def start(self) -> None:
        """Go on with what there is. Where the folder or the store can't be had, jobs are off, and the log says why."""
        try:
            await self._begin()
        except (FolderTaken, StoreDown) as error:
            logger.warning("jobs are off for now: %s", error)
            self._opening = asyncio.create_task(self._begin_later())
        except Unavailable as error:
            logger.warning("jobs are off: %s", error)

    async def stop(self) -> None:
        """Leave every job where it is, for the next start, or for others."""
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
            here.home.store.close()
            here.home.folder.close()

    def incoming(self) -> Path:
        """Where uploads may wait on their way in. Raises StoreDown where that is known to be in vain."""
        home = self._open().home
        if not home.store.up:
            raise StoreDown("the store of jobs does not answer")
        return home.folder.incoming

    async def accept(self, new: NewJob, count: Callable[[int], Awaitable[None]]) -> Job:
        """Take a job: it is on disk then. The same key gives the same job.

        `count` hears about how many pixels its results have, and may refuse it by raising. Raises that, Fault,
        KeyReused, TooManyJobs, NoRoom, StoreFull, StoreDown, OSError.
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
        here.home.turns.wake()
        return job

    async def get(self, id: str) -> Job | None:
        """A job as it is now."""
        here = self._open()
        job = await asyncio.to_thread(here.home.store.get, id)
        if job and here.home.shared and id not in here.runner.running:
            self.board.hear(job)  # for whoever listens: it may be gone before it is looked for the next time
        return self._newest(here, job) if job else None

    async def page(self, owner: str, limit: int, before: str | None) -> list[Job]:
        """As of `Store.page`."""
        here = self._open()
        jobs = await asyncio.to_thread(here.home.store.page, owner, limit, before)
        return [self._newest(here, job) for job in jobs]

    async def remove(self, id: str) -> bool:
        """Cancel and forget a job; False where there is none. Raises StoreFull."""
        here = self._open()
        job = await asyncio.to_thread(here.home.store.remove, id)
        if job is None:
            return False
        self.board.show(self.board.newest(job).cancelled())
        if not here.runner.cancel(id):
            await asyncio.to_thread(here.home.folder.remove, id)
        return True

    def file(self, job: Job, name: str) -> Path:
        """A file of a job's work, by its path in the work's folder."""
        return job.order(self._open().home.folder.of(job.id)).folder / name

    def count(self, state: State) -> int:
        """How many jobs there are in a state, as last counted where others have them too; 0 where jobs are off."""
        if self._here is None:
            return 0
        return self._counts.get(state, 0) if self._here.home.shared else self._here.home.store.counts()[state]

    def bytes(self) -> int:
        """What all jobs hold on disk, likewise."""
        if self._here is None:
            return 0
        return self._bytes if self._here.home.shared else self._here.home.store.bytes()

    def _newest(self, here: _Open, job: Job) -> Job:
        job = self.board.newest(job)
        waits = job.state is State.QUEUED and not job.note
        return job.model_copy(update={"note": here.home.turns.note}) if waits else job

    def _open(self) -> _Open:
        if self._here is None:
            raise self._reason
        return self._here

    async def _begin(self) -> None:
        try:
            home = await asyncio.to_thread(self._open_home)
        except Unavailable as error:
            self._reason = error
            raise
        limits = self._limits
        runner = Runner(
            home.store,
            home.folder,
            home.turns,
            self._kinds,
            self._queue,
            self.board,
            limits.at_once,
            limits.attempts,
            self._begin_trace,
            self._note_end,
        )
        tasks = [asyncio.create_task(self._every(TIDY_SECONDS, tidy, home.store, home.folder, limits.retention))]
        if self._callbacks:
            tasks.append(asyncio.create_task(self._every(CALL_SECONDS, self._callbacks(home.store).send_due)))
        if home.shared:
            tasks.append(asyncio.create_task(self._every(COUNT_SECONDS, self._take_stock, home.store)))
            tasks.append(asyncio.create_task(self._follow(home.store, runner)))
        intake = Intake(home.store, home.folder, self._kinds, limits.most, limits.most_of_one, limits.retention)
        self._here = _Open(home, intake, runner, tasks)
        runner.start()

    async def _begin_later(self) -> None:
        while self._here is None:
            await asyncio.sleep(ASK_AGAIN_SECONDS)
            try:
                await self._begin()
            except (FolderTaken, StoreDown):
                continue
            except Unavailable as error:
                logger.warning("jobs are off: %s", error)
                return
        logger.info("jobs are on")

    def _take_stock(self, store: Store) -> None:
        self._counts, self._bytes = store.counts(), store.bytes()

    async def _follow(self, store: Store, runner: Runner) -> None:
        """Tell those who listen what becomes of jobs that run elsewhere."""
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            ids = self.board.listened - runner.running
            if not ids:
                continue
            with suppress(StoreDown):
                jobs = {job.id: job for job in await asyncio.to_thread(store.several, ids)}
                for id in ids - runner.running:
                    if id in jobs:
                        self.board.hear(jobs[id])
                    else:
                        self.board.miss(id)

    async def _every(self, seconds: float, function: Callable[..., object], *args: Any) -> None:
        """Call a function now, every so often, and after each end of a job."""
        while True:
            try:
                await asyncio.to_thread(function, *args)
            except StoreFull as error:
                logger.warning("the records of jobs can't be written: %s", error)
            except StoreDown:
                pass  # the log has it already
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
