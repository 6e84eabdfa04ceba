"""What clusters, supervisors and balancers do to the service."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import SERVE, Server, free_port
from tests.e2e.test_bad_input import problem
from tests.e2e.test_operation import batches, later, send, square, wait_until

# What a pod finds where a Service is called impasto and serves port 80.
KUBERNETES = {
    "IMPASTO_SERVICE_HOST": "10.96.0.17",
    "IMPASTO_SERVICE_PORT": "80",
    "IMPASTO_PORT": "tcp://10.96.0.17:80",
    "IMPASTO_PORT_80_TCP": "tcp://10.96.0.17:80",
    "IMPASTO_PORT_80_TCP_PROTO": "tcp",
    "IMPASTO_PORT_80_TCP_PORT": "80",
    "IMPASTO_PORT_80_TCP_ADDR": "10.96.0.17",
}

# However slow the machine is, nothing is given up.
PATIENT = {"grace_seconds": 600, "request_timeout": 600}


def in_a_pod(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **KUBERNETES}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_address_of_a_kubernetes_service_is_no_port_and_told_in_one_line() -> None:
    server = Server(command=(*SERVE, "--port", str(port := free_port())))
    server.port, server.url = port, f"http://127.0.0.1:{port}"
    server.environment.update(KUBERNETES)
    with server:
        assert send(server, square(32)).status_code == 200
        told = [line for line in server.log().splitlines() if "10.96" in line or "IMPASTO_" in line]
    assert len(told) == 1
    assert "IMPASTO_PORT is the address of a Kubernetes Service" in told[0]


def test_in_a_pod_the_default_port_is_taken_and_commands_run() -> None:
    run = in_a_pod(sys.executable, "-c", "from app.settings import read_settings; print(read_settings().port)")
    assert run.stdout.strip() == "8000", run.stderr
    unhealthy = in_a_pod(*SERVE[:-1], "health")
    assert unhealthy.returncode == 1
    assert unhealthy.stderr.startswith("http://127.0.0.1:8000: ")


def test_a_wrong_port_of_ones_own_is_still_refused() -> None:
    environment = {**os.environ, "IMPASTO_PORT": "eight"}
    run = subprocess.run(SERVE, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2
    assert "port (IMPASTO_PORT)" in run.stderr


def is_served(server: Server) -> bool:
    try:
        return send(server, square(32)).status_code == 200
    except httpx.TransportError:  # with nothing in flight it is gone as soon as it has begun to refuse
        return False


def test_sigterm_leaves_balancers_time_to_notice_and_everything_is_served_until_then() -> None:
    with Server({"drain_seconds": 3}) as server:
        server.process.terminate()
        wait_until(lambda: server.client.get("/readyz").status_code == 503)
        problem(server.client.get("/readyz"), 503, "shutting-down")
        served = send(server, square(32))
        assert served.status_code == 200
        assert served.headers["Connection"] == "close"
        assert server.client.get("/healthz").status_code == 200
        wait_until(lambda: not is_served(server))
        assert server.process.wait(timeout=20) == 0


def test_ctrl_c_does_not_wait_for_balancers() -> None:
    with Server({"drain_seconds": 600}) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=30) == 0


def test_the_same_signal_twice_at_once_is_one_wish() -> None:
    with Server(PATIENT) as server:
        working = later(server, square(256), size="1024")
        wait_until(lambda: batches(server) == 1)
        server.process.terminate()
        time.sleep(0.01)
        server.process.terminate()
        assert working.result().status_code == 200
        assert server.process.wait(timeout=30) == 0
        assert "Traceback" not in server.log()


def test_a_signal_later_ends_it_at_once_and_what_is_in_flight_is_told() -> None:
    with Server({"drain_seconds": 600}) as server, socket.create_connection(("127.0.0.1", server.port)) as uploading:
        working = later(server, square(256), size="4096")
        wait_until(lambda: batches(server) == 1)
        uploading.sendall(
            b"POST /stylize HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        )
        server.process.terminate()
        time.sleep(2.1)
        server.process.terminate()
        problem(working.result(), 503, "shutting-down")
        uploading.settimeout(20)
        assert uploading.recv(1000).startswith(b"HTTP/1.1 503")
        assert server.process.wait(timeout=30) == 0
        assert "Traceback" not in server.log()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_start_that_hangs_can_be_stopped(stop: signal.Signals, tmp_path: Path) -> None:
    """Weights on a file system that does not answer: a pipe nobody writes to."""
    os.mkfifo(tmp_path / "decoder.safetensors")
    environment = {**os.environ, "IMPASTO_DECODER_WEIGHTS": str(tmp_path / "decoder.safetensors"), "IMPASTO_PORT": "0"}
    with subprocess.Popen(SERVE, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            while "Waiting for application startup" not in (line := process.stderr.readline()):
                assert line, "ended before it began to start"
            process.send_signal(stop)
            assert process.wait(timeout=30) == 0
            assert f"{stop.name}: stopped before it was ready to serve" in process.stderr.read()
        finally:
            process.kill()


def test_a_number_of_processes_that_a_platform_sets_is_not_ours() -> None:
    server = Server()
    server.environment["WEB_CONCURRENCY"] = "auto"
    with server:
        assert server.client.get("/readyz").status_code == 200


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_a_whole_group_told_to_stop_with_make_in_front_loses_no_request(tmp_path: Path) -> None:
    """The signal comes twice: from the supervisor, and from make, which passes its own on."""
    (tmp_path / "Makefile").write_text(f"serve:\n\t@{shlex.join(SERVE)}\n")
    with Server(PATIENT, ("setsid", "make", "-f", str(tmp_path / "Makefile"), "serve")) as server:
        working = [later(server, square(128 + n), size="512") for n in range(3)]
        taken = ("impasto_batch_size_sum", "impasto_queue_items")
        wait_until(lambda: sum(map(server.metric, taken)) == len(working))
        os.killpg(server.process.pid, signal.SIGTERM)
        assert [future.result().status_code for future in working] == [200] * 3
        server.process.wait(timeout=30)
        assert "Traceback" not in server.log()


def test_connections_are_kept_as_long_as_the_setting_says() -> None:
    with Server({"keep_alive_seconds": 1}) as server:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        assert connection.sock.recv(1) == b"", "closed by the service, since nothing came"


def test_connections_outlive_the_minute_that_balancers_keep_theirs() -> None:
    run = subprocess.run([*SERVE, "--help"], capture_output=True, text=True, check=True)
    default = re.search(r"IMPASTO_KEEP_ALIVE_SECONDS; default:\s+(\d+)", run.stdout)
    assert default
    assert int(default.group(1)) > 60


def test_probes_are_no_lines_of_the_log() -> None:
    with Server() as server:
        for path in ("/healthz", "/readyz", "/metrics", "/healthz/"):
            assert server.client.get(path).status_code == 200
        assert server.client.get("/problems").status_code == 200
        wait_until(lambda: "/problems" in server.log())
        assert not re.search(r"/healthz|/readyz|/metrics", server.log())


def test_probes_are_logged_where_asked_for() -> None:
    with Server({"log_level": "debug"}) as server:
        server.client.get("/healthz")
        wait_until(lambda: "/healthz" in server.log())


@pytest.fixture(scope="module")
def plain() -> Iterator[Server]:
    """The service as any ASGI server starts it, from the first line of app/main.py."""
    port = free_port()
    server = Server(command=(sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(port)))
    server.port, server.url = port, f"http://127.0.0.1:{port}"
    with server:
        yield server


def test_uvicorn_app_main_app_serves(plain: Server) -> None:
    assert send(plain, square(32)).status_code == 200


@pytest.mark.parametrize("application", [("app.main:app",), ("--factory", "app.main:create_app")])
def test_uvicorn_told_wrong_settings_says_so_in_a_line(application: tuple[str, ...]) -> None:
    environment = {**os.environ, "IMPASTO_THREADS": "many"}
    command = (sys.executable, "-m", "uvicorn", *application, "--port", "0")
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode != 0
    assert "threads (IMPASTO_THREADS)" in run.stderr
    assert "Traceback" not in run.stderr


def test_importing_the_application_makes_none() -> None:
    code = "import app.main, sys; print('app' in vars(app.main), 'ncnn' in sys.modules, app.main.app is app.main.app)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.split() == ["False", "False", "True"], "made once, when it is asked for"


@pytest.mark.parametrize("path", ["/stylize/", "//stylize", "/stylize//"])
def test_slashes_too_many_lose_no_body(client: httpx.Client, path: str) -> None:
    files = {"content": square(32), "style": square(48)}
    direct = client.post("/stylize", files=files)
    answer = client.post(f"{client.base_url}".rstrip("/") + path, files=files, follow_redirects=False)
    assert answer.status_code == 200
    assert answer.content == direct.content


@pytest.mark.parametrize(
    "path", ["/healthz/", "/readyz/", "/metrics/", "/problems/", "/problems/queue-full/", "/docs/"]
)
def test_slashes_too_many_are_no_redirect(client: httpx.Client, path: str) -> None:
    assert client.get(f"{client.base_url}".rstrip("/") + path, follow_redirects=False).status_code == 200


def test_a_method_that_is_not_for_a_path_is_named_with_those_that_are(client: httpx.Client) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = client.request(method, "/stylize/")
        assert problem(answer, 405, "method-not-allowed")["detail"] == f"{method} /stylize"
        assert answer.headers["Allow"] == "POST"
    assert client.head("/stylize").headers["Allow"] == "POST"
    for path in ("/healthz", "/docs", "/openapi.json", "/static-offline-docs/swagger-ui.css"):
        assert problem(client.post(path), 405, "method-not-allowed")
        assert client.options(path).headers["Allow"] == "GET, HEAD"
        assert client.head(path).status_code == client.get(path).status_code == 200


def test_probes_see_the_way_out_before_connections_are_refused() -> None:
    with Server({"drain_seconds": 1}) as server:
        seen: set[int] = set()

        def probe() -> None:
            while server.process.poll() is None:
                try:
                    seen.add(httpx.get(f"{server.url}/readyz").status_code)
                except httpx.TransportError:
                    return

        probes = [threading.Thread(target=probe) for _ in range(4)]
        for thread in probes:
            thread.start()
        server.process.terminate()
        for thread in probes:
            thread.join(timeout=30)
        assert 503 in seen
        assert server.process.wait(timeout=30) == 0
