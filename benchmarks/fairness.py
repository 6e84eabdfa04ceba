"""What small requests feel of large work, and large work of them: each beside the same alone, in one run.

First over HTTP: one client sends 256-pixel photos, another large photos, one after the other. Then in the queue
itself: the same small pictures while frames of a video pass in the background class. Rounds take turns with the runs
alone, since machines drift.
"""

import argparse
import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable

import numpy as np
from PIL import Image
from skimage import data

from app.engine.base import Engine
from app.engine.create import create_engine
from app.network.blend import shares
from app.queue.batching import BatchingQueue
from app.queue.work import Priority, Work
from app.styles.library import StyleLibrary
from benchmarks.load import Client, Measured
from benchmarks.results import save
from benchmarks.server import running_server

SMALL = 256
FRAME = 512
IN_FLIGHT = 2  # frames of the background: the next waits while one runs
OPTIONS = ("--max-size", "10000", "--request-timeout", "3600", "--queue-seconds", "3600")


async def until(end: Callable[[], bool], one: Callable[[], Awaitable[None]]) -> None:
    """One after the other."""
    while not end():
        await one()


def for_seconds(seconds: float) -> Callable[[], bool]:
    stop = time.perf_counter() + seconds
    return lambda: time.perf_counter() > stop


async def over_http(url: str, side: int, larges: int, seconds: float) -> dict[str, float]:
    """Small ones alone, a large one alone, then both."""
    work = 0.0

    async def small(into: Measured) -> None:
        nonlocal work
        answer = await small_client.send(into)
        work += float(re.search(r"network;dur=([\d.]+)", answer.headers["Server-Timing"])[1]) / 1000  # type: ignore[index]

    async def large(into: Measured) -> None:
        await large_client.send(into)

    async with Client(url, SMALL) as small_client, Client(url, side, {"size": "0"}) as large_client:
        alone, beside, large_alone, large_beside = (Measured() for _ in range(4))
        await until(for_seconds(seconds), lambda: small(alone))
        await large(large_alone)
        work = 0.0
        sending = asyncio.ensure_future(until(lambda: len(large_beside.times) == larges, lambda: large(large_beside)))
        await until(sending.done, lambda: small(beside))
    return {
        "alone": alone.percentile(95),
        "beside": beside.percentile(95),
        "count": len(beside.times),
        "large_alone": large_alone.times[0],
        "large_beside": sum(large_beside.times) / larges,
        "small_work": work / larges,
    }


def photo(side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(data.astronaut()).resize((side, side)))


async def in_queue(queue: BatchingQueue, small: Work, frame: Work, seconds: float) -> dict[str, float]:
    """Small ones alone, frames alone, then both."""

    async def run(work: Work, priority: Priority, into: Measured) -> None:
        since = time.perf_counter()
        await queue.run(work, priority=priority)
        into.times.append(time.perf_counter() - since)

    async def frames(end: Callable[[], bool], into: Measured) -> None:
        streams = (until(end, lambda: run(frame, Priority.BACKGROUND, into)) for _ in range(IN_FLIGHT))
        await asyncio.gather(*streams)

    alone, beside, frames_alone, frames_beside = (Measured() for _ in range(4))
    await until(for_seconds(seconds), lambda: run(small, Priority.INTERACTIVE, alone))
    await frames(for_seconds(seconds), frames_alone)
    end = for_seconds(seconds)
    background = asyncio.create_task(frames(end, frames_beside))
    await until(end, lambda: run(small, Priority.INTERACTIVE, beside))
    passed = len(frames_beside.times)
    await background
    return {
        "alone": alone.percentile(95),
        "beside": beside.percentile(95),
        "count": len(beside.times),
        "frame": frames_alone.percentile(50) / IN_FLIGHT,
        "frames_alone": len(frames_alone.times) / seconds,
        "frames_beside": passed / seconds,
    }


def queue_rows(seconds: float, rounds: int) -> list[dict[str, float]]:
    engine: Engine = create_engine()
    queue = BatchingQueue([lambda: engine], StyleLibrary(0), 1, math.inf)
    queue.start()
    code = engine.encode_style(data.coffee())
    small, frame = (Work(photo(side), (code,), shares([1.0])) for side in (SMALL, FRAME))
    try:
        return [asyncio.run(in_queue(queue, small, frame, seconds)) for _ in range(rounds)]
    finally:
        queue.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="time for each run of small ones (default: 20)")
    parser.add_argument("--side", type=int, default=4096, help="side of the large ones (default: 4096, 16 megapixels)")
    parser.add_argument("--larges", type=int, default=1, help="large ones in a round (default: 1)")
    parser.add_argument("--rounds", type=int, default=2, help="turns of alone and beside (default: 2)")
    asked = parser.parse_args()
    with running_server(*OPTIONS) as url:
        over = [asyncio.run(over_http(url, asked.side, asked.larges, asked.seconds)) for _ in range(asked.rounds)]
    print(f"One client at {SMALL} pixels beside one photo of {asked.side**2 / 1e6:.1f} megapixels after the other")
    print("round  p95 alone, ms  p95 beside, ms  answers  large alone, s  beside, s  of it small, s  large / alone")
    for number, row in enumerate(over, 1):
        row["ratio"] = (row["large_beside"] - row["small_work"]) / row["large_alone"]
        print(
            f"{number:5}  {1000 * row['alone']:13.0f}  {1000 * row['beside']:14.0f}  {row['count']:7.0f}  "
            f"{row['large_alone']:14.1f}  {row['large_beside']:9.1f}  {row['small_work']:14.1f}  {row['ratio']:13.2f}"
        )
    inside = queue_rows(asked.seconds, asked.rounds)
    print(f"\nThe same in the queue beside frames of {FRAME} pixels in the background")
    print("round  p95 alone, ms  p95 beside, ms  a frame, ms  (beside - frame) / alone  frames/s alone  beside")
    for number, row in enumerate(inside, 1):
        row["ratio"] = (row["beside"] - row["frame"]) / row["alone"]
        print(
            f"{number:5}  {1000 * row['alone']:13.0f}  {1000 * row['beside']:14.0f}  {1000 * row['frame']:11.0f}  "
            f"{row['ratio']:24.2f}  {row['frames_alone']:14.2f}  {row['frames_beside']:6.2f}"
        )
    save("fairness", {"http": over, "queue": inside})


if __name__ == "__main__":
    main()
