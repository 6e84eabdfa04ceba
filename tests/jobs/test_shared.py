"""What replicas that share jobs rely on: tables that several make at once, folders that change hands, turns that are
somebody's."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Status
from procrastinate.schema import SchemaManager

from app.circuit import Circuit
from app.jobs.folder import DataFolder, Unavailable
from app.jobs.home import Home
from app.jobs.record import Asked, Job, State
from app.jobs.shared.connection import conninfo, pool, worker_pool
from app.jobs.shared.home import open_shared
from app.jobs.shared.manager import Manager
from app.jobs.shared.store import PostgresStore
from app.jobs.store import StoreDown
from app.options import Options
from tests.postgres_server import PASSWORD, PostgresServer, needs_postgres

pytestmark = needs_postgres

ASKED = Asked(contents=(), styles=(), masks=(), options=Options(), accept="", fields={})


def job(id: str, begun: int = 0, **members: object) -> Job:
    fixed = {"id": id, "client": "", "owner": "", "kind": "photo", "state": State.QUEUED, "created": 1.0}
    return Job.model_validate({**fixed, "asked": ASKED, "begun": begun, **members})


def opened(url: str, folder: Path) -> Home:
    return open_shared(url, folder, ["photo"], 1, 30)


def test_replicas_that_start_together_make_the_tables_once(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.database()
    with ThreadPoolExecutor(6) as threads:
        homes = list(threads.map(lambda _: opened(url, tmp_path), range(6)))
    homes[0].store.add(job("a"))
    assert all(home.store.get("a") for home in homes)
    for home in homes:
        home.store.close()
    assert postgres.ask(url, "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = 'impasto_photo'") == [(1,)]


def test_tables_of_an_older_procrastinate_are_brought_up(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.database()
    before = "03.01.00_50_post_add_heartbeat"
    with psycopg.connect(url, autocommit=True) as connection:
        for file in sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql")):
            if file.stem <= before:
                connection.execute(file.read_bytes())
    opened(url, tmp_path).store.close()
    postgres.ask(url, "UPDATE impasto_home SET migration = '03.01.00_50_post_add_heartbeat'")
    home = opened(url, tmp_path)
    home.store.add(job("a"))
    home.store.close()
    newest = max(file.stem for file in Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    assert postgres.ask(url, "SELECT migration FROM impasto_home") == [(newest,)]
    assert postgres.ask(url, "SELECT (procrastinate_fetch_job_v2(NULL, NULL)).task_name") == [("impasto.job",)]


def test_a_folder_that_is_not_the_others_is_refused(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.database()
    opened(url, tmp_path / "one").store.close()
    opened(url, tmp_path / "one").store.close()
    with pytest.raises(Unavailable, match="IMPASTO_DATA_DIR"):
        opened(url, tmp_path / "other")
    with pytest.raises(StoreDown, match="does not exist") as error:
        opened(postgres.url("nowhere"), tmp_path / "one")
    assert PASSWORD not in str(error.value)


def test_another_replica_s_uploads_are_left_and_what_nobody_wants_goes(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    home = opened(postgres.database(), tmp_path)
    young, old, known = (home.folder.keep(id, []) for id in ("young", "old", "known"))
    for folder in (old, known):
        os.utime(folder, (1, 1))
    home.folder.clear({"known"})
    assert [folder.exists() for folder in (young, old, known)] == [True, False, True]
    home.store.close()


def test_whoever_was_taken_for_lost_does_not_find_its_files(tmp_path: Path) -> None:
    """A new attempt has all that was finished; the old one can't put anything there any longer."""
    folder = DataFolder(tmp_path, shared=True)
    place = folder.keep("a", [])
    first = job("a", 1, work="work-1")
    folder.take_over(first)
    (place / "work-1" / "part").write_text("finished")
    half = (place / "work-1" / ".half").open("w")
    second = job("a", 2, work="work-2")
    folder.take_over(second)
    assert (place / "work-2" / "part").read_text() == "finished"
    half.write("more of it")
    half.close()
    with pytest.raises(FileNotFoundError):
        (place / "work-1" / ".half").rename(place / "work-1" / "part")
    (place / "work-1").mkdir()  # as whoever writes may
    (place / "work-1" / "part").write_text("of long ago")
    third = job("a", 3, work="work-3")
    folder.take_over(third)
    assert (place / "work-3" / "part").read_text() == "finished"
    folder.take_over(third)
    assert (place / "work-3" / "part").exists()


@asynccontextmanager
async def managers(url: str, number: int) -> AsyncIterator[list[Manager]]:
    """Workers that are registered."""
    async with worker_pool(conninfo(url)) as connections:
        made = []
        for _ in range(number):
            app = App(connector=PsycopgConnector())
            await app.open_async(connections)
            made.append(Manager(app.connector, Circuit(lambda error: None)))  # type: ignore[arg-type]
        for manager in made:
            await manager.register_worker()
        yield made


def test_a_turn_is_only_its_worker_s(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.database()
    home = opened(url, tmp_path)
    home.store.add(job("a"))

    async def change_hands() -> None:
        async with managers(url, 2) as (lost, other):
            turn = await lost.fetch_job(None, 0)
            assert turn
            assert await other.fetch_job(None, 0) is None, "nobody else has it"
            assert await other.give_away(turn, -1)
            assert not await lost.give_away(turn, -1), "once"
            again = await other.fetch_job(None, 0)
            assert again
            assert again.worker_id != turn.worker_id
            await lost.finish_job(turn, Status.SUCCEEDED, delete_job=True)
            await lost.retry_job(turn)
            status = "SELECT status::text, worker_id FROM procrastinate_jobs"
            assert postgres.ask(url, status) == [("doing", again.worker_id)]
            await other.finish_job(again, Status.SUCCEEDED, delete_job=True)
            assert postgres.ask(url, status) == []

    asyncio.run(change_hands())
    home.store.close()


def test_a_worker_that_was_forgotten_is_a_new_one(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.database()
    home = opened(url, tmp_path)
    home.store.add(job("a"))

    async def come_back() -> None:
        async with managers(url, 1) as (worker,):
            postgres.ask(url, "DELETE FROM procrastinate_workers")
            assert await worker.fetch_job(None, 0) is None
            turn = await worker.fetch_job(None, 0)
            assert turn
            assert turn.task_kwargs == {"id": "a"}

    asyncio.run(come_back())
    home.store.close()


def test_a_turn_whose_giving_was_not_heard_of_is_found(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.database()
    home = opened(url, tmp_path)
    home.store.add(job("a"))

    async def miss_the_answer() -> None:
        async with managers(url, 1) as (worker,):
            given = postgres.ask(url, "SELECT id FROM procrastinate_workers")[0][0]
            postgres.ask(url, f"SELECT procrastinate_fetch_job_v2(NULL, {given})")
            worker._unsure = True
            turn = await worker.fetch_job(None, 0)
            assert turn
            assert await worker.fetch_job(None, 0) is None, "not twice"

    asyncio.run(miss_the_answer())
    home.store.close()


def test_a_database_that_answers_nothing_is_away_and_comes_back(tmp_path: Path) -> None:
    with PostgresServer() as own:
        heard: list[Exception | None] = []
        opened(own.url(), tmp_path).store.close()
        store = PostgresStore(pool(conninfo(own.url())), Circuit(heard.append))
        store.add(job("a"))
        own.hang()
        try:
            with pytest.raises(StoreDown):
                store.get("a")
            assert not store.up
        finally:
            own.go_on()
        while not store.up:
            try:
                store.get("a")
            except StoreDown:
                time.sleep(0.05)
        assert [error is None for error in heard] == [False, True]
        own.process.send_signal(signal.SIGINT)
        own.process.wait(timeout=30)
        with pytest.raises(StoreDown):
            store.change("a", bytes=1)
        own.start()
        store.close()
