"""Files that are whole or not there."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, so that whoever looks sees what was there before or all that was written, once it is on disk.

    Raises OSError as writing does, and then leaves what was there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".impasto-{uuid.uuid4().hex}")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file as `whole_file` does."""
    with whole_file(path) as file:
        file.write(data)


def sync_folder(folder: Path) -> None:
    """Put on disk which files a folder has."""
    if os.name == "nt":  # where folders can't be opened, and need not be
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush(path: Path) -> None:
    """Have a file that is written on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
