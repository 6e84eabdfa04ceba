"""Files that are whole or not there."""

import errno
import os
import uuid
from pathlib import Path
from typing import Final

DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, on disk, so that whoever looks sees what was there before or all of `data`.

    Raises OSError as writing does, and then leaves what was there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".impasto-{uuid.uuid4().hex}")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def flush(path: Path) -> None:
    """Have a file that is written on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
