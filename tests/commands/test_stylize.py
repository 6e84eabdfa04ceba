"""`impasto stylize` as an artist types it."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.engine.base import Job
from app.engine.create import create_engine
from app.network.blend import shares
from tests.pictures import jpeg, photo, png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, side in (("photo", 96), ("cat", 64)):
        (tmp_path / "photos").mkdir(exist_ok=True)
        source = "astronaut" if name == "photo" else "chelsea"
        (tmp_path / "photos" / f"{name}.png").write_bytes(png(photo(source, side)))
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles" / "coffee.png").write_bytes(png(photo("coffee", 96)))
    (tmp_path / "styles" / "rocket.jpg").write_bytes(jpeg(photo("rocket", 80)))
    (tmp_path / "styles" / "notes.txt").write_text("not a picture, and not meant as one")
    return tmp_path


def impasto(folder: Path, *arguments: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    def confine() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        (sys.executable, "-m", "app", "stylize", *arguments),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=confine,
    )


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_a_blend_with_weights_and_strength_is_what_the_engine_gives(folder: Path) -> None:
    styles = ("--style", "styles/coffee.png", "--style", "styles/coffee.png", "--weight", "2", "--weight", "1")
    ended = impasto(folder, "photos/photo.png", *styles, "--strength", "0.6", "-o", "out.png")
    assert ended.returncode == 0, ended.stderr
    engine = create_engine()
    code = engine.encode_style(photo("coffee", 96))
    (expected,) = engine.stylize([Job(photo("astronaut", 96), (code, code), shares([2, 1], 0.6))])
    assert np.array_equal(pixels(folder / "out.png"), expected)


def test_a_folder_times_a_folder_tells_each_result_and_goes_on_after_a_bad_file(folder: Path) -> None:
    (folder / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    ended = impasto(folder, "photos", "--style", "styles", "-o", "results", "--size", "48", "--json")
    assert ended.returncode == 1
    reports = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [report["content"] for report in reports if "error" in report] == ["photos/broken.jpg"] * 2
    made = sorted(path.name for path in (folder / "results").iterdir())
    assert made == ["cat-coffee.png", "cat-rocket.png", "photo-coffee.png", "photo-rocket.png"]
    for report in reports:
        if "error" not in report:
            assert (report["width"], report["height"]) == Image.open(folder / report["output"]).size == (48, 48)
    assert "2 of 6 could not be stylised" in ended.stderr


def test_masks_colours_and_formats_as_over_http(folder: Path) -> None:
    left = np.zeros((8, 8), np.uint8)
    left[:, :4] = 255
    (folder / "left.png").write_bytes(png(left))
    options = ("--mask", "left.png", "--preserve-color", "luminance", "--style-size", "64", "-o", "out.webp")
    ended = impasto(folder, "photos/photo.png", "--style", "styles/rocket.jpg", *options)
    assert ended.returncode == 0, ended.stderr
    assert Image.open(folder / "out.webp").format == "WEBP"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("photos/photo.png", "--style", "styles/none.png"), "does not exist"),
        (("photos/photo.png", "--style", "styles/rocket.jpg", "--strength", "2"), "--strength: Input should be less"),
        (("photos/photo.png", "--style", "styles/rocket.jpg", "--weight", "1", "--weight", "2"), "one per style"),
        (("photos/photo.png", "--style", "styles/rocket.jpg", "-o", "photos/photo.png"), "is one of the inputs"),
        (("photos/photo.png", "--style", "styles/rocket.jpg", "-o", "out.bmp"), "can't write .bmp"),
        (("photos", "--style", "styles/rocket.jpg", "-o", "styles/notes.txt"), "is a file"),
        (("photos/photo.png", "--style", "styles", "--style", "styles/rocket.jpg"), "not both"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_before_any_work(
    folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    ended = impasto(folder, *arguments)
    assert ended.returncode == 2
    assert message in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


def test_a_full_disk_is_told_and_leaves_nothing_half_written(folder: Path) -> None:
    (folder / "out.png").write_bytes(b"the old result")
    ended = impasto(folder, "photos/photo.png", "--style", "styles/rocket.jpg", "-o", "out.png", limit=2000)
    assert ended.returncode == 1
    assert "File too large" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (folder / "out.png").read_bytes() == b"the old result"
    assert sorted(path.name for path in folder.iterdir()) == ["out.png", "photos", "styles"]


def test_help_teaches(folder: Path) -> None:
    text = " ".join(impasto(folder, "--help").stdout.split())
    for taught in ("--style", "--weight", "--mask", "--preserve-color", "blend", "impasto stylize photo.jpg"):
        assert taught in text
