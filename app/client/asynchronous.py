"""The client for programs on an event loop."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from app.client import conversation
from app.client.conversation import Call, Conversation, Known, ReadyStyle, Result
from app.client.pictures import Picture, StyleId
from app.client.synchronous import Colour, Format, as_list, settings

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

    async def stylize(
        self,
        content: Picture,
        style: Picture | StyleId | Sequence[Picture | StyleId],
        *,
        weight: Sequence[float] = (),
        mask: Sequence[Picture] = (),
        strength: float | None = None,
        size: int | None = None,
        style_size: int | None = None,
        preserve_color: Colour | None = None,
        format: Format | None = None,
        quality: int | None = None,
    ) -> Result:
        """As `Impasto.stylize`."""
        options = {
            "strength": strength,
            "size": size,
            "style_size": style_size,
            "preserve_color": preserve_color,
            "format": format,
            "quality": quality,
        }
        return await self._hold(
            conversation.stylize(content, as_list(style), mask, weight, options, self._known, self._retries)
        )

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
                        step.method, step.path, data=step.data, files=step.files or None
                    )
                except httpx.TransportError as error:
                    answer = error
            else:
                await asyncio.sleep(step.seconds)
                answer = None
