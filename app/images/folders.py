"""The pictures in a folder of somebody's own, with all that cameras and systems leave beside them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.images.sniff import PICTURE_SUFFIXES


@dataclass(frozen=True)
class Listing:
    """`pictures`: files with a picture's suffix, sorted; `others`: the rest, but for what is hidden."""

    pictures: tuple[Path, ...]
    others: tuple[Path, ...]


def listing(folder: Path, below: bool) -> Listing:
    """What is in a folder, with `below` in all folders below it too. Raises OSError where it can't be read."""
    parts: dict[bool, list[Path]] = {True: [], False: []}
    for path in sorted(_files(folder, below)):
        parts[path.suffix.lower() in PICTURE_SUFFIXES].append(path)
    return Listing(tuple(parts[True]), tuple(parts[False]))


def _files(folder: Path, below: bool) -> Iterator[Path]:
    for path in folder.iterdir():
        if hidden(path.name):
            continue
        if path.is_file():
            yield path
        elif below and path.is_dir() and not path.is_symlink():
            yield from _files(path, below)


def hidden(name: str) -> bool:
    """Dot files, as macOS's `._photo.jpg`, and what Windows and zip programs leave."""
    return name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini", "__macosx")
