"""Records of jobs in Postgres, for every replica that reaches it."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from procrastinate import App, SyncPsycopgConnector
from procrastinate.exceptions import ConnectorException
from psycopg import errors
from psycopg_pool import ConnectionPool

from app.circuit import Circuit
from app.jobs.record import WORK, Job, State
from app.jobs.shared.connection import Connection, passing
from app.jobs.shared.schema import LOCK
from app.jobs.store import StoreDown, StoreFull

logger = logging.getLogger("impasto.jobs")

TASK: Final = "impasto.job"
CLOCK_SECONDS: Final = 10.0  # how often the server's clock is read
CALLS: Final = 4  # callbacks that one replica takes to send at a time,
CALL_SECONDS: Final = 120.0  # and how long they are its own
UNDER_WAY: Final = ("queued", "running")

INSERT: Final = """
INSERT INTO impasto_jobs (id, client, owner, key, state, due, ended, calls, bytes, record, turn)
VALUES (%(id)s, %(client)s, %(owner)s, %(key)s, %(state)s, %(due)s, %(ended)s, %(calls)s, %(bytes)s, %(record)s,
  %(turn)s)
"""
UPDATE: Final = """
UPDATE impasto_jobs SET state = %(state)s, due = %(due)s, ended = %(ended)s, calls = %(calls)s, bytes = %(bytes)s,
  record = %(record)s
WHERE id = %(id)s
"""
HELD: Final = "SELECT COUNT(*) FROM impasto_jobs WHERE state = ANY(%s) AND client = %s"
CALLING: Final = """
UPDATE impasto_jobs SET due = %(until)s WHERE number IN (
  SELECT number FROM impasto_jobs WHERE calls AND ended IS NOT NULL AND due <= %(now)s
  ORDER BY due LIMIT %(most)s FOR UPDATE SKIP LOCKED
) RETURNING record
"""
# A client's second job waits behind the first ones of all others, and so on: as one of its own ends, the rest move up.
MOVE_UP: Final = """
UPDATE procrastinate_jobs SET priority = priority + 1 WHERE id IN (
  SELECT waiting.id FROM procrastinate_jobs AS waiting JOIN impasto_jobs ON impasto_jobs.turn = waiting.id
  WHERE impasto_jobs.client = %s AND waiting.status = 'todo' AND waiting.priority < 0
  FOR UPDATE OF waiting SKIP LOCKED
)
"""


def queue_of(kind: str) -> str:
    """The queue at procrastinate of a kind of jobs: replicas that can't do it leave it alone."""
    return f"impasto_{kind}"


class PostgresStore:
    """A `app.jobs.store.Store`. A job and its turn at procrastinate come and go in one transaction."""

    write_seconds = 1.0

    def __init__(self, pool: ConnectionPool[Connection], circuit: Circuit) -> None:
        self._pool = pool
        self._circuit = circuit
        self._turns = App(connector=SyncPsycopgConnector())
        self._mine = threading.local()  # the connection of the transaction that a thread is in
        self._clock = self._read = -float("inf")

    @property
    def up(self) -> bool:
        return self._circuit.closed

    def now(self) -> float:
        if self._read == -float("inf"):
            with self._connected():
                pass
        return time.monotonic() + self._clock

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._connected() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            yield

    def add(self, job: Job) -> Job:
        with self.alone(), self._connected() as connection:
            if job.key and (known := self.by_key(job.owner, job.key)):
                return known
            behind = -self.held(job.client)
            task = self._turns.configure_task(TASK, queue=queue_of(job.kind), priority=behind, connection=connection)
            connection.execute(INSERT, {**_row(job), "turn": task.defer(id=job.id)})
            return job

    def get(self, id: str) -> Job | None:
        return self._one("WHERE id = %s", id)

    def several(self, ids: Iterable[str]) -> Sequence[Job]:
        return self._all("WHERE id = ANY(%s)", list(ids))

    def by_key(self, owner: str, key: str) -> Job | None:
        return self._one("WHERE owner = %s AND key = %s", owner, key)

    def page(self, owner: str, limit: int, before: str | None = None) -> Sequence[Job]:
        older = "AND number < (SELECT number FROM impasto_jobs WHERE id = %s AND owner = %s)" if before else ""
        values = (owner, *((before, owner) if before else ()), limit)
        return self._all(f"WHERE owner = %s {older} ORDER BY number DESC LIMIT %s", *values)

    def begin(self, id: str) -> Job | None:
        """Make a job whose turn has come a running one, begun once more; None where there is nothing left to do."""
        with self._connected() as connection:
            job = self._one("WHERE id = %s FOR UPDATE", id)
            if job is None or job.state.ended:
                return None
            job = job.begin(self.now())
            return self._write(connection, job.model_copy(update={"work": f"{WORK}-{job.begun}"}))

    def change(self, id: str, *, begun: int | None = None, **changes: Any) -> Job | None:
        with self._connected() as connection:
            job = self._one("WHERE id = %s FOR UPDATE", id)
            if job is None or begun not in (None, job.begun):
                return None
            changed = self._write(connection, job.model_copy(update=changes))
            if changed.state.ended and not job.state.ended:
                connection.execute(MOVE_UP, (job.client,))
            return changed

    def remove(self, id: str) -> Job | None:
        with self._connected() as connection:
            job = self._one("WHERE id = %s FOR UPDATE", id)
            if job is None:
                return None
            gone = connection.execute("DELETE FROM impasto_jobs WHERE id = %s RETURNING turn", (id,)).fetchone()
            if gone and not job.state.ended:
                self._turns.job_manager.cancel_job_by_id(gone[0], abort=True, delete_job=True, connection=connection)
                connection.execute(MOVE_UP, (job.client,))
            return job

    def in_state(self, *states: State) -> Sequence[Job]:
        return self._all("WHERE state = ANY(%s) ORDER BY ended NULLS FIRST, number", [str(state) for state in states])

    def calling(self) -> Sequence[Job]:
        now = self.now()
        with self._connected() as connection:
            values = {"now": now, "until": now + CALL_SECONDS, "most": CALLS}
            return [Job.model_validate_json(row[0]) for row in connection.execute(CALLING, values).fetchall()]

    def held(self, client: str) -> int:
        with self._connected() as connection:
            values = (list(UNDER_WAY), client)
            row = connection.execute(HELD, values).fetchone()
        return int(row[0]) if row else 0

    def counts(self) -> dict[State, int]:
        with self._connected() as connection:
            rows = connection.execute("SELECT state, COUNT(*) FROM impasto_jobs GROUP BY state").fetchall()
        found = {str(state): int(count) for state, count in rows}
        return {state: found.get(state, 0) for state in State}

    def bytes(self) -> int:
        with self._connected() as connection:
            row = connection.execute("SELECT COALESCE(SUM(bytes), 0) FROM impasto_jobs").fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        self._pool.close(timeout=1.0)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A transaction, that of this thread where it is in one. Raises StoreFull, StoreDown."""
        joined: Connection | None = getattr(self._mine, "connection", None)
        if joined is not None:
            yield joined
            return
        if not self._circuit.may_try():
            raise StoreDown("the store of jobs does not answer")
        since = time.monotonic()
        try:
            with self._pool.connection() as connection:
                self._mine.connection = connection
                try:
                    self._read_clock(connection)
                    yield connection
                finally:
                    self._mine.connection = None
        except (psycopg.Error, ConnectorException) as error:
            cause = error.__cause__ if isinstance(error, ConnectorException) else error
            if isinstance(cause, errors.DiskFull):
                raise StoreFull("the disk of Postgres is full") from None
            if not isinstance(cause, Exception) or not passing(cause):
                raise
            self._circuit.failed(cause)
            raise StoreDown(f"the store of jobs does not answer ({type(cause).__name__})") from None
        self._circuit.succeeded(since)

    def _read_clock(self, connection: Connection) -> None:
        now = time.monotonic()
        if now - self._read >= CLOCK_SECONDS:
            row = connection.execute("SELECT EXTRACT(EPOCH FROM clock_timestamp())").fetchone()
            if row:
                self._clock, self._read = float(row[0]) - time.monotonic(), now

    def _write(self, connection: Connection, job: Job) -> Job:
        connection.execute(UPDATE, _row(job))
        return job

    def _one(self, where: str, *values: object) -> Job | None:
        found = self._all(where, *values)
        return found[0] if found else None

    def _all(self, where: str, *values: object) -> list[Job]:
        if any(isinstance(value, str) and "\0" in value for value in values):
            return []  # Postgres has no such text
        with self._connected() as connection:
            rows = connection.execute(f"SELECT record FROM impasto_jobs {where}", values).fetchall()  # noqa: S608
        return [Job.model_validate_json(row[0]) for row in rows]


def _row(job: Job) -> dict[str, Any]:
    return {
        **{name: getattr(job, name) for name in ("id", "client", "owner", "due", "ended", "bytes")},
        "key": job.key or None,
        "state": str(job.state),
        "calls": job.callback is not None,
        "record": job.model_dump_json(),
    }
