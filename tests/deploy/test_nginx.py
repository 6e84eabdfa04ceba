"""Replicas behind nginx, as deploy/nginx sets it up, with a real Redis: nothing is lost when one of them is."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.e2e.nginx import Nginx, needs_nginx
from tests.e2e.server import Server
from tests.e2e.test_bad_input import problem, raw_problem
from tests.e2e.test_operation import STYLE, square, wait_until
from tests.e2e.test_wire import TYPE, head
from tests.redis_server import RedisServer, needs_redis

pytestmark = [needs_nginx, needs_redis]

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx" / "impasto.conf"
CLIENTS = 4
PHOTOS = [square(side) for side in (24, 32, 40, 48)]


def configuration(folder: Path, replicas: list[int], jobs: int) -> str:
    """The file for replicas on these ports, and jobs on this one."""
    text = CONFIGURATION.read_text()
    for name, ports in (("replicas.conf", replicas), ("jobs.conf", [jobs])):
        (folder / name).write_text("".join(f"server 127.0.0.1:{port} max_fails=0;\n" for port in ports))
        text = text.replace(f"/etc/nginx/{name}", str(folder / name))
    return text


class Cluster:
    """Two replicas, of which the second has the jobs, Redis, and nginx in front."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        redis = stack.enter_context(RedisServer(folder))
        self.settings = {"style_store": redis.url, "trusted_proxies": "127.0.0.1", "requests_per_minute": 100_000}
        self.replicas = [stack.enter_context(Server(self.settings)) for _ in range(2)]
        ports = [replica.port for replica in self.replicas]
        self.nginx = stack.enter_context(Nginx(folder, http=configuration(folder, ports, ports[1])))
        self.client = stack.enter_context(httpx.Client(base_url=self.nginx.url, timeout=120))

    def start_again(self, replica: Server) -> None:
        """On its old port."""
        replica.client.close()
        replica.__enter__()

    def under_load(self, meanwhile: Callable[[], None]) -> list[int]:
        """The statuses of all that clients were answered while something happened, and of some before and after."""
        over = threading.Event()
        # Every answer is compared with what one replica gives alone.
        expected = [self.stylize(number).content for number in range(len(PHOTOS))]

        def one(client: int) -> list[int]:
            statuses: list[int] = []
            while not over.is_set() or len(statuses) < 3:
                number = (client + len(statuses)) % len(PHOTOS)
                answer = self.stylize(number)
                assert answer.status_code != 200 or answer.content == expected[number]
                statuses.append(answer.status_code)
            return statuses

        with ThreadPoolExecutor(CLIENTS) as pool:
            running = [pool.submit(one, client) for client in range(CLIENTS)]
            try:
                meanwhile()
            finally:
                over.set()
            return [status for each in running for status in each.result()]

    def stylize(self, number: int) -> httpx.Response:
        files = {"content": PHOTOS[number], "style": STYLE}
        return self.client.post("/stylize", files=files, data={"format": "png"})


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(tmp_path_factory.mktemp("cluster"), stack)


def served(replica: Server) -> float:
    return replica.metric('impasto_requests_total{outcome="ok"}')


def test_every_replica_serves_and_knows_the_style_that_one_was_sent(cluster: Cluster) -> None:
    name = cluster.stylize(0).headers["X-Style-Id"]
    wait_until(lambda: all(r.client.get(f"/styles/{name}").status_code == 200 for r in cluster.replicas))
    before = [served(replica) for replica in cluster.replicas]

    def until_each_has_served() -> bool:
        answer = cluster.client.post("/stylize", files={"content": PHOTOS[0]}, data={"style_id": name})
        assert answer.status_code == 200, answer.text
        return all(served(replica) > count for replica, count in zip(cluster.replicas, before, strict=True))

    wait_until(until_each_has_served)


def test_a_replica_that_is_killed_under_load_loses_no_request(cluster: Cluster) -> None:
    victim = cluster.replicas[0]

    def kill() -> None:
        before = served(victim)
        wait_until(lambda: served(victim) > before + 2, 60)
        victim.process.send_signal(signal.SIGKILL)
        victim.process.wait(timeout=20)
        cluster.start_again(victim)

    statuses = cluster.under_load(kill)
    assert set(statuses) == {200}
    assert len(statuses) >= 3 * CLIENTS


def test_a_replica_that_is_restarted_under_load_loses_no_request(cluster: Cluster) -> None:
    def restart() -> None:
        assert cluster.replicas[1].terminate() == 0
        cluster.start_again(cluster.replicas[1])

    assert set(cluster.under_load(restart)) == {200}


def test_a_job_is_found_however_it_was_asked_for(cluster: Cluster) -> None:
    files = {"content": PHOTOS[0], "style": STYLE}
    for path, headers in (("/jobs", {}), ("/stylize", {"Prefer": "respond-async"})):
        accepted = cluster.client.post(path, files=files, headers=headers)
        assert accepted.status_code == 202, accepted.text
        where = f"/jobs/{accepted.json()['id']}"
        wait_until(lambda where=where: cluster.client.get(where).json()["state"] == "done", 60)  # type: ignore[misc]


def test_slow_clients_do_not_get_as_far_as_a_replica(cluster: Cluster) -> None:
    with ExitStack() as stack:
        for _ in range(50):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", cluster.nginx.port), timeout=60))
            connection.sendall(head(TYPE, "Content-Length: 1000000") + b"some of it")
        assert cluster.stylize(0).status_code == 200
        assert [replica.metric("impasto_uploads") for replica in cluster.replicas] == [0, 0]


def test_what_nginx_refuses_is_a_problem_too(cluster: Cluster) -> None:
    with socket.create_connection(("127.0.0.1", cluster.nginx.port), timeout=60) as connection:
        connection.sendall(head(TYPE, "Content-Length: 200000000"))
        raw_problem(connection, 413, "request-too-large")
    assert cluster.client.get("/metrics").json()["type"] == "/problems/not-found"
    problem(cluster.client.get("/nowhere"), 404, "not-found")


def test_a_client_can_not_pass_for_another_address(cluster: Cluster) -> None:
    """The first proxy writes X-Forwarded-For anew: limits count the one real address."""
    left = []
    for forwarded in ("192.0.2.1", "127.0.0.1", "10.0.0.1, 192.0.2.2"):
        answer = cluster.client.post("/stylize", headers={"X-Forwarded-For": forwarded})
        assert answer.status_code == 415
        left.append(int(answer.headers["RateLimit"].partition("r=")[2].partition(";")[0]))
    assert left == [left[0], left[0] - 1, left[0] - 2]


def test_without_any_replica_nginx_says_when_to_come_again(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        with Nginx(tmp_path, http=configuration(tmp_path, [port], port)) as nginx:
            answer = httpx.post(f"{nginx.url}/stylize", files={"content": b"x"})
            assert answer.status_code == 503
            assert answer.json()["type"] == "/problems/not-ready"
            assert int(answer.headers["Retry-After"]) >= 1
