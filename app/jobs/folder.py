"""The data folder: a folder for each job, the store's file, and uploads on their way in."""

import math
import os
import shutil
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from filelock import FileLock, Timeout
from platformdirs import user_data_path

from app.files import sync_folder
from app.jobs.record import WORK, Job

CHUNK: Final = 1 << 20
LEFT_SECONDS: Final = 7200.0  # a file that has not been touched for so long is nobody's upload any longer


class Unavailable(Exception):
    """There is nowhere to keep jobs; the message says what to do."""


class FolderTaken(Unavailable):
    """Another process has the folder, for the time being at least."""


def default_folder() -> Path:
    """Where the system keeps data of this user's programs: ~/.local/share/impasto on Linux."""
    return user_data_path("impasto", appauthor=False)


class DataFolder:
    """The folder at `root`, made where it is not there; held until `close` or the end of the process, unless `shared`.

    Raises FolderTaken where another process holds it, Unavailable where it can't be written.
    """

    def __init__(self, root: Path, shared: bool = False) -> None:
        self._shared = shared
        self.root = root.absolute()
        self.database = self.root / "jobs.sqlite"
        self.incoming = self.root / "incoming"
        self._jobs = self.root / "jobs"
        try:
            for folder in (self.root, self.incoming, self._jobs):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if not os.access(folder, os.W_OK | os.X_OK):
                    raise PermissionError(f"no permission to write to {folder}")
            self._lock = FileLock(self.root / "lock")
            if not shared:
                self._lock.acquire(timeout=0)
        except Timeout:
            raise FolderTaken(
                f"{self.root} is in use by another process: give each its own folder by IMPASTO_DATA_DIR"
            ) from None
        except OSError as error:
            raise Unavailable(
                f"{self.root} can't be written ({error.strerror or error}): name a folder by IMPASTO_DATA_DIR"
            ) from None

    def of(self, id: str) -> Path:
        """A job's folder."""
        return self._jobs / id

    def keep(self, id: str, files: Sequence[tuple[str, BinaryIO]]) -> Path:
        """Make a job's folder and put its uploads there, by name, each from its beginning; all of it on disk.

        Raises OSError, and then leaves nothing.
        """
        folder = self.of(id)
        try:
            (folder / WORK).mkdir(parents=True, mode=0o700)
            for name, source in files:
                source.seek(0)
                with (folder / name).open("xb") as target:
                    shutil.copyfileobj(source, target, CHUNK)
                    target.flush()
                    os.fsync(target.fileno())
            sync_folder(folder)
            sync_folder(self._jobs)
        except BaseException:
            self.remove(id)
            raise
        return folder

    def remove(self, id: str) -> None:
        """Remove a job's folder with all there is in it."""
        shutil.rmtree(self.of(id), ignore_errors=True)

    def take_over(self, job: Job) -> None:
        """Make a job's work folder the one of this attempt: what an earlier one finished goes along, and where that
        one still runs somewhere, taken for lost, its files are no longer where it looks for them. Raises OSError."""
        folder = self.of(job.id)
        if (folder / job.work).exists():
            return
        if before := max(folder.glob(f"{WORK}*"), key=_attempt, default=None):
            before.rename(folder / job.work)
        else:
            (folder / job.work).mkdir(mode=0o700)
        sync_folder(folder)

    def clear(self, known: Collection[str]) -> None:
        """Remove what a process left that ended: uploads on their way, and folders of jobs that are not known. In a
        shared folder those that are old, by its own clock: others may be at work on the rest."""
        last = math.inf
        if self._shared:
            with tempfile.NamedTemporaryFile(dir=self.incoming) as newest:
                last = Path(newest.name).stat().st_mtime - LEFT_SECONDS
        for upload in self.incoming.iterdir():
            if _touched(upload) < last:
                upload.unlink(missing_ok=True)
        for folder in self._jobs.iterdir():
            if folder.name not in known and _touched(folder) < last:
                shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Let others have it."""
        self._lock.release()


def _attempt(work: Path) -> int:
    """Of which attempt a work folder is, 0 before the first."""
    return int(work.name.removeprefix(WORK).lstrip("-") or 0)


def _touched(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another was quicker
        return math.inf


def bytes_in(folder: Path) -> int:
    """What the files below a folder hold, in bytes."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # one may go in the meantime
                total += Path(place, name).lstat().st_size
    return total


def keep_only(folder: Path, kept: Collection[Path]) -> None:
    """Remove all files below a folder but these."""
    for path in folder.rglob("*"):
        if path.is_file() and path not in kept:
            path.unlink(missing_ok=True)
