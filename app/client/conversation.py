"""What is said to the service and what it answers, without a socket: the synchronous and the asynchronous client
both send what these generators yield, and wait where they say so."""

import hashlib
import io
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypedDict, TypeVar

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.client.errors import ImpastoProblem, Unreachable
from app.client.pictures import Picture, StyleId, file_bytes, file_name

LATER: Final = (429, 503)
LISTS: Final = ("weight", "mask")
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0


@dataclass(frozen=True)
class Call:
    """A request to send; the generator goes on with its response, or with the httpx.TransportError it met."""

    method: str
    path: str
    data: Mapping[str, str | list[str]] = field(default_factory=dict)
    files: Sequence[tuple[str, tuple[str, bytes]]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pause:
    """Seconds to wait before the generator goes on."""

    seconds: float


Style: TypeAlias = Picture | StyleId
T = TypeVar("T")
Conversation = Generator[Call | Pause, Any, T]


@dataclass(frozen=True)
class Result:
    """A stylised photo: the bytes of a file of `media_type`.

    `style_ids`: the id of each style asked for, None where the service does not remember it; `timing`: milliseconds
    by stage of the service.
    """

    data: bytes
    media_type: str
    style_ids: tuple[StyleId | None, ...]
    timing: dict[str, float]

    def save(self, path: str | Path) -> None:
        """Write the file."""
        Path(path).write_bytes(self.data)

    def image(self) -> Image.Image:
        """A PIL picture."""
        return Image.open(io.BytesIO(self.data))

    def array(self) -> NDArray[np.uint8]:
        """uint8 (H, W, 3), or (H, W, 4) where the result has transparency."""
        picture = self.image()
        return np.asarray(picture.convert("RGBA" if "A" in picture.getbands() else "RGB"))


@dataclass(frozen=True)
class ReadyStyle:
    """A style that stands ready on the service; `width`, `height` in pixels."""

    id: StyleId
    name: str
    credit: str
    width: int
    height: int


class Known:
    """Ids of styles uploaded before, by the hash of their file, so that no picture is sent twice."""

    def __init__(self) -> None:
        self._ids: dict[bytes, StyleId] = {}

    def __getitem__(self, data: bytes) -> StyleId | None:
        return self._ids.get(hashlib.sha256(data).digest())

    def learn(self, data: bytes, id: StyleId | None) -> None:
        """None forgets it."""
        key = hashlib.sha256(data).digest()
        if id is None:
            self._ids.pop(key, None)
        else:
            self._ids[key] = id


class Options(TypedDict, total=False):
    """Fields of a request but its pictures; what is absent or None is the service's default.

    `weight`, `mask`: one for each style, masks grey; `strength` 0 to 1; `size`, `style_size`: long sides in pixels;
    `quality` 1 to 100.
    """

    weight: Sequence[float]
    mask: Sequence[Picture]
    strength: float | None
    size: int | None
    style_size: int | None
    preserve_color: Literal["none", "luminance", "match"] | None
    format: Literal["jpeg", "png", "webp"] | None
    quality: int | None


def stylize(
    content: Picture, style: Style | Sequence[Style], options: Options, known: Known, retries: int
) -> Conversation[Result]:
    """One photo. A style the service has forgotten is uploaded again by itself."""
    response, ids = yield from posted("stylize", [content], style, options, known, retries)
    timing = _timing(response.headers.get("server-timing", ""))
    return Result(response.content, response.headers["content-type"], ids, timing)


def several(given: Style | Sequence[Style]) -> Sequence[Style]:
    """One or several, as several."""
    return given if isinstance(given, list | tuple) else [given]  # type: ignore[list-item]


def posted(
    path: str,
    contents: Sequence[Picture],
    style: Style | Sequence[Style],
    options: Options,
    known: Known,
    retries: int,
    headers: Mapping[str, str] | None = None,
) -> Generator[Call | Pause, Any, tuple[httpx.Response, tuple[StyleId | None, ...]]]:
    """The answer to a form of photos and styles, and the ids of the styles in the order given."""
    photos = [(file_name(content), file_bytes(content)) for content in contents]
    sources = [one if isinstance(one, StyleId) else file_bytes(one) for one in several(style)]
    weights = options.get("weight", ())
    maps = [file_bytes(mask) for mask in options.get("mask", ())]
    data = {name: str(value) for name, value in options.items() if name not in LISTS and value is not None}
    while True:
        ids = [source if isinstance(source, StyleId) else known[source] for source in sources]
        order = sorted(range(len(sources)), key=lambda n: ids[n] is not None)  # the service takes uploads first
        lists: dict[str, list[str]] = {
            "style_id": [str(ids[n]) for n in order if ids[n] is not None],
            "weight": [str(weights[n]) for n in order] if weights else [],
        }
        files: list[Any] = [("content", photo) for photo in photos]
        files += [("style", ("style", sources[n])) for n in order if ids[n] is None]
        files += [("mask", ("mask", maps[n])) for n in order] if maps else []
        try:
            call = Call("POST", path, {**data, **lists}, files, headers or {})
            response = yield from answered(call, retries)
        except ImpastoProblem as problem:
            remembered = [s for s, id in zip(sources, ids, strict=True) if id and not isinstance(s, StyleId)]
            if not problem.style_forgotten or not remembered:
                raise
            for forgotten in remembered:
                known.learn(forgotten, None)
            continue
        told = iter(filter(None, response.headers.get("x-style-id", "").split(", ")))
        for n in order:
            source = sources[n]
            if ids[n] is None and not isinstance(source, StyleId) and (id := next(told, None)):
                ids[n] = StyleId(id)
                known.learn(source, ids[n])
        return response, tuple(ids)


def ready(retries: int) -> Conversation[list[ReadyStyle]]:
    """The styles that stand ready."""
    response = yield from answered(Call("GET", "styles"), retries)
    return [
        ReadyStyle(StyleId(one["id"]), one["name"], one["credit"], one["width"], one["height"])
        for one in response.json()["styles"]
    ]


def answered(call: Call, retries: int) -> Generator[Call | Pause, Any, httpx.Response]:
    """The answer, asked for again where the service said when, or could not be reached."""
    pause = FIRST_PAUSE
    for attempt in range(retries + 1):
        answer = yield call
        if isinstance(answer, httpx.Response):
            if answer.is_success:
                return answer
            failure: Exception = _problem(answer)
            wait = min(LONGEST_PAUSE, getattr(failure, "retry_after", None) or pause)
            again = answer.status_code in LATER
        else:
            failure, wait, again = Unreachable(f"no answer from the service: {answer}"), pause, True
        if not again or attempt == retries:
            raise failure
        yield Pause(wait)
        pause = min(2 * pause, LONGEST_PAUSE)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _problem(response: httpx.Response) -> ImpastoProblem:
    try:
        body = response.json()
    except ValueError:
        body = {}
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        seconds = None
    return ImpastoProblem(response.status_code, body if isinstance(body, dict) else {}, seconds)


def _timing(header: str) -> dict[str, float]:
    return {stage: float(milliseconds) for stage, milliseconds in re.findall(r"(\w+);dur=([\d.]+)", header)}
