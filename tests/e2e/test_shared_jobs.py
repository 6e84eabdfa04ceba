"""Replicas that share jobs in a real Postgres: each knows them all, and whatever becomes of one the others go on."""

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import trustme

from tests.e2e.jobs import accepted, content, ended, events, folders, result, send, until
from tests.e2e.server import Server, free_port
from tests.e2e.test_jobs import problem
from tests.e2e.test_jobs_callback import SECRET, Listener
from tests.e2e.test_jobs_kept import files_in, wait_until
from tests.postgres_server import PASSWORD, PostgresServer, needs_postgres

pytestmark = needs_postgres

# The last takes far longer than the others: when one of them is done, the job is not, on whatever machine.
PHOTOS = [content(side) for side in (320, 336, 352, 1024)]
MINE = {"Authorization": "Bearer of my own"}
LONG = {"size": 2600}


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        yield running


@pytest.fixture
def settings(postgres: PostgresServer, tmp_path: Path) -> dict[str, object]:
    """Of replicas that share what nobody else does."""
    return {"job_store": postgres.database(), "data_dir": tmp_path / "data", "jobs_at_once": 1, "job_lost_seconds": 6}


def replica(settings: Mapping[str, object], **more: object) -> Server:
    return Server({**settings, **more})


def whole(server: Server) -> bytes:
    """What the photos come to where nobody disturbs."""
    return result(server.client, accepted(send(server.client, *PHOTOS, format="png")))


def at_work(where: str, *servers: Server) -> Sequence[Server]:
    """The servers, first the one that does the only job there is, once that has done a photo of several."""
    wait_until(lambda: servers[0].client.get(where).json()["progress"]["done"] >= 1)
    worked = 'impasto_network_seconds_total{class="background"}'
    return sorted(servers, key=lambda server: server.metric(worked), reverse=True)


def ends(*servers: Server) -> float:
    return sum(
        server.metric(f'impasto_jobs_ended_total{{state="{state}"}}')
        for server in servers
        for state in ("done", "failed")
    )


def sound(*servers: Server) -> None:
    """Nobody failed in a way that was not foreseen, and nobody told the password."""
    for server in servers:
        log = server.log()
        assert "Traceback" not in log, log
        assert PASSWORD not in log


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Listener, Path]]:
    authority = trustme.CA()
    certificate = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(certificate)
    with Listener(free_port(), authority) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running, certificate
        running.shutdown()


@pytest.fixture(scope="module")
def pair(
    postgres: PostgresServer, listener: tuple[Listener, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server]]:
    heard, certificate = listener
    settings = {
        "job_store": postgres.database(),
        "data_dir": tmp_path_factory.mktemp("shared"),
        "jobs_at_once": 1,
        "max_jobs": 4,
        "client_share": 0.75,
        "callback_hosts": f"localhost:{heard.server_port}",
        "callback_secret": SECRET,
    }
    with ExitStack() as stack:
        servers = [Server(settings) for _ in range(2)]
        for server in servers:
            server.environment["SSL_CERT_FILE"] = str(certificate)
            stack.enter_context(server)
        yield servers[0], servers[1]
        sound(*servers)


def test_a_job_sent_to_one_is_everybody_s(pair: tuple[Server, Server]) -> None:
    one, other = (server.client for server in pair)
    where = accepted(send(one, content(200), content(216), headers=MINE))
    assert [job["links"]["self"] for job in other.get("/jobs", headers=MINE).json()["jobs"]] == [where]
    told = list(events(other, where))
    ids = [int(id) for id, _ in told]
    assert ids == sorted(set(ids))
    last, job = told[-1]
    assert job["state"] == "done"
    assert one.get(where).json() == other.get(where).json() == job
    for client in (one, other):
        assert client.get(f"{where}/events", headers={"Last-Event-ID": last}).status_code == 204
        assert client.get(f"{where}/preview").headers["Content-Type"] == "image/jpeg"
    first, second = (client.get(f"{where}/result") for client in (one, other))
    assert first.content == second.content
    assert first.headers["ETag"] == second.headers["ETag"]
    part = other.get(f"{where}/result", headers={"Range": "bytes=10-19", "If-Range": first.headers["ETag"]})
    assert (part.status_code, part.content) == (206, first.content[10:20])


def cancelled_elsewhere(where: str, listens: httpx.Client, deletes: httpx.Client) -> None:
    """One listens until the other deletes the job."""
    told = []
    for _, job in events(listens, where):
        if not told:
            assert deletes.delete(where).status_code == 204
        told.append(job["state"])
    assert told[0] == "running"
    assert told[-1] == "cancelled"
    problem(listens.get(where), 404, "unknown-job")


def test_whoever_listens_hears_that_another_cancelled_it(pair: tuple[Server, Server]) -> None:
    one, other = (server.client for server in pair)
    held = [accepted(send(one, content(200), **LONG)) for _ in range(2)]
    for where in held:
        until(other, where, state="running")
    cancelled_elsewhere(held[0], one, other)
    cancelled_elsewhere(held[1], other, one)
    data = Path(pair[0].environment["IMPASTO_DATA_DIR"])
    wait_until(lambda: not {where.rpartition("/")[2] for where in held} & folders(data))


def test_a_key_and_the_limits_are_common(pair: tuple[Server, Server]) -> None:
    one, other = (server.client for server in pair)
    keyed = MINE | {"Idempotency-Key": "the same"}
    first = accepted(send(one, content(64), headers=keyed))
    assert accepted(send(other, content(64), headers=keyed)) == first
    again = send(other, content(72), headers=keyed)
    assert problem(again, 422, "invalid-request")["errors"][0]["field"] == "Idempotency-Key"
    ended(other, first)
    held = [accepted(send(client, content(64), **LONG)) for client in (one, other, one)]
    for client in (one, other):
        assert problem(send(client, content(64)), 503, "queue-full")["limit"] == 3
    for where in held:
        assert other.delete(where).status_code == 204


def test_a_job_s_end_is_told_once(pair: tuple[Server, Server], listener: tuple[Listener, Path]) -> None:
    heard, _ = listener
    client = pair[0].client
    where = [
        accepted(send(client, content(64), callback=f"https://localhost:{heard.server_port}/{n}")) for n in range(2)
    ]
    for n, one in enumerate(where):
        heard.hear(f"/{n}")
        ended(client, one)
    last = accepted(send(client, content(64), callback=f"https://localhost:{heard.server_port}/last"))
    heard.hear("/last")
    assert sorted(path for path, _, _ in heard.heard if path != "/last") == ["/0", "/1"]
    ended(client, last)


def test_a_killed_replica_s_job_is_finished_once_by_another(settings: dict[str, object]) -> None:
    with replica(settings) as one, replica(settings) as two:
        where = accepted(send(one.client, *PHOTOS, format="png"))
        killed, other = at_work(where, one, two)
        before = other.client.get(where).json()
        told: list[dict] = []
        hears = threading.Thread(target=lambda: told.extend(job for _, job in events(other.client, where)))
        hears.start()
        killed.kill()
        done = ended(other.client, where)
        hears.join(60)
        assert done["state"] == "done"
        assert done["started"] == before["started"]
        assert [job["state"] for job in told].count("done") == 1
        assert "the replica that had it is lost" in other.log()
        wait_until(lambda: ends(other) == 1)
        disturbed = result(other.client, where)
        assert disturbed == whole(other)
        data = Path(str(settings["data_dir"]))
        wait_until(lambda: files_in(data / "jobs") == {"photos.zip", "preview.jpg"})
        sound(killed, other)


def test_a_replica_that_was_taken_for_lost_and_comes_back_spoils_nothing(settings: dict[str, object]) -> None:
    with replica(settings) as one, replica(settings) as two:
        where = accepted(send(one.client, *PHOTOS, format="png"))
        lost, other = at_work(where, one, two)
        lost.process.send_signal(signal.SIGSTOP)
        try:
            done = ended(other.client, where)
            disturbed = result(other.client, where)
        finally:
            lost.process.send_signal(signal.SIGCONT)
        keyed = {"Idempotency-Key": "after a question that nobody had answered in time"}
        wait_until(lambda: send(lost.client, content(64), headers=keyed).status_code == 202)
        again = accepted(send(lost.client, content(64), headers=keyed))
        assert ended(lost.client, again)["state"] == "done", "it is at work again"
        assert lost.client.get(where).json() == done
        assert result(lost.client, where) == disturbed == whole(lost)
        wait_until(lambda: ends(lost, other) == 3)  # each once
        sound(lost, other)


def test_a_stopped_replica_hands_its_job_on(settings: dict[str, object]) -> None:
    settings["job_lost_seconds"] = 3600  # nobody is given up
    with replica(settings) as one, replica(settings) as two:
        where = accepted(send(one.client, *PHOTOS, format="png"))
        stopped, other = at_work(where, one, two)
        assert stopped.terminate() == 0
        assert other.client.get(where).json()["progress"]["done"] >= 1
        assert result(other.client, where) == whole(other)
        sound(stopped, other)


def test_without_postgres_what_runs_goes_on_and_the_rest_waits(settings: dict[str, object]) -> None:
    with PostgresServer() as own:
        settings["job_store"] = own.url()
        with replica(settings) as server:
            client = server.client
            where = accepted(send(client, *PHOTOS, format="png"))
            behind = accepted(send(client, content(64)))
            until(client, where, state="running")
            own.stop()
            refused = send(client, content(64))
            problem(refused, 503, "job-store-down")
            assert int(refused.headers["Retry-After"]) >= 1
            for answer in (client.get(where), client.get("/jobs", headers=MINE), client.delete(where)):
                problem(answer, 503, "job-store-down")
            assert send(client, content(64), path="/stylize").status_code == 200
            answer = send(client, content(64), path="/stylize", headers={"Prefer": "respond-async"})
            assert answer.status_code == 200, "a preference, no demand"
            assert client.get("/readyz").status_code == 200
            assert server.metric("impasto_job_store_up") == 0
            own.start()
            wait_until(lambda: server.metric("impasto_job_store_up") == 1)
            assert ended(client, where)["state"] == ended(client, behind)["state"] == "done"
            assert server.log().count("does not answer") == server.log().count("answers again") == 1
            wait_until(lambda: ends(server) == 2)

            own.hang()
            try:
                problem(send(client, content(64)), 503, "job-store-down")
                assert send(client, content(64), path="/stylize").status_code == 200
            finally:
                own.go_on()
            wait_until(lambda: server.metric("impasto_job_store_up") == 1)
            assert ended(client, accepted(send(client, content(64))))["state"] == "done"
            sound(server)


def test_what_is_wrong_is_told_at_the_start(postgres: PostgresServer, tmp_path: Path) -> None:
    port = free_port()
    nobody = f"postgresql://impasto:{PASSWORD}@127.0.0.1:{port}/postgres"
    with replica({"job_store": nobody, "data_dir": tmp_path / "data"}) as server:
        assert "jobs are off for now: the Postgres of IMPASTO_JOB_STORE can't be used" in server.log()
        problem(send(server.client, content(64)), 503, "job-store-down")
        assert send(server.client, content(64), path="/stylize").status_code == 200
        sound(server)
    shared = postgres.database()
    with replica({"job_store": shared, "data_dir": tmp_path / "data"}) as right:
        assert ended(right.client, accepted(send(right.client, content(64))))["state"] == "done"
        with replica({"job_store": shared, "data_dir": tmp_path / "another"}) as wrong:
            assert "IMPASTO_DATA_DIR" in problem(send(wrong.client, content(64)), 503, "jobs-off")["detail"]
            assert "is not the folder of the other replicas" in wrong.log()
    postgres.ask(shared, "CREATE ROLE poor LOGIN PASSWORD 'not-to-be-told'")
    poor = postgres.url(postgres.database().rpartition("/")[2], "poor")
    with replica({"job_store": poor, "data_dir": tmp_path / "third"}) as server:
        assert "GRANT CREATE ON SCHEMA public" in server.log()
        sound(server)
    with pytest.raises(AssertionError, match="IMPASTO_JOB_STORE") as stopped:
        replica({"job_store": f"mysql://impasto:{PASSWORD}@db/jobs"}).__enter__()
    assert PASSWORD not in str(stopped.value)


def test_ended_jobs_go_for_all(settings: dict[str, object]) -> None:
    with replica(settings, jobs_keep_bytes=250_000) as one, replica(settings, jobs_keep_bytes=250_000) as other:
        where = []
        for client in (one.client, other.client, one.client):
            where.append(accepted(send(client, content(256), format="png")))
            assert ended(other.client, where[-1])["state"] == "done"
        problem(one.client.get(where[0]), 404, "unknown-job")
        assert where[0].rpartition("/")[2] not in folders(Path(str(settings["data_dir"])))
        wait_until(lambda: one.metric('impasto_jobs{state="done"}') == other.metric('impasto_jobs{state="done"}') >= 1)
