"""Who listens to a job hears of each change; what has changed since the store was written is looked up here too."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Set
from contextlib import contextmanager

from app.jobs.record import Job


class Board:
    """The newest state of jobs that change. For the thread of the event loop alone."""

    def __init__(self) -> None:
        self._newest: dict[str, Job] = {}
        self._others: set[str] = set()  # of these, those that run elsewhere
        self._listeners: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many listen."""
        return sum(len(events) for events in self._listeners.values())

    def newest(self, job: Job) -> Job:
        """A job as it is now, of one as the store has it."""
        shown = self._newest.get(job.id)
        return shown if shown and shown.version > job.version else job

    @property
    def listened(self) -> Set[str]:
        """The jobs that somebody listens to."""
        return self._listeners.keys()

    def show(self, job: Job) -> None:
        """Tell those who listen of a job that runs here, or is cancelled."""
        self._others.discard(job.id)
        self._tell(job)

    def hear(self, job: Job) -> None:
        """The same of one that may run elsewhere, if it has changed."""
        known = self._newest.get(job.id)
        if job.id in self._listeners and (known is None or known.version < job.version):
            self._others.add(job.id)
            self._tell(job)

    def miss(self, id: str) -> None:
        """A job that is gone: it was cancelled, here or elsewhere."""
        job = self._newest.get(id)
        if job and not job.state.ended:
            self._newest[id] = job.cancelled()
        self._wake(id)

    def leave(self, id: str) -> None:
        """A job that does not run here any longer, but elsewhere."""
        self._others.add(id)
        self._tidy(id)

    def _tell(self, job: Job) -> None:
        self._newest[job.id] = job
        self._wake(job.id)

    def _wake(self, id: str) -> None:
        for event in self._listeners.get(id, ()):
            event.set()
        self._tidy(id)

    def close(self) -> None:
        """Let nobody listen any longer."""
        self._closed = True
        for events in self._listeners.values():
            for event in events:
                event.set()

    @contextmanager
    def listening(self, id: str) -> Iterator[Callable[[], Awaitable[Job | None]]]:
        """Hear of a job from now on: what is given waits for the next change, None where there will be none.

        Changes that come faster than they are asked for are told as one.
        """
        event = asyncio.Event()
        self._listeners[id].add(event)

        async def next_change() -> Job | None:
            if not self._closed:
                await event.wait()
                event.clear()
            return None if self._closed else self._newest.get(id)

        try:
            yield next_change
        finally:
            self._listeners[id].discard(event)
            if not self._listeners[id]:
                del self._listeners[id]
            self._tidy(id)

    def _tidy(self, id: str) -> None:
        """Forget a job that has ended or runs elsewhere, once nobody listens: the store has it."""
        job = self._newest.get(id)
        if id not in self._listeners and (job is None or job.state.ended or id in self._others):
            self._newest.pop(id, None)
            self._others.discard(id)
