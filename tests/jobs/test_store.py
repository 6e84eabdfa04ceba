"""Records of jobs, in a file and in a real Postgres: what is kept of them, whose turn it is, and what goes."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.circuit import Circuit
from app.jobs.record import Asked, Callback, Job, State
from app.jobs.sqlite import SqliteStore
from app.jobs.store import Store
from app.jobs.turns import LocalTurns, Turns
from app.options import Options
from tests.postgres_server import PostgresServer, needs_postgres

ASKED = Asked(contents=(), styles=(), masks=(), options=Options(weight=(2.0, 1.0)), accept="", fields={})


@dataclass
class Place:
    """Where records are kept; `another` opens them once more, as another process would."""

    another: Callable[[], tuple[Store, Turns]]


def in_a_file(path: Path) -> Place:
    def another() -> tuple[Store, Turns]:
        store = SqliteStore(path)
        return store, LocalTurns(store, 1)

    return Place(another)


def in_postgres(server: PostgresServer) -> Place:
    import psycopg

    from app.jobs.shared.connection import conninfo, pool
    from app.jobs.shared.schema import prepare
    from app.jobs.shared.store import PostgresStore
    from app.jobs.shared.turns import SharedTurns

    info = conninfo(server.database())
    with psycopg.connect(info, autocommit=True) as connection:
        prepare(connection, lambda known: known or "a folder")

    def another() -> tuple[Store, Turns]:
        circuit = Circuit(lambda error: None)
        store = PostgresStore(pool(info), circuit)
        return store, SharedTurns(store, info, circuit, ["photo"], 1, 3)

    return Place(another)


@pytest.fixture(params=["file", pytest.param("postgres", marks=needs_postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "file":
        return in_a_file(tmp_path / "jobs.sqlite")
    return in_postgres(request.getfixturevalue("postgres"))


@pytest.fixture
def opened(place: Place) -> Iterator[tuple[Store, Turns]]:
    store, turns = place.another()
    yield store, turns
    store.close()


@pytest.fixture
def store(opened: tuple[Store, Turns]) -> Store:
    return opened[0]


def job(id: str, **members: Any) -> Job:
    return Job(
        **{
            "id": id,
            "client": "",
            "owner": "",
            "kind": "photo",
            "state": State.QUEUED,
            "created": 1.0,
            "asked": ASKED,
            **members,
        }
    )


async def in_turn(store: Store, turns: Turns, many: int) -> list[str]:
    """The jobs as they are given out one by one, each done before the next."""
    given: list[str] = []
    enough = asyncio.Event()

    async def do(job: Job) -> Job | None:
        given.append(job.id)
        assert job.state is State.RUNNING
        done = await asyncio.to_thread(store.change, job.id, begun=job.begun, state=State.DONE, ended=store.now())
        if len(given) == many:
            enough.set()
        return done

    turns.start(do)
    try:
        await asyncio.wait_for(enough.wait(), 30)
    finally:
        await turns.stop()
    return given


def test_what_is_kept_is_there_for_another_process(store: Store, place: Place) -> None:
    kept = store.add(job("a", callback=Callback(url="https://hooks.example/"), due=3.5))
    other, _ = place.another()
    assert other.get("a") == kept
    assert other.several(["a", "b"]) == [kept]
    other.close()


def test_a_key_is_its_owner_s(store: Store) -> None:
    first = store.add(job("a", owner="me", key="k"))
    assert store.add(job("b", owner="me", key="k")) == first
    assert store.add(job("c", owner="you", key="k")).id == "c"
    assert store.by_key("me", "k") == first
    assert store.get("b") is None
    assert [store.add(job(id, owner="me")).id for id in "de"] == ["d", "e"], "no key is no name"


def test_turns_go_by_age_but_no_client_has_them_all(opened: tuple[Store, Turns]) -> None:
    store, turns = opened
    for id, client in (("1", "many"), ("2", "many"), ("3", "many"), ("4", "one"), ("5", "another")):
        store.add(job(id, client=client))
    store.remove("2")
    given = asyncio.run(in_turn(store, turns, 4))
    assert sorted(given) == ["1", "3", "4", "5"]
    assert given[0] == "1"
    assert store.counts() == {**dict.fromkeys(State, 0), State.DONE: 4}


def test_a_job_is_begun_again_when_it_is_due(opened: tuple[Store, Turns]) -> None:
    store, turns = opened
    store.add(job("a"))
    begun: list[tuple[int, int, float]] = []
    dues: list[float] = []

    async def serve() -> None:
        enough = asyncio.Event()

        async def do(given: Job) -> Job | None:
            begun.append((given.begun, given.attempts, store.now()))
            if len(begun) == 2:
                enough.set()
                return await asyncio.to_thread(store.change, "a", begun=2, state=State.FAILED, ended=1.0)
            dues.append(store.now() + 1.5)
            return await asyncio.to_thread(
                store.change, "a", begun=1, state=State.QUEUED, attempts=0, due=dues[0], note="waits"
            )

        turns.start(do)
        await asyncio.wait_for(enough.wait(), 30)
        await turns.stop()

    asyncio.run(serve())
    assert [one[:2] for one in begun] == [(1, 1), (2, 1)]
    assert begun[1][2] >= dues[0]


def test_whoever_lost_a_job_changes_nothing_of_it(opened: tuple[Store, Turns]) -> None:
    store, _ = opened
    store.add(job("a", begun=3))
    assert store.change("a", begun=2, bytes=7) is None
    assert (store.get("a") or job("b")).bytes == 0
    assert (store.change("a", begun=3, bytes=7) or job("b")).bytes == 7
    assert (store.change("a", bytes=8) or job("b")).bytes == 8, "who did not begin it need not know"


def test_limits_hold_whoever_comes_at_once(place: Place) -> None:
    """Each as a replica of its own."""
    kept: list[str] = []

    def come(number: int) -> None:
        store, _ = place.another()
        with store.alone():
            if store.counts()[State.QUEUED] < 3:
                kept.append(store.add(job(str(number))).id)
        store.close()

    threads = [threading.Thread(target=come, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    store, _ = place.another()
    assert sorted(one.id for one in store.in_state(State.QUEUED)) == sorted(kept)
    assert len(kept) == 3
    store.close()


def test_pages_are_one_owner_s_newest_first(store: Store) -> None:
    for id in "abcd":
        store.add(job(id, owner="me"))
        store.add(job(f"not-{id}", owner="you"))
    assert [one.id for one in store.page("me", 2)] == ["d", "c"]
    assert [one.id for one in store.page("me", 9, "c")] == ["b", "a"]
    assert store.page("me", 9, "not-c") == [], "nothing is told of a stranger's"
    assert store.page("me", 9, "gone") == []


def test_changes_reach_only_what_is_there(store: Store) -> None:
    store.add(job("a"))
    changed = store.change("a", state=State.DONE, ended=5.0, bytes=7)
    assert changed == store.get("a")
    assert (store.bytes(), [one.id for one in store.in_state(State.DONE, State.FAILED)]) == (7, ["a"])
    assert store.remove("a") == changed
    assert (store.remove("a"), store.get("a"), store.change("a", bytes=1), store.bytes()) == (None, None, None, 0)


def test_callbacks_are_due_once_a_job_has_ended(store: Store) -> None:
    callback = Callback(url="https://hooks.example/")
    now = store.now()
    store.add(job("a", callback=callback))
    store.add(job("b", callback=callback, state=State.DONE, ended=1.0, due=now + 3600))
    store.add(job("c", state=State.DONE, ended=1.0))
    assert store.calling() == []
    store.change("b", due=now - 1)
    assert [one.id for one in store.calling()] == ["b"]
    store.change("b", callback=None)
    assert store.calling() == []


def test_what_no_record_can_hold_is_not_found(store: Store) -> None:
    assert store.get("a\0") is None
    assert list(store.page("me", 3, "a\0")) == []
