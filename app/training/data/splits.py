"""Folders of pictures: which can be read, and which are for training, validation and test."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from app.evaluation.pictures import pictures_in, read
from app.training.data.index import Index
from app.training.errors import TrainingError


@dataclass(frozen=True)
class Source:
    """A picture to train on, and its sides in pixels, the shorter one a little more at most."""

    path: Path
    height: int
    width: int

    def read(self, long_side: int) -> Tensor:
        """uint8 (3, H, W), reduced to this where it is larger. Raises OSError or ImageError."""
        return read(self.path, long_side)


@dataclass(frozen=True)
class Splits:
    """The pictures of one folder and all below it, each once, however often it is there."""

    folder: Path
    train: tuple[Source, ...]
    val: tuple[Path, ...]
    test: tuple[Path, ...]
    unreadable: tuple[tuple[Path, str], ...]
    duplicates: int
    fingerprint: str

    def summary(self) -> str:
        """One line of counts, and one for each file that was skipped."""
        counts = f"{len(self.train)} train, {len(self.val)} validation, {len(self.test)} test"
        more = f", {self.duplicates} duplicates left out" if self.duplicates else ""
        lines = [f"{self.folder}: {counts}{more}"]
        lines += [f"  skipped {path}: {why}" for path, why in self.unreadable]
        return "\n".join(lines)


def split(folder: Path, index: Index, val_share: float, test_share: float, threads: int = 4) -> Splits:
    """Split a folder by the hash of each picture's bytes, so that a picture stays where it is when others come.

    Raises TrainingError when nothing is left to train on.
    """
    paths = pictures_in(folder)
    examined = index.examine(paths, threads, f"reading {folder}")
    unreadable = tuple((path, entry.fault) for path, entry in zip(paths, examined, strict=True) if entry.fault)
    by_hash: dict[str, Source] = {}
    for path, entry in zip(paths, examined, strict=True):
        if not entry.fault:
            by_hash.setdefault(entry.sha256, Source(path, entry.height, entry.width))
    parts: dict[str, list[Source]] = {"train": [], "val": [], "test": []}
    for sha256, source in sorted(by_hash.items()):
        parts[part_of(sha256, val_share, test_share)].append(source)
    if not parts["train"]:
        raise TrainingError(
            f"{folder}: {len(by_hash)} readable and {len(unreadable)} unreadable pictures, none of them left to train "
            "on; add pictures, or lower --val-share and --test-share"
        )
    return Splits(
        folder,
        tuple(parts["train"]),
        tuple(source.path for source in parts["val"]),
        tuple(source.path for source in parts["test"]),
        unreadable,
        len(paths) - len(unreadable) - len(by_hash),
        hashlib.sha256("".join(sorted(by_hash)).encode()).hexdigest(),
    )


def part_of(sha256: str, val_share: float, test_share: float) -> str:
    """Which part a picture is in: "train", "val" or "test", by its hash alone."""
    place = int(sha256[:13], 16) / 16**13
    if place < val_share:
        return "val"
    return "test" if place < val_share + test_share else "train"
