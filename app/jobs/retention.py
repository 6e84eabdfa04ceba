"""How long and how much of ended jobs is kept: by age, and the oldest first where all together hold too many bytes."""

from dataclasses import dataclass

from app.jobs.folder import DataFolder
from app.jobs.record import Job, State
from app.jobs.store import Store


@dataclass(frozen=True)
class Retention:
    """`seconds` from a job's end; `bytes` of all jobs together, those that wait or run among them."""

    seconds: float
    bytes: int


def tidy(store: Store, folder: DataFolder, retention: Retention, needed: int = 0) -> bool:
    """Forget what is over its time, and what else has to go so that `needed` bytes more can be held.

    Whether there is room for them then. Raises StoreFull.
    """
    now = store.now()
    held = store.bytes() + needed
    for job in store.in_state(State.DONE, State.FAILED):
        over = job.ended is not None and now - job.ended >= retention.seconds
        if over or held > retention.bytes:
            held -= job.bytes
            forget(store, folder, job)
    return held <= retention.bytes


def forget(store: Store, folder: DataFolder, job: Job) -> None:
    """The record goes first: a folder without one is removed at the next start."""
    store.remove(job.id)
    folder.remove(job.id)
