"""The service under closed-loop load beside the bare network in a loop: one table, one run.

A client sends its next request when it has the answer to its last. The bare loop runs before and after each size, in
a process of its own, and the two are averaged: machines drift.
"""

import argparse
import asyncio
import io
import itertools
import statistics
import subprocess
import sys
import time

import httpx
from PIL import Image
from skimage import data
from tqdm import tqdm

from benchmarks.server import running_server

SIZES = (256, 512)
CLIENTS = (1, 4, 16)


def bare(size: int, seconds: float) -> float:
    """Images per second of the network alone."""
    command = [sys.executable, "-m", "benchmarks.bare", "--size", str(size), "--seconds", str(seconds)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def jpeg(size: int) -> bytes:
    """A real photo as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(data.astronaut()).resize((size, size)).save(file, "JPEG", quality=90)
    return file.getvalue()


async def load(url: str, size: int, clients: int, seconds: float) -> tuple[float, list[float]]:
    """Images per second, and every request's time in seconds."""
    photo, times = jpeg(size), []
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=httpx.Limits(max_connections=clients)) as client:
        style = io.BytesIO()
        Image.fromarray(data.coffee()).save(style, "JPEG")
        first = await client.post("/stylize", files={"content": photo, "style": style.getvalue()})
        first.raise_for_status()
        fields = {"style_id": first.headers["X-Style-Id"]}
        numbers = itertools.count()
        since = time.perf_counter()

        async def one() -> None:
            while time.perf_counter() - since < seconds:
                sent = time.perf_counter()
                # No two alike: equal requests in flight are computed once.
                unlike = {**fields, "strength": str(1 - next(numbers) / 1e6)}
                answer = await client.post("/stylize", files={"content": photo}, data=unlike)
                answer.raise_for_status()
                times.append(time.perf_counter() - sent)

        await asyncio.gather(*(one() for _ in range(clients)))
        return len(times) / (time.perf_counter() - since), times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="time for each row of the table")
    seconds = parser.parse_args().seconds
    rows = []
    progress = tqdm(total=len(SIZES) * (len(CLIENTS) + 2), unit="run", leave=False)
    for size in SIZES:
        roofs = [bare(size, seconds)]
        progress.update()
        measured = []
        with running_server() as url:
            for clients in CLIENTS:
                measured.append((clients, *asyncio.run(load(url, size, clients, seconds))))
                progress.update()
        roofs.append(bare(size, seconds))
        progress.update()
        alone = statistics.median(measured[0][2])
        rows += [(size, statistics.mean(roofs), alone, *row) for row in measured]
    progress.close()
    print("size  clients  images/s  of the bare loop  p50 ms  p99 ms  p99 / alone")
    for size, roof, alone, clients, rate, times in rows:
        p99 = statistics.quantiles(times, n=100, method="inclusive")[98] if len(times) > 1 else times[0]
        p50 = statistics.median(times)
        print(
            f"{size:4}  {clients:7}  {rate:8.2f}  {rate / roof:16.3f}  "
            f"{1000 * p50:6.0f}  {1000 * p99:6.0f}  {p99 / alone:11.2f}"
        )


if __name__ == "__main__":
    main()
