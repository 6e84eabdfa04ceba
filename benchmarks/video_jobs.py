"""Videos as jobs of a service: what small requests feel of one, what kills cost it, and what memory it takes.

Each on its own with --classes, --kills or --memory, else one after the other. Frames of the last two are small, so that
it takes minutes: what is told of them does not depend on their size.
"""

import argparse
import asyncio
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any, Final, Self

import httpx
import numpy as np
from skimage import data, transform

from app.video.segment import Segment
from benchmarks.load import Client, Measured, style
from benchmarks.results import save
from benchmarks.server import running_server, started

SMALL: Final = 256
OPTIONS: Final = ("serve", "--log-level", "error", "--max-video-frames", "100000", "--max-video-seconds", "100000")
LOOKS: Final = (100, 500, 1000, 2000, 3000)  # frames after which memory is looked at


def clip(count: int, width: int, height: int) -> bytes:
    """A camera that goes around, back and forth, by a pixel and a half a frame."""
    photo = transform.resize(data.astronaut(), (height, 3 * width // 2), anti_aliasing=True, preserve_range=True)
    photo = np.concatenate((photo, photo[:, ::-1]), 1).astype(np.uint8)
    with tempfile.TemporaryFile() as file:
        segment = Segment(file, "mp4", (width, height), False, 90)
        for number in range(count):
            segment.add(np.ascontiguousarray(np.roll(photo, -3 * number // 2, 1)[:, :width]), None)
        segment.close()
        file.seek(0)
        return file.read()


class Job:
    """A video that a service works on."""

    def __init__(self, url: str, video: bytes, **fields: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=60)
        answer = self._http.post("/jobs", files={"content": video, "style": style()}, data=fields)
        answer.raise_for_status()
        self._path = answer.headers["Location"]

    def moved(self, url: str) -> None:
        """The service is elsewhere by now."""
        self._http = httpx.Client(base_url=url, timeout=60)

    def look(self) -> dict[str, Any]:
        answer = self._http.get(self._path)
        answer.raise_for_status()
        job: dict[str, Any] = answer.json()
        if job["state"] not in ("queued", "running", "done"):
            raise RuntimeError(f"the job is {job['state']}: {job.get('problem')}")
        return job

    @property
    def frames(self) -> int:
        done: int = self.look()["progress"]["done"]
        return done

    def reach(self, frames: int) -> None:
        """Wait until so many are done."""
        while self.frames < frames:
            time.sleep(0.02)

    def result(self) -> bytes:
        while (job := self.look())["state"] != "done":
            time.sleep(0.1)
        return self._http.get(job["links"]["result"]).content

    def cancel(self) -> None:
        self._http.delete(self._path).raise_for_status()


def classes(side: int, seconds: float, rounds: int) -> list[dict[str, float]]:
    """Small requests of one client alone, a video alone, then both."""
    video = clip(1000, side, side * 3 // 4)
    with running_server(*OPTIONS[1:]) as url:
        return [asyncio.run(_both(url, video, side, seconds)) for _ in range(rounds)]


async def _both(url: str, video: bytes, side: int, seconds: float) -> dict[str, float]:
    alone, beside = Measured(), Measured()
    async with Client(url, SMALL) as client:
        await _for(client, alone, seconds)
        job = Job(url, video, size=str(side))
        await asyncio.to_thread(job.reach, 5)
        before, since = job.frames, time.perf_counter()
        await asyncio.sleep(seconds)
        frame = (time.perf_counter() - since) / max(1, job.frames - before)
        before, since = job.frames, time.perf_counter()
        await _for(client, beside, seconds)
        rate = (job.frames - before) / (time.perf_counter() - since)
        job.cancel()
    found = {"alone": alone.percentile(95), "beside": beside.percentile(95), "frame": frame, "frames_beside": rate}
    return found | {"ratio": (found["beside"] - frame) / found["alone"], "count": float(len(beside.times))}


async def _for(client: Client, into: Measured, seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        await client.send(into)


class Service:
    """A service with a folder of its own, which can be killed and started again; gone at the end of `with`."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        self.process, self.url = started("app", "/readyz", *OPTIONS, "--data-dir", self._folder.name, "--port")

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def kills(count: int, frames: int, seed: int) -> dict[str, float | bool]:
    """The same video undisturbed, and with the service killed at random moments."""
    video, chance = clip(frames, 64, 48), random.Random(seed)  # noqa: S311
    with Service() as service:
        since = time.perf_counter()
        whole = Job(service.url, video).result()
        seconds = time.perf_counter() - since
    with Service() as service:
        job, killed, since = Job(service.url, video), 0, time.perf_counter()
        while killed < count and job.look()["state"] != "done":
            time.sleep(chance.random() * 1.6 * seconds / count)
            if job.look()["state"] == "done":
                break
            service.kill()
            killed += 1
            service.start()
            job.moved(service.url)
        equal = job.result() == whole
        disturbed = time.perf_counter() - since
    return {"kills": killed, "frames": frames, "equal": equal, "seconds": seconds, "disturbed": disturbed}


def memory(frames: int) -> list[dict[str, float]]:
    """Physical memory of the service while it works on one long video."""
    video, rows = clip(frames, 64, 48), []
    with Service() as service:
        job = Job(service.url, video)
        for look in (*(look for look in LOOKS if look < frames), frames):
            job.reach(look)
            status = Path(f"/proc/{service.process.pid}/status").read_text()
            held = next(line for line in status.splitlines() if line.startswith("VmRSS"))
            rows.append({"frames": look, "bytes": int(held.split()[1]) * 1024})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", action="store_true", help="small requests beside a video")
    parser.add_argument("--kills", type=int, nargs="?", const=10, metavar="N", help="so many of them (default: 10)")
    parser.add_argument("--memory", type=int, nargs="?", const=3000, metavar="FRAMES", help="(default: 3000)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run of small requests (default: 20)")
    parser.add_argument("--rounds", type=int, default=2, help="of those (default: 2)")
    parser.add_argument("--side", type=int, default=512, help="of the video beside them (default: 512)")
    parser.add_argument("--frames", type=int, default=960, help="of the video that is killed (default: 960)")
    parser.add_argument("--seed", type=int, default=1, help="of the kills' moments")
    asked = parser.parse_args()
    each = not (asked.classes or asked.kills or asked.memory)
    found: dict[str, Any] = {}
    if each or asked.classes:
        found["classes"] = classes(asked.side, asked.seconds, asked.rounds)
        print(f"One client at {SMALL} pixels beside a video of {asked.side} pixels")
        print("round  p95 alone, ms  p95 beside, ms  answers  a frame, ms  (beside - frame) / alone  frames/s beside")
        for number, row in enumerate(found["classes"], 1):
            print(
                f"{number:5}  {1000 * row['alone']:13.0f}  {1000 * row['beside']:14.0f}  {row['count']:7.0f}  "
                f"{1000 * row['frame']:11.0f}  {row['ratio']:24.2f}  {row['frames_beside']:15.2f}"
            )
    if each or asked.kills:
        found["kills"] = kills(asked.kills or 10, asked.frames, asked.seed)
        print(
            "{kills} kills in {frames} frames: equal bytes: {equal}; {seconds:.1f} s undisturbed, "
            "{disturbed:.1f} s with kills and new starts".format(**found["kills"])
        )
    if each or asked.memory:
        found["memory"] = memory(asked.memory or 3000)
        for row in found["memory"]:
            print(f"{row['bytes'] / 2**20:7.0f} MiB after {row['frames']:5} frames", flush=True)
    save("video_jobs", found)


if __name__ == "__main__":
    main()
