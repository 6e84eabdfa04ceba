"""Opens the home of jobs that replicas share: records and turns in Postgres, files in a folder all of them see."""

import logging
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from app.circuit import Circuit
from app.files import write_whole
from app.jobs.folder import DataFolder, Unavailable
from app.jobs.home import Home
from app.jobs.record import State
from app.jobs.shared.connection import conninfo, passing, pool
from app.jobs.shared.schema import prepare
from app.jobs.shared.store import PostgresStore
from app.jobs.shared.turns import SharedTurns
from app.jobs.store import StoreDown, StoreFull

logger = logging.getLogger("impasto.jobs")

MARK: Final = "shared"  # a file in the folder that says which it is


def open_shared(url: str, root: Path, kinds: Collection[str], at_once: int, lost_seconds: float) -> Home:
    """Jobs of all replicas that name the same Postgres and the same folder.

    Makes the tables where there are none. Raises Unavailable, StoreDown; neither shows the password.
    """
    folder = DataFolder(root, shared=True)
    info = conninfo(url)
    try:
        _prepare(info, folder)
    except errors.InsufficientPrivilege as error:
        raise Unavailable(
            f"Postgres lets the user of IMPASTO_JOB_STORE make no tables ({_told(error, info)}): make it the owner of "
            "its database, or GRANT CREATE ON SCHEMA public"
        ) from None
    except psycopg.Error as error:
        if passing(error):
            raise StoreDown(f"the Postgres of IMPASTO_JOB_STORE can't be used: {_told(error, info)}") from None
        raise Unavailable(f"the tables in the Postgres of IMPASTO_JOB_STORE: {_told(error, info)}") from None
    circuit = Circuit(_tell)
    store = PostgresStore(pool(info), circuit)
    try:
        folder.clear({job.id for job in store.in_state(*State)})
    except (StoreDown, StoreFull, OSError) as error:
        store.close()
        raise StoreDown(f"{folder.root} can't be cleared: {error}") from None
    return Home(folder, store, SharedTurns(store, info, circuit, kinds, at_once, lost_seconds), shared=True)


def _prepare(info: str, folder: DataFolder) -> None:
    """Make the tables, and see that the folder is the one of those who were here before."""
    mark = folder.root / MARK

    def marked(known: str | None) -> str:
        own = mark.read_text() if mark.exists() else None
        if known is not None and known != own:
            raise Unavailable(
                f"{folder.root} is not the folder of the other replicas that use the Postgres of IMPASTO_JOB_STORE: "
                "let IMPASTO_DATA_DIR name one that all of them share"
            )
        if own is None:
            own = uuid.uuid4().hex
            write_whole(mark, own.encode())
        return own

    try:
        with psycopg.connect(info, autocommit=True) as connection:
            prepare(connection, marked)
    except OSError as error:
        raise Unavailable(f"{folder.root} can't be used: {error}") from None


def _told(error: psycopg.Error, info: str) -> str:
    """What Postgres or libpq says, in one line and without the password."""
    text = error.diag.message_primary or " ".join(str(error).split())
    password: Any = conninfo_to_dict(info).get("password")
    return text.replace(str(password), "***") if password else text


def _tell(error: Exception | None) -> None:
    if error is None:
        logger.info("the store of jobs answers again")
    else:
        # The error's kind alone: its text may hold the address.
        logger.warning("the store of jobs does not answer (%s): jobs that run go on, others wait", type(error).__name__)
