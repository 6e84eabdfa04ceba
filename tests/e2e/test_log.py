"""What the log shows of what clients send: a line a request, and nothing that could pass for another."""

import re
import socket
from http.client import HTTPResponse
from urllib.parse import quote

import httpx
import pytest

from tests.e2e.server import Server
from tests.e2e.test_operation import wait_until
from tests.e2e.test_wire import head
from tests.pictures import jpeg, photo

CONTENT = jpeg(photo("astronaut", 64))
RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING) [\w.]+: .*")
# Line ends of ASCII, C1 and Unicode, terminal escapes of 7 and 8 bits, a bidirectional override, NUL, DEL.
HOSTILE = ("\n", "\r\n", "\x0b", "\x85", "\u2028", "\u2029", "\x1b[2J", "\x9b31m", "\u202e", "\x00", "\x7f")
FORGED = "2026-01-01 00:00:00,000 INFO impasto.http: GET /forged 200 1 ms forged"


def expect_lines(server: Server, before: str, count: int) -> None:
    """So many lines were logged since, an answer's a moment behind it, and each of them is a record."""
    wait_until(lambda: server.log().removeprefix(before).count("\n") >= count)
    new = server.log().removeprefix(before).splitlines()
    assert len(new) == count, new
    for line in new:
        assert RECORD.fullmatch(line), line
        assert line.isprintable()
        assert len(line) < 2000


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
def test_a_request_is_one_line_whatever_it_holds(server: Server, client: httpx.Client, hostile: str) -> None:
    name = f"a{hostile}{FORGED}"
    before = server.log()
    assert client.get(f"/{quote(name)}").status_code == 404
    assert client.get("/styles", params={"a": name}).status_code == 200
    assert client.get(f"/styles/{quote(name)}").status_code == 404
    parts = {
        "content": (f"{name}.jpg", CONTENT),
        "style": (f"{name}.jpg", b"no picture"),
        name: (None, name),
        "style_id": (None, name),
        "strength": (None, name),
    }
    assert client.post("/stylize", files=parts).status_code == 422
    del parts[name], parts["style_id"], parts["strength"]
    assert client.post("/stylize", files=parts).status_code == 422
    expect_lines(server, before, 5)


@pytest.mark.parametrize(
    "request_bytes",
    [
        head(start="GET /styles\x85?a=\x9b HTTP/1.1"),
        head(start="GET /styles?\xe2\x80\xa8 HTTP/1.1"),
        head(start="GET /styles\x1b HTTP/1.1"),
        head(start="G\x1bT /styles HTTP/1.1"),
        head(f"X-Request-Id: a\x9b{FORGED}", start="GET /styles HTTP/1.1"),
        head("X-Request-Id: a\x1b[2J", start="GET /styles HTTP/1.1"),
        head(f"X-Request-Id: a\r\n {FORGED}", start="GET /styles HTTP/1.1"),
        head("X-Request-Id: a\x00b", start="GET /styles HTTP/1.1"),
    ],
    ids=ascii,
)
def test_raw_bytes_in_a_head_are_refused_or_left_out(server: Server, request_bytes: bytes) -> None:
    before = server.log()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request_bytes)
        answer = HTTPResponse(connection)
        answer.begin()
        answer.read()
    assert answer.status in (200, 400)
    expect_lines(server, before, 1)
    assert "forged" not in server.log().removeprefix(before)


def test_a_long_path_does_not_fill_the_log(server: Server, client: httpx.Client) -> None:
    before = server.log()
    assert client.get("/" + "x" * 20_000).status_code == 404
    expect_lines(server, before, 1)
