"""Whose turn it is, by procrastinate: each replica is one of its workers.

It gives a job to one worker, wakes those that wait, knows by their heartbeats which of them are lost, and keeps until
when a job is put off. What is ours is only which turn comes first (`PostgresStore.add`) and what a turn is.
"""

import asyncio
import logging
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from procrastinate import App, BaseRetryStrategy, JobContext, PsycopgConnector, RetryDecision
from procrastinate.exceptions import ConnectorException, JobAborted
from procrastinate.job_context import AbortReason
from procrastinate.jobs import Job as Turn

from app.circuit import Circuit
from app.jobs.attempt import DISK_NOTE, RETRY_SECONDS
from app.jobs.shared.connection import worker_pool
from app.jobs.shared.manager import Manager
from app.jobs.shared.store import TASK, PostgresStore, queue_of
from app.jobs.store import StoreDown, StoreFull
from app.jobs.turns import STOP_SECONDS, Do

logger = logging.getLogger("impasto.jobs")

POLL_SECONDS: Final = 1.0  # for what was put off or handed on, which procrastinate tells nobody
ABORT_SECONDS: Final = 5.0  # likewise, where a notification was lost
BEHIND: Final = 1000  # so far behind the others goes what a worker was lost over
FORGET_HOURS: Final = 1


class _HandOn(Exception):
    """A job that is to be begun again, at once or at a time on the store's clock."""

    def __init__(self, due: float | None) -> None:
        super().__init__("to be begun again")
        self.due = due


class _Again(BaseRetryStrategy):
    """Whatever broke a job off it is begun again: how often is counted in its record."""

    def get_retry_decision(self, *, exception: BaseException, job: Turn) -> RetryDecision:
        due = exception.due if isinstance(exception, _HandOn) else None
        return RetryDecision(retry_at=None if due is None else datetime.fromtimestamp(due, UTC))


class SharedTurns:
    """A `app.jobs.turns.Turns` of replicas that share a store. This one does jobs of these `kinds`.

    One that shows no sign of life for `lost_seconds` is lost, and what it had is given to another.
    """

    def __init__(
        self,
        store: PostgresStore,
        info: str,
        circuit: Circuit,
        kinds: Collection[str],
        at_once: int,
        lost_seconds: float,
    ) -> None:
        self._store = store
        self._info = info
        self._circuit = circuit
        self._queues = [queue_of(kind) for kind in kinds]
        self._at_once = at_once
        self._lost = lost_seconds
        self._beat = lost_seconds / 3
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving = False
        self.note = ""

    def start(self, do: Do) -> None:
        self._pool = worker_pool(self._info)
        connector = PsycopgConnector()
        app = App(connector=connector)
        app.job_manager = manager = Manager(connector, self._circuit)

        @app.task(name=TASK, pass_context=True, retry=_Again())
        async def turn(context: JobContext, id: str) -> None:
            await self._do(do, context, id)

        self._tasks = [
            asyncio.create_task(self._work(app, manager)),
            asyncio.create_task(self._rescue(manager)),
        ]

    def wake(self) -> None:
        """Postgres does."""

    def cancel(self) -> None:
        if not self._leaving:  # a second time would not let the worker take its leave
            self._leaving = True
            for task in self._tasks:
                task.cancel()

    async def stop(self) -> None:
        self.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * STOP_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._pool.close(timeout=1.0)

    async def _work(self, app: App, manager: Manager) -> None:
        await self._pool.open()
        await app.open_async(self._pool)
        while True:
            try:
                await app.run_worker_async(
                    queues=self._queues,
                    concurrency=self._at_once,
                    install_signal_handlers=False,
                    fetch_job_polling_interval=POLL_SECONDS,
                    abort_job_polling_interval=ABORT_SECONDS,
                    shutdown_graceful_timeout=STOP_SECONDS,
                    update_heartbeat_interval=self._beat,
                    stalled_worker_timeout=self._lost,
                    delete_jobs="always",
                )
            except Exception:
                logger.exception("the worker of procrastinate ended; it is started again")
            await asyncio.sleep(RETRY_SECONDS)

    async def _rescue(self, manager: Manager) -> None:
        """Give to others what a lost worker had. Not soon after the database was away or slow: others may not yet have
        been able to say that they live."""
        pause = self._lost
        while True:
            await asyncio.sleep(pause)
            asked = time.monotonic()
            try:
                await manager.beat()
                if time.monotonic() - asked > self._beat:
                    pause = self._lost
                    continue
                for turn in await manager.get_stalled_jobs(seconds_since_heartbeat=self._lost):
                    if await manager.give_away(turn, turn.priority - BEHIND):
                        logger.warning(
                            "job %s: the replica that had it is lost; another goes on with it", turn.task_kwargs["id"]
                        )
                pause = self._beat
            except ConnectorException:
                pause = self._lost

    async def _do(self, do: Do, context: JobContext, id: str) -> None:
        try:
            job = await asyncio.to_thread(self._store.begin, id)
            self.note = ""
            left = await do(job) if job else None
        except asyncio.CancelledError:
            if context.abort_reason() is AbortReason.USER_REQUEST:
                raise JobAborted from None
            raise _HandOn(None) from None
        except StoreDown:
            raise _HandOn(None) from None
        except StoreFull as error:
            logger.warning("no job can be begun: %s", error)
            self.note = DISK_NOTE
            raise _HandOn(self._store.now() + RETRY_SECONDS) from None
        except Exception:
            logger.exception("no job can be begun")
            raise _HandOn(self._store.now() + RETRY_SECONDS) from None
        if left and not left.state.ended:
            raise _HandOn(left.due if left.note else None)
