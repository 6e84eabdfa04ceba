"""What keeps the records of jobs: a small protocol, so that they may lie in a file, or with an engine many share."""

from collections.abc import Sequence
from typing import Any, Protocol

from app.jobs.record import Job, State


class StoreFull(Exception):
    """There is no room to write a record down; nothing was changed."""


class Store(Protocol):
    """Records of jobs. Called from any thread; what a call has changed is on disk when it returns.

    Every call that changes something raises StoreFull.
    """

    def add(self, job: Job) -> Job:
        """Keep a new job; or the one its owner has by the same key already, which is given back."""

    def get(self, id: str) -> Job | None:
        """A job, None where there is none (any longer)."""

    def by_key(self, owner: str, key: str) -> Job | None:
        """The job an owner has by a key."""

    def page(self, owner: str, limit: int, before: str | None = None) -> Sequence[Job]:
        """An owner's newest jobs, newest first; those older than the job `before`, of which nothing is told where it
        is not there."""

    def change(self, id: str, **changes: Any) -> Job | None:
        """Write some members of a job anew; None where it is gone."""

    def remove(self, id: str) -> Job | None:
        """Forget a job; the one that was there."""

    def claim(self, now: float) -> Job | None:
        """Make the next job that waits a running one, begun once more.

        Of those due it is one of the least often begun, of these of a client with the fewest jobs that run, and of
        these the oldest.
        """

    def next_due(self) -> float | None:
        """When the next job that waits is due."""

    def in_state(self, *states: State) -> Sequence[Job]:
        """All jobs in these states, the one that ended first first, then by age."""

    def calling(self, now: float) -> Sequence[Job]:
        """Jobs that ended and whose callback is still to be sent and due by now."""

    def held(self, client: str) -> int:
        """How many jobs of a client wait or run."""

    def counts(self) -> dict[State, int]:
        """How many jobs there are."""

    def bytes(self) -> int:
        """What all jobs together hold on disk, in bytes."""

    def close(self) -> None:
        """Let go of it."""
