"""A job's end is told to the address its caller names: signed, over https, at hosts that are allowed, nowhere else."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.e2e.jobs import accepted, content, ended, send
from tests.e2e.server import Server, free_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105


class Listener(ThreadingHTTPServer):
    """Notes what it is told; at /elsewhere it sends on."""

    def __init__(self, port: int, authority: trustme.CA) -> None:
        super().__init__(("127.0.0.1", port), Heard)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.news = threading.Condition()

    def hear(self, path: str) -> tuple[dict[str, str], bytes]:
        """What came at a path, once it has."""
        with self.news:
            assert self.news.wait_for(lambda: any(one[0] == path for one in self.heard), 60)
        return next((headers, body) for at, headers, body in self.heard if at == path)


class Heard(BaseHTTPRequestHandler):
    server: Listener

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(307 if self.path == "/elsewhere" else 204)
        if self.path == "/elsewhere":
            self.send_header("Location", "/told")
            self.send_header("Content-Length", "0")
        self.end_headers()
        with self.server.news:
            self.server.heard.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.server.news.notify_all()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Listener, Path]]:
    """What hears, and the certificate of who vouches for it."""
    authority = trustme.CA()
    certificate = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(certificate)
    with Listener(free_port(), authority) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running, certificate
        running.shutdown()


@pytest.fixture(scope="module")
def server(listener: tuple[Listener, Path]) -> Iterator[Server]:
    heard, certificate = listener
    settings = {"callback_hosts": f"hooks.example,localhost:{heard.server_port}", "callback_secret": SECRET}
    running = Server(settings)
    running.environment["SSL_CERT_FILE"] = str(certificate)
    with running:
        yield running


@pytest.fixture
def client(server: Server) -> httpx.Client:
    return server.client


def test_the_end_is_told_and_signed(client: httpx.Client, listener: tuple[Listener, Path]) -> None:
    heard, _ = listener
    where = accepted(send(client, content(64), callback=f"https://localhost:{heard.server_port}/end"))
    headers, body = heard.hear("/end")
    told = Webhook(SECRET).verify(body, headers)
    assert told["type"] == "job.done"
    assert told["data"] == client.get(where).json()
    assert json.loads(body) == told
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"done", b"gone"), headers)


def test_nobody_is_sent_elsewhere_and_what_was_not_heard_is_told_again(
    client: httpx.Client, server: Server, listener: tuple[Listener, Path]
) -> None:
    heard, _ = listener
    where = accepted(send(client, content(64), callback=f"https://localhost:{heard.server_port}/elsewhere"))
    heard.hear("/elsewhere")
    deadline = time.monotonic() + 60
    while "its callback is tried again: it answered 307" not in server.log() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "its callback is tried again: it answered 307" in server.log()
    assert "/told" not in [path for path, _, _ in heard.heard]
    assert ended(client, where)["state"] == "done", "whoever hears of it"
    assert SECRET not in server.log()


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/",
        "https://hooks.example:8443/",
        "https://hooks.example.evil.example/",
        "https://hooks.example@evil.example/",
        "https://evil.example/?hooks.example",
        "https://localhost/",
        "hooks.example",
        "https://[::1/",
    ],
)
def test_other_addresses_are_refused(client: httpx.Client, url: str) -> None:
    answer = send(client, content(32), callback=url)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "callback"


def test_hosts_without_a_secret_and_bad_secrets_stop_the_start_and_show_none() -> None:
    for settings, name in (
        ({"callback_hosts": "hooks.example"}, "IMPASTO_CALLBACK_HOSTS"),
        ({"callback_secret": "whsec_c2hvcnQ="}, "IMPASTO_CALLBACK_SECRET"),
    ):
        with pytest.raises(AssertionError, match=name) as stopped, Server(settings):
            pass
        assert "c2hvcnQ" not in str(stopped.value)
