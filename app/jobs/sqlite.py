"""Records of jobs in one SQLite file, for one process."""

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from app.jobs.record import Job, State
from app.jobs.store import StoreFull

# Beside the record what it is looked for by, written from it.
TABLE: Final = """
CREATE TABLE IF NOT EXISTS jobs (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  client TEXT NOT NULL,
  owner TEXT NOT NULL,
  key TEXT,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  due REAL NOT NULL,
  ended REAL,
  calls INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  record TEXT NOT NULL,
  UNIQUE (owner, key)
);
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, number);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, attempts, number);
"""
COLUMNS: Final = ("id", "client", "owner", "key", "state", "attempts", "due", "ended", "calls", "bytes", "record")
FULL: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


class SqliteStore:
    """A `app.jobs.store.Store`. WAL and synchronous=FULL: what is committed outlives the loss of power."""

    up = True
    write_seconds = 5.0

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.executescript(TABLE)

    def now(self) -> float:
        return time.time()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._writing():
            yield

    def add(self, job: Job) -> Job:
        with self._writing():
            if job.key and (known := self.by_key(job.owner, job.key)):
                return known
            marks = ", ".join(f":{name}" for name in COLUMNS)
            self._database.execute(f"INSERT INTO jobs ({', '.join(COLUMNS)}) VALUES ({marks})", _row(job))  # noqa: S608
            return job

    def get(self, id: str) -> Job | None:
        return self._one("WHERE id = ?", id)

    def several(self, ids: Iterable[str]) -> Sequence[Job]:
        return [job for id in ids if (job := self.get(id))]

    def by_key(self, owner: str, key: str) -> Job | None:
        return self._one("WHERE owner = ? AND key = ?", owner, key)

    def page(self, owner: str, limit: int, before: str | None = None) -> Sequence[Job]:
        older = "AND number < (SELECT number FROM jobs WHERE id = ? AND owner = ?)" if before is not None else ""
        values = (owner, *((before, owner) if before is not None else ()), limit)
        return self._all(f"WHERE owner = ? {older} ORDER BY number DESC LIMIT ?", *values)

    def change(self, id: str, *, begun: int | None = None, **changes: Any) -> Job | None:
        with self._writing():
            job = self.get(id)
            if job is None or begun not in (None, job.begun):
                return None
            return self._write(job.model_copy(update=changes))

    def remove(self, id: str) -> Job | None:
        with self._writing():
            job = self.get(id)
            self._database.execute("DELETE FROM jobs WHERE id = ?", (id,))
            return job

    def claim(self) -> Job | None:
        """Make the next job that waits a running one, begun once more.

        Of those due it is one of the least often begun, of these of a client with the fewest jobs that run, and of
        these the oldest.
        """
        now = self.now()
        with self._writing():
            running = "(SELECT COUNT(*) FROM jobs AS other WHERE other.state = ? AND other.client = jobs.client)"
            where = f"WHERE state = ? AND due <= ? ORDER BY attempts, {running}, number LIMIT 1"
            job = self._one(where, State.QUEUED, now, State.RUNNING)
            return self._write(job.begin(now)) if job else None

    def next_due(self) -> float | None:
        """When the next job that waits is due."""
        with self._lock:
            found = self._database.execute("SELECT MIN(due) FROM jobs WHERE state = ?", (State.QUEUED,)).fetchone()
        due: float | None = found[0]
        return due

    def in_state(self, *states: State) -> Sequence[Job]:
        marks = ", ".join("?" * len(states))
        return self._all(f"WHERE state IN ({marks}) ORDER BY ended, number", *states)

    def calling(self) -> Sequence[Job]:
        return self._all("WHERE calls = 1 AND ended IS NOT NULL AND due <= ? ORDER BY due", self.now())

    def held(self, client: str) -> int:
        where = "state IN (?, ?) AND client = ?"
        values = (State.QUEUED, State.RUNNING, client)
        with self._lock:
            held: int = self._database.execute(f"SELECT COUNT(*) FROM jobs WHERE {where}", values).fetchone()[0]  # noqa: S608
        return held

    def counts(self) -> dict[State, int]:
        with self._lock:
            found = dict(self._database.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state").fetchall())
        return {state: found.get(state, 0) for state in State}

    def bytes(self) -> int:
        with self._lock:
            total: int = self._database.execute("SELECT COALESCE(SUM(bytes), 0) FROM jobs").fetchone()[0]
        return total

    def close(self) -> None:
        with self._lock:
            self._database.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction, on disk at its end, or nothing of it; part of the one this thread is in, where it is."""
        with self._lock:
            if self._database.in_transaction:
                yield
                return
            try:
                self._database.execute("BEGIN IMMEDIATE")
                yield
                self._database.execute("COMMIT")
            except sqlite3.OperationalError as error:
                self._roll_back()
                if error.sqlite_errorcode & 0xFF in FULL:
                    raise StoreFull(str(error)) from None
                raise
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")

    def _write(self, job: Job) -> Job:
        values = ", ".join(f"{name} = :{name}" for name in COLUMNS)
        self._database.execute(f"UPDATE jobs SET {values} WHERE id = :id", _row(job))  # noqa: S608
        return job

    def _one(self, where: str, *values: object) -> Job | None:
        found = self._all(where, *values)
        return found[0] if found else None

    def _all(self, where: str, *values: object) -> list[Job]:
        with self._lock:
            rows = self._database.execute(f"SELECT record FROM jobs {where}", values).fetchall()  # noqa: S608
        return [Job.model_validate_json(row[0]) for row in rows]


def _row(job: Job) -> dict[str, Any]:
    return {
        **{name: getattr(job, name) for name in COLUMNS if name not in ("key", "calls", "record")},
        "key": job.key or None,
        "calls": job.callback is not None,
        "record": job.model_dump_json(),
    }
