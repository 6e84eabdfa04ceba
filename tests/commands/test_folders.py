"""Folders as people have them, in every command that takes one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.images.folders import listing
from tests.pictures import jpeg, photo

LEFT = ("._one.jpg", ".hidden.jpg", "Thumbs.db", "Desktop.ini", ".DS_Store", "__MACOSX/one.jpg", ".cache/one.jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """content/ and style/, a picture in each, a text, and what macOS, Windows and zip programs leave."""
    for name in ("content", "style"):
        for left in LEFT:
            path = tmp_path / name / left
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"left by a system")
        (tmp_path / name / "below").mkdir()
        (tmp_path / name / "one.jpg").write_bytes(jpeg(photo("coffee", 64)))
        (tmp_path / name / "below" / "two.JPG").write_bytes(jpeg(photo("rocket", 64)))
        (tmp_path / name / "notes.txt").write_text("of the holiday")
    return tmp_path


def impasto(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = (sys.executable, "-m", "app", *arguments)
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


def test_pictures_and_others_are_told_apart(folder: Path) -> None:
    content = folder / "content"
    assert listing(content, below=False).pictures == (content / "one.jpg",)
    assert listing(content, below=True).pictures == (content / "below" / "two.JPG", content / "one.jpg")
    assert listing(content, below=True).others == (content / "notes.txt",)


def test_evaluate_and_train_pass_over_what_systems_leave(folder: Path) -> None:
    judged = impasto(folder, "evaluate", "--content", "content", "--style", "style", "--size", "32", "--out", "judged")
    assert judged.returncode == 0, judged.stderr
    assert (folder / "judged" / "evaluation.json").exists()
    small = ("--widths", "16,16/16/8/8", "--steps", "1", "--batch", "1", "--crops", "32", "--pool", "2")
    shares = ("--val-share", "0", "--test-share", "0", "--threads", "1", "--workers", "0")
    trained = impasto(folder, "train", "--content", "content", "--style", "style", "--out", "run", *small, *shares)
    assert trained.returncode == 0, trained.stderr
    assert "2 train, 0 validation, 0 test" in trained.stderr
    assert "skipped" not in trained.stderr


def test_a_folder_that_can_not_be_listed_is_one_line(folder: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder / "content")
        for _ in range(20):  # beyond the longest path there may be
            Path("d" * 250).mkdir()
            os.chdir("d" * 250)
    finally:
        os.chdir(here)
        os.close(here)
    stylised = impasto(folder, "stylize", "-r", "content", "--style", "style/one.jpg", "-o", "out")
    assert stylised.returncode == 2
    assert "content: cannot be listed (File name too long)" in stylised.stderr
    judged = impasto(folder, "evaluate", "--content", "content", "--style", "style")
    assert judged.returncode == 1
    assert "content: cannot be listed (File name too long)" in judged.stderr
