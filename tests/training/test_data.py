"""Folders to splits, and crops of them."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from app.evaluation.errors import EvaluationError
from app.evaluation.pictures import read_squares
from app.training.data.crops import PHOTOS_AS_STYLES, Crops, Turned, stream
from app.training.data.index import Index
from app.training.data.splits import part_of, split
from app.training.errors import TrainingError
from tests.training.conftest import fill


def test_pictures_stay_in_their_part_when_others_come(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 24, 1)
    before = split(folder, Index(tmp_path / "none"), 0.25, 0.25)
    assert all((before.train, before.val, before.test))
    fill(folder / "more", 24, 2)
    after = split(folder, Index(tmp_path / "none"), 0.25, 0.25)
    for part in ("train", "val", "test"):
        assert set(getattr(before, part)) < set(getattr(after, part))
    assert after.fingerprint != before.fingerprint


def test_parts_are_of_about_the_shares_asked_for() -> None:
    parts = [part_of(f"{n:03x}" + "8" * 61, 0.25, 0.125) for n in range(4096)]
    assert (parts.count("val"), parts.count("test")) == (1024, 512)


def test_a_copy_counts_once_and_a_broken_file_is_listed(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 6, 1)
    shutil.copy(folder / "0.png", folder / "copy.png")
    (folder / "broken.jpg").write_bytes((folder / "1.png").read_bytes()[:200])
    (folder / "notes.txt").write_text("not a picture by its name, so not looked at")
    parts = split(folder, Index(tmp_path / "none"), 0, 0)
    assert len(parts.train) == 6
    assert parts.duplicates == 1
    assert [path.name for path, _ in parts.unreadable] == ["broken.jpg"]
    assert "skipped" in parts.summary()
    assert "broken.jpg" in parts.summary()


def test_the_index_spares_reading_a_file_again_until_it_changes(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 3, 1)
    index = Index(tmp_path / "pictures.json")
    split(folder, index, 0, 0)
    index.path.write_bytes(index.encoded().replace(b'""', b'"marked"'))
    known = Index(index.path)
    assert known.examine(folder / "0.png").fault == "marked"
    fill(folder, 1, 9, side=32)
    assert known.examine(folder / "0.png").fault == ""


@pytest.mark.parametrize("what", ["absent", "empty", "all broken"])
def test_a_folder_with_nothing_to_train_on_says_so(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "pictures"
    if what != "absent":
        folder.mkdir()
    if what == "all broken":
        (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    with pytest.raises(EvaluationError, match=r"is not a folder|no pictures|1 unreadable"):
        split(folder, Index(tmp_path / "none"), 0.1, 0.1)


def test_crops_are_a_function_of_seed_and_place_with_workers_or_without(contents: Path, styles: Path) -> None:
    photos, paintings = sorted(contents.iterdir()), sorted(styles.iterdir())
    crops = Crops(photos, paintings, 32, 2, seed=5)
    alone = list(stream(crops, 3, 7, workers=0, pin=False))
    torch.manual_seed(99)
    together = list(stream(crops, 3, 7, workers=2, pin=False))
    for (a, b), (c, d) in zip(alone, together, strict=True):
        assert a.shape == b.shape == (2, 3, 32, 32)
        assert torch.equal(a, c)
        assert torch.equal(b, d)
    other, _ = Crops(photos, paintings, 32, 2, seed=6)[3]
    assert not torch.equal(other, alone[0][0])


def test_some_styles_are_photographs_and_no_content_is_a_painting(styles: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (200, 100, 50)).save(tmp_path / "flat.png")
    contents, drawn = Crops([tmp_path / "flat.png"], sorted(styles.iterdir()), 16, 300, seed=0)[0]
    assert contents.float().std((2, 3)).max() == 0
    flat = (drawn.float().std((2, 3)) == 0).all(1).float().mean().item()
    assert flat == pytest.approx(PHOTOS_AS_STYLES, abs=0.06)
    _, paintings = Crops([tmp_path / "flat.png"], sorted(styles.iterdir()), 16, 50, seed=0, photos=0)[0]
    assert (paintings.float().std((2, 3)) > 0).any(1).all()


def test_turned_pictures_slant_and_have_no_empty_corners() -> None:
    rows = torch.arange(90) // 3 % 2
    stripes = (1 + 254 * rows).to(torch.uint8)[:, None].expand(3, 90, 120)
    turn = Turned()
    torch.manual_seed(0)
    slants = 0
    for _ in range(20):
        turned = turn(stripes)
        assert turned.shape == (3, 63, 63)
        assert turned.min() >= 1
        across = turned[0].float().diff(dim=1).abs().mean()
        slants += int(across > 10)
    assert slants > 15
    assert torch.equal(turn(stripes[:, :1, :1]), stripes[:, :1, :1])


def test_a_picture_that_goes_away_while_training_is_replaced(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pictures", 4, 1)
    paths = sorted(folder.iterdir())
    paths[0].unlink()
    contents, _ = Crops(paths, paths, 32, 8, seed=0)[0]
    assert contents.shape == (8, 3, 32, 32)
    shutil.rmtree(folder)
    with pytest.raises(TrainingError, match="no longer be read"):
        Crops(paths, paths, 32, 1, seed=0)[0]


def test_squares_are_the_middle_of_pictures_and_untouched_at_their_own_size(contents: Path) -> None:
    path = sorted(contents.iterdir())[0]
    (whole,) = read_squares([path], 64)
    (again,) = read_squares([path], 64)
    assert torch.equal(whole, again)
    with Image.open(path) as image:
        assert torch.equal((whole * 255).round().to(torch.uint8), pil_to_tensor(image))
