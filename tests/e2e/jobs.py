"""What tests do with jobs over HTTP."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.pictures import jpeg, photo

STYLE = jpeg(photo("coffee", 96))
SECONDS = 120


def content(side: int, name: str = "astronaut") -> bytes:
    """A JPEG photo."""
    return jpeg(photo(name, side))


def send(
    client: httpx.Client,
    *contents: bytes,
    path: str = "/jobs",
    headers: dict[str, str] | None = None,
    style: bytes | None = STYLE,
    **fields: object,
) -> httpx.Response:
    """Send a job of these photos, called photo-0.jpg and so on."""
    files = [("content", (f"photo-{n}.jpg", data)) for n, data in enumerate(contents)]
    if style is not None:
        files.append(("style", ("style.jpg", style)))
    return client.post(path, files=files, data={name: str(value) for name, value in fields.items()}, headers=headers)


def accepted(answer: httpx.Response) -> str:
    """Where the job is."""
    assert answer.status_code == 202, answer.text
    where: str = answer.headers["Location"]
    assert where == answer.json()["links"]["self"]
    return where


def events(client: httpx.Client, where: str, seen: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Ids and jobs as they are told."""
    headers = {"Last-Event-ID": seen} if seen else {}
    with client.stream("GET", f"{where}/events", headers=headers, timeout=SECONDS) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        data: dict[str, Any] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "data":
                data = json.loads(value)
            elif name == "id":
                yield value, data


def ended(client: httpx.Client, where: str) -> dict[str, Any]:
    """The job once it has ended."""
    return [job for _, job in events(client, where)][-1]


def until(client: httpx.Client, where: str, **members: object) -> dict[str, Any]:
    """The job once it shows these members."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        job: dict[str, Any] = client.get(where).json()
        if all(job.get(name) == value for name, value in members.items()):
            return job
        time.sleep(0.05)
    raise AssertionError(f"still {job}")


def result(client: httpx.Client, where: str) -> bytes:
    """The bytes of a job's result once it is done."""
    job = ended(client, where)
    assert job["state"] == "done", job
    answer = client.get(job["links"]["result"])
    assert answer.status_code == 200
    assert len(answer.content) == job["result"]["bytes"]
    return answer.content


def folders(data: Path) -> set[str]:
    """The jobs that have a folder."""
    return {path.name for path in (data / "jobs").iterdir()}
