"""The tables in Postgres: procrastinate's, that of the records, and one line of what is known of both.

Whoever starts first makes them; of several that start together one does, and the others wait for it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psycopg
from procrastinate.schema import SchemaManager

LOCK: Final = 0x696D706173746F  # of the tables, in Postgres' list of advisory locks: "impasto"

# Beside the record what it is looked for by, written from it; `turn` is the job's number at procrastinate.
TABLES: Final = """
CREATE TABLE IF NOT EXISTS impasto_home (
  the_one boolean PRIMARY KEY DEFAULT true CHECK (the_one),
  folder text NOT NULL,
  migration text NOT NULL
);
CREATE TABLE IF NOT EXISTS impasto_jobs (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text NOT NULL UNIQUE,
  client text NOT NULL,
  owner text NOT NULL,
  key text,
  state text NOT NULL,
  due double precision NOT NULL,
  ended double precision,
  calls boolean NOT NULL,
  bytes bigint NOT NULL,
  turn bigint,
  record text NOT NULL,
  UNIQUE (owner, key)
);
CREATE INDEX IF NOT EXISTS impasto_jobs_by_owner ON impasto_jobs (owner, number);
CREATE INDEX IF NOT EXISTS impasto_jobs_by_state ON impasto_jobs (state, client);
"""


def prepare(connection: psycopg.Connection[Any], folder: Callable[[str | None], str]) -> None:
    """Make what is missing, and bring procrastinate's tables to the version that is installed.

    `folder` is told which folder's jobs these are, None where that is not yet known, and tells which they are from now
    on, while nobody else can ask. Raises psycopg.Error, and what it raises.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        connection.execute(TABLES)
        migrations = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
        newest = migrations[-1].stem
        found = connection.execute("SELECT folder, migration FROM impasto_home").fetchone()
        if found is None:
            mark = folder(None)
            there = connection.execute("SELECT to_regclass('procrastinate_jobs') IS NOT NULL").fetchone()
            if there != (True,):
                connection.execute(SchemaManager.get_schema())
            connection.execute("INSERT INTO impasto_home (folder, migration) VALUES (%s, %s)", (mark, newest))
            return
        known, migration = found
        folder(known)
        for file in migrations:
            if file.stem > migration:
                connection.execute(file.read_bytes())
        connection.execute("UPDATE impasto_home SET migration = GREATEST(migration, %s)", (newest,))
