"""What the results of photos are called."""

import re
from collections.abc import Sequence
from pathlib import PurePath, PurePosixPath
from typing import Final
from unicodedata import normalize

NOT_IN_NAMES: Final = re.compile(r"[^\w .()+-]")
LONGEST: Final = 100
SAME: Final = {".jpg": (".jpg", ".jpeg"), ".png": (".png",), ".webp": (".webp",), ".zip": (".zip",)}


def called(name: str, suffix: str) -> str:
    """A file's name for a result of `suffix`, of what its photo is called, however that is spelt."""
    stem = NOT_IN_NAMES.sub("_", PurePath(name).stem)[:LONGEST].strip(" .")
    return f"{stem or 'photo'}{suffix}"


class Names:
    """Paths in an archive of results: those of the photos but for their suffixes, each once on every system.

    `report` has a line for each that had to be another.
    """

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}
        self._report: list[str] = []

    @property
    def report(self) -> Sequence[str]:
        return tuple(self._report)

    def new(self, path: str, suffix: str) -> str:
        """A path for the result of the photo at `path`, a file of `suffix`, as .jpg."""
        wanted = PurePosixPath(path)
        if wanted.suffix.lower() not in SAME[suffix]:
            wanted = wanted.with_suffix(suffix)
        name, count = wanted, 1
        while (key := _key(name)) in self._taken:
            count = self._taken[_key(wanted)] = self._taken[_key(wanted)] + 1
            name = wanted.with_stem(f"{wanted.stem}-{count}")
        self._taken[key] = 1
        if name != wanted:
            self._report.append(f"{path} is {name} in the archive, since another is {wanted}")
        return str(name)


def _key(name: PurePosixPath) -> str:
    """Equal for names that are one file where case, or how letters are composed, counts for nothing."""
    return normalize("NFC", str(name)).casefold()
