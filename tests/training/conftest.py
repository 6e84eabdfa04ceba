"""Folders of small pictures, and the command as a user runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.pictures import photo

Command = Callable[..., "subprocess.CompletedProcess[str]"]
SMALL = ("--widths", "16,16/16/8/8", "--pool", "6", "--threads", "1", "--workers", "1", "--val-share", "0")


def fill(folder: Path, count: int, seed: int, side: int = 64) -> Path:
    """Crops of real photos, in colours of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    names = ("astronaut", "coffee", "chelsea", "rocket")
    for number in range(count):
        picture = photo(names[number % 4], 192)
        top, left = random.integers(0, 192 - side, 2)
        crop = picture[top : top + side, left : left + side]
        Image.fromarray(np.ascontiguousarray(crop[..., random.permutation(3)])).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where runs remember pictures, in place of the user's own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """The same on either, where there is the other."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


@pytest.fixture(scope="session")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("contents"), 8, 1)


@pytest.fixture(scope="session")
def styles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("styles"), 6, 2)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONWARNINGS": "ignore", "TF_CPP_MIN_LOG_LEVEL": "3"}


@pytest.fixture
def impasto() -> Command:
    """Run `impasto ARGS` in a process of its own; never a traceback, whatever it answers."""

    def run(*args: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "app", *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment())
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def header(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return metadata
