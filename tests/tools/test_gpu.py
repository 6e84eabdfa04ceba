"""What is carried to a machine with a GPU: pictures that come in parts."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

from PIL import Image

from tests.pictures import jpeg, photo

ROOT = Path(__file__).parents[2]


def train(*arguments: object, data: Path) -> "subprocess.CompletedProcess[str]":
    """tools/gpu/train.sh, whose python3 is this one."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DEVICE": "cpu", "DATA": str(data)}
    command = [str(ROOT / "tools" / "gpu" / "train.sh"), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def packed(folder: Path, name: str, *files: str) -> Path:
    """A tar file of photos in a folder of its own."""
    folder.mkdir()
    for file in files:
        path = folder / "there" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(photo("coffee", 32)))
    with tarfile.open(folder / name, "w") as tar:
        for file in files:
            tar.add(folder / "there" / file, file)
    return folder


def test_pictures_that_come_in_several_trips_are_gathered(tmp_path: Path) -> None:
    trips = [
        packed(tmp_path / "first", "content-1.tar", "content/a.jpg", "content/b.jpg"),
        packed(tmp_path / "second", "style-1.tar", "style/more/a.jpg"),
    ]
    said = [train(tmp_path / "out", trip, data=tmp_path / "data") for trip in trips]
    assert [done.returncode for done in said] == [0, 0]
    assert "content: 2 files" in said[1].stdout
    assert "style: 1 files" in said[1].stdout


def test_pictures_are_packed_into_parts_that_are_samples_of_both_folders(tmp_path: Path) -> None:
    for kind in ("content", "style/more"):
        for number in range(12):
            path = tmp_path / kind / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(photo("coffee", 40 + number)))
    folders = [str(tmp_path / name) for name in ("content", "style", "packed")]
    command = [sys.executable, str(ROOT / "tools" / "gpu" / "pack.py"), *folders, "--most", "0.03", "--short", "32"]
    subprocess.run(command, check=True, timeout=120)
    parts = sorted((tmp_path / "packed").glob("*.tar"))
    assert len(parts) > 1
    assert all(part.stat().st_size <= 30_000 for part in parts)
    with tarfile.open(parts[0]) as first:
        assert {Path(name).parts[0] for name in first.getnames()} == {"content", "style"}
    said = train(tmp_path / "out", tmp_path / "packed", data=tmp_path / "data")
    assert "content: 12 files" in said.stdout
    assert "style: 12 files" in said.stdout
    picture = Image.open(next((tmp_path / "data" / "style" / "more").iterdir()))
    assert min(picture.size) == 32


def test_a_training_that_cannot_begin_says_why_and_fails(tmp_path: Path) -> None:
    done = train(
        tmp_path / "out", packed(tmp_path / "one", "content-1.tar", "content/a.jpg"), 1, data=tmp_path / "data"
    )
    assert done.returncode != 0
    assert "data/style" in (tmp_path / "out" / "train.log").read_text()


def test_a_tar_file_that_came_in_part_stops_it(tmp_path: Path) -> None:
    folder = packed(tmp_path / "cut", "content-1.tar", "content/a.jpg", "content/b.jpg")
    file = folder / "content-1.tar"
    file.write_bytes(file.read_bytes()[:700])
    assert train(tmp_path / "out", folder, data=tmp_path / "data").returncode == 1
