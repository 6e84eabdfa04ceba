"""What bad input gets: one clear problem, and a server that still answers the next request."""

import io
import json
import socket
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPResponse

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.e2e.server import Server
from tests.pictures import heic, jpeg, photo, png

CONTENT = jpeg(photo("astronaut", 64))
STYLE = jpeg(photo("coffee", 64))


@pytest.fixture(autouse=True)
def _still_answers(client: httpx.Client) -> Iterator[None]:
    yield
    answer = client.post("/stylize", files={"content": CONTENT, "style": STYLE})
    assert answer.status_code == 200


def problem(answer: httpx.Response, status: int, name: str) -> dict:
    """The body of an answer that must be this problem and nothing else."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    body = answer.json()
    assert (answer.status_code, body["status"], body["type"]) == (status, status, f"/problems/{name}")
    assert body["title"]
    assert body["detail"]
    assert body["remedy"]
    assert "Traceback" not in answer.text
    assert answer.headers["X-Request-Id"]
    return body


def raw_problem(connection: socket.socket, status: int, name: str) -> HTTPResponse:
    """What comes over a bare connection must be this problem."""
    answer = HTTPResponse(connection)
    answer.begin()
    assert answer.status == status
    assert answer.getheader("Content-Type") == "application/problem+json"
    assert json.loads(answer.read())["type"] == f"/problems/{name}"
    return answer


def faults(answer: httpx.Response) -> dict[str, dict]:
    return {error["field"]: error for error in problem(answer, 422, "invalid-request")["errors"]}


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(100_000))) + png_chunk(b"IEND", b"")


def broken_crc() -> bytes:
    whole = bytearray(png(photo("astronaut", 64)))
    whole[whole.index(b"IDAT") + 100] ^= 0xFF
    return bytes(whole)


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("photo.jpg", CONTENT)
    return file.getvalue()


def test_nothing_at_all_names_what_is_needed(client: httpx.Client) -> None:
    answer = client.post("/stylize", files={"strength": (None, "1")})
    assert set(faults(answer)) == {"content", "style"}


def test_every_fault_comes_in_one_answer(client: httpx.Client) -> None:
    answer = client.post(
        "/stylize",
        files={"content": CONTENT, "mask": STYLE},
        data={
            "style_id": ["0" * 32, "1" * 32],
            "strength": "1.5",
            "size": "-1",
            "style_size": "8",
            "weight": ["1", "NaN", "-2"],
            "preserve_color": "sepia",
            "format": "gif",
            "quality": "101",
            "sterngth": "1",
        },
    )
    found = faults(answer)
    expected = {"style_id", "strength", "size", "style_size", "weight", "weight[1]", "weight[2]", "preserve_color"}
    assert set(found) == expected | {"format", "quality", "sterngth", "mask"}
    assert found["strength"]["limit"] == 1
    assert found["quality"]["limit"] == 100
    assert found["style_size"]["limit"] == 16


@pytest.mark.parametrize("value", ["nan", "inf", "-0.1", "1.01", "much", "1e999", "0x1"])
def test_a_strength_that_is_no_number_from_0_to_1_is_refused(client: httpx.Client, value: str) -> None:
    answer = client.post("/stylize", files={"content": CONTENT, "style": STYLE}, data={"strength": value})
    assert set(faults(answer)) == {"strength"}


def test_sizes_over_the_services_limits_are_refused(client: httpx.Client) -> None:
    answer = client.post(
        "/stylize", files={"content": CONTENT, "style": STYLE}, data={"size": "5000", "style_size": "2000"}
    )
    found = faults(answer)
    assert (found["size"]["limit"], found["style_size"]["limit"]) == (4096, 1024)


@pytest.mark.parametrize("weights", [["1"], ["1", "2", "3"], ["0", "0"]])
def test_weights_that_do_not_fit_the_styles_are_refused(client: httpx.Client, weights: list[str]) -> None:
    files = [("content", CONTENT), ("style", STYLE), ("style", STYLE)]
    assert set(faults(client.post("/stylize", files=files, data={"weight": weights}))) == {"weight"}


def test_nine_styles_are_refused(client: httpx.Client) -> None:
    files = [("content", CONTENT), *[("style", STYLE)] * 9]
    assert faults(client.post("/stylize", files=files))["style"]["limit"] == 8


def test_a_second_content_or_option_is_refused(client: httpx.Client) -> None:
    files = [("content", CONTENT), ("content", CONTENT), ("style", STYLE)]
    answer = client.post("/stylize", files=files, data={"quality": ["50", "60"]})
    assert set(faults(answer)) == {"content", "quality"}


def test_a_file_sent_as_text_is_explained(client: httpx.Client) -> None:
    answer = client.post("/stylize", files={"content": (None, "photo.jpg"), "style": STYLE})
    assert "@" in faults(answer)["content"]["detail"]


UNREADABLE = {
    "empty": b"",
    "text": b"not a picture, whatever its name says",
    "truncated-jpeg": CONTENT[: len(CONTENT) // 2],
    "broken-crc": broken_crc(),
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "pdf": b"%PDF-1.7\n1 0 obj<<>>endobj\n%%EOF",
    "zip": archive(),
    "header-only": CONTENT[:20],
    "video": b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + bytes(500),
    "truncated-heic": heic(photo("astronaut", 64))[:1000],
}
NOTHING = png(np.zeros((20, 20, 4), np.uint8))


@pytest.mark.parametrize("field", ["content", "style", "mask"])
@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_file_that_is_no_picture_is_named(client: httpx.Client, kind: str, field: str) -> None:
    files = {"content": CONTENT, "style": STYLE, field: ("photo.jpg", UNREADABLE[kind], "image/jpeg")}
    body = problem(client.post("/stylize", files=files), 422, "unreadable-image")
    assert body["field"] in (field, f"{field}[0]")


@pytest.mark.parametrize("field", ["content", "style"])
def test_a_picture_with_nothing_to_see_is_named(client: httpx.Client, field: str) -> None:
    files = {"content": CONTENT, "style": STYLE, field: NOTHING}
    body = problem(client.post("/stylize", files=files), 422, "unreadable-image")
    assert "transparent everywhere" in body["detail"]
    assert body["field"] in (field, f"{field}[0]")


def test_a_mask_that_would_hardly_act_is_named_with_its_brightest_level(client: httpx.Client) -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[:10] = 7
    files = [
        ("content", CONTENT),
        ("style", STYLE),
        ("style", STYLE),
        ("mask", png(labels // 7)),
        ("mask", png(labels)),
    ]
    body = problem(client.post("/stylize", files=files), 422, "unreadable-image")
    assert body["field"] == "mask[1]"
    assert "brightest level is 7 of 255" in body["detail"]


def test_the_bad_one_of_several_styles_is_named(client: httpx.Client) -> None:
    files = [("content", CONTENT), ("style", STYLE), ("style", b"text")]
    assert problem(client.post("/stylize", files=files), 422, "unreadable-image")["field"] == "style[1]"


def test_every_bad_file_of_a_request_is_told(client: httpx.Client) -> None:
    styles = [STYLE, b"text", bomb(60_000), STYLE]
    masks = [STYLE, b"", STYLE, CONTENT[:200]]
    files = [("content", CONTENT[:100]), *[("style", s) for s in styles], *[("mask", m) for m in masks]]
    body = problem(client.post("/stylize", files=files), 422, "unreadable-image")
    assert body["field"] == "content"
    bad = ["content", "style[1]", "style[2]", "mask[1]", "mask[3]"]
    assert [error["field"] for error in body["errors"]] == bad
    assert [error.get("limit") for error in body["errors"]] == [None, None, 50_000_000, None, None]
    assert all(field in body["detail"] for field in bad)
    files[0] = ("content", CONTENT)
    files[2] = ("style", STYLE)
    body = problem(client.post("/stylize", files=files), 413, "too-many-pixels")
    assert (body["field"], body["limit"]) == ("style[2]", 50_000_000)
    assert [error["field"] for error in body["errors"]] == bad[2:]


@pytest.mark.parametrize("field", ["content", "style", "mask"])
def test_a_picture_bomb_is_refused_from_its_header(server: Server, client: httpx.Client, field: str) -> None:
    before = server.resident_bytes()
    files = {"content": CONTENT, "style": STYLE, field: bomb(60_000)}
    body = problem(client.post("/stylize", files=files), 413, "too-many-pixels")
    assert body["limit"] == 50_000_000
    assert body["field"] in (field, f"{field}[0]")
    assert server.resident_bytes() - before < 100_000_000


def endless(boundary: bytes, chunks: int) -> Iterator[bytes]:
    """A multipart body whose file never ends, as a client without Content-Length sends it."""
    yield b"--" + boundary + b'\r\nContent-Disposition: form-data; name="content"; filename="a.jpg"\r\n\r\n'
    for _ in range(chunks):
        yield bytes(1_000_000)


def test_a_file_over_the_limit_is_cut_off_with_content_length(client: httpx.Client) -> None:
    answer = client.post("/stylize", files={"content": bytes(20_000_001), "style": STYLE})
    body = problem(answer, 413, "file-too-large")
    assert (body["field"], body["limit"]) == ("content", 20_000_000)


def test_a_file_over_the_limit_is_cut_off_without_content_length(server: Server, client: httpx.Client) -> None:
    before = server.resident_bytes()
    answer = client.post(
        "/stylize",
        content=endless(b"b", 60),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    problem(answer, 413, "file-too-large")
    assert server.resident_bytes() - before < 30_000_000


def test_a_request_over_the_limit_is_refused_before_it_is_sent(server: Server) -> None:
    head = (
        "POST /stylize HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        "Content-Length: 1000000000000\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head.encode())
        raw_problem(connection, 413, "request-too-large")


def test_a_client_that_sends_on_after_a_refusal_is_let_go(server: Server) -> None:
    head = "POST /stylize HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head.encode() + bytes(1000))
        answer = raw_problem(connection, 415, "unsupported-media-type")
        assert answer.getheader("Connection") == "close"
        connection.sendall(bytes(999_000))
        assert connection.recv(65536) == b""


def raw(client: httpx.Client, body: bytes, content_type: str | None) -> httpx.Response:
    headers = {"Content-Type": content_type} if content_type else {}
    return client.post("/stylize", content=body, headers=headers)


@pytest.mark.parametrize("content_type", [None, "application/json", "application/x-www-form-urlencoded", "image/jpeg"])
def test_a_body_that_is_not_multipart_is_refused(client: httpx.Client, content_type: str | None) -> None:
    problem(raw(client, b"{}", content_type), 415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--b\r\n"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"--c\r\nnot ours"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="size"\r\n\r\n64'),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\n64\r\n--b--\r\n"),
        ("multipart/form-data; boundary=" + "b" * 5000, b"--b\r\n"),
    ],
)
def test_a_broken_multipart_body_is_refused(client: httpx.Client, content_type: str, body: bytes) -> None:
    problem(raw(client, body, content_type), 400, "malformed-multipart")


def test_a_thousand_parts_are_refused(client: httpx.Client) -> None:
    files = [("style_id", (None, "x"))] * 1000
    body = problem(client.post("/stylize", files=files), 413, "request-too-large")
    assert body["limit"] == 64


def test_a_long_text_field_is_refused(client: httpx.Client) -> None:
    answer = client.post("/stylize", files={"style_id": (None, "x" * 1_000_000)})
    body = problem(answer, 413, "field-too-large")
    assert (body["field"], body["limit"]) == ("style_id", 1024)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
def test_a_senseless_timeout_is_refused(client: httpx.Client, value: str) -> None:
    files = {"content": CONTENT, "style": STYLE}
    assert "X-Request-Timeout" in faults(client.post("/stylize", files=files, headers={"X-Request-Timeout": value}))


def test_an_unknown_path_method_style_and_problem(client: httpx.Client) -> None:
    problem(client.get("/nowhere"), 404, "not-found")
    problem(client.get("/stylize"), 405, "method-not-allowed")
    problem(client.get("/styles/unknown"), 404, "unknown-style")
    problem(client.get("/problems/unknown"), 404, "not-found")


def test_what_is_not_http_gets_a_problem_too(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"HELLO\r\n\r\n")
        raw_problem(connection, 400, "bad-request")


def test_endless_headers_are_cut_off(server: Server) -> None:
    before = server.resident_bytes()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        with suppress(ConnectionError):
            for _ in range(5000):
                connection.sendall(b"X-A: " + b"b" * 995 + b"\r\n")
        with suppress(ConnectionError):
            raw_problem(connection, 431, "headers-too-large")
    assert server.resident_bytes() - before < 3_000_000


def test_headers_just_over_the_limit_get_a_problem(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-A: " + b"b" * 65_600)
        raw_problem(connection, 431, "headers-too-large")


def test_more_files_than_a_request_can_use_are_refused(client: httpx.Client) -> None:
    files = [("content", CONTENT), *[("style", STYLE)] * 8, *[("mask", STYLE)] * 9]
    assert problem(client.post("/stylize", files=files), 413, "request-too-large")["limit"] == 17


def test_an_upload_that_stalls_is_given_up() -> None:
    with (
        Server({"upload_timeout": 0.5}) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection,
    ):
        head = "POST /stylize HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        connection.sendall(head.encode() + b"Content-Length: 1000\r\n\r\n--b")
        since = time.monotonic()
        raw_problem(connection, 408, "upload-timeout")
        assert time.monotonic() - since >= 0.4


def test_an_unusual_but_sound_form_is_read(client: httpx.Client) -> None:
    """Parts in any order, quoted names, a browser's empty file input, a CMYK photo under another name."""
    file = io.BytesIO()
    Image.fromarray(photo("astronaut", 64)).convert("CMYK").save(file, "JPEG")
    files = [
        ("strength", (None, " 0.5 ")),
        ("style", ("", b"")),
        ("style", ("стиль.png", STYLE, "application/octet-stream")),
        ("content", ('a"b.gif', file.getvalue(), "image/gif")),
        ("format", (None, "")),
    ]
    answer = client.post("/stylize", files=files)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/jpeg"
