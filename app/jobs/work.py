"""What a kind of job is to the runner: photos and videos plug in here, and the runner knows no more of either.

A `Kind` says what it takes and makes `Work` of an `Order`; the work is made anew from the job's folder after every
restart, and goes on from what it finds finished there. All of it is plain blocking code: the runner gives each job a
thread.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from app.options import Options
from app.queue.work import Done
from app.queue.work import Work as QueueWork

Unit = Literal["photos", "frames"]


class Fault(Exception):
    """Why a job can't be done, ever. `problem` is the name of a problem type, `members` its field, limit and others."""

    def __init__(self, problem: str, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail
        self.members = members


def invalid(field: str, detail: str, limit: float | None = None) -> Fault:
    """A field that is missing or wrong, of which `limit` is the most or the least."""
    error = {"field": field, "detail": detail, **({} if limit is None else {"limit": limit})}
    return Fault("invalid-request", f"wrong or missing: {field}", errors=[error])


class Stopped(Exception):
    """The job is to stop now, cancelled or until the service starts again: let it pass."""


@dataclass(frozen=True)
class Upload:
    """A file of an order, in the job's folder.

    `field` names it in errors, as `style[1]`; `name` is a style's id, else what the caller calls it, or empty.
    """

    field: str
    path: Path
    name: str = ""


@dataclass(frozen=True)
class Order:
    """What was asked. `folder` is the work's own to write to; the uploads beside it stay as they are.

    `masks` are none, or one per style; `accept` is the caller's Accept, which decides on a format where `options` do
    not; `fields` are the texts sent in the kind's own fields.
    """

    folder: Path
    contents: tuple[Upload, ...]
    styles: tuple[Upload, ...]
    masks: tuple[Upload, ...]
    options: Options
    accept: str = ""
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """How far a job is: `done` of `total` units, None where nobody can know; the unit in hand may count in part.

    `parts`: how many parts are finished on disk, which no restart does again; the one in hand as far as it is.
    """

    done: float
    total: float | None
    unit: Unit
    parts: float


@dataclass(frozen=True)
class Plan:
    """What there is to do: `total` units, None where nobody can know, and about how many `pixels` of results."""

    total: float | None
    unit: Unit
    pixels: int


@dataclass(frozen=True)
class Result:
    """The file a job came to, whole and on disk. `name` is what a browser saves it as; `report`: lines that say what
    could not be done, each for a person."""

    path: Path
    media_type: str
    name: str
    report: tuple[str, ...] = ()


class Painter(Protocol):
    """The network, for background work."""

    def paint(self, work: QueueWork, on_step: Callable[[float], None] | None = None) -> "Future[Done]":
        """Queue a picture; several may be in the queue, as many as the caller bounds them to.

        `on_step` hears after each step how much of it is done, from 0 to less than 1; it is called from the network's
        thread and must be quick. Raises Stopped; the future is cancelled when the job is to stop, and raises a
        QueueError.
        """


Steps = Generator[Progress, None, Result]


class Work(Protocol):
    """A job's work in its folder."""

    def finished(self) -> float:
        """How many parts are on disk, as `Progress.parts` counts them. Asked before the steps are taken, of every job,
        such as one that ends the process each time: what it takes is a look at the folder. Raises OSError."""

    def steps(self, painter: Painter) -> Steps:
        """Do what is left, yielding at least once a second or so; the result is the same to the last byte, however
        often the job was begun again.

        It may be closed at any yield, as by SIGTERM, and the process may end at any moment: what is finished is written
        whole (`app.files.write_whole`), and found again. Raises Fault, Stopped, QueueError; OSError where the disk is
        full, upon which it is begun again later.
        """

    def preview(self) -> Path | None:
        """The newest picture finished, a JPEG that is whole, in the work's folder; None before there is one.

        Asked after each step, in the same thread.
        """


class Kind(Protocol):
    """A kind of job: `name` as in the API, and the text `fields` it takes beside those of /stylize."""

    name: str
    fields: Sequence[str]

    def takes(self, content: BinaryIO) -> bool:
        """Whether an uploaded file is of this kind, by its first bytes; leaves the file at its beginning."""

    def check(self, order: Order) -> Plan:
        """What there is to do, before the job is accepted. Raises Fault for what can't be done."""

    def work(self, order: Order) -> Work:
        """The work, begun or not."""
