"""Load on a server over HTTP, closed loop and open loop, with a real photo; no two requests are alike."""

import asyncio
import io
import itertools
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx
from PIL import Image
from skimage import data


@dataclass
class Measured:
    """What a run gave: times in seconds of requests answered with a picture, and how many were refused."""

    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    refused: int = 0

    def add(self, other: "Measured") -> None:
        """Count another run in."""
        self.seconds += other.seconds
        self.times += other.times
        self.refused += other.refused

    @property
    def rate(self) -> float:
        """Pictures per second."""
        return len(self.times) / self.seconds

    def percentile(self, percent: float) -> float:
        """Of the times, by nearest rank."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")


def photo(size: int) -> bytes:
    """A real photo as a square JPEG file."""
    file = io.BytesIO()
    Image.fromarray(data.astronaut()).resize((size, size)).save(file, "JPEG", quality=90)
    return file.getvalue()


def style() -> bytes:
    """A real picture to take the style of, as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(data.coffee()).save(file, "JPEG", quality=90)
    return file.getvalue()


class Client:
    """Sends one photo in one style, each time at another strength: equal requests in flight would be computed once."""

    def __init__(self, url: str, size: int, fields: Mapping[str, str] | None = None) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=3600, limits=httpx.Limits(max_connections=None))
        self._photo = photo(size)
        self._fields = dict(fields or {})
        self._numbers = itertools.count()

    async def __aenter__(self) -> "Client":
        files = {"content": self._photo, "style": style()}
        first = await self._http.post("/stylize", files=files)
        first.raise_for_status()
        self._fields = {**self._fields, "style_id": first.headers.get("X-Style-Id", "")}
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def send(self, measured: Measured) -> httpx.Response:
        """One request, and how it ended."""
        since = time.perf_counter()
        fields = {**self._fields, "strength": str(1 - next(self._numbers) / 1e6)}
        answer = await self._http.post("/stylize", files={"content": self._photo}, data=fields)
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            measured.refused += 1
        else:
            answer.raise_for_status()
            measured.times.append(time.perf_counter() - since)
        return answer


async def closed_loop(url: str, size: int, clients: int, seconds: float) -> Measured:
    """Each client sends its next request when it has the answer to its last."""
    measured = Measured()
    async with Client(url, size) as client:
        since = time.perf_counter()

        async def one() -> None:
            while time.perf_counter() - since < seconds:
                await client.send(measured)

        await asyncio.gather(*(one() for _ in range(clients)))
        measured.seconds = time.perf_counter() - since
    return measured


async def open_loop(url: str, size: int, rate: float, seconds: float, arrivals: str, seed: int = 1) -> Measured:
    """Requests arrive, `rate` a second on average, whatever became of those before.

    `arrivals` is "even", one after the other at equal distances, or "random", a Poisson process.
    """
    measured, chance = Measured(), random.Random(seed)  # noqa: S311
    async with Client(url, size) as client, asyncio.TaskGroup() as running:
        since = time.perf_counter()
        due = since
        while (due := due + (chance.expovariate(rate) if arrivals == "random" else 1 / rate)) < since + seconds:
            await asyncio.sleep(due - time.perf_counter())
            running.create_task(client.send(measured))
        measured.seconds = seconds
    return measured
