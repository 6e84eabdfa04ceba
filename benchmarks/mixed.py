"""What a service meets at a busy door: good photos of several sizes, bad files, clients that hang up, a job at times.

Each answer is held against what the sender was owed. Every client has a connection pool and an address of its own.
"""

import asyncio
import io
import json
import random
import struct
import time
import zlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx
from PIL import Image
from skimage import data

from benchmarks.load import photo

SIZES = {128: 0.35, 256: 0.40, 384: 0.24, 1024: 0.01}
STYLE_SIZE = 256
NEW_STYLE, KNOWN_STYLE = 0.1, 0.1  # parts of good requests that upload theirs; the others name a remembered one
BAD, LEAVES_UPLOADING, LEAVES_WAITING = 0.08, 0.05, 0.05  # parts of all arrivals
GOOD = 1 - BAD - LEAVES_UPLOADING - LEAVES_WAITING
CLIENTS = 8
JOB_SIDE = 256
PATIENCE = 100.0  # seconds; the service answers within 60
TOLD = 50  # faults that are kept in words
MEAN_PIXELS = sum(part * side * side for side, part in SIZES.items()) + NEW_STYLE * STYLE_SIZE**2


@dataclass
class Tally:
    """What became of the requests.

    `pixels` are those the network read for what was answered 200, jobs and the quick answers to who would have hung up
    included; `offered` are those of good photos.
    """

    sent: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    pictures: int = 0
    pixels: int = 0
    offered: int = 0
    seconds: list[float] = field(default_factory=list)
    jobs_done: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    def fault(self, kind: str, words: str) -> None:
        """`kind` is lost or wrong."""
        self.faults[kind] += 1
        told = self.lost if kind == "lost" else self.wrong
        if len(told) < TOLD:
            told.append(f"{time.strftime('%H:%M:%S')} {words}")

    def percentile(self, percent: float) -> float:
        """Of the times of good answers in seconds, by nearest rank."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")


def encoded(image: Image.Image, format: str) -> bytes:
    file = io.BytesIO()
    image.save(file, format, quality=90)
    return file.getvalue()


def huge_png() -> bytes:
    """A PNG that declares 60000 x 60000 pixels."""
    whole = encoded(Image.new("RGB", (1, 1)), "PNG")
    header = b"IHDR" + struct.pack(">II", 60000, 60000) + whole[24:29]
    return whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]


def is_problem(answer: httpx.Response) -> bool:
    """Whether it is whole problem+json of its own status."""
    if answer.headers.get("Content-Type") != "application/problem+json":
        return False
    try:
        told = answer.json()
    except ValueError:
        return False
    return (
        isinstance(told, dict) and told.get("status") == answer.status_code and {"type", "title", "detail"} <= set(told)
    )


class Crowd:
    """Clients of one server, in `async with`."""

    def __init__(self, url: str, seed: int) -> None:
        self.tally = Tally()
        self._url = url
        self._chance = random.Random(seed)  # noqa: S311
        self._number = 0
        self._clients = [
            httpx.AsyncClient(
                base_url=url,
                timeout=PATIENCE,
                limits=httpx.Limits(max_connections=None),
                transport=httpx.AsyncHTTPTransport(local_address=f"127.0.0.{2 + number}"),
            )
            for number in range(CLIENTS)
        ]
        self._photos = {side: (photo(side), encoded(Image.open(io.BytesIO(photo(side))), "PNG")) for side in SIZES}
        self._style = encoded(Image.fromarray(data.coffee()).resize((STYLE_SIZE, STYLE_SIZE)), "JPEG")
        self._ids: list[str] = []
        whole = photo(256)
        self._bad: list[tuple[str, dict[str, bytes], dict[str, str]]] = [
            ("0 bytes", {"content": b""}, {}),
            ("truncated JPEG", {"content": whole[: len(whole) // 3]}, {}),
            ("not a picture", {"content": b"%PDF-1.7 and so on" * 100}, {}),
            ("60000 pixels wide", {"content": huge_png()}, {}),
            ("wrong field", {"contents": whole}, {}),
            ("strength of words", {"content": whole}, {"strength": "much"}),
        ]

    async def __aenter__(self) -> Self:
        first = await self._clients[0].post(
            "/stylize", files={"content": self._photos[128][0], "style": self._style}, data={"style_size": STYLE_SIZE}
        )
        first.raise_for_status()
        ready = (await self._clients[0].get("/styles")).json()["styles"]
        self._ids = [first.headers["X-Style-Id"], *(style["id"] for style in ready)]
        for id in self._ids:  # the first of each is slower
            await self._clients[0].post(
                "/stylize", files={"content": self._photos[128][0]}, data={"style_size": STYLE_SIZE, "style_id": id}
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for client in self._clients:
            await client.aclose()

    async def arrive(self) -> None:
        """One arrival of the whole mix."""
        lot = self._chance.random()
        if lot < BAD:
            await self.bad()
        elif lot < BAD + LEAVES_UPLOADING:
            await self.leave(uploading=True)
        elif lot < BAD + LEAVES_UPLOADING + LEAVES_WAITING:
            await self.leave(uploading=False)
        else:
            await self.good()

    async def good(self) -> None:
        """A photo that is to come back painted, or be refused by 503."""
        side, files, fields, pixels = self._photo()
        self.tally.offered += pixels
        since = time.perf_counter()
        answer = await self._post("good", "/stylize", files, fields)
        if answer is None or self._refused("good", answer):
            return
        if answer.status_code != httpx.codes.OK:
            self.tally.fault("wrong", f"a good file of {side} pixels got {answer.status_code} {answer.text[:300]}")
        elif not self._is_picture(answer, side):
            self.tally.fault("wrong", f"200 without its picture of {side} pixels: {answer.content[:20]!r}")
        else:
            self.tally.pictures += 1
            self.tally.pixels += pixels
            self.tally.seconds.append(time.perf_counter() - since)

    async def bad(self) -> None:
        """A request that is to be refused by a 4xx, or by 503."""
        name, files, fields = self._chance.choice(self._bad)
        answer = await self._post("bad", "/stylize", files, {"style_id": self._chance.choice(self._ids), **fields})
        if answer is None or self._refused("bad", answer):
            return
        if not (answer.is_client_error and is_problem(answer)):
            self.tally.fault("wrong", f"{name} got {answer.status_code} {answer.text[:300]}")

    async def leave(self, uploading: bool) -> None:
        """Hang up amid the upload, or while waiting for the answer; half of the times by a reset."""
        kind = "hung up uploading" if uploading else "hung up waiting"
        self.tally.sent[kind] += 1
        _, files, fields, pixels = self._photo()
        request = httpx.Request("POST", self._url + "/stylize", files=files, data=fields)
        body = request.read()
        lines = [f"{name}: {value}" for name, value in request.headers.items()]
        head = "\r\n".join(["POST /stylize HTTP/1.1", *lines, "", ""]).encode()
        address = urlsplit(self._url)
        try:
            reader, writer = await asyncio.open_connection(
                address.hostname, address.port, local_addr=(f"127.0.0.{2 + self._chance.randrange(CLIENTS)}", 0)
            )
        except OSError as error:
            self.tally.fault("lost", f"{kind}: {error!r}")
            return
        writer.write(head + (body[: self._chance.randrange(len(body))] if uploading else body))
        with suppress(TimeoutError, ConnectionError):
            status = await asyncio.wait_for(reader.readline(), self._chance.uniform(0, 1 if uploading else 4))
            self.tally.pixels += pixels if b" 200 " in status else 0
        if self._chance.random() < 0.5:
            writer.transport.abort()
        writer.close()

    async def job(self) -> None:
        """Two photos as a job, until its result is there."""
        client = self._chance.choice(self._clients)
        photos = [("content", self._photos[JOB_SIDE][0])] * 2
        fields = {"style_id": self._chance.choice(self._ids), "style_size": str(STYLE_SIZE)}
        answer = await self._post("job", "/jobs", photos, fields, client)
        if answer is None or self._refused("job", answer):
            return
        if answer.status_code != httpx.codes.ACCEPTED:
            self.tally.fault("wrong", f"a job got {answer.status_code} {answer.text[:300]}")
            return
        where = answer.headers["Location"]
        until = time.monotonic() + 20 * PATIENCE
        try:
            while (state := (await client.get(where)).json()["state"]) in ("queued", "running"):
                if time.monotonic() > until:
                    self.tally.fault("lost", f"the job {where} is still {state}")
                    return
                await asyncio.sleep(2)
            result = await client.get(where + "/result")
        except (httpx.HTTPError, ValueError, KeyError) as error:
            self.tally.fault("lost", f"the job {where}: {error!r}")
            return
        if state != "done" or not result.is_success or not result.content.startswith(b"PK"):
            self.tally.fault("wrong", f"the job {where} is {state}, its result {result.status_code}")
            return
        self.tally.jobs_done += 1
        self.tally.pixels += len(photos) * JOB_SIDE**2

    async def same(self) -> bytes:
        """The picture of one request that is always the same."""
        fields = {"style_id": self._ids[1], "style_size": str(STYLE_SIZE)}
        answer = await self._clients[0].post("/stylize", files={"content": self._photos[256][1]}, data=fields)
        return answer.raise_for_status().content

    def _photo(self) -> tuple[int, dict[str, bytes], dict[str, str], int]:
        """A good request: the side of its result, files, fields, and the pixels that the network reads for it."""
        side = self._chance.choices(list(SIZES), list(SIZES.values()))[0]
        self._number += 1
        # Each at another strength: equal ones in flight would be computed once.
        fields = {"strength": str(1 - self._number / 1e7), "style_size": str(STYLE_SIZE)}
        files, pixels = {"content": self._chance.choice(self._photos[side])}, side * side
        lot = self._chance.random()
        if lot < NEW_STYLE:
            files["style"] = self._style + struct.pack(">Q", self._number)  # another file, the same picture
            pixels += STYLE_SIZE**2
        elif lot < NEW_STYLE + KNOWN_STYLE:
            files["style"] = self._style
        else:
            fields["style_id"] = self._chance.choice(self._ids)
        return side, files, fields, pixels

    async def _post(
        self,
        kind: str,
        path: str,
        files: dict[str, bytes] | list[tuple[str, bytes]],
        fields: dict[str, str],
        client: httpx.AsyncClient | None = None,
    ) -> httpx.Response | None:
        self.tally.sent[kind] += 1
        try:
            answer = await (client or self._chance.choice(self._clients)).post(path, files=files, data=fields)
        except httpx.HTTPError as error:
            self.tally.fault("lost", f"{kind}: {error!r}")
            return None
        name = json.loads(answer.content).get("type", "").rpartition("/")[2] if is_problem(answer) else ""
        self.tally.answers[f"{kind} {answer.status_code} {name}".strip()] += 1
        return answer

    def _refused(self, kind: str, answer: httpx.Response) -> bool:
        """Whether it is a 503, which has to say when to come again."""
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            return False
        if not is_problem(answer) or not answer.headers.get("Retry-After", "").isdigit():
            self.tally.fault("wrong", f"{kind}: 503 {dict(answer.headers)} {answer.text[:300]}")
        return True

    @staticmethod
    def _is_picture(answer: httpx.Response, side: int) -> bool:
        try:
            with Image.open(io.BytesIO(answer.content)) as image:
                return image.size == (side, side) and answer.headers["Content-Type"] == image.get_format_mimetype()
        except OSError:
            return False
