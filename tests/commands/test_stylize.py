"""`impasto stylize` as an artist types it."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from app.commands.stylize import stylize
from app.engine.base import Job
from app.engine.create import create_engine
from app.network.blend import shares
from app.network.weights import DECODER
from tests.pictures import jpeg, photo, png


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder the artist is in."""
    monkeypatch.chdir(tmp_path)
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


def call(*arguments: str, environment: dict[str, str] | None = None) -> Result:
    """The same in this process, for what needs no process of its own: starting one takes seconds."""
    ended = CliRunner().invoke(stylize, arguments, env=environment)
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended


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


def test_masks_are_what_the_engine_gives(folder: Path) -> None:
    left = np.zeros((96, 96), np.uint8)
    left[:, :48] = 255
    (folder / "left.png").write_bytes(png(left))
    (folder / "right.png").write_bytes(png(255 - left))
    styles = ("--style", "styles/coffee.png", "--style", "styles/rocket.jpg")
    ended = call("photos/photo.png", *styles, "--mask", "left.png", "--mask", "right.png", "-o", "out.png")
    assert ended.exit_code == 0, ended.output
    engine = create_engine()
    codes = tuple(engine.encode_style(pixels(folder / "styles" / name)) for name in ("coffee.png", "rocket.jpg"))
    share = shares([1, 1], 1, [left[::8, ::8], 255 - left[::8, ::8]])
    (expected,) = engine.stylize([Job(photo("astronaut", 96), codes, share)])
    assert np.array_equal(pixels(folder / "out.png"), expected)


def test_a_result_has_its_photos_colours_format_and_folder_unless_told_otherwise(folder: Path) -> None:
    (folder / "photos" / "rocket.jpg").write_bytes(jpeg(photo("rocket", 64)))
    colours = ("--style", "styles/rocket.jpg", "--style-size", "64", "--preserve-color", "luminance")
    assert call("photos/cat.png", *colours).output.startswith("cat-rocket.png  64x64  ")
    change = pixels(folder / "cat-rocket.png").astype(int) - photo("chelsea", 64)
    inside = ((pixels(folder / "cat-rocket.png") % 255) > 0).all(axis=2)
    assert change[inside].any(), "the photo was not repainted"
    assert np.ptp(change[inside], axis=1).max() <= 1, "R, G and B move together, so the colours stay"

    assert call("photos/rocket.jpg", "--style", "styles/coffee.png").exit_code == 0
    assert Image.open(folder / "rocket-coffee.jpg").format == "JPEG"
    assert call("photos/cat.png", "--style", "styles/coffee.png", "-o", "new/deep/out.webp").exit_code == 0
    assert Image.open(folder / "new/deep/out.webp").format == "WEBP"
    assert call("photos/cat.png", "--style", "styles/coffee.png", "-o", "out.png", "--format", "jpeg").exit_code == 0
    assert Image.open(folder / "out.png").format == "JPEG"


def test_a_result_does_not_overwrite_another_input(folder: Path) -> None:
    earlier = png(photo("rocket", 32))
    (folder / "photos" / "cat-coffee.png").write_bytes(earlier)
    ended = call("photos", "--style", "styles/coffee.png", "-o", "photos", "--size", "32")
    assert ended.exit_code == 1
    assert "photos/cat.png: photos/cat-coffee.png: is one of the inputs" in ended.stderr
    assert "1 of 3 could not be stylised" in ended.stderr
    assert (folder / "photos" / "cat-coffee.png").read_bytes() == earlier
    made = {path.name for path in (folder / "photos").iterdir()}
    assert made == {"cat.png", "photo.png", "cat-coffee.png", "cat-coffee-coffee.png", "photo-coffee.png"}


ONE = ("photos/photo.png", "--style", "styles/rocket.jpg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("photos/photo.png",), "Missing option '--style'"),
        (("photos/photo.png", "--style", "styles/none.png"), "does not exist"),
        (("nowhere", "--style", "styles/none.png"), "does not exist"),
        (("empty", "--style", "styles/coffee.png"), "empty: no pictures in this folder"),
        ((*ONE, "--strength", "2"), "--strength: Input should be less than or equal to 1; found 2.0"),
        ((*ONE, "--strength", "nan"), "--strength: Input should be a finite number"),
        ((*ONE, "--size", "4097"), "equal to 4096; found 4097 (IMPASTO_MAX_SIZE sets the limit)"),
        ((*ONE, "--weight", "1", "--weight", "2"), "--weight: one per style, or none; 1 styles, 2 weights"),
        ((*ONE, "--weight", "0"), "--weight: At least one must be greater than 0"),
        ((*ONE, "--style", "styles/coffee.png", "--mask", "photos/cat.png"), "--mask: one per style, or none"),
        (("photos/photo.png", *("--style", "styles/rocket.jpg") * 9), "--style: at most 8 in a blend; 9 given"),
        ((*ONE, "-o", "photos/photo.png"), "is one of the inputs"),
        ((*ONE, "-o", "styles/../styles/rocket.jpg"), "is one of the inputs"),
        ((*ONE, "--mask", "photos/cat.png", "-o", "photos/cat.png"), "is one of the inputs"),
        (
            (*ONE, "-o", "out.bmp"),
            "can't write .bmp; use .jpg, .png, .webp, .mp4, .webm, .gif, .zip, .jpeg or --format",
        ),
        (("photos", "--style", "styles/rocket.jpg", "-o", "styles/notes.txt"), "is a file; 2 results need a folder"),
        (("photos", "--style", "styles/rocket.jpg", "-o", "out.png"), "is a file; 2 results need a folder"),
        (("photos/photo.png", "--style", "styles", "--style", "styles/rocket.jpg"), "not both"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_before_any_work(
    folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    (folder / "empty").mkdir()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    ended = call(*arguments)
    assert ended.exit_code == 2
    assert message in " ".join(ended.stderr.split())
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_wrong_setting_or_weights_file_is_named_in_one_line(folder: Path) -> None:
    ended = call(*ONE, environment={"IMPASTO_MAX_PIXELS": "many"})
    assert (ended.exit_code, ended.stderr.splitlines()[-1]) == (
        2,
        "Error: max_pixels (IMPASTO_MAX_PIXELS): Input should be a valid integer, "
        "unable to parse string as an integer; found 'many'",
    )
    (folder / "cut.safetensors").write_bytes(DECODER.read_bytes()[:-100])
    for name, problem in (("cut", "not a whole safetensors file"), ("none", "cannot be read")):
        ended = call(*ONE, environment={"IMPASTO_DECODER_WEIGHTS": f"{name}.safetensors"})
        assert ended.exit_code == 1
        (line,) = ended.stderr.splitlines()
        assert line.startswith(f"Error: {name}.safetensors: {problem}")


def test_a_full_disk_is_told_and_leaves_nothing_half_written(folder: Path) -> None:
    (folder / "out.png").write_bytes(b"the old result")
    ended = impasto(folder, "photos/photo.png", "--style", "styles/rocket.jpg", "-o", "out.png", limit=2000)
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        "photos/photo.png: out.png: cannot be written (File too large)",
        "Error: 1 of 1 could not be stylised",
    ]
    assert (folder / "out.png").read_bytes() == b"the old result"
    assert sorted(path.name for path in folder.iterdir()) == ["out.png", "photos", "styles"]


def test_help_teaches(folder: Path) -> None:
    text = " ".join(impasto(folder, "--help").stdout.split())
    for taught in ("--style", "--weight", "--mask", "--preserve-color", "blend", "impasto stylize photo.jpg"):
        assert taught in text


def piped(folder: Path, data: bytes, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    command = (sys.executable, "-m", "app", "stylize", *arguments)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, cwd=folder, env=environment, input=data, capture_output=True, timeout=120)


def test_a_pipe_gives_what_files_give(folder: Path) -> None:
    style = ("--style", "styles/coffee.png")
    by_file = impasto(folder, "photos/cat.png", *style, "-o", "out.png")
    assert by_file.returncode == 0, by_file.stderr
    through = piped(folder, (folder / "photos/cat.png").read_bytes(), "-", *style, "-o", "-")
    assert through.returncode == 0, through.stderr
    assert through.stdout == (folder / "out.png").read_bytes()
    assert through.stderr == b""
    kept = piped(folder, (folder / "photos/cat.png").read_bytes(), "-", *style)
    assert kept.returncode == 0, kept.stderr
    assert (folder / "stdin-coffee.png").read_bytes() == through.stdout


def test_a_pipe_that_is_no_picture_writes_nothing(folder: Path) -> None:
    ended = piped(folder, b"", "-", "--style", "styles/coffee.png", "-o", "-")
    assert ended.returncode == 1
    assert ended.stdout == b""
    assert b"empty" in ended.stderr
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("photos", "-o", "-"), "takes one result; there are 2"),
        (("-", "-", "-o", "out"), "standard input has one photo"),
        (("photos/cat.png", "-o", "-", "--json"), "both want standard output"),
    ],
)
def test_a_pipe_that_can_not_be_is_refused(folder: Path, arguments: tuple[str, ...], says: str) -> None:
    ended = call(*arguments, "--style", "styles/coffee.png")
    assert ended.exit_code == 2
    assert says in ended.stderr


def test_what_systems_leave_is_passed_over_and_what_is_no_picture_is_told(folder: Path) -> None:
    for name in ("._cat.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (folder / "photos" / name).write_bytes(b"left by a system")
    (folder / "photos" / "notes.txt").write_text("of the holiday")
    (folder / "photos" / "more").mkdir()
    (folder / "photos" / "more" / "._cat.png").write_bytes(b"left by a system")
    ended = impasto(folder, "photos", "--style", "styles/coffee.png", "-o", "out")
    assert ended.returncode == 0, ended.stderr
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["cat-coffee.png", "photo-coffee.png"]
    assert ended.stderr.splitlines() == ["photos: passed over, no picture by its name: notes.txt"]


def test_folders_below_are_gone_into_where_asked_for_and_kept_apart(folder: Path) -> None:
    for place in ("a", "a/b"):
        (folder / "photos" / place).mkdir()
        (folder / "photos" / place / "cat.png").write_bytes(png(photo("chelsea", 32)))
    (folder / "photos" / "__MACOSX").mkdir()
    (folder / "photos" / "__MACOSX" / "cat.png").write_bytes(b"left by a zip program")
    ended = impasto(folder, "-r", "photos", "--style", "styles/coffee.png", "-o", "out")
    assert ended.returncode == 0, ended.stderr
    written = sorted(str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*.png"))
    assert written == ["a/b/cat-coffee.png", "a/cat-coffee.png", "cat-coffee.png", "photo-coffee.png"]


def test_an_empty_folder_with_more_below_says_how_to_go_there(folder: Path) -> None:
    (folder / "empty" / "below").mkdir(parents=True)
    ended = call(str(folder / "empty"), "--style", str(folder / "styles/coffee.png"))
    assert ended.exit_code == 2
    assert "-r goes into the folders below it" in ended.stderr


def test_a_pipe_of_nothing_at_either_end_is_refused(folder: Path) -> None:
    command = (sys.executable, "-m", "app", "stylize", "-", "--style", "styles/coffee.png", "-o", "out.png")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    closed = subprocess.run(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, timeout=120, preexec_fn=lambda: os.close(0)
    )
    assert closed.returncode == 2
    assert closed.stderr.splitlines()[-1] == b"Error: -: standard input is closed"
    ours, theirs = os.openpty()
    try:
        arguments = ("photos/cat.png", "--style", "styles/coffee.png", "-o", "-")
        terminal = subprocess.run(
            (*command[:4], *arguments), cwd=folder, env=environment, stdout=theirs, stderr=subprocess.PIPE, timeout=120
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert terminal.returncode == 2
    assert b"is a terminal" in terminal.stderr.splitlines()[-1]
