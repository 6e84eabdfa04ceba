"""A large picture goes on where another process left it, and comes to the same bytes."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from app.engine import begun
from app.engine.base import Engine, Job, Picture, Steps, complete, stylize_steps
from app.engine.begun import STATE, Begun
from app.engine.tiles import Limits
from tests.engine.engines import engine, gradient_masks, job
from tests.pictures import photo

SMALL = Limits(tile_width=160, slab_rows=32, feature_memory=0)
CONTENT = photo("astronaut")[:72, :440]

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save behind every column."""
    for name in ("FIRST_SECONDS", "LEAST_SECONDS", "COST"):
        monkeypatch.setattr(begun, name, 0)


def works() -> dict[str, Job]:
    masked = job(CONTENT, ("coffee", "rocket"), (1, 1), 0.9, gradient_masks(CONTENT))
    alpha = np.tile(np.linspace(0, 255, CONTENT.shape[1], dtype=np.uint8), (CONTENT.shape[0], 1))
    return {"plain": job(CONTENT), "masked": masked, "transparent": replace(masked, alpha=alpha)}


def killed(tiled: Engine, work: Job, steps: int, folder: Path) -> Path:
    """What is on disk where a process ended after so many steps."""
    folder.mkdir(parents=True)
    running = stylize_steps(tiled, [replace(work, begun=Begun(folder))])
    for _ in range(steps):
        next(running)
    left = folder.with_name("left")
    shutil.copytree(folder, left)
    running.close()
    return left


def finished(tiled: Engine, work: Job, folder: Path) -> tuple[Picture, Begun]:
    """The result, gone on with from a folder."""
    kept = Begun(folder)
    part = kept.part
    parts: list[float] = []
    [result] = complete(noting(stylize_steps(tiled, [replace(work, begun=kept)]), parts))
    assert parts == sorted(parts)
    assert parts[0] >= kept.resumed in (0.0, part)
    assert parts[-1] < 1
    assert max(np.diff([kept.resumed, *parts, 1.0])) < 0.3, "a column, which is a slab here, is a quarter at most"
    return result, kept


def noting(steps: Steps[T], parts: list[float]) -> Steps[T]:
    while True:
        try:
            parts.append(next(steps))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        yield parts[-1]


@pytest.mark.parametrize(
    ("library", "kind"),
    [("ncnn", "plain"), ("ncnn", "masked"), ("ncnn", "transparent"), ("torch", "masked"), ("openvino", "plain")],
)
def test_from_any_step_it_comes_to_the_same(library: str, kind: str, tmp_path: Path) -> None:
    tiled, work = engine(library, SMALL), works()[kind]
    [whole] = tiled.stylize([work])
    count = sum(1 for _ in stylize_steps(tiled, [work]))
    resumed = []
    for steps in np.linspace(1, count, 5, dtype=int):
        left = killed(tiled, work, steps, tmp_path / str(steps) / "first")
        result, kept = finished(tiled, work, left)
        assert np.array_equal(result, whole)
        resumed.append(kept.resumed)
    assert resumed == sorted(resumed)
    assert resumed[0] == 0
    assert resumed[2] > 0.3
    assert resumed[-1] > 0.7


def test_it_goes_on_however_often_it_ends(tmp_path: Path) -> None:
    tiled, work = engine("ncnn", SMALL), works()["masked"]
    [whole] = tiled.stylize([work])
    folder = tmp_path / "0"
    folder.mkdir()
    part = 0.0
    while part < 0.7:
        running = stylize_steps(tiled, [replace(work, begun=Begun(folder))])
        for _ in range(12):
            next(running)
        folder = Path(shutil.copytree(folder, tmp_path / f"{part}"))
        running.close()
        assert Begun(folder).part > part, "twelve steps are more than a column"
        part = Begun(folder).part
    result, kept = finished(tiled, work, folder)
    assert kept.resumed == part
    assert np.array_equal(result, whole)


@pytest.mark.parametrize(
    "change",
    [
        lambda _, work: replace(work, content=np.ascontiguousarray(work.content[::-1])),
        lambda _, work: replace(work, share=work.share * np.float32(0.5)),
        lambda _, work: replace(work, styles=job(CONTENT, ("rocket",)).styles),
        lambda folder, work: (folder / STATE).write_bytes(b"damaged") and work,
        lambda folder, work: (folder / STATE).unlink() or work,
        lambda folder, work: next(folder.glob("layer-*")).write_bytes(b"short") and work,
        lambda folder, work: next(folder.glob("layer-*")).unlink() or work,
    ],
    ids=["photo", "strength", "style", "damaged", "gone", "short", "missing"],
)  # fmt: skip
def test_what_was_begun_of_another_picture_or_is_not_whole_is_begun_anew(
    change: Callable[[Path, Job], Job], tmp_path: Path
) -> None:
    tiled = engine("ncnn", SMALL)
    left = killed(tiled, works()["plain"], 30, tmp_path / "first")
    assert Begun(left).part > 0
    work = change(left, works()["plain"])
    result, kept = finished(tiled, work, left)
    assert kept.resumed == 0
    assert np.array_equal(result, tiled.stylize([work])[0])


def test_what_another_engine_began_is_begun_anew(tmp_path: Path) -> None:
    work = works()["plain"]
    left = killed(engine("ncnn", SMALL), work, 30, tmp_path / "first")
    other = engine("ncnn", replace(SMALL, tile_width=192))
    result, kept = finished(other, work, left)
    assert kept.resumed == 0
    assert np.array_equal(result, other.stylize([work])[0])


def test_a_folder_that_is_removed_stays_so_and_ends_nothing(tmp_path: Path) -> None:
    tiled, work = engine("ncnn", SMALL), works()["plain"]
    folder = tmp_path / "first"
    folder.mkdir()
    running = stylize_steps(tiled, [replace(work, begun=Begun(folder))])
    for _ in range(30):
        next(running)
    shutil.rmtree(folder)
    [result] = complete(running)
    assert np.array_equal(result, tiled.stylize([work])[0])
    assert not folder.exists()


def test_disk_holds_two_layers_and_the_picture_at_most(tmp_path: Path) -> None:
    tiled, work = engine("ncnn", SMALL), works()["plain"]
    most = 0
    for _ in stylize_steps(tiled, [replace(work, begun=Begun(tmp_path))]):
        most = max(most, sum(path.stat().st_size for path in tmp_path.iterdir()))
    pixels = 72 * 440
    assert 16 * pixels < most < 40 * pixels + 2**21
    assert {path.name for path in tmp_path.iterdir()} <= {STATE, "picture"} | {f"layer-{n}" for n in range(9)}


def test_what_fits_in_memory_keeps_nothing(tmp_path: Path) -> None:
    complete(stylize_steps(engine("ncnn", Limits(tile_width=160)), [replace(works()["plain"], begun=Begun(tmp_path))]))
    assert list(tmp_path.iterdir()) == []
