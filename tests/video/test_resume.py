"""What was begun goes on, and comes to the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from app.video.store import Store
from tests.pictures import photo, png
from tests.video import clips

ROOT = Path(__file__).parents[2]
# Loads what takes long, then says so: only what comes after is worth being killed in.
COMMAND = "from app.video.stylize import Stylisation; print(flush=True); from app.cli import main; main()"


def begin(folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        (sys.executable, "-c", COMMAND, "stylize", "clip.mp4", "--style", "style.png", *arguments),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"\n"
    return process


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "style.png").write_bytes(png(photo("coffee", 32)))
    clips.write(tmp_path / "clip.mp4", clips.pan(300, 40, 32, 1), sound="aac")
    return tmp_path


def finished(folder: Path) -> int:
    return max(0, len(list(folder.glob(".impasto-out.mp4/*.json"))) - 1)


def test_killed_at_any_moment(folder: Path) -> None:
    whole = begin(folder, "-o", "whole.mp4")
    assert whole.wait(120) == 0, whole.stdout and whole.stdout.read()
    random.seed(21)
    went_on = 0
    for _ in range(2):
        process = begin(folder, "-o", "out.mp4", "--resume")
        before = finished(folder)
        # Until another part is there at the earliest, and then no longer than another takes.
        while process.poll() is None and finished(folder) <= before:
            time.sleep(0.01)
        time.sleep(random.random() / 4)
        process.send_signal(signal.SIGKILL)
        went_on += before > 0
        if process.wait(120) == 0:
            break
    assert went_on, "it was never gone on from a part that was finished"
    if not (folder / "out.mp4").exists():
        last = begin(folder, "-o", "out.mp4", "--resume")
        assert last.wait(120) == 0, last.stdout and last.stdout.read()
    assert (folder / "out.mp4").read_bytes() == (folder / "whole.mp4").read_bytes()
    assert not (folder / ".impasto-out.mp4").exists()


def test_nothing_is_gone_on_with_that_was_asked_otherwise(tmp_path: Path) -> None:
    plan = {"source": "a", "size": (40, 32)}
    store = Store(tmp_path, plan)
    store.next_file.write_bytes(b"frames")
    store.finish([0, 1], [1, 1], {"guide": np.ones((2, 2), np.uint8)})
    store.next_file.write_bytes(b"half of the next")
    again = Store(tmp_path, {"source": "a", "size": (40, 32)})
    assert (again.frames, len(again.parts)) == (2, 1)
    assert (again.state["guide"] == 1).all()
    assert Store(tmp_path, {**plan, "size": (48, 32)}).frames == 0
