"""What keeps the records of jobs: a small protocol, so that they may lie in a file, or with an engine many share."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from app.jobs.folder import Unavailable
from app.jobs.record import Job, State


class StoreFull(Exception):
    """There is no room to write a record down; nothing was changed."""


class StoreDown(Unavailable):
    """The store does not answer, for the time being; whether something was changed is not known."""


class Store(Protocol):
    """Records of jobs. Called from any thread but the event loop's; what a call has changed is on disk when it returns.

    Every call that changes something raises StoreFull, and every call StoreDown where the store is not in this process.
    `write_seconds` is how often it is worth while to write down how far a job is.
    """

    write_seconds: float

    @property
    def up(self) -> bool:
        """Whether it answered when it was last asked."""

    def now(self) -> float:
        """The time, in seconds since 1970, on the clock that all go by who share the store."""

    def alone(self) -> AbstractContextManager[None]:
        """Within it nobody else adds a job, and what this thread changes is changed all together or not at all."""

    def add(self, job: Job) -> Job:
        """Keep a new job; or the one its owner has by the same key already, which is given back."""

    def get(self, id: str) -> Job | None:
        """A job, None where there is none (any longer)."""

    def several(self, ids: Iterable[str]) -> Sequence[Job]:
        """Those of these jobs that there are."""

    def by_key(self, owner: str, key: str) -> Job | None:
        """The job an owner has by a key."""

    def page(self, owner: str, limit: int, before: str | None = None) -> Sequence[Job]:
        """An owner's newest jobs, newest first; those older than the job `before`, of which nothing is told where it
        is not there."""

    def change(self, id: str, *, begun: int | None = None, **changes: Any) -> Job | None:
        """Write some members of a job anew; None where it is gone, or was begun again since, that is not for the
        `begun`th time."""

    def remove(self, id: str) -> Job | None:
        """Forget a job; the one that was there."""

    def in_state(self, *states: State) -> Sequence[Job]:
        """All jobs in these states, the one that ended first first, then by age."""

    def calling(self) -> Sequence[Job]:
        """Jobs that ended and whose callback is still to be sent and due. Where many share the store they are the
        caller's for a while: none is given to two."""

    def held(self, client: str) -> int:
        """How many jobs of a client wait or run."""

    def counts(self) -> dict[State, int]:
        """How many jobs there are."""

    def bytes(self) -> int:
        """What all jobs together hold on disk, in bytes."""

    def close(self) -> None:
        """Let go of it."""
