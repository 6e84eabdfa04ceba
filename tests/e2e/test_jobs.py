"""What a caller gets who does not wait: jobs, over HTTP, from their beginning to their end."""

import io
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest
from PIL import Image

from app.access.keys import add_key
from tests.e2e.jobs import STYLE, accepted, content, ended, events, folders, result, send, until
from tests.e2e.server import Server

MINE = {"Authorization": "Bearer mine"}
LONG = {"size": 2600}  # long enough to be met while it runs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[Server]:
    settings = {"data_dir": data, "jobs_at_once": 1, "max_job_photos": 4, "max_job_size": 3000, "max_listeners": 2}
    with Server({**settings, "max_job_file_bytes": 1_000_000, "root_path": ""}) as running:
        yield running


@pytest.fixture(scope="module")
def done(server: Server) -> str:
    """Where a job is that is done."""
    where = accepted(send(server.client, content(96), quality=80))
    assert ended(server.client, where)["state"] == "done"
    return where


def problem(answer: httpx.Response, status: int, name: str) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict = answer.json()
    assert body["type"] == f"/problems/{name}"
    return body


def test_a_job_comes_to_what_stylize_answers(client: httpx.Client) -> None:
    waited = send(client, content(120), path="/stylize", strength=0.7)
    assert waited.status_code == 200
    assert result(client, accepted(send(client, content(120), strength=0.7))) == waited.content


def test_whoever_prefers_not_to_wait_gets_a_job(client: httpx.Client) -> None:
    headers = {"Prefer": 'handling=lenient, Respond-Async; x="y"', "Accept": "image/png"}
    answer = send(client, content(64), path="/stylize", headers=headers)
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert Image.open(io.BytesIO(result(client, accepted(answer)))).format == "PNG", "as Accept asks"


def test_a_job_says_what_it_is(client: httpx.Client, done: str) -> None:
    job = client.get(done).json()
    assert (job["kind"], job["state"]) == ("photo", "done")
    assert job["progress"] == {"done": 1, "total": 1, "unit": "photos"}
    assert job["created"] <= job["started"] <= job["ended"] < job["expires"]
    assert job["asked"]["content"] == [{"name": "photo-0.jpg", "bytes": len(content(96))}]
    assert job["asked"]["quality"] == 80
    assert job["result"]["media_type"] == "image/jpeg"
    small = client.get(job["links"]["preview"])
    assert small.headers["Content-Type"] == "image/jpeg"
    assert Image.open(io.BytesIO(small.content)).size == (96, 96)


def test_events_tell_of_all_that_happens_once(client: httpx.Client) -> None:
    where = accepted(send(client, content(64), content(64, "chelsea")))
    told = list(events(client, where))
    ids = [int(id) for id, _ in told]
    assert ids == sorted(set(ids))
    progress = [job["progress"]["done"] for _, job in told]
    assert progress == sorted(progress)
    states = [job["state"] for _, job in told]
    assert states[-1] == "done"
    assert set(states[:-1]) <= {"queued", "running"}
    last, job = told[-1]
    assert [(last, job)] == list(events(client, where, seen=told[0][0])), "only what has not been seen"
    assert client.head(f"{where}/events").headers["Content-Type"].startswith("text/event-stream")
    again = client.get(f"{where}/events", headers={"Last-Event-ID": last})
    assert (again.status_code, again.content) == (204, b""), "browsers stop asking"


def test_a_result_can_be_asked_for_in_parts_and_once(client: httpx.Client, done: str) -> None:
    where = f"{done}/result"
    whole = client.get(where)
    etag = whole.headers["ETag"]
    assert client.get(where, headers={"If-None-Match": f'"x", {etag}'}).status_code == 304
    part = client.get(where, headers={"Range": "bytes=10-19", "If-Range": etag})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole.content)}"
    assert client.get(where, headers={"Range": "bytes=-7"}).content == whole.content[-7:]
    changed = client.get(where, headers={"Range": "bytes=10-19", "If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, whole.content)
    assert client.get(where, headers={"Range": "apples=1-2"}).content == whole.content
    beyond = client.get(where, headers={"Range": f"bytes={len(whole.content)}-"})
    assert problem(beyond, 416, "range-not-satisfiable")["field"] == "Range"
    assert beyond.headers["Content-Range"] == f"bytes */{len(whole.content)}"
    head = client.head(where)
    assert int(head.headers["Content-Length"]) == len(whole.content)
    assert re.fullmatch(r'inline; filename="photo-0.jpg"', head.headers["Content-Disposition"])


def test_many_photos_come_back_as_an_archive_that_says_what_is_missing(client: httpx.Client) -> None:
    broken = content(64)[:2000]
    where = accepted(send(client, content(64), broken, content(80, "chelsea"), format="webp"))
    archive = ZipFile(io.BytesIO(result(client, where)))
    assert archive.testzip() is None
    assert archive.namelist() == ["001-photo-0.webp", "003-photo-2.webp"]
    assert Image.open(archive.open("003-photo-2.webp")).size == (80, 80)
    (line,) = client.get(where).json()["result"]["report"]
    assert line.startswith("content[1]: ")


def test_what_is_not_there_yet_is_a_problem(client: httpx.Client, server: Server, data: Path) -> None:
    """And a job that is deleted gives back the network, its place and its files at once."""
    running = accepted(send(client, content(200), **LONG))
    waiting = accepted(send(client, content(64)))
    until(client, running, state="running")
    assert client.get(waiting).json()["state"] == "queued"
    for where in (running, waiting):
        unfinished = client.get(f"{where}/result")
        problem(unfinished, 409, "job-not-done")
        assert int(unfinished.headers["Retry-After"]) >= 1
        problem(client.get(f"{where}/preview"), 404, "no-preview")
    with ThreadPoolExecutor() as pool:
        listening = pool.submit(lambda: list(events(client, running)))
        while server.client.get("/readyz").is_success and not listening.done():
            if client.get(running).json()["progress"]["done"] > 0:
                break
        assert client.delete(running).status_code == 204
        assert listening.result(timeout=60)[-1][1]["state"] == "cancelled"
    problem(client.get(running), 404, "unknown-job")
    problem(client.delete(running), 404, "unknown-job")
    assert ended(client, waiting)["state"] == "done", "though the one before it was far from done"
    assert running.rpartition("/")[2] not in folders(data)


def test_a_key_names_one_job(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "2f5a4e0c-6a0e", **MINE}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: send(client, content(64), headers=headers), range(4)))
    (where,) = {accepted(answer) for answer in answers}
    other = send(client, content(64), headers=headers, strength=0.5)
    assert problem(other, 422, "invalid-request")["errors"][0]["field"] == "Idempotency-Key"
    stranger = {**headers, "Authorization": "Bearer other"}
    assert accepted(send(client, content(64), headers=stranger)) != where
    too_long = problem(send(client, content(64), headers={"Idempotency-Key": "x" * 256}), 422, "invalid-request")
    assert too_long["errors"][0]["limit"] == 255


def test_a_caller_lists_jobs_of_his_own(client: httpx.Client, done: str) -> None:
    mine = {"Authorization": "Basic bGlzdHM6aGlz"}
    sent = [accepted(send(client, content(64), headers=mine)) for _ in range(3)]
    page = client.get("/jobs?limit=2", headers=mine).json()
    assert [job["links"]["self"] for job in page["jobs"]] == [sent[2], sent[1]]
    rest = client.get(page["next"], headers=mine).json()
    assert [job["links"]["self"] for job in rest["jobs"]] == [sent[0]]
    assert "next" not in rest
    assert client.get("/jobs", headers={"Authorization": "Basic another"}).json() == {"jobs": []}
    nobody = client.get("/jobs")
    problem(nobody, 401, "unknown-caller")
    assert nobody.headers["WWW-Authenticate"]
    assert problem(client.get("/jobs?limit=0", headers=mine), 422, "invalid-request")["errors"][0]["field"] == "limit"


@pytest.mark.parametrize(
    ("contents", "fields", "status", "name", "field"),
    [
        ((), {}, 422, "invalid-request", "content"),
        ((content(16),) * 5, {}, 422, "invalid-request", "content"),
        ((b"no picture",), {}, 422, "unreadable-image", "content"),
        ((b"no picture",) * 2, {}, 422, "unreadable-image", "content[0]"),
        ((content(64),), {"size": 3001}, 422, "invalid-request", "size"),
        ((content(64),), {"stength": 1}, 422, "invalid-request", "stength"),
        ((content(64) + bytes(1_000_000),), {}, 413, "file-too-large", "content"),
        ((content(64),), {"callback": "https://hooks.example/"}, 422, "invalid-request", "callback"),
    ],
)
def test_what_can_never_be_done_is_no_job(
    client: httpx.Client, data: Path, contents: tuple[bytes, ...], fields: dict, status: int, name: str, field: str
) -> None:
    before = folders(data)
    body = problem(send(client, *contents, **fields), status, name)
    assert field in {body.get("field"), *(error["field"] for error in body.get("errors", ()))}
    assert folders(data) <= before


def test_a_style_by_its_id_goes_with_the_job(client: httpx.Client) -> None:
    style_id = send(client, content(64), path="/stylize").headers["X-Style-Id"]
    by_id = accepted(send(client, content(72), style=None, style_id=style_id))
    assert result(client, by_id) == result(client, accepted(send(client, content(72), style=STYLE)))
    body = problem(send(client, content(64), style=None, style_id="0" * 32), 422, "invalid-request")
    assert body["errors"][0]["field"] == "style_id"


def test_so_many_may_listen(client: httpx.Client) -> None:
    where = accepted(send(client, content(200), **LONG))
    with client.stream("GET", f"{where}/events") as one, client.stream("GET", f"{where}/events") as other:
        next(one.iter_lines())
        next(other.iter_lines())
        assert problem(client.get(f"{where}/events"), 503, "queue-full")["limit"] == 2
    client.delete(where)


def test_with_keys_a_job_is_its_key_s_and_counts_against_its_limits(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    mine, other = ({"X-Api-Key": add_key(keys, name, None, limit)} for name, limit in (("mine", 1.0), ("other", None)))
    settings = {"api_keys_file": keys, "data_dir": tmp_path / "data", "max_jobs": 4, "jobs_at_once": 1}
    with Server(settings) as server:
        client = server.client
        problem(send(client, content(64)), 401, "unauthorized")
        where = accepted(send(client, content(64), headers=mine))
        for answer in (client.get(where, headers=other), client.delete(where, headers=other)):
            problem(answer, 404, "unknown-job")
        assert client.get("/jobs", headers=other).json() == {"jobs": []}
        assert [job["links"]["self"] for job in client.get("/jobs", headers=mine).json()["jobs"]] == [where]
        # Over its megapixel a minute, but for the first, which may be as large as it likes.
        limited = send(client, content(64), content(64), headers=mine, size=1200)
        assert problem(limited, 429, "rate-limited")["limit"] == 1
        assert folders(tmp_path / "data") == {where.rpartition("/")[2]}, "nothing is kept of what was refused"
        held = [accepted(send(client, content(64), headers=other, **LONG)) for _ in range(2)]
        assert problem(send(client, content(64), headers=other), 503, "queue-full")["limit"] == 2
        for one in held:
            assert client.delete(one, headers=other).status_code == 204


def test_jobs_are_counted(client: httpx.Client, server: Server, done: str) -> None:
    assert server.metric('impasto_jobs_ended_total{state="done"}') >= 1
    assert server.metric('impasto_jobs{state="done"}') >= 1
    assert server.metric("impasto_jobs_bytes") > 0
    assert server.metric('impasto_network_seconds_total{class="background"}') > 0
