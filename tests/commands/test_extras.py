"""Where only the service is installed, what needs more says so in a line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pictures import jpeg, photo
from tests.video import clips

# What an import finds where the package is not installed; and a torchvision beside a torch of another build.
WITHOUT = "import sys; sys.modules[{package!r}] = None; from app.cli import main; main(prog_name='impasto')"
BROKEN = "raise RuntimeError('operator torchvision::nms does not exist')"


def impasto(folder: Path, *arguments: str, without: str = "", path: Path | None = None) -> tuple[int, str]:
    command = (sys.executable, "-c", WITHOUT.format(package=without or "no_such_package"), *arguments)
    places = [str(path)] * bool(path) + [str(Path(__file__).parents[2])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("content", "style"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.jpg").write_bytes(jpeg(photo("coffee", 48)))
    return tmp_path


PICTURES = ("--content", "content", "--style", "style")
TRAIN = ("train", *PICTURES, "--out", "run", "--val-share", "0", "--test-share", "0", "--steps", "1", "--crops", "16")
IMPORT = ("weights", "import", "--torchvision", "vgg16")


def test_without_torchvision(folder: Path) -> None:
    status, said = impasto(folder, *IMPORT, without="torchvision")
    assert status == 1
    assert said.splitlines()[-1] == "Error: torchvision is not installed: pip install 'impasto[train]'"


def test_to_train_and_to_judge_need_no_torchvision(folder: Path) -> None:
    status, said = impasto(folder, *TRAIN, "--cache", "cache", without="torchvision")
    assert status == 0, said
    decoder = folder / "run" / "decoder.safetensors"
    status, said = impasto(folder, "evaluate", str(decoder), *PICTURES, "--size", "32", without="torchvision")
    assert status == 0, said


def test_without_tensorboard(folder: Path) -> None:
    status, said = impasto(folder, *TRAIN, "--cache", "cache", without="tensorboard")
    assert status == 1
    assert "pip install 'impasto[train]'" in said.splitlines()[-1]


def test_with_a_torchvision_of_another_build(folder: Path) -> None:
    broken = folder / "packages"
    broken.mkdir()
    (broken / "torchvision.py").write_text(BROKEN)
    status, said = impasto(folder, *IMPORT, path=broken)
    assert status == 1
    assert "does not fit the torch it meets" in said.splitlines()[-1]


@pytest.mark.parametrize("package", ["av", "cv2"])
def test_videos_without_what_they_need(folder: Path, package: str) -> None:
    clips.write(folder / "clip.mp4", clips.pan(2, 32, 32))
    status, said = impasto(folder, "stylize", "clip.mp4", "--style", "style/one.jpg", "-o", "o.mp4", without=package)
    assert status == 1
    assert said.splitlines()[-1] == f"Error: {package} is not installed: pip install 'impasto[video]'"
    assert impasto(folder, "stylize", "content/one.jpg", "--style", "style/one.jpg", without=package)[0] == 0


def test_help_needs_nothing_of_it(folder: Path) -> None:
    for command in ("evaluate", "weights"):
        assert impasto(folder, command, "--help", without="torchvision")[0] == 0


def test_to_share_styles_without_redis(tmp_path: Path) -> None:
    status, said = impasto(tmp_path, "serve", "--port", "0", "--style-store", "redis://127.0.0.1:1", without="redis")
    assert status == 1
    assert said.splitlines()[-1] == "Error: redis is not installed: pip install 'impasto[redis]'"


def test_to_trace_without_opentelemetry(tmp_path: Path) -> None:
    status, said = impasto(
        tmp_path, "serve", "--port", "0", "--otlp-endpoint", "http://127.0.0.1:1", without="opentelemetry"
    )
    assert status == 1
    assert said.splitlines()[-1] == "Error: opentelemetry is not installed: pip install 'impasto[otel]'"
