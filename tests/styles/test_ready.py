"""Styles that stand ready: those shipped, and an operator's folder."""

import json
import logging
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image

from app.styles.library import StyleLibrary, style_id
from app.styles.ready import SHIPPED, ready_styles
from tests.pictures import jpeg, photo

MOST = 50_000_000


def test_shipped_are_at_least_twelve_each_with_a_name_and_a_credit() -> None:
    styles = ready_styles([SHIPPED], MOST)
    assert len(styles) >= 12
    assert len({style.name for style in styles.values()}) == len(styles)
    for id, style in styles.items():
        assert style.credit
        assert id == style_id(BytesIO(style.path.read_bytes()))
        with Image.open(style.path) as picture:
            assert picture.size == (style.width, style.height)
        with Image.open(BytesIO(style.thumbnail)) as small:
            assert max(small.size) == 240
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 3_000_000


def test_the_list_names_every_shipped_picture() -> None:
    listed = {entry["file"] for entry in json.loads((SHIPPED / "styles.json").read_text())["styles"]}
    assert listed == {path.name for path in SHIPPED.glob("*.jpg")}


def test_an_operators_folder_follows_and_what_can_not_be_read_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "sea_view.jpg").write_bytes(jpeg(photo("coffee", 64)))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "._sea_view.jpg").write_bytes(b"what macOS leaves")
    (tmp_path / "styles.json").write_text("[]")
    with caplog.at_level(logging.WARNING):
        styles = list(ready_styles([SHIPPED, tmp_path], MOST).values())
    assert [style.name for style in styles if style.path.parent == tmp_path] == ["sea view"]
    assert styles[-1].name == "sea view"
    assert "broken.png" in caplog.text
    assert "styles.json" in caplog.text
    assert "._sea" not in caplog.text


def test_a_library_never_forgets_what_stands_ready(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(photo("coffee", 64)))
    id = style_id(BytesIO(path.read_bytes()))
    library = StyleLibrary(0, {id: path})
    assert id in library
    assert library.has_picture(id)
    assert library.picture(id) == path.read_bytes()
    library.keep_picture(id, BytesIO(path.read_bytes()))
    assert library.bytes == 0


def test_over_http_listed_shown_and_taken_by_id(client: httpx.Client) -> None:
    styles = client.get("/styles").json()["styles"]
    style = next(style for style in styles if style["name"] == "Stained glass")
    picture, small = client.get("/" + style["picture"]), client.get("/" + style["thumbnail"])
    assert picture.content == (SHIPPED / "stained-glass.jpg").read_bytes()
    assert small.headers["content-type"] == "image/jpeg"
    for answer in (picture, small):
        assert "immutable" in answer.headers["cache-control"]
    content = jpeg(photo("astronaut", 64))
    by_id = client.post("/stylize", files={"content": content}, data={"style_id": style["id"]})
    uploaded = client.post("/stylize", files={"content": content, "style": picture.content})
    assert by_id.status_code == 200
    assert by_id.content == uploaded.content


def test_over_http_a_picture_of_no_ready_style_is_a_problem(client: httpx.Client) -> None:
    answer = client.get("/styles/0123/picture")
    assert answer.status_code == 404
    assert answer.json()["type"].endswith("/problems/unknown-style")
