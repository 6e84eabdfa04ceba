"""One attempt at a job, in a thread of its own: to its end, or until it is broken off."""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, Final

from app.files import DISK_FULL
from app.jobs.control import Control
from app.jobs.folder import DataFolder, bytes_in, keep_only
from app.jobs.record import Advance, Job, Outcome, State, Trouble
from app.jobs.store import Store, StoreDown, StoreFull
from app.jobs.trace import JobTrace
from app.jobs.work import Fault, Kind, Progress, Result, Stopped, Work
from app.queue.work import StorageFull, WorkerDied, WorkFailed

logger = logging.getLogger("impasto.jobs")

SHOWN_SECONDS: Final = 0.2  # listeners hear of progress no more often
RETRY_SECONDS: Final = 5.0  # where the disk is full, or the worker is lost
INTERNAL_ERROR: Final = "internal-error"
DISK_NOTE: Final = "waits: the disk is full"
STORE_NOTE: Final = "waits: the store of jobs does not answer"
WORKER_NOTE: Final = "waits: the network is being started again"


class Attempt:
    """Takes the steps of a job that was claimed.

    `show` is told how it stands, `trace` of what is finished; `most`: attempts without a part more.
    """

    def __init__(
        self,
        job: Job,
        kinds: Mapping[str, Kind],
        store: Store,
        folder: DataFolder,
        control: Control,
        show: Callable[[Job], None],
        most: int,
        trace: JobTrace,
    ) -> None:
        self._job = job
        self._kinds = kinds
        self._store = store
        self._data = folder
        self._folder = folder.of(job.id)
        self._order = job.order(self._folder)
        self._control = control
        self._show = show
        self._most = most
        self._trace = trace
        self._since = self._finished = time.monotonic()
        self._done_before: float | None = None
        self._shown = self._written = 0.0

    def run(self) -> Job | None:
        """The job as it is left; None where it was forgotten meanwhile, or begun again by another."""
        left = None
        try:
            left = self._run()
        finally:
            self._trace.end(left)
        return left

    def _run(self) -> Job | None:
        self._change(note="")
        try:
            self._data.take_over(self._job)
            changes = self._outcome()
        except Exception:
            if self._lost():
                return None  # its folder went under its feet
            logger.exception("job %s failed in a way nobody foresaw", self._job.id)
            changes = self._failed(Fault(INTERNAL_ERROR, "the service failed on this job in a way it did not foresee"))
        job = self._settle(changes)
        if job and job.outcome:
            keep_only(self._folder, [self._order.folder / name for name in (job.outcome.file, job.preview) if name])
        return job

    def _lost(self) -> bool:
        """Whether the job is known to be gone, or to be another's by now."""
        try:
            job = self._store.get(self._job.id)
        except StoreDown:
            return False
        return job is None or job.begun != self._job.begun

    def _outcome(self) -> dict[str, Any]:
        """What becomes of the job, as changes of its record."""
        try:
            kind = self._kinds[self._job.kind]
        except KeyError:
            return self._failed(Fault(INTERNAL_ERROR, f"this service does no {self._job.kind} jobs any longer"))
        try:
            work = kind.work(self._order)
            self._count(work.finished())
            if self._job.attempts > self._most:
                times = f"{self._job.attempts - 1} times, and each time the process ended before it got further"
                return self._failed(Fault(INTERNAL_ERROR, f"it was begun {times}"))
            return self._ended_well(self._take_steps(work))
        except Fault as fault:
            return self._failed(fault)
        except WorkFailed as error:
            return self._failed(Fault(INTERNAL_ERROR, str(error)))
        except (Stopped, CancelledError):
            return self._again(0.0, "")
        except WorkerDied:
            if self._control.stopped:
                return self._again(0.0, "")
            return {**self._again(RETRY_SECONDS, WORKER_NOTE), "attempts": self._job.attempts}
        except StorageFull:
            return self._again(RETRY_SECONDS, DISK_NOTE)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            return self._again(RETRY_SECONDS, DISK_NOTE)

    def _count(self, parts: float) -> None:
        """Let the attempt before count as one that got further, where the process ended between a part's being on disk
        and its being written down."""
        if parts > self._job.parts:
            self._change(parts=parts, attempts=1)
            self._put_down(parts=parts, attempts=1)

    def _take_steps(self, work: Work) -> Result:
        steps = work.steps(self._control)
        try:
            while True:
                if self._control.stopped:
                    raise Stopped
                self._note(work, next(steps))
        except StopIteration as end:
            result: Result = end.value
            self._note(work, None)
            return result
        finally:
            steps.close()

    def _note(self, work: Work, progress: Progress | None) -> None:
        """Show how far the job is, and write it down now and then."""
        now = time.monotonic()
        preview = work.preview()
        changes: dict[str, Any] = {"preview": self._within(preview) if preview else ""}
        further = progress is not None and progress.parts > self._job.parts
        if progress is not None:
            advance = Advance(
                done=progress.done, total=progress.total, unit=progress.unit, seconds_left=self._left(progress)
            )
            # What is begun anew, as by another engine, is further only once it is where it was.
            changes |= {"progress": advance, "parts": max(self._job.parts, progress.parts)}
        if progress is not None and int(progress.parts) > int(self._job.parts):
            self._trace.part(self._finished, now)
            self._finished = now
        if further:
            changes |= {"attempts": 1, "bytes": bytes_in(self._folder)}
        if further or progress is None or now - self._shown >= SHOWN_SECONDS:
            self._shown = now
            self._change(**changes)
        if further or now - self._written >= self._store.write_seconds:
            self._written = now
            self._put_down(**changes)

    def _put_down(self, **changes: Any) -> None:
        """Write down how far the job is, where that can be done. Raises Stopped."""
        try:
            if self._write(**changes, version=self._job.version) is None:
                raise Stopped
        except StoreFull:
            logger.warning("job %s goes on, but there is no room to write down how far it is", self._job.id)
        except StoreDown:
            pass  # the next time will do

    def _left(self, progress: Progress) -> float | None:
        """Estimated seconds left, from how long what was done in this attempt took, once it was begun."""
        now = time.monotonic()
        if self._done_before is None:
            self._done_before = progress.done
        gained = progress.done - self._done_before
        if gained <= 0:
            self._since = now
        if progress.total is None or gained <= 0:
            return None
        return round((now - self._since) / gained * max(0.0, progress.total - progress.done), 1)

    def _ended_well(self, result: Result) -> dict[str, Any]:
        size = result.path.stat().st_size
        preview = self._order.folder / self._job.preview
        progress = self._job.progress
        return {
            "state": State.DONE,
            "note": "",
            "ended": self._store.now(),
            "progress": progress.model_copy(update={"done": progress.total or progress.done, "seconds_left": 0.0}),
            "outcome": Outcome(
                file=self._within(result.path),
                media_type=result.media_type,
                name=result.name,
                bytes=size,
                report=result.report,
            ),
            "bytes": size + (preview.stat().st_size if self._job.preview else 0),
        }

    def _failed(self, fault: Fault) -> dict[str, Any]:
        trouble = Trouble(problem=fault.problem, detail=fault.detail, members=fault.members)
        return {
            "state": State.FAILED,
            "note": "",
            "ended": self._store.now(),
            "trouble": trouble,
            "progress": self._job.progress.model_copy(update={"seconds_left": None}),
            "bytes": bytes_in(self._folder),
        }

    def _again(self, seconds: float, note: str) -> dict[str, Any]:
        """To be begun once more, as if it had not been begun this time."""
        return {
            "state": State.QUEUED,
            "attempts": self._job.attempts - 1,
            "due": self._store.now() + seconds,
            "note": note,
            "bytes": bytes_in(self._folder),
        }

    def _settle(self, changes: dict[str, Any]) -> Job | None:
        """Write down what became of the job, however long there is no room for it."""
        while True:
            try:
                job = self._write(**changes, **self._shown_last(), version=self._job.version + 1)
            except StoreFull as error:
                logger.warning(
                    "job %s is %s, but that can't be written down: %s", self._job.id, changes["state"], error
                )
                self._change(note=DISK_NOTE)
                if self._control.wait(RETRY_SECONDS):
                    return self._job
            except StoreDown:
                self._change(note=STORE_NOTE)
                if self._control.wait(RETRY_SECONDS):
                    return self._job
            else:
                if job:
                    self._show(job)
                return job

    def _shown_last(self) -> dict[str, Any]:
        return {name: getattr(self._job, name) for name in ("preview", "parts")}

    def _change(self, **changes: Any) -> None:
        self._job = self._job.model_copy(update={**changes, "version": self._job.version + 1})
        self._show(self._job)

    def _write(self, **changes: Any) -> Job | None:
        return self._store.change(self._job.id, begun=self._job.begun, **changes)

    def _within(self, path: Path) -> str:
        return path.relative_to(self._order.folder).as_posix()
