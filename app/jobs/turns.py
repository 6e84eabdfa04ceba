"""Whose turn it is among the jobs that wait; and how one process finds that out for itself."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from app.jobs.attempt import DISK_NOTE, RETRY_SECONDS
from app.jobs.record import Job
from app.jobs.sqlite import SqliteStore
from app.jobs.store import StoreFull

logger = logging.getLogger("impasto.jobs")

STOP_SECONDS: Final = 5.0

Do = Callable[[Job], Awaitable[Job | None]]


class Turns(Protocol):
    """Gives jobs to whoever is to do them, `at_once` at a time."""

    note: str  # what all jobs wait for

    def start(self, do: Do) -> None:
        """Begin with what waits. `do` is given a running job and answers with the job as it left it: ended, or to be
        begun again when it is due; None where it was forgotten, or is another's by now."""

    def wake(self) -> None:
        """There may be a job to begin."""

    def cancel(self) -> None:
        """Give out no more."""

    async def stop(self) -> None:
        """Give out no more, and wait some seconds for what was given out to be left."""


class LocalTurns:
    """A `Turns` of one process's own store."""

    def __init__(self, store: SqliteStore, at_once: int) -> None:
        self._store = store
        self._at_once = at_once
        self._servers: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._wake = asyncio.Event()
        self.note = ""

    def start(self, do: Do) -> None:
        self._servers = [asyncio.create_task(self._serve(do)) for _ in range(self._at_once)]

    def wake(self) -> None:
        self._wake.set()
        self._wake = asyncio.Event()

    def cancel(self) -> None:
        self._stop.set()
        self.wake()

    async def stop(self) -> None:
        self.cancel()
        if self._servers:
            await asyncio.wait(self._servers, timeout=STOP_SECONDS)

    async def _serve(self, do: Do) -> None:
        while not self._stop.is_set():
            try:
                await self._serve_next(do)
                self.note = ""
            except StoreFull as error:
                logger.warning("no job can be begun: %s", error)
                self.note = DISK_NOTE
                await _wait(self._stop, RETRY_SECONDS)
            except Exception:
                logger.exception("no job can be begun")
                await _wait(self._stop, RETRY_SECONDS)

    async def _serve_next(self, do: Do) -> None:
        """Do a job, or wait until there may be one. Raises StoreFull."""
        wake = self._wake
        job = await asyncio.to_thread(self._store.claim)
        if job is not None:
            await do(job)
            return
        due = await asyncio.to_thread(self._store.next_due)
        await _wait(wake, None if due is None else max(0.0, due - self._store.now()))


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
