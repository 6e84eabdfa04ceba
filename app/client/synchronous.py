"""The client for programs that wait."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx

from app.client import conversation
from app.client.conversation import Call, Conversation, Known, ReadyStyle, Result
from app.client.pictures import Picture, StyleId

T = TypeVar("T")
Colour = Literal["none", "luminance", "match"]
Format = Literal["jpeg", "png", "webp"]


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

    def stylize(
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
        """Repaint a photo in one style, or a blend of up to eight with a `weight` and a grey `mask` each.

        `strength` 0 to 1; `size`, `style_size`: long sides in pixels; None leaves the service's default. A style is a
        picture or the id of one. Raises ImpastoProblem, Unreachable, NotAPicture, and OSError for a path.
        """
        options = {
            "strength": strength,
            "size": size,
            "style_size": style_size,
            "preserve_color": preserve_color,
            "format": format,
            "quality": quality,
        }
        return self._hold(
            conversation.stylize(content, as_list(style), mask, weight, options, self._known, self._retries)
        )

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
                    answer = self._client.request(step.method, step.path, data=step.data, files=step.files)
                except httpx.TransportError as error:
                    answer = error
            else:
                time.sleep(step.seconds)
                answer = None


def settings(address: str, key: str | None, timeout: float) -> dict[str, Any]:
    """What both clients give httpx."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return {"base_url": address.rstrip("/") + "/", "headers": headers, "timeout": timeout}


def as_list(style: Picture | StyleId | Sequence[Picture | StyleId]) -> Sequence[Picture | StyleId]:
    """One style or several, as several."""
    return style if isinstance(style, list | tuple) else [style]  # type: ignore[list-item]
