"""The client for programs that wait."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from app.client import conversation, jobs
from app.client.conversation import Call, Conversation, Known, Options, ReadyStyle, Result, Style
from app.client.jobs import Job
from app.client.pictures import Picture

T = TypeVar("T")


class Impasto:
    """`address` of the service, a prefix included; `key` where it wants one; `timeout` of one request in seconds.

    Up to `retries` times a request is sent again where the service is busy or can't be reached, after the time the
    service names. Styles are uploaded once and then named by their id. Safe to use from several threads.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        timeout: float = 120.0,
        retries: int = 5,
    ) -> None:
        self._client = httpx.Client(**settings(address, key, timeout))
        self._retries = retries
        self._known = Known()

    def stylize(self, content: Picture, style: Style | Sequence[Style], **options: Unpack[Options]) -> Result:
        """Repaint a photo in one style, or a blend of up to eight. A style is a picture or the id of one.

        Raises ImpastoProblem, Unreachable, NotAPicture, and OSError for a path.
        """
        return self._hold(conversation.stylize(content, style, options, self._known, self._retries))

    def begin(
        self, content: Picture | Sequence[Picture], style: Style | Sequence[Style], **options: Unpack[Options]
    ) -> Job:
        """Begin a job, of one photo or several, or of a zip archive of them: for prints, and for what should outlive
        this program.
        """
        return self._hold(jobs.begin(content, style, options, self._known, self._retries))

    def job(self, id: str) -> Job:
        """A job as it is now, by its id."""
        return self._hold(jobs.job(id, self._retries))

    def finished(self, id: str, progress: Callable[[Job], object] | None = None) -> Result:
        """Wait for a job and fetch what it made: a picture, or a zip archive of several.

        `progress` is told each second. Raises ImpastoProblem also where the job has failed.
        """
        return self._hold(jobs.finished(id, progress, self._retries))

    def end(self, id: str) -> None:
        """Cancel a job, or forget its result."""
        self._hold(jobs.end(id, self._retries))

    def styles(self) -> list[ReadyStyle]:
        """The styles that stand ready; an `id` is taken as a style."""
        return self._hold(conversation.ready(self._retries))

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _hold(self, talk: Conversation[T]) -> T:
        answer: Any = None
        while True:
            try:
                step = talk.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Call):
                try:
                    answer = self._client.request(
                        step.method, step.path, data=step.data, files=step.files, headers=step.headers
                    )
                except httpx.TransportError as error:
                    answer = error
            else:
                time.sleep(step.seconds)
                answer = None


def settings(address: str, key: str | None, timeout: float) -> dict[str, Any]:
    """What both clients give httpx."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return {"base_url": address.rstrip("/") + "/", "headers": headers, "timeout": timeout}
