"""Clients in processes of their own, since one process is slower than the service.

Every request is a JPEG photo and the id of a style that the service remembers, each at another strength: equal ones in
flight would be computed once.
"""

import asyncio
import io
import itertools
import random
import re
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Final
from urllib.parse import urlsplit

import httpx
from PIL import Image

from benchmarks.gpu.scene import painting, photo

STYLE_SIDE: Final = 512
STRENGTHS: Final = 1_000_000  # further apart than float32 can tell them
AFTER_REFUSAL_SECONDS: Final = 0.1
HEAD: Final = (
    "POST /stylize HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=cut\r\n"
    "Content-Length: {length}\r\n\r\n"
)
TEXT: Final = '--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
FILE: Final = '--cut\r\nContent-Disposition: form-data; name="content"; filename="photo.jpg"\r\n\r\n'
TIMING: Final = re.compile(rb"(\w+);dur=([\d.]+)")


@dataclass(frozen=True)
class Load:
    """What one process does: `clients` who each ask again once they are answered; or `rate` requests a second."""

    url: str
    style: str
    side: int
    seconds: float
    number: int = 0
    processes: int = 1
    clients: int = 0
    rate: float = 0.0


@dataclass
class Answered:
    """The time each picture took in seconds, how many requests were refused, and sums of what answers tell."""

    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    refused: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    batches: float = 0.0

    def add(self, other: "Answered") -> None:
        self.seconds = max(self.seconds, other.seconds)
        self.times += other.times
        self.refused += other.refused
        self.batches += other.batches
        for stage, seconds in other.stages.items():
            self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    @property
    def rate(self) -> float:
        """Pictures a second."""
        return len(self.times) / self.seconds

    def percentile(self, percent: float) -> float:
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")


def jpeg(side: int, style: bool = False) -> bytes:
    file = io.BytesIO()
    Image.fromarray(painting(side) if style else photo(side)).save(file, "JPEG", quality=90)
    return file.getvalue()


def remembered_style(url: str) -> str:
    """The id under which the service knows the painting from now on."""
    files = {"content": jpeg(64), "style": jpeg(STYLE_SIDE, style=True)}
    answer = httpx.post(f"{url}/stylize", files=files, timeout=600)
    answer.raise_for_status()
    return answer.headers["X-Style-Id"]


def under_load(load: Load, processes: int) -> Answered:
    """A load spread over as many processes, and what came of all of them."""
    parts = [
        Load(
            load.url,
            load.style,
            load.side,
            load.seconds,
            number,
            processes,
            load.clients // processes + (number < load.clients % processes),
            load.rate / processes,
        )
        for number in range(processes)
    ]
    total = Answered()
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for answered in pool.map(run, [part for part in parts if part.clients or part.rate]):
            total.add(answered)
    return total


def run(load: Load) -> Answered:
    """One process's part."""
    return asyncio.run(_open(load) if load.rate else _closed(load))


async def _closed(load: Load) -> Answered:
    answered, requests = Answered(), _requests(load)
    since = time.perf_counter()
    until = since + load.seconds

    async def one() -> None:
        connection = _Connection(load.url)
        while time.perf_counter() < until:
            await connection.send(next(requests), answered)
        connection.close()

    async with asyncio.TaskGroup() as running:
        for _ in range(load.clients):
            running.create_task(one())
    answered.seconds = time.perf_counter() - since
    return answered


async def _open(load: Load) -> Answered:
    """Random arrivals, whatever became of those before; each takes a connection that is free, or one more."""
    answered, requests, chance = Answered(load.seconds), _requests(load), random.Random(load.number)  # noqa: S311
    free: list[_Connection] = []

    async def one() -> None:
        since = time.perf_counter()
        connection = free.pop() if free else _Connection(load.url)
        await connection.send(next(requests), answered, since)
        free.append(connection)

    begun = due = time.perf_counter()
    async with asyncio.TaskGroup() as running:
        while (due := due + chance.expovariate(load.rate)) < begun + load.seconds:
            await asyncio.sleep(due - time.perf_counter())
            running.create_task(one())
    for connection in free:
        connection.close()
    return answered


def _requests(load: Load) -> Iterator[bytes]:
    host, file = urlsplit(load.url).netloc, jpeg(load.side)
    end = FILE.encode() + file + b"\r\n--cut--\r\n"
    for number in itertools.count(load.number, load.processes):
        strength = f"{1 - number / STRENGTHS:f}"
        texts = TEXT.format(name="style_id", value=load.style) + TEXT.format(name="strength", value=strength)
        body = texts.encode() + end
        yield HEAD.format(host=host, length=len(body)).encode() + body


class _Connection:
    """One that is kept alive, for a request at a time; opened anew where the service closed it with a refusal."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes, answered: Answered, since: float | None = None) -> None:
        """One request, counted. Raises RuntimeError for an answer that is neither a picture nor a refusal."""
        since = time.perf_counter() if since is None else since
        try:
            code, headers, body = await self._exchange(request)
        except (ConnectionError, asyncio.IncompleteReadError):
            # It is refused before its photo is read, and who still writes then meets a closed connection.
            code = httpx.codes.SERVICE_UNAVAILABLE
            self.close()
        if code == httpx.codes.SERVICE_UNAVAILABLE:
            answered.refused += 1
            await asyncio.sleep(AFTER_REFUSAL_SECONDS)
        elif code != httpx.codes.OK:
            raise RuntimeError(f"{code}: {body[:500]!r}")
        else:
            answered.times.append(time.perf_counter() - since)
            answered.batches += int(headers[b"x-batch-size"])
            for stage, milliseconds in TIMING.findall(headers[b"server-timing"]):
                name = stage.decode()
                answered.stages[name] = answered.stages.get(name, 0.0) + float(milliseconds) / 1000

    async def _exchange(self, request: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._address.hostname, self._address.port)
        reader, writer = self._streams
        writer.write(request)
        await writer.drain()
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
        body = await reader.readexactly(int(headers[b"content-length"]))
        if headers.get(b"connection") == b"close":
            self.close()
        return int(status.split()[1]), headers, body

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None
