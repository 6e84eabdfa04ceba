"""What is known of a job, as it is kept."""

from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from app.jobs.work import Order, Unit, Upload
from app.options import Options

WORK: Final = "work"  # the folder within a job's that its work writes to
VERSIONS: Final = 1_000_000  # more than one attempt can come to


class State(StrEnum):
    """Where a job stands. One that is cancelled is forgotten once whoever listens has heard of it."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self not in (State.QUEUED, State.RUNNING)


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True)


class StoredFile(_Kept):
    """An upload by its name in the job's folder; `field` and `name` as of an `app.jobs.work.Upload`."""

    file: str
    field: str
    name: str
    bytes: int


class Asked(_Kept):
    """What was asked, files by their names in the job's folder."""

    contents: tuple[StoredFile, ...]
    styles: tuple[StoredFile, ...]
    masks: tuple[StoredFile, ...]
    options: Options
    accept: str
    fields: dict[str, tuple[str, ...]]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in (*self.contents, *self.styles, *self.masks))

    def order(self, folder: Path, work: str = WORK) -> Order:
        """The same with its files, of the job that has `folder`, in which its work writes to `work`."""

        def uploads(files: tuple[StoredFile, ...]) -> tuple[Upload, ...]:
            return tuple(Upload(one.field, folder / one.file, one.name) for one in files)

        return Order(
            folder / work,
            uploads(self.contents),
            uploads(self.styles),
            uploads(self.masks),
            self.options,
            self.accept,
            self.fields,
        )


class Advance(_Kept):
    """How far a job is; see `app.jobs.work.Progress`. `seconds_left` is an estimate, None where there is none."""

    done: float = 0.0
    total: float | None = None
    unit: Unit = "photos"
    seconds_left: float | None = None


class Trouble(_Kept):
    """Why a job failed: the name of a problem type, what is wrong, and members such as field and limit."""

    problem: str
    detail: str
    members: dict[str, Any] = {}


class Outcome(_Kept):
    """The file a job came to, by its path within the work's folder; see `app.jobs.work.Result`."""

    file: str
    media_type: str
    name: str
    bytes: int
    report: tuple[str, ...] = ()


class Callback(_Kept):
    """Where to tell the end of a job, and how often that was tried in vain."""

    url: str
    tries: int = 0


class Job(_Kept):
    """A job. Times are seconds since 1970.

    `client` is who sent it, by whom the network and places are shared out; `owner` who may list it, empty for nobody: a
    client with a key, or who knows a secret; `due` is when it may be begun, or when its callback is to be sent; `note`
    says what it waits for; `begun` counts how often it was begun, `attempts` how often since it last got a part
    further; `work` is its work's folder within the job's; `preview` is a file by its path within that; `bytes` what the
    job holds on disk; `version` goes up with every change that listeners hear of, by more than an attempt can come to
    where it is begun again: what one saw of a lost attempt is older than all that follows;
    `traceparent` is the request it came by, as W3C Trace Context writes it.
    """

    id: str
    client: str
    owner: str
    kind: str
    state: State
    created: float
    asked: Asked
    key: str = ""
    fingerprint: str = ""
    started: float | None = None
    ended: float | None = None
    due: float = 0.0
    begun: int = 0
    attempts: int = 0
    work: str = WORK
    parts: float = 0.0
    progress: Advance = Advance()
    note: str = ""
    trouble: Trouble | None = None
    outcome: Outcome | None = None
    callback: Callback | None = None
    traceparent: str = ""
    preview: str = ""
    bytes: int = 0
    version: int = 0

    def order(self, folder: Path) -> Order:
        """What was asked, of the job's folder."""
        return self.asked.order(folder, self.work)

    def cancelled(self) -> "Job":
        """The same for those who hear of it for the last time."""
        return self.model_copy(update={"state": State.CANCELLED, "version": self.version + 1})

    def begin(self, now: float) -> "Job":
        """The same, running, begun once more."""
        begun = self.begun + 1
        return self.model_copy(
            update={
                "state": State.RUNNING,
                "begun": begun,
                "attempts": self.attempts + 1,
                "started": self.started or now,
                "note": "",
                "version": max(self.version, begun * VERSIONS),
            }
        )
