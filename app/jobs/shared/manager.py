"""procrastinate's job manager for a worker that outlives the loss of its database, and of its own heartbeat."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any, Final, TypeVar

from procrastinate.connector import BaseAsyncConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job as Turn
from procrastinate.jobs import Status
from procrastinate.manager import JobManager, NotificationCallback
from psycopg.errors import ForeignKeyViolation

from app.circuit import Circuit
from app.jobs.shared.connection import passing

PAUSE_SECONDS: Final = 1.0

# What procrastinate's own queries do, of a turn that is still this worker's: one that was taken for lost and comes back
# finds it with another, who must keep it.
MINE: Final = """
WITH mine AS MATERIALIZED (
  SELECT id FROM procrastinate_jobs
  WHERE id = %(id)s AND status = 'doing' AND worker_id IS NOT DISTINCT FROM %(worker_id)s FOR UPDATE
)
"""
FINISH: Final = MINE + "SELECT procrastinate_finish_job_v1(id, %(status)s, %(delete_job)s) FROM mine"  # noqa: S608
RETRY: Final = MINE + (  # noqa: S608
    "SELECT procrastinate_retry_job_v2(id, %(at)s::timestamptz, %(priority)s::integer, NULL, NULL) FROM mine"
)

T = TypeVar("T")


class Manager(JobManager):
    """procrastinate's worker ends where one of its questions fails. Here these wait until the database is back, and the
    jobs that run go on meanwhile. `circuit` hears how they went."""

    connector: BaseAsyncConnector

    def __init__(self, connector: BaseAsyncConnector, circuit: Circuit) -> None:
        super().__init__(connector)
        self._circuit = circuit
        self._worker = 0
        self._held: set[int] = set()
        self._unsure = False  # whether a turn may be this worker's without its knowing

    async def register_worker(self) -> int:
        self._worker = await self._patiently(super().register_worker)
        self._held.clear()
        return self._worker

    async def unregister_worker(self, worker_id: int) -> None:
        parent = super().unregister_worker
        await self._patiently(lambda: parent(self._worker))

    async def update_heartbeat(self, worker_id: int) -> None:
        await self.beat()

    async def beat(self) -> None:
        """Say that this worker lives, as soon as somebody hears it."""
        parent = super().update_heartbeat
        await self._patiently(lambda: parent(self._worker))

    async def prune_stalled_workers(self, seconds_since_heartbeat: float) -> list[int]:
        parent = super().prune_stalled_workers
        return await self._patiently(lambda: parent(seconds_since_heartbeat))

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Turn | None:
        """The next turn, None where there is none or nobody answers: the worker asks again in a moment."""
        since = time.monotonic()
        try:
            turn = await self._left_over() if self._unsure else None
            self._unsure = False
            turn = turn or await super().fetch_job(queues, self._worker)
        except ConnectorException as error:
            self._unsure = True
            if isinstance(error.__cause__, ForeignKeyViolation):  # taken for lost, and forgotten
                await self.register_worker()
            elif passing(error.__cause__):
                self._circuit.failed(error)
            else:
                raise
            return None
        self._circuit.succeeded(since)
        if turn and turn.id is not None:
            self._held.add(turn.id)
        return turn

    async def list_jobs_to_abort_async(self, queue: str | None = None) -> Iterable[int]:
        try:
            return await super().list_jobs_to_abort_async(queue)
        except ConnectorException:
            return ()

    async def finish_job(self, job: Turn, status: Status, delete_job: bool) -> None:
        await self._settle(job, FINISH, status=status.value, delete_job=delete_job)

    async def retry_job(
        self,
        job: Turn,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """At once without `retry_at`; not by this machine's clock."""
        await self._settle(job, RETRY, at=retry_at, priority=priority)

    async def give_away(self, job: Turn, priority: int) -> bool:
        """Let another worker have the turn of one that is lost; False where that has been done."""
        return bool(await self._ask(job, RETRY, at=None, priority=priority))

    async def listen_for_jobs(
        self, *, on_notification: NotificationCallback, queues: Iterable[str] | None = None
    ) -> None:
        while True:
            try:
                await super().listen_for_jobs(on_notification=on_notification, queues=queues)
            except ConnectorException:
                await asyncio.sleep(PAUSE_SECONDS)  # until then the worker asks by itself

    async def _left_over(self) -> Turn | None:
        """A turn that was given to this worker when the answer was lost."""
        given = await self.list_jobs_async(status=Status.DOING.value, worker_id=self._worker)
        return next((turn for turn in given if turn.id not in self._held), None)

    async def _settle(self, job: Turn, query: str, **arguments: Any) -> None:
        await self._patiently(lambda: self._ask(job, query, **arguments))
        self._held.discard(job.id or 0)

    async def _ask(self, job: Turn, query: str, **arguments: Any) -> list[dict[str, Any]]:
        values = {**arguments, "id": job.id, "worker_id": job.worker_id}
        return await self.connector.execute_query_all_async(query, **values)

    async def _patiently(self, question: Callable[[], Awaitable[T]]) -> T:
        while True:
            since = time.monotonic()
            try:
                answer = await question()
            except ConnectorException as error:
                if not passing(error.__cause__):
                    raise
                self._circuit.failed(error.__cause__ or error)  # type: ignore[arg-type]
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                self._circuit.succeeded(since)
                return answer
