"""Forms as they stream in: the same whatever the chunks, and cut off at the byte that breaks a limit."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.http.forms import (
    IN_MEMORY_BYTES,
    MAX_PART_HEADERS,
    MAX_PARTS,
    MAX_PREAMBLE_BYTES,
    MAX_TEXT_BYTES,
    Form,
    read_form,
)
from app.http.problems import Problem

BOUNDARY = "--------b"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, data: bytes, filename: str | None = None) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + data + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def read(
    chunks: Sequence[bytes],
    kind: str | None = TYPE,
    length: int | None = None,
    headers: dict[str, str] | None = None,
    **limits: int,
) -> Form:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    limits = {"max_file_bytes": 1000, "max_request_bytes": 100_000, **limits}
    sent = {"content-type": kind, "content-length": length and str(length), **(headers or {})}
    known = {name: value for name, value in sent.items() if value is not None}
    return asyncio.run(read_form(known, stream(), file_fields=("content", "style"), **limits))


def problem(chunks: Sequence[bytes], headers: dict[str, str] | None = None, **more: int) -> Problem:
    with pytest.raises(Problem) as caught:
        read(chunks, headers=headers, **more)
    return caught.value


def contents(form: Form) -> tuple[dict[str, list[str]], dict[str, list[bytes]]]:
    return form.texts, {name: [file.data.read() for file in files] for name, files in form.files.items()}


names = st.sampled_from(["size", "mask", "strength", "имя"])
parts = st.lists(st.tuples(names, st.binary(max_size=300), st.booleans()), min_size=1, max_size=8)
# Before the first boundary a body may hold a preamble, which ends with a line.
preambles = st.sampled_from([b"", b"\r\n", b"\r\n\r\n", b"A multi-part message in MIME format.\r\n", b"--\r\n--\r\r\n"])


@given(preambles, parts, st.lists(st.integers(1, 200), min_size=1, max_size=30))
def test_a_form_is_the_same_however_it_is_cut_into_chunks(
    preamble: bytes, wanted: list[tuple[str, bytes, bool]], lengths: list[int]
) -> None:
    body = preamble + b"".join(part(name, data, "f" if is_file else None) for name, data, is_file in wanted) + END
    chunks, at, turn = [], 0, 0
    while at < len(body):
        chunks.append(body[at : at + lengths[turn % len(lengths)]])
        at, turn = at + lengths[turn % len(lengths)], turn + 1
    texts, files = contents(read(chunks))
    expected_texts: dict[str, list[str]] = {}
    expected_files: dict[str, list[bytes]] = {}
    for name, data, is_file in wanted:
        if is_file:
            expected_files.setdefault(name, []).append(data)
        else:
            expected_texts.setdefault(name, []).append(data.decode("utf-8", "replace").strip())
    assert (texts, files) == (expected_texts, expected_files)


@given(st.integers(0, 1000))
def test_a_body_that_stops_anywhere_is_refused(cut: int) -> None:
    body = part("content", b"x" * 500, "f") + part("size", b"64") + END
    whole = len(body) - len(b"--\r\n")
    found = problem([body[: min(cut, whole)]])
    assert found.kind.name == "malformed-multipart"


def test_a_file_may_have_as_many_bytes_as_the_limit_and_not_one_more() -> None:
    assert contents(read([part("content", b"x" * 1000, "f") + END]))[1] == {"content": [b"x" * 1000]}
    found = problem([part("content", b"x" * 1001, "f") + END])
    assert (found.kind.name, found.members) == ("file-too-large", {"field": "content", "limit": 1000})


def test_nothing_after_the_broken_limit_is_read() -> None:
    taken = []

    async def endless() -> AsyncIterator[bytes]:
        yield part("content", b"", "f").removesuffix(b"\r\n")
        while True:
            taken.append(1)
            yield b"x" * 100

    limits = {"max_file_bytes": 1000, "max_request_bytes": 10**9}
    with pytest.raises(Problem):
        asyncio.run(read_form({"content-type": TYPE}, endless(), file_fields=("content",), **limits))
    assert len(taken) == 11


def test_a_request_is_refused_by_its_declared_length_before_a_byte_is_read() -> None:
    assert problem([], length=100_001).kind.name == "request-too-large"


def test_a_request_is_refused_by_its_bytes_whatever_it_declares() -> None:
    body = b"".join(part("style", b"x" * 900, "f") for _ in range(50))
    found = problem([body], length=10, max_request_bytes=2000)
    assert (found.kind.name, found.members["limit"]) == ("request-too-large", 2000)


def test_a_text_may_be_as_long_as_the_limit_and_not_one_byte_more() -> None:
    read([part("style_id", b"x" * MAX_TEXT_BYTES) + END])
    assert problem([part("style_id", b"x" * (MAX_TEXT_BYTES + 1)) + END]).kind.name == "field-too-large"


def test_there_may_be_as_many_parts_as_the_limit_and_not_one_more() -> None:
    read([part("style_id", b"x") * MAX_PARTS + END])
    assert problem([part("style_id", b"x") * (MAX_PARTS + 1) + END]).kind.name == "request-too-large"


def test_endless_headers_are_refused() -> None:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="a"\r\n'.encode()
    for more in (b"X-A: b\r\n" * 10_000, b"X-A: " + b"b" * 1_000_000 + b"\r\n"):
        assert problem([head + more + b"\r\nx\r\n" + END], max_request_bytes=10**7).kind.name == "malformed-multipart"


def test_what_a_browser_sends_for_an_empty_file_input_is_no_file() -> None:
    form = read([part("style", b"", "") + part("style", b"", "empty.jpg") + part("style", b"x", "") + END])
    assert contents(form)[1] == {"style": [b"", b"x"]}


@pytest.mark.parametrize("chunk", [1, 7, 10**6])
def test_what_stands_before_the_form_is_no_part_of_it_and_bounded(chunk: int) -> None:
    def read_behind(preamble: bytes) -> Form:
        body = preamble + part("size", b"64") + END
        return read([body[at : at + chunk] for at in range(0, len(body), chunk)])

    preamble = b"A multi-part message.\r\n" + part("size", b"1").replace(BOUNDARY.encode(), b"----another")
    assert read_behind(preamble).texts == {"size": ["64"]}
    # Behind what the parser is given first there are two bytes more than a client sent.
    assert read_behind(b"x" * (MAX_PREAMBLE_BYTES - 4) + b"\r\n").texts == {"size": ["64"]}
    with pytest.raises(Problem) as caught:
        read_behind(b"x" * (MAX_PREAMBLE_BYTES + 1) + b"\r\n")
    assert (caught.value.kind.name, caught.value.members) == ("malformed-multipart", {"limit": MAX_PREAMBLE_BYTES})


@pytest.mark.parametrize("padding", [b" ", b"\t", b" \t" * 20])
def test_blanks_behind_a_boundary_are_passed_over(padding: bytes) -> None:
    line = f"--{BOUNDARY}\r\n".encode()
    body = (part("size", b"64") + part("content", b"x", "f")).replace(line, line[:-2] + padding + b"\r\n")
    assert contents(read([body + END.replace(b"\r\n", padding + b"\r\n")])) == ({"size": ["64"]}, {"content": [b"x"]})


def test_a_part_may_have_as_many_headers_as_the_limit_and_not_one_more() -> None:
    def body(more: int) -> bytes:
        headers = b"".join(b"X-%d: y\r\n" % number for number in range(more))
        return part("size", b"64").replace(b"\r\n\r\n", b"\r\n" + headers + b"\r\n") + END

    assert read([body(MAX_PART_HEADERS - 1)]).texts == {"size": ["64"]}
    assert problem([body(MAX_PART_HEADERS)]).kind.name == "malformed-multipart"


@pytest.mark.parametrize(
    "more", ["", "; filename*=UTF-8''a.jpg", '; filename=""', "; filename=a.jpg", "; FileName*=utf-8'en'%E2%82%AC.jpg"]
)
def test_a_field_of_files_is_a_file_whatever_its_header_says(more: str) -> None:
    disposition = f'Content-Disposition: form-data; name="content"{more}\r\nContent-Type: image/jpeg'
    form = read([f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode() + b"\xff\xd8" * 400 + b"\r\n" + END])
    assert form.texts == {}
    (file,) = form.files["content"]
    assert (file.data.read(), file.named) == (b"\xff\xd8" * 400, more != "")


@pytest.mark.parametrize(
    ("more", "is_file"),
    [("filename*=UTF-8''a.jpg", True), ('note="a; filename*=b"', False), ('note="\\"; filename*=b"', False)],
)
def test_a_file_name_in_another_writing_makes_a_file_of_any_field(more: str, is_file: bool) -> None:
    sent = part("size", b"64").replace(b'"size"', f'"size"; {more}'.encode())
    expected = ({}, {"size": [b"64"]}) if is_file else ({"size": ["64"]}, {})
    assert contents(read([sent + END])) == expected


def test_a_field_of_files_left_empty_is_left_out() -> None:
    assert contents(read([part("content", b"") + part("style", b"", "") + END])) == ({}, {})


def test_items_of_lists_are_found_as_php_and_rails_spell_them_in_their_own_order() -> None:
    form = read(
        [
            part("style[10]", b"c", "f")
            + part("style[2]", b"b", "f")
            + part("style[0]", b"a")
            + part("weight[]", b"1")
            + part("weight[]", b"2")
            + part("size[0]", b"64")
            + part("a[b]", b"x")
            + part("style[0][file]", b"x")
            + END
        ]
    )
    assert contents(form) == (
        {"size": ["64"], "weight": ["1", "2"], "a[b]": ["x"], "style[0][file]": ["x"]},
        {"style": [b"a", b"b", b"c"]},
    )


@pytest.mark.parametrize("encoding", ["binary", "8bit", "7BIT", ""])
def test_a_plain_transfer_encoding_of_a_part_changes_nothing(encoding: str) -> None:
    line = part("size", b"64").replace(b"\r\n\r\n", f"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode())
    assert read([line + END]).texts == {"size": ["64"]}


def test_an_encoded_part_is_refused_by_name() -> None:
    line = part("content", b"eA==", "f").replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: BASE64\r\n\r\n")
    found = problem([line + END])
    assert (found.kind.name, found.members["field"]) == ("unsupported-media-type", "content")
    assert "base64" in found.detail


@pytest.mark.parametrize(
    ("name", "coding", "refused"),
    [
        ("content-encoding", "gzip", True),
        ("content-encoding", "Br", True),
        ("content-encoding", "gzip, identity", True),
        ("content-encoding", "identity", False),
        ("content-encoding", "", False),
        ("transfer-encoding", "gzip, chunked", True),
        ("transfer-encoding", "Chunked", False),
    ],
)
def test_a_body_in_a_coding_is_refused_with_what_it_is(name: str, coding: str, refused: bool) -> None:
    body = [part("size", b"64") + END]
    if not refused:
        assert read(body, headers={name: coding}).texts == {"size": ["64"]}
        return
    found = problem(body, headers={name: coding})
    assert (found.kind.name, found.members["field"]) == ("unsupported-media-type", name.title())
    assert coding.lower() in found.detail
    assert found.headers["Accept-Encoding"] == "identity"


def test_what_stands_after_the_form_is_no_part_of_it() -> None:
    assert contents(read([part("size", b"64") + END + b"trailing\r\n" + part("size", b"65") + END])) == (
        {"size": ["64"]},
        {},
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"a preamble\n" + part("size", b"64") + END,
        b"a preamble" + END,
        part("size", b"64").replace(b'; name="size"', b"") + END,
        part("size", b"64").replace(b'Content-Disposition: form-data; name="size"\r\n', b"") + END,
        part("size", b"64").replace(b"\r\n", b"\n") + END,
        part("size", b"64").replace(b"Content-Disposition:", b"Content-Disposition") + END,
        part("size", b"64").replace(b"--b", b"--c") + END,
    ],
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    assert problem([body]).kind.name == "malformed-multipart"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (None, "unsupported-media-type"),
        ("", "unsupported-media-type"),
        ("image/jpeg", "unsupported-media-type"),
        (f"multipart/mixed; boundary={BOUNDARY}", "unsupported-media-type"),
        ("multipart/form-data", "malformed-multipart"),
        ("multipart/form-data; boundary=", "malformed-multipart"),
        (f"multipart/form-data; boundary={'x' * 5000}", "malformed-multipart"),
    ],
)
def test_a_body_that_is_declared_as_something_else_is_refused(kind: str | None, expected: str) -> None:
    with pytest.raises(Problem) as caught:
        read([part("size", b"64") + END], kind)
    assert caught.value.kind.name == expected


@pytest.mark.parametrize(
    "kind", [f'multipart/form-data; boundary="{BOUNDARY}"', f"Multipart/Form-Data; charset=utf-8; Boundary={BOUNDARY}"]
)
def test_the_boundary_is_found_as_clients_write_it(kind: str) -> None:
    assert read([part("size", b"64") + END], kind).texts == {"size": ["64"]}


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files where Linux tells them")
def test_a_large_file_goes_to_disk_and_is_given_up_with_a_refused_form() -> None:
    large = 2 * IN_MEMORY_BYTES
    limits = {"max_file_bytes": large, "max_request_bytes": 10 * large}
    before = open_files()
    form = read([part("content", bytes(large), "f") + END], **limits)
    assert open_files() == before + 1
    form.close()
    problem([part("content", bytes(large), "f") + part("style", bytes(large), "f")], **limits)
    problem([part("content", bytes(large), "f") + part("style", bytes(large + 1), "f") + END], **limits)
    assert open_files() == before


def test_files_are_closed_with_their_form() -> None:
    form = read([part("content", b"x", "f") + END])
    form.close()
    assert form.files["content"][0].data.closed
