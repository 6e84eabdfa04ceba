"""Who listens to a job hears of each change; what has changed since the store was written is looked up here too."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from app.jobs.record import Job


class Board:
    """The newest state of jobs that change. For the thread of the event loop alone."""

    def __init__(self) -> None:
        self._newest: dict[str, Job] = {}
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

    def show(self, job: Job) -> None:
        """Tell those who listen."""
        self._newest[job.id] = job
        for event in self._listeners.get(job.id, ()):
            event.set()
        self._tidy(job.id)

    def forget(self, id: str) -> None:
        """A job that is gone."""
        self._newest.pop(id, None)

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
        """Forget a job that has ended, once nobody listens: the store has it."""
        job = self._newest.get(id)
        if job and job.state.ended and id not in self._listeners:
            del self._newest[id]
