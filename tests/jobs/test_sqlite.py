"""Records of jobs: what is kept of them, whose turn it is, and what goes."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.jobs.record import Asked, Callback, Job, State
from app.jobs.sqlite import SqliteStore
from app.options import Options

ASKED = Asked(contents=(), styles=(), masks=(), options=Options(weight=(2.0, 1.0)), accept="", fields={})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "jobs.sqlite")
    yield store
    store.close()


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


def test_what_is_kept_is_there_for_another_process(store: SqliteStore, tmp_path: Path) -> None:
    kept = store.add(job("a", callback=Callback(url="https://hooks.example/"), due=3.5))
    other = SqliteStore(tmp_path / "jobs.sqlite")
    assert other.get("a") == kept
    other.close()


def test_a_key_is_its_owner_s(store: SqliteStore) -> None:
    first = store.add(job("a", owner="me", key="k"))
    assert store.add(job("b", owner="me", key="k")) == first
    assert store.add(job("c", owner="you", key="k")).id == "c"
    assert store.by_key("me", "k") == first
    assert store.get("b") is None
    assert [store.add(job(id, owner="me")).id for id in "de"] == ["d", "e"], "no key is no name"


def test_turns_go_by_attempts_and_then_by_age(store: SqliteStore) -> None:
    now = time.time()
    for id, members in {"again": {"attempts": 2}, "old": {}, "later": {"due": now + 60}, "new": {}}.items():
        store.add(job(id, **members))
    claimed = [store.claim(now) for _ in range(4)]
    assert [one and (one.id, one.attempts, one.state) for one in claimed] == [
        ("old", 1, State.RUNNING),
        ("new", 1, State.RUNNING),
        ("again", 3, State.RUNNING),
        None,
    ]
    assert store.next_due() == now + 60
    assert store.counts() == {**dict.fromkeys(State, 0), State.RUNNING: 3, State.QUEUED: 1}


def test_pages_are_one_owner_s_newest_first(store: SqliteStore) -> None:
    for id in "abcd":
        store.add(job(id, owner="me"))
        store.add(job(f"not-{id}", owner="you"))
    assert [one.id for one in store.page("me", 2)] == ["d", "c"]
    assert [one.id for one in store.page("me", 9, "c")] == ["b", "a"]
    assert store.page("me", 9, "not-c") == [], "nothing is told of a stranger's"
    assert store.page("me", 9, "gone") == []


def test_changes_reach_only_what_is_there(store: SqliteStore) -> None:
    store.add(job("a"))
    changed = store.change("a", state=State.DONE, ended=5.0, bytes=7)
    assert changed == store.get("a")
    assert (store.bytes(), [one.id for one in store.in_state(State.DONE, State.FAILED)]) == (7, ["a"])
    assert store.remove("a") == changed
    assert (store.remove("a"), store.get("a"), store.change("a", bytes=1), store.bytes()) == (None, None, None, 0)


def test_callbacks_are_due_once_a_job_has_ended(store: SqliteStore) -> None:
    callback = Callback(url="https://hooks.example/")
    store.add(job("a", callback=callback))
    store.add(job("b", callback=callback, state=State.DONE, ended=1.0, due=9.0))
    store.add(job("c", state=State.DONE, ended=1.0))
    assert store.calling(8.0) == []
    assert [one.id for one in store.calling(9.0)] == ["b"]
    store.change("b", callback=None)
    assert store.calling(9.0) == []
