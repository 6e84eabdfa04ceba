"""Does the jobs it is given: each in a thread of its own, its pictures by the worker queue as background work.

A job that is broken off, by a stop, a kill or a full disk, is begun again, and goes on from what its work finds in its
folder. One that is begun again and again without getting further, as where it takes the process with it, is given up.
"""

import asyncio
from collections.abc import Callable, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from app.jobs.attempt import Attempt
from app.jobs.board import Board
from app.jobs.control import Control
from app.jobs.folder import DataFolder
from app.jobs.record import Job
from app.jobs.store import Store, StoreDown
from app.jobs.trace import JobTrace
from app.jobs.turns import Turns
from app.jobs.work import Kind
from app.queue.batching import BatchingQueue

LEAVE_SECONDS: Final = 0.1


class Runner:
    """Does what `turns` gives it, of which `at_once` at a time.

    `attempts` is how often a job is begun without getting further; `begin_trace` hears of each time, in the job's
    thread, `on_end` of each job that ended, in the event loop's.
    """

    def __init__(
        self,
        store: Store,
        folder: DataFolder,
        turns: Turns,
        kinds: Mapping[str, Kind],
        queue: BatchingQueue,
        board: Board,
        at_once: int,
        attempts: int,
        begin_trace: Callable[[Job], JobTrace],
        on_end: Callable[[Job], None],
    ) -> None:
        self._store = store
        self._folder = folder
        self._turns = turns
        self._kinds = kinds
        self._queue = queue
        self._board = board
        self._attempts = attempts
        self._begin_trace = begin_trace
        self._on_end = on_end
        self._threads = ThreadPoolExecutor(at_once, "impasto-job")
        self._controls: dict[str, Control] = {}
        self._stopping = False

    @property
    def busy(self) -> bool:
        """Whether a job's thread still runs, as one may for a moment after `stop`."""
        return bool(self._controls)

    @property
    def running(self) -> Set[str]:
        """The jobs that run here."""
        return self._controls.keys()

    def start(self) -> None:
        """Begin with what waits."""
        self._loop = asyncio.get_running_loop()
        self._turns.start(self._do)

    def cancel(self, id: str) -> bool:
        """Stop a job that runs, which removes its folder then; False where it does not run."""
        control = self._controls.get(id)
        if control:
            control.stop()
        return control is not None

    async def stop(self) -> None:
        """Leave every job where it is, for the next start, or for others."""
        self._stopping = True
        self._turns.cancel()
        for control in self._controls.values():
            control.stop()
        await self._turns.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _do(self, job: Job) -> Job | None:
        while before := self._controls.get(job.id):  # an attempt that was taken for lost
            before.stop()
            await asyncio.sleep(LEAVE_SECONDS)
        control = self._controls[job.id] = Control(self._queue, self._loop, job.client)
        if self._stopping:
            control.stop()
        attempt = self._loop.run_in_executor(self._threads, self._attempt, job, control)
        attempt.add_done_callback(lambda _: self._controls.pop(job.id))
        try:
            left = await asyncio.shield(attempt)
        except asyncio.CancelledError:
            control.stop()
            raise
        if left and left.state.ended:
            self._on_end(left)
        elif left:
            self._board.leave(job.id)
        return left

    def _attempt(self, job: Job, control: Control) -> Job | None:
        """In a thread of its own."""
        trace = self._begin_trace(job)
        attempt = Attempt(job, self._kinds, self._store, self._folder, control, self._show, self._attempts, trace)
        left = attempt.run()
        if left is None:
            self._let_go(job)
        return left

    def _let_go(self, job: Job) -> None:
        """Of a job that was forgotten, or is another's by now."""
        try:
            gone = self._store.get(job.id) is None
        except StoreDown:
            gone = False
        if gone:
            self._folder.remove(job.id)
        self._loop.call_soon_threadsafe(self._board.miss if gone else self._board.leave, job.id)

    def _show(self, job: Job) -> None:
        """Tell listeners, from a job's thread."""
        self._loop.call_soon_threadsafe(self._board.show, job)
