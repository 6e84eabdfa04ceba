"""Forms as they stream in: the same whatever the chunks, and cut off at the byte that breaks a limit."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.http.forms import IN_MEMORY_BYTES, MAX_PARTS, MAX_TEXT_BYTES, Form, read_form
from app.http.problems import Problem

BOUNDARY = "--------b"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, data: bytes, filename: str | None = None) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + data + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def read(chunks: Sequence[bytes], kind: str | None = TYPE, length: int | None = None, **limits: int) -> Form:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    limits = {"max_file_bytes": 1000, "max_request_bytes": 100_000, **limits}
    declared = None if length is None else str(length)
    return asyncio.run(read_form(kind, declared, stream(), **limits))


def problem(chunks: Sequence[bytes], **more: int) -> Problem:
    with pytest.raises(Problem) as caught:
        read(chunks, **more)
    return caught.value


def contents(form: Form) -> tuple[dict[str, list[str]], dict[str, list[bytes]]]:
    return form.texts, {name: [file.data.read() for file in files] for name, files in form.files.items()}


names = st.sampled_from(["content", "style", "strength", "имя"])
parts = st.lists(st.tuples(names, st.binary(max_size=300), st.booleans()), max_size=8)


@given(parts, st.lists(st.integers(1, 200), min_size=1, max_size=30))
def test_a_form_is_the_same_however_it_is_cut_into_chunks(
    wanted: list[tuple[str, bytes, bool]], lengths: list[int]
) -> None:
    body = b"".join(part(name, data, "f" if is_file else None) for name, data, is_file in wanted) + END
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

    with pytest.raises(Problem):
        asyncio.run(read_form(TYPE, None, endless(), max_file_bytes=1000, max_request_bytes=10**9))
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


def test_what_stands_after_the_form_is_no_part_of_it() -> None:
    assert contents(read([part("size", b"64") + END + b"trailing\r\n" + part("size", b"65") + END])) == (
        {"size": ["64"]},
        {},
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"a preamble\r\n" + part("size", b"64") + END,
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
