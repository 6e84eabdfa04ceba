"""What clients do on the wire: other protocols asked for, a sending side shut, bytes in packets of any cut."""

import io
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from itertools import pairwise
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.e2e.server import Server
from tests.e2e.test_bad_input import raw_problem
from tests.pictures import jpeg, photo

CONTENT = jpeg(photo("astronaut", 64))
STYLE = jpeg(photo("coffee", 64))
FORM = httpx.Request("POST", "http://a/stylize", files={"content": CONTENT, "style": STYLE})
TYPE = f"Content-Type: {FORM.headers['Content-Type']}"
BODY = FORM.read()
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKS = b"".join(b"%x\r\n%b\r\n" % (len(cut), cut) for cut in (BODY[:1000], BODY[1000:])) + b"0\r\n\r\n"

# As Java's HttpClient, `curl --http2` and browsers write them.
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
WEBSOCKET = ("Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
TLS = ("connection: upgrade", "upgrade: TLS/1.2, HTTP/2.0")


def head(*lines: str, start: str = "POST /stylize HTTP/1.1") -> bytes:
    return "\r\n".join((start, "Host: a", *lines, "", "")).encode("latin-1")


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def send(connection: socket.socket, packets: Sequence[bytes]) -> None:
    """Each in a packet of its own."""
    for packet in packets:
        connection.sendall(packet)
        time.sleep(0.05)


class Kept(io.BufferedReader):
    """What http.client reads all answers of a connection by: one for each would take the next one's beginning along."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection.makefile("rb", buffering=0))

    def makefile(self, mode: str) -> "Kept":
        return self

    def close(self) -> None:
        """Left open: http.client closes it behind each answer."""


def picture(connection: "socket.socket | Kept") -> HTTPResponse:
    """The next answer, which must be a picture; interim answers are passed over, as every client does."""
    answer = HTTPResponse(connection)
    answer.begin()
    body = answer.read()
    assert answer.status == 200, body
    assert answer.version == 11
    assert Image.open(io.BytesIO(body)).size == (64, 64)
    return answer


@pytest.mark.parametrize("cuts", [(), (-1,), (100,), (0,), (0, 1000)], ids=str)
@pytest.mark.parametrize("wish", [H2C, WEBSOCKET, TLS], ids=["h2c", "websocket", "tls"])
def test_another_protocol_asked_for_is_passed_over(server: Server, wish: Sequence[str], cuts: Sequence[int]) -> None:
    """`cuts` are where packets end, counted from the end of the head; no cut is head and body in one."""
    start = head(*wish, TYPE, LENGTH)
    whole = start + BODY
    ends = [0, *(len(start) + cut for cut in cuts), len(whole)]
    with connected(server) as connection:
        send(connection, [whole[a:b] for a, b in pairwise(ends)])
        assert picture(connection).getheader("Connection") is None
        send(connection, [head(TYPE, LENGTH) + BODY])
        picture(connection)
        send(connection, [whole])
        picture(connection)


@pytest.mark.parametrize("apart", [False, True])
def test_a_chunked_body_beside_an_upgrade_is_read(server: Server, apart: bool) -> None:
    packets = [head(*H2C, TYPE, "Transfer-Encoding: chunked"), CHUNKS]
    with connected(server) as connection:
        for _ in range(2):
            send(connection, packets if apart else [b"".join(packets)])
            picture(connection)


def test_expect_beside_an_upgrade_is_answered_before_the_body(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(head(*H2C, TYPE, LENGTH, "Expect: 100-continue"))
        interim = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert connection.recv(len(interim), socket.MSG_WAITALL) == interim
        connection.sendall(BODY)
        picture(connection)


def test_a_request_with_an_upgrade_may_ask_to_close(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(head("Connection: Upgrade, close", "Upgrade: h2c", TYPE, LENGTH) + BODY)
        assert picture(connection).getheader("Connection") == "close"
        assert connection.recv(1) == b""


def test_requests_with_upgrades_may_come_behind_each_other(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall((head(*H2C, TYPE, LENGTH) + BODY) * 2 + head(*WEBSOCKET, start="GET /healthz HTTP/1.1"))
        answers = Kept(connection)
        picture(answers)
        picture(answers)
        answer = HTTPResponse(answers)
        answer.begin()
        assert (answer.status, answer.read()) == (200, b'{"status":"ok"}')


def test_what_is_wrong_with_a_request_with_an_upgrade_is_still_told(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(head(*H2C, "Content-Length: 2", "Content-Type: application/json") + b"{}")
        raw_problem(connection, 415, "unsupported-media-type")


def test_a_proxy_is_not_what_the_service_is(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(head(start="CONNECT a.example:443 HTTP/1.1") + b"hello")
        raw_problem(connection, 405, "method-not-allowed")
        assert connection.recv(1) == b""


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_may_ask_for_http_2(server: Server, tmp_path: Path) -> None:
    if "HTTP2" not in subprocess.run(("curl", "--version"), capture_output=True, text=True, check=True).stdout:
        pytest.skip("this curl knows no HTTP/2")
    (tmp_path / "photo.jpg").write_bytes(CONTENT)
    files = ("-F", f"content=@{tmp_path}/photo.jpg", "-F", f"style=@{tmp_path}/photo.jpg")
    url = f"{server.url}/stylize"
    command = ("curl", "--silent", "--show-error", "--http2", "--fail", *files, url, "-w", "%{http_version}", "-o")
    told = subprocess.run((*command, f"{tmp_path}/out.jpg"), capture_output=True, text=True, check=True).stdout
    assert told == "1.1"
    assert Image.open(tmp_path / "out.jpg").size == (64, 64)


@pytest.mark.parametrize(
    "request_bytes",
    [
        head(TYPE, LENGTH) + BODY,
        head(TYPE, "Transfer-Encoding: chunked") + CHUNKS,
        head(*H2C, TYPE, LENGTH) + BODY,
        head(TYPE, LENGTH, start="POST /stylize HTTP/1.0") + BODY,
    ],
    ids=["length", "chunked", "upgrade", "http-1.0"],
)
@pytest.mark.parametrize("apart", [False, True])
def test_a_client_that_shuts_its_sending_side_gets_its_answer(
    server: Server, request_bytes: bytes, apart: bool
) -> None:
    with connected(server) as connection:
        connection.sendall(request_bytes)
        if apart:
            time.sleep(0.05)
        connection.shutdown(socket.SHUT_WR)
        picture(connection)
        assert connection.recv(1) == b""


def test_requests_behind_each_other_are_all_answered_after_the_sending_side_is_shut(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall((head(TYPE, LENGTH) + BODY) * 3)
        connection.shutdown(socket.SHUT_WR)
        for _ in range(3):
            picture(connection)
        assert connection.recv(1) == b""


def test_a_client_that_shuts_its_sending_side_while_the_answer_comes_gets_all_of_it(server: Server) -> None:
    noise = jpeg(np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8))
    files = {"content": noise, "style": STYLE}
    form = httpx.Request("POST", "http://a/stylize", files=files, data={"format": "png"})
    body = form.read()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", server.port))
        lines = (f"Content-Type: {form.headers['Content-Type']}", f"Content-Length: {len(body)}")
        connection.sendall(head(*lines) + body)
        answer = HTTPResponse(connection)
        answer.begin()
        connection.shutdown(socket.SHUT_WR)
        time.sleep(0.2)
        assert Image.open(io.BytesIO(answer.read())).size == (700, 700)


@pytest.mark.parametrize(
    "part", [head(TYPE, LENGTH) + BODY[:-1], head(TYPE, LENGTH), head(TYPE, LENGTH)[:-1], b"POST"], ids=len
)
def test_a_client_that_ends_before_its_request_is_whole_is_told(server: Server, part: bytes) -> None:
    with connected(server) as connection:
        send(connection, [part])
        connection.shutdown(socket.SHUT_WR)
        raw_problem(connection, 400, "bad-request")
        assert connection.recv(1) == b""


def test_an_idle_connection_ends_with_its_clients_side(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(head(TYPE, LENGTH) + BODY)
        picture(connection)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    with connected(server) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


@pytest.mark.parametrize("rest", [b"X-A: b\r\n", b"b"], ids=["many", "long"])
def test_endless_trailers_are_cut_off(server: Server, rest: bytes) -> None:
    before = server.resident_bytes()
    with connected(server) as connection:
        connection.sendall(head(TYPE, "Transfer-Encoding: chunked") + CHUNKS.removesuffix(b"\r\n") + b"X-B: c\r\nX-A: ")
        with suppress(ConnectionError):
            for _ in range(100):
                connection.sendall(rest * (200_000 // len(rest)))
        with suppress(ConnectionError):
            assert raw_problem(connection, 400, "bad-request").getheader("Connection") == "close"
    assert server.resident_bytes() - before < 5_000_000


def test_endless_extensions_of_chunks_are_cut_off(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(head(TYPE, "Transfer-Encoding: chunked") + b"5;")
        with suppress(ConnectionError):
            for _ in range(100):
                connection.sendall(b"a" * 200_000)
        with suppress(ConnectionError):
            raw_problem(connection, 400, "bad-request")


def test_a_body_may_come_in_chunks_of_a_byte_with_extensions_and_trailers(server: Server) -> None:
    chunks = b"".join(b"1;a=b\r\n%c\r\n" % byte for byte in BODY)
    with connected(server) as connection:
        connection.sendall(head(TYPE, "Transfer-Encoding: chunked"))
        send(connection, [chunks[:50_000], chunks[50_000:] + b"0\r\nX-A: b\r\nX-C: d\r\n\r\n"])
        picture(connection)
        connection.sendall(head(TYPE, LENGTH) + BODY)
        picture(connection)


def test_many_requests_behind_each_other_are_no_trailers(server: Server) -> None:
    with connected(server) as connection:
        answers = Kept(connection)
        for _ in range(2):
            connection.sendall(head(f"X-A: {'a' * 3000}", start="GET /healthz HTTP/1.1") * 20)
            for _ in range(20):
                answer = HTTPResponse(answers)
                answer.begin()
                assert (answer.status, answer.read()) == (200, b'{"status":"ok"}')
