"""The client for programs on an event loop."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from app.client import conversation, jobs
from app.client.conversation import Call, Conversation, Known, Options, ReadyStyle, Result, Style
from app.client.jobs import Job
from app.client.pictures import Picture
from app.client.synchronous import settings

T = TypeVar("T")


class AsyncImpasto:
    """As `Impasto`, with `await`."""

    def __init__(
        self,
        address: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        timeout: float = 120.0,
        retries: int = 5,
    ) -> None:
        self._client = httpx.AsyncClient(**settings(address, key, timeout))
        self._retries = retries
        self._known = Known()

    async def stylize(self, content: Picture, style: Style | Sequence[Style], **options: Unpack[Options]) -> Result:
        """As `Impasto.stylize`."""
        return await self._hold(conversation.stylize(content, style, options, self._known, self._retries))

    async def begin(
        self, content: Picture | Sequence[Picture], style: Style | Sequence[Style], **options: Unpack[Options]
    ) -> Job:
        """As `Impasto.begin`."""
        return await self._hold(jobs.begin(content, style, options, self._known, self._retries))

    async def job(self, id: str) -> Job:
        """As `Impasto.job`."""
        return await self._hold(jobs.job(id, self._retries))

    async def finished(self, id: str, progress: Callable[[Job], object] | None = None) -> Result:
        """As `Impasto.finished`."""
        return await self._hold(jobs.finished(id, progress, self._retries))

    async def end(self, id: str) -> None:
        """As `Impasto.end`."""
        await self._hold(jobs.end(id, self._retries))

    async def styles(self) -> list[ReadyStyle]:
        """As `Impasto.styles`."""
        return await self._hold(conversation.ready(self._retries))

    async def close(self) -> None:
        """Let the connections go."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def _hold(self, talk: Conversation[T]) -> T:
        answer: Any = None
        while True:
            try:
                step = talk.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Call):
                try:
                    answer = await self._client.request(
                        step.method, step.path, data=step.data, files=step.files or None, headers=step.headers
                    )
                except httpx.TransportError as error:
                    answer = error
            else:
                await asyncio.sleep(step.seconds)
                answer = None
