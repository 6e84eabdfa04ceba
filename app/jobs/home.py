"""Where jobs live: a folder for their files, a store for their records, and who says whose turn it is."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from app.jobs.folder import DataFolder, Unavailable
from app.jobs.record import State
from app.jobs.sqlite import SqliteStore
from app.jobs.store import Store, StoreFull
from app.jobs.turns import LocalTurns, Turns


@dataclass(frozen=True)
class Home:
    """`shared`: other processes have these jobs too."""

    folder: DataFolder
    store: Store
    turns: Turns
    shared: bool = False


def open_local(root: Path, at_once: int) -> Home:
    """Jobs of this process alone, all of them in one folder. Raises Unavailable."""
    folder = DataFolder(root)
    try:
        store = SqliteStore(folder.database)
        jobs = store.in_state(*State)
        for job in jobs:
            if job.state is State.RUNNING:
                store.change(job.id, state=State.QUEUED)
        folder.clear({job.id for job in jobs})
    except (sqlite3.Error, StoreFull, OSError) as error:
        folder.close()
        raise Unavailable(f"{folder.database} can't be used: {error}") from None
    return Home(folder, store, LocalTurns(store, at_once))
