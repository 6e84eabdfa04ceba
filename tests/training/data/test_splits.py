"""Folders to splits, whatever becomes of the index that remembers them."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from app.evaluation.errors import EvaluationError
from app.evaluation.pictures import read_squares
from app.training.data.index import Examined, Index
from app.training.data.splits import part_of, split
from tests.training.conftest import fill


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "cache")


def _rows(index: Index) -> dict[str, Examined]:
    with sqlite3.connect(index.path) as database:
        return {
            Path(os.fsdecode(row[0])).name: Examined(*row[1:]) for row in database.execute("SELECT * FROM pictures")
        }


def _count(index: Index) -> int:
    return len(_rows(index)) if index.path.exists() and index.path.stat().st_size else 0


def test_pictures_stay_in_their_part_when_others_come(tmp_path: Path, index: Index) -> None:
    folder = fill(tmp_path / "pictures", 24, 1)
    before = split(folder, index, 0.25, 0.25)
    assert all((before.train, before.val, before.test))
    fill(folder / "more", 24, 2)
    after = split(folder, index, 0.25, 0.25)
    for part in ("train", "val", "test"):
        assert set(getattr(before, part)) < set(getattr(after, part))
    assert after.fingerprint != before.fingerprint


def test_parts_are_of_about_the_shares_asked_for() -> None:
    parts = [part_of(f"{n:03x}" + "8" * 61, 0.25, 0.125) for n in range(4096)]
    assert (parts.count("val"), parts.count("test")) == (1024, 512)


def test_a_copy_counts_once_a_broken_file_is_listed_and_a_hidden_one_passed_over(tmp_path: Path, index: Index) -> None:
    folder = fill(tmp_path / "pictures", 6, 1)
    shutil.copy(folder / "0.png", folder / "copy.png")
    (folder / "broken.jpg").write_bytes((folder / "1.png").read_bytes()[:200])
    (folder / "notes.txt").write_text("not a picture by its name, so not looked at")
    (folder / "._0.jpg").write_bytes(b"\0\5\26\7 what a Mac keeps of a picture beside it")
    (folder / ".thumbnails").mkdir()
    shutil.copy(folder / "2.png", folder / ".thumbnails")
    (folder / ".DS_Store").write_bytes(b"Bud1")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    parts = split(folder, index, 0, 0)
    assert len(parts.train) == 6
    assert parts.duplicates == 1
    assert [path.name for path, _ in parts.unreadable] == ["broken.jpg"]
    assert "skipped" in parts.summary()
    assert "broken.jpg" in parts.summary()


def test_the_index_tells_a_pictures_sides_and_spares_reading_it_again_until_it_changes(
    tmp_path: Path, index: Index
) -> None:
    folder = fill(tmp_path / "pictures", 3, 1)
    with Image.open(folder / "0.png") as image:
        image.crop((0, 0, 64, 30)).rotate(90, expand=True).save(folder / "tall.jpg")
    sources = {source.path.name: source for source in split(folder, index, 0, 0).train}
    assert (sources["1.png"].height, sources["1.png"].width) == (64, 64)
    assert sources["tall.jpg"].height == 64
    assert 30 <= sources["tall.jpg"].width <= 32
    with sqlite3.connect(index.path) as database:
        database.execute("UPDATE pictures SET fault = 'marked'")
    assert len(split_faults(folder, index)) == 4
    fill(folder, 1, 9, side=32)
    assert len(split_faults(folder, index)) == 3


def split_faults(folder: Path, index: Index) -> list[str]:
    paths = sorted(folder.iterdir())
    return [entry.fault for entry in index.examine(paths, 2, "") if entry.fault]


@pytest.mark.parametrize("damage", ["garbage", "cut", "rows", "journal", "folder"])
def test_a_damaged_index_is_thrown_away_and_a_training_goes_on(
    tmp_path: Path, index: Index, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = fill(tmp_path / "pictures", 40, 1, side=24)
    whole = split(folder, index, 0, 0)
    data = index.path.read_bytes()
    if damage == "garbage":
        index.path.write_bytes(os.urandom(len(data)))
    elif damage == "cut":
        index.path.write_bytes(data[: len(data) // 2])
    elif damage == "journal":
        index.path.write_bytes(b"")
        index.path.with_name(f"{index.path.name}-journal").write_bytes(os.urandom(4096))
    elif damage == "folder":
        index.path.unlink()
        index.path.mkdir()
    else:
        with sqlite3.connect(index.path) as database:
            database.execute("UPDATE pictures SET sha256 = 'none', height = 'tall'")
    again = split(folder, index, 0, 0)
    assert again.train == whole.train
    assert again.unreadable == ()
    if damage == "folder":
        assert "will be forgotten" in caplog.text
    else:
        assert len(_rows(index)) == 40


ENDED_AMID = """
import os, signal, sys
from pathlib import Path
from app.training.data import index, splits

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs do without
index.SAVE_SECONDS, keep, kept = 0.0, index.Index._keep, []

def keep_and_end(self, database, new):
    kept.extend(new)
    database = keep(self, database, new)
    if len(kept) >= 20:
        os.kill(os.getpid(), int(sys.argv[3]))
    return database

index.Index._keep = keep_and_end
splits.split(Path(sys.argv[1]), index.Index(Path(sys.argv[2])), 0, 0, 1)
"""


def test_a_run_killed_in_its_midst_leaves_an_index_that_the_next_goes_on_with(tmp_path: Path, index: Index) -> None:
    folder = fill(tmp_path / "pictures", 120, 1, side=24)
    known = 0
    for number in (signal.SIGKILL, signal.SIGINT):
        command = [sys.executable, "-c", ENDED_AMID, str(folder), str(index.path.parent), str(int(number))]
        ended = subprocess.run(command, capture_output=True, timeout=120, check=False)
        assert ended.returncode == -number
        assert known < _count(index) < 120
        known = _count(index)
    assert len(split(folder, index, 0, 0).train) == 120
    assert len(_rows(index)) == 120


@pytest.mark.parametrize("what", ["absent", "empty", "all broken"])
def test_a_folder_with_nothing_to_train_on_says_so(tmp_path: Path, index: Index, what: str) -> None:
    folder = tmp_path / "pictures"
    if what != "absent":
        folder.mkdir()
    if what == "all broken":
        (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    with pytest.raises(EvaluationError, match=r"is not a folder|no pictures|1 unreadable"):
        split(folder, index, 0.1, 0.1)


def test_squares_are_the_middle_of_pictures_and_untouched_at_their_own_size(contents: Path) -> None:
    path = sorted(contents.iterdir())[0]
    (whole,) = read_squares([path], 64)
    (again,) = read_squares([path], 64)
    assert torch.equal(whole, again)
    with Image.open(path) as image:
        assert torch.equal((whole * 255).round().to(torch.uint8), pil_to_tensor(image))
