"""Forms as clients of many kinds write them, over HTTP: what they mean is understood, what is wrong is told."""

import gzip
import io

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.e2e.test_bad_input import faults, problem
from tests.pictures import jpeg, photo, png

CONTENT = png(photo("astronaut", 64))
STYLE = png(photo("coffee", 64))
OTHER = png(photo("rocket", 64))


def part(name: str, data: bytes | str, *lines: str, more: str = "") -> bytes:
    """One part; `more` stands in its Content-Disposition, `lines` are further headers."""
    head = "\r\n".join((f'--b\r\nContent-Disposition: form-data; name="{name}"{more}', *lines))
    return head.encode() + b"\r\n\r\n" + (data if isinstance(data, bytes) else data.encode()) + b"\r\n"


END = b"--b--\r\n"
STYLE_PART = part("style", STYLE, more='; filename="style.png"')


def post(client: httpx.Client, *parts: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    return client.post("/stylize", content=b"".join((*parts, END)), headers={**kind, **named})


def picture(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


@pytest.mark.parametrize(
    "written",
    [
        part("content", CONTENT),
        part("content", CONTENT, "Content-Type: image/png"),
        part("content", CONTENT, "Content-Type: application/octet-stream", more="; filename*=UTF-8''%D1%84.png"),
        part("content", CONTENT, more='; filename=""'),
        part("content", CONTENT, *(f"X-{n}: y" for n in range(20)), more='; filename="a.png"'),
        part("content", CONTENT, "Content-Transfer-Encoding: binary", f"Content-Length: {len(CONTENT)}"),
        part("content[]", CONTENT),
        part("content[0]", CONTENT, more='; filename="a.png"'),
        b"This is a multi-part message in MIME format.\r\n" + part("content", CONTENT),
        b"\r\n" + part("content", CONTENT).replace(b"--b\r\n", b"--b  \t\r\n"),
    ],
    ids=[
        "no-filename",
        "type",
        "filename*",
        "empty-filename",
        "headers",
        "encoding",
        "[]",
        "[0]",
        "preamble",
        "blanks",
    ],
)
def test_a_photo_is_found_however_its_part_is_written(client: httpx.Client, written: bytes) -> None:
    assert picture(post(client, written, STYLE_PART)).size == (64, 64)


def test_all_files_may_come_without_file_names(client: httpx.Client) -> None:
    files = {"content": CONTENT, "style": STYLE, "mask": png(np.full((8, 8), 128, np.uint8))}
    plain = post(client, *(part(name, data) for name, data in files.items()), part("format", "png"))
    named = client.post("/stylize", files=files, data={"format": "png"})
    assert picture(plain).size == (64, 64)
    assert plain.content == named.content


@pytest.mark.parametrize("written", ["jpg", "JPEG", "image/jpeg"])
def test_a_format_is_understood_in_any_spelling(client: httpx.Client, written: str) -> None:
    answer = post(client, part("content", CONTENT), STYLE_PART, part("format", written), part("preserve_color", "None"))
    assert picture(answer).format == "JPEG"
    assert answer.headers["Content-Type"] == "image/jpeg"


def test_lists_are_understood_as_php_and_rails_spell_them(client: httpx.Client) -> None:
    shared = part("content", CONTENT) + part("format", "png")
    usual = post(client, shared, part("style", STYLE), part("style", OTHER), part("weight", "3"), part("weight", "1"))
    brackets = post(
        client, shared, part("style[]", STYLE), part("style[]", OTHER), part("weight[]", "3"), part("weight[]", "1")
    )
    numbers = post(
        client, shared, part("style[1]", OTHER), part("style[0]", STYLE), part("weight[1]", "1"), part("weight[0]", "3")
    )
    assert picture(usual).size == (64, 64)
    assert usual.content == brackets.content == numbers.content


def test_what_html_adds_to_a_form_is_passed_over(client: httpx.Client) -> None:
    added = part("_charset_", "utf-8"), part("submit", "Send"), part("submit.x", "1"), part("submit.y", "2")
    assert picture(post(client, part("content", CONTENT), STYLE_PART, *added)).size == (64, 64)


def test_a_name_nobody_knows_is_still_told_with_the_one_it_is_near(client: httpx.Client) -> None:
    found = faults(post(client, part("content", CONTENT), STYLE_PART, part("preserveColor", "none"), part("x[]", "1")))
    assert set(found) == {"preserveColor", "x"}
    assert "did you mean preserve_color?" in found["preserveColor"]["detail"]


def test_a_picture_as_a_data_url_is_told_to_be_text(client: httpx.Client) -> None:
    found = faults(post(client, part("content", "data:image/png;base64," + "iVBORw0KGgo" * 1000), STYLE_PART))
    assert "expected a file, found 'data:image/png;base64," in found["content"]["detail"]


def test_a_compressed_body_is_refused_with_why(client: httpx.Client) -> None:
    body = gzip.compress(part("content", CONTENT) + STYLE_PART + END)
    kind = {"Content-Type": "multipart/form-data; boundary=b", "Content-Encoding": "gzip"}
    answer = client.post("/stylize", content=body, headers=kind)
    told = problem(answer, 415, "unsupported-media-type")
    assert told["field"] == "Content-Encoding"
    assert "gzip" in told["detail"]
    assert answer.headers["Accept-Encoding"] == "identity"


def test_a_preamble_without_end_is_cut_off(client: httpx.Client) -> None:
    body = problem(post(client, b"x" * 1_000_000), 400, "malformed-multipart")
    assert body["limit"] == 65536


@pytest.mark.parametrize("value", ["nan", "NaN", "inf"])
def test_no_number_is_told_with_the_limit(client: httpx.Client, value: str) -> None:
    parts = (part(name, value) for name in ("strength", "size", "style_size", "quality", "weight"))
    found = faults(post(client, part("content", CONTENT), STYLE_PART, *parts))
    limits = {field: fault["limit"] for field, fault in found.items()}
    assert limits == {"strength": 1, "size": 4096, "style_size": 1024, "quality": 100, "weight[0]": 1e6}


def test_the_format_may_be_asked_for_in_several_accept_headers(client: httpx.Client) -> None:
    files = {"content": jpeg(photo("astronaut", 64)), "style": STYLE}
    headers = [("Accept", "text/html"), ("Accept", "image/webp")]
    assert picture(client.post("/stylize", files=files, headers=headers)).format == "WEBP"
