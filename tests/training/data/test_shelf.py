"""Pictures on a device: all of them, or a few in turn."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.training.data.shelf import LEAST_SLOTS, LEVELS, Shelf
from app.training.data.splits import Source
from app.training.errors import TrainingError
from tests.pictures import photo

CPU = torch.device("cpu")


def _plain(folder: Path, count: int, sides: tuple[int, int] = (24, 16)) -> list[Source]:
    """Pictures of one colour each, which tells their number."""
    folder.mkdir()
    sources = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.new("RGB", sides[::-1], (number, 255 - number, 7)).save(path)
        sources.append(Source(path, *sides))
    return sources


def _level(shelf: Shelf, slot: int, level: int) -> np.ndarray:
    offset, height, width = shelf.table[slot, level].tolist()
    pixels = shelf.pixels[offset : offset + height * width].cpu()
    return pixels[:, None].view(torch.uint8).view(height, width, 4)[..., :3].numpy()


def _numbers(shelf: Shelf, group: int) -> list[int]:
    return [int(_level(shelf, slot, 0)[0, 0, 0]) for slot in shelf.filled[group]]


def test_pictures_and_their_halves_lie_on_the_device_once(tmp_path: Path, device: torch.device) -> None:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    pictures = [photo("astronaut", 64), photo("coffee", 96)[:50]]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path)
    groups = [[Source(paths[0], 64, 64)], [Source(paths[1], 50, 96)]]
    shelf = Shelf(groups, 80, 10**6, device, 2, seed=0)
    assert shelf.filled == [[0], [1]]
    assert (_level(shelf, 0, 0) == pictures[0]).all()
    assert _level(shelf, 1, 0).shape == (42, 80, 3), "no longer than the pixels asked for"
    for level in range(1, LEVELS):
        larger = _level(shelf, 0, level - 1).astype(float)
        halved = larger.reshape(larger.shape[0] // 2, 2, -1, 2, 3).mean((1, 3))
        assert np.abs(_level(shelf, 0, level) - halved).max() <= 0.5
    assert "2 pictures" in shelf.summary()
    before = shelf.pixels.clone()
    shelf.turn(5)
    assert torch.equal(shelf.pixels, before)


def test_where_not_all_fit_each_has_its_turn_and_a_run_that_goes_on_finds_what_was_there(tmp_path: Path) -> None:
    groups = [_plain(tmp_path / "many", 150), _plain(tmp_path / "few", 20)]
    memory = 4 * 100 * 600
    shelf = Shelf(groups, 640, memory, CPU, 2, seed=3)
    assert shelf.pixels.numel() * 4 <= memory
    assert len(shelf.table) < 170
    assert sorted(_numbers(shelf, 1)) == list(range(20)), "the smaller group is there whole"
    seen = set(_numbers(shelf, 0))
    for turned in range(7, 77, 7):
        shelf.turn(7)
        seen |= set(_numbers(shelf, 0))
        if turned == 49:
            again = Shelf(groups, 640, memory, CPU, 1, seed=3, turned=turned)
            assert _numbers(again, 0) == _numbers(shelf, 0)
    assert seen == set(range(150))
    assert f"{len(shelf.table)} of 170 pictures at a time" in shelf.summary()
    shelf.close()
    starts = shelf.table[:, 0, 0].tolist()
    assert all(b - a >= 24 * 16 for a, b in pairwise(starts))


def test_memory_for_too_few_is_refused_by_what_would_do(tmp_path: Path) -> None:
    groups = [_plain(tmp_path / "a", LEAST_SLOTS), _plain(tmp_path / "b", LEAST_SLOTS)]
    with pytest.raises(TrainingError, match=r"--picture-memory: .* give (\d+) bytes") as refused:
        Shelf(groups, 640, 1000, CPU, 1, seed=0)
    enough = int(str(refused.value).split("give ")[1].split()[0])
    assert len(Shelf(groups, 640, enough, CPU, 1, seed=0).table) == LEAST_SLOTS


def test_pictures_that_have_gone_or_grown_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sources = _plain(tmp_path / "a", 4)
    sources[0].path.unlink()
    Image.new("RGB", (90, 90)).save(sources[1].path)
    shelf = Shelf([sources, sources], 640, 10**6, CPU, 1, seed=0)
    assert sorted(_numbers(shelf, 0)) == [2, 3]
    assert "no longer readable" in caplog.text
    for source in sources[1:]:
        source.path.unlink()
    with pytest.raises(TrainingError, match="no longer be read"):
        Shelf([sources, sources], 640, 10**6, CPU, 1, seed=0)
