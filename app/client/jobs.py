"""Jobs of the service: what takes longer than a request should, begun, watched and fetched."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from app.client.conversation import Call, Conversation, Known, Options, Pause, Result, Style, answered, posted, several
from app.client.errors import ImpastoProblem
from app.client.pictures import Picture

WATCH_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Job:
    """A job as it was when asked for.

    `state`: queued, running, done or failed; `done` of `total` photos, the one in hand counts in part; `seconds_left`
    is an estimate, `note` what it waits for, `report` what of it could not be done.
    """

    id: str
    state: str
    done: float
    total: float | None
    seconds_left: float | None
    note: str | None
    report: tuple[str, ...]
    problem: ImpastoProblem | None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ("done", "failed")


def begin(
    content: Picture | Sequence[Picture], style: Style | Sequence[Style], options: Options, known: Known, retries: int
) -> Conversation[Job]:
    """A job of one photo or several, begun."""
    # The same key for every attempt: an answer that is lost on its way does not begin a second job.
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    response, _ = yield from posted("jobs", several(content), style, options, known, retries, headers)
    return _job(response)


def job(id: str, retries: int) -> Conversation[Job]:
    """A job as it is now."""
    return _job((yield from answered(Call("GET", f"jobs/{id}"), retries)))


def finished(id: str, progress: Callable[[Job], object] | None, retries: int) -> Conversation[Result]:
    """What a job made, once it has ended; `progress` is told how far it is."""
    while True:
        now = yield from job(id, retries)
        if progress:
            progress(now)
        if now.problem:
            raise now.problem
        if now.ended:
            break
        yield Pause(WATCH_SECONDS)
    response = yield from answered(Call("GET", f"jobs/{id}/result"), retries)
    return Result(response.content, response.headers["content-type"], (), {})


def end(id: str, retries: int) -> Conversation[None]:
    """A job cancelled, or its result forgotten."""
    yield from answered(Call("DELETE", f"jobs/{id}"), retries)


def _job(response: httpx.Response) -> Job:
    told: dict[str, Any] = response.json()
    problem = told.get("problem")
    return Job(
        told["id"],
        told["state"],
        told["progress"]["done"],
        told["progress"].get("total"),
        told.get("seconds_left"),
        told.get("note"),
        tuple(told.get("result", {}).get("report", ())),
        ImpastoProblem(problem["status"], problem, None) if problem else None,
    )
