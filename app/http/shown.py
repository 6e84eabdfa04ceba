"""A job as the API shows it."""

from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import BaseModel

from app.http.problems import INTERNAL_ERROR, TYPES
from app.jobs.record import Job, State

LONGEST_SHOWN: Final = 200  # of a text, which may be tens of kilobytes and comes with every event


class ProgressInfo(BaseModel):
    """`done` of `total` photos or frames; the one in hand counts in part. All are done only when the job is."""

    done: float
    total: float | None = None
    unit: Literal["photos", "frames"]


class ResultInfo(BaseModel):
    """The file: its size in bytes, its name, and what could not be done."""

    media_type: str
    bytes: int
    name: str
    report: list[str]


class JobInfo(BaseModel):
    """A job. Times are of ISO 8601 in UTC; `seconds_left` is an estimate; `expires` is when it is forgotten, at the
    latest; `note` says what it waits for; addresses in `links` begin with a slash."""

    id: str
    kind: str
    state: State
    progress: ProgressInfo
    seconds_left: float | None = None
    note: str | None = None
    created: str
    started: str | None = None
    ended: str | None = None
    expires: str | None = None
    asked: dict[str, Any]
    problem: dict[str, Any] | None = None
    result: ResultInfo | None = None
    links: dict[str, str]


class JobList(BaseModel):
    """Jobs, newest first; `next` is where older ones are, absent where there are none."""

    jobs: list[JobInfo]
    next: str | None = None


def address(job: Job, root_path: str) -> str:
    """Where a job is."""
    return f"{root_path}/jobs/{job.id}"


def job_info(job: Job, root_path: str, keep_seconds: float) -> JobInfo:
    """A job for its caller; `root_path` is where a proxy shows the service, `keep_seconds` how long it is kept."""
    here = address(job, root_path)
    links = {"self": here, "events": f"{here}/events"}
    if job.preview:
        links["preview"] = f"{here}/preview"
    if job.outcome:
        links["result"] = f"{here}/result"
    return JobInfo(
        id=job.id,
        kind=job.kind,
        state=job.state,
        progress=ProgressInfo(done=round(job.progress.done, 3), total=job.progress.total, unit=job.progress.unit),
        seconds_left=job.progress.seconds_left,
        note=job.note or None,
        created=_time(job.created),
        started=_time(job.started) if job.started else None,
        ended=_time(job.ended) if job.ended else None,
        expires=_time(job.ended + keep_seconds) if job.ended else None,
        asked=_asked(job),
        problem=_problem(job, root_path),
        result=ResultInfo(**job.outcome.model_dump(exclude={"file"})) if job.outcome else None,
        links=links,
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _asked(job: Job) -> dict[str, Any]:
    """The fields of the request, of files their names and their sizes in bytes."""
    asked = job.asked
    return {
        "content": [{"name": file.name, "bytes": file.bytes} for file in asked.contents],
        "style": [{"id": file.name, "bytes": file.bytes} for file in asked.styles],
        "mask": [{"bytes": file.bytes} for file in asked.masks],
        **asked.options.model_dump(exclude_none=True),
        **{name: [text[:LONGEST_SHOWN] for text in texts] for name, texts in asked.fields.items()},
    }


def _problem(job: Job, root_path: str) -> dict[str, Any] | None:
    if job.trouble is None:
        return None
    kind = TYPES.get(job.trouble.problem, INTERNAL_ERROR)
    return kind.body(job.trouble.detail, root_path, **job.trouble.members)
