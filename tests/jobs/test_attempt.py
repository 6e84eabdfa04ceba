"""What becomes of a job that keeps failing, with a real store and folder and work that fails on purpose."""

import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from app.files import write_whole
from app.jobs.attempt import Attempt
from app.jobs.folder import DataFolder
from app.jobs.record import Asked, Job, State
from app.jobs.sqlite import SqliteStore
from app.jobs.trace import JobTrace
from app.jobs.work import Fault, Order, Painter, Plan, Progress, Result, Steps, Stopped
from app.options import Options
from app.queue.work import StorageFull, WorkerDied, WorkFailed


class Failing:
    """A kind of work that finds `found` parts of two on disk, finishes one, and then does what it is told to."""

    name = "failing"
    fields = ()

    def __init__(self, then: Callable[[], None], found: int) -> None:
        self._then = then
        self._found = found

    def takes(self, content: BinaryIO) -> bool:
        return True

    def check(self, order: Order) -> Plan:
        return Plan(2, "frames", 0)

    def work(self, order: Order) -> "Failing":
        self._order = order
        return self

    def finished(self) -> float:
        return self._found

    def steps(self, painter: Painter) -> Steps:
        yield Progress(1, 2, "frames", 1)
        self._then()
        path = self._order.folder / "clip"
        write_whole(path, b"whole")
        return Result(path, "video/mp4", "clip.mp4", ("the sound is missing",))

    def preview(self) -> Path | None:
        return None


class Unstopped:
    """A control that nobody stops; nothing is painted here."""

    stopped = False

    def wait(self, seconds: float) -> bool:
        return True


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    folder = DataFolder(tmp_path)
    yield folder
    folder.close()


def attempt(
    folder: DataFolder, then: Callable[[], None], attempts: int = 0, most: int = 3, parts: float = 0.0, found: int = 0
) -> tuple[Job, list[Job]]:
    """The job as it is left, and all that was shown of it; `parts` were written down before, `found` are on disk."""
    store = SqliteStore(folder.database)
    asked = Asked(contents=(), styles=(), masks=(), options=Options(), accept="", fields={})
    folder.keep("a", [])
    store.add(
        Job(
            id="a",
            client="",
            owner="",
            kind="failing",
            state=State.QUEUED,
            created=1.0,
            asked=asked,
            attempts=attempts,
            parts=parts,
        )
    )
    claimed = store.claim()
    assert claimed
    shown: list[Job] = []
    kinds = {"failing": Failing(then, found)}
    control = Unstopped()
    left = Attempt(claimed, kinds, store, folder, control, shown.append, most, JobTrace()).run()  # type: ignore[arg-type]
    assert left == store.get("a")
    assert left
    store.close()
    return left, shown


def raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_work_that_ends_leaves_its_result(folder: DataFolder) -> None:
    job, shown = attempt(folder, lambda: None)
    assert job.state is State.DONE
    assert job.outcome
    assert (job.outcome.file, job.outcome.bytes, job.outcome.report) == ("clip", 5, ("the sound is missing",))
    versions = [one.version for one in shown]
    assert versions == sorted(set(versions))
    assert shown[-1] == job


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (Fault("too-many-pixels", "a frame is too large", field="content", limit=5), "too-many-pixels"),
        (WorkFailed("the network failed"), "internal-error"),
        (ValueError("a mistake of ours"), "internal-error"),
        (PermissionError(errno.EACCES, "no"), "internal-error"),
    ],
)
def test_what_can_t_be_done_fails_and_says_why(folder: DataFolder, error: Exception, problem: str) -> None:
    job, _ = attempt(folder, raising(error))
    assert job.state is State.FAILED
    assert job.trouble
    assert job.trouble.problem == problem
    assert "mistake of ours" not in job.trouble.detail
    assert job.ended


@pytest.mark.parametrize(
    ("error", "note", "counted"),
    [
        (Stopped(), "", False),
        (StorageFull("full"), "waits: the disk is full", False),
        (OSError(errno.ENOSPC, "full"), "waits: the disk is full", False),
        (WorkerDied("the worker died"), "waits: the network is being started again", True),
    ],
)
def test_what_may_be_done_later_waits(folder: DataFolder, error: Exception, note: str, counted: bool) -> None:
    job, _ = attempt(folder, raising(error), attempts=2)
    assert (job.state, job.note, job.parts) == (State.QUEUED, note, 1)
    assert job.attempts == (1 if counted else 0), "it got a part further"
    assert job.trouble is None


@pytest.mark.parametrize("parts", [0, 1])
def test_a_job_that_ends_the_process_each_time_is_given_up(folder: DataFolder, parts: int) -> None:
    reached = threading.Event()
    job, _ = attempt(folder, reached.set, attempts=3, parts=parts, found=parts)
    assert job.state is State.FAILED
    assert job.trouble
    assert "3 times" in job.trouble.detail
    assert not reached.is_set()


def test_what_was_finished_but_not_written_down_counts(folder: DataFolder) -> None:
    """The process may end as soon as a part is on disk."""
    job, _ = attempt(folder, raising(WorkerDied("the worker died")), attempts=3, found=1)
    assert (job.state, job.parts, job.attempts) == (State.QUEUED, 1, 1)
