"""Folders of pictures: which can be read, and which are for training, validation and test."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from tqdm import tqdm

from app.images.decode import decode_style
from app.images.errors import ImageError
from app.images.folders import listing
from app.images.sniff import PICTURE_SUFFIXES
from app.training.errors import TrainingError

MAX_PIXELS: Final = 200_000_000
EXAMINED_AT: Final = 64


@dataclass(frozen=True)
class Splits:
    """The pictures of one folder and all below it, each once, however often it is there."""

    folder: Path
    train: tuple[Path, ...]
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


@dataclass(frozen=True)
class Examined:
    """What is known of a file: the SHA-256 of its bytes, or why it cannot be read."""

    size: int
    mtime_ns: int
    sha256: str
    fault: str


class Index:
    """Remembers what files were found to be, so that a large collection is read through once, not at every start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._known = {name: Examined(*entry) for name, entry in json.loads(path.read_bytes()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            self._known = {}

    def examine(self, path: Path) -> Examined:
        """Hash a file and decode it once; the answer of last time if size and time of change are the same."""
        name = str(path.resolve())
        try:
            status = path.stat()
            known = self._known.get(name)
            if known and (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
                return known
            data = path.read_bytes()
        except OSError as error:
            return Examined(0, 0, "", error.strerror or str(error))
        fault = ""
        try:
            decode_style(BytesIO(data), max_pixels=MAX_PIXELS, size=EXAMINED_AT)
        except ImageError as error:
            fault = str(error)
        examined = Examined(status.st_size, status.st_mtime_ns, hashlib.sha256(data).hexdigest(), fault)
        self._known[name] = examined
        return examined

    def encoded(self) -> bytes:
        entries = {name: (e.size, e.mtime_ns, e.sha256, e.fault) for name, e in sorted(self._known.items())}
        return json.dumps(entries).encode()


def pictures_in(folder: Path) -> list[Path]:
    """Files with a picture's suffix in a folder and all below it, sorted.

    Raises TrainingError when there are none.
    """
    if not folder.is_dir():
        raise TrainingError(f"{folder}: is not a folder; give a folder of pictures")
    try:
        found = list(listing(folder, below=True).pictures)
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be listed ({error.strerror})") from None
    if not found:
        raise TrainingError(f"{folder}: no pictures in this folder or below it ({', '.join(sorted(PICTURE_SUFFIXES))})")
    return found


def split(folder: Path, index: Index, val_share: float, test_share: float, threads: int = 4) -> Splits:
    """Split a folder by the hash of each picture's bytes, so that a picture stays where it is when others come.

    Raises TrainingError when nothing is left to train on.
    """
    paths = pictures_in(folder)
    with ThreadPoolExecutor(threads) as pool:
        examined = list(
            tqdm(pool.map(index.examine, paths), f"reading {folder}", len(paths), leave=False, unit="file", delay=1)
        )
    unreadable = tuple((path, e.fault) for path, e in zip(paths, examined, strict=True) if e.fault)
    by_hash: dict[str, Path] = {}
    for path, entry in zip(paths, examined, strict=True):
        if not entry.fault:
            by_hash.setdefault(entry.sha256, path)
    parts: dict[str, list[Path]] = {"train": [], "val": [], "test": []}
    for sha256, path in sorted(by_hash.items()):
        parts[part_of(sha256, val_share, test_share)].append(path)
    if not parts["train"]:
        raise TrainingError(
            f"{folder}: {len(by_hash)} readable and {len(unreadable)} unreadable pictures, none of them left to train "
            "on; add pictures, or lower --val-share and --test-share"
        )
    return Splits(
        folder,
        tuple(parts["train"]),
        tuple(parts["val"]),
        tuple(parts["test"]),
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


def read(path: Path, size: int) -> Tensor:
    """A picture as uint8 (3, H, W), transparency on white, its long side reduced to `size` where it is longer.

    Raises OSError or ImageError.
    """
    with path.open("rb") as file:
        return torch.from_numpy(decode_style(file, max_pixels=MAX_PIXELS, size=size)).permute(2, 0, 1)


def read_squares(paths: Sequence[Path], side: int) -> Tensor:
    """The middle squares of pictures, resized to float32 (N, 3, side, side) in [0, 1].

    Raises TrainingError for a file that cannot be read.
    """
    from torchvision.transforms import v2

    framed = v2.Compose([v2.Resize(side, v2.InterpolationMode.BICUBIC, antialias=True), v2.CenterCrop(side)])
    squares = []
    for path in paths:
        try:
            # A picture of this side already is not touched; a longer one is read at enough pixels for its short side.
            squares.append(framed(read(path, 8 * side)))
        except (OSError, ImageError) as error:
            raise TrainingError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    return torch.stack(squares).float() / 255
