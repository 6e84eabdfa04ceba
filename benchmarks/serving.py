"""The service under load beside the bare network in a loop and beside LitServe over the same engine: one run.

Closed loop first: a client sends its next request when it has the answer to its last. The bare loop runs before and
after, in a process of its own, and the two are averaged: machines drift. Then open loop, arrivals that wait for
nobody, below and beyond what the closed loop showed to be the capacity.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys

from tqdm import tqdm

from benchmarks.litserve_peer import running_litserve
from benchmarks.load import closed_loop, open_loop
from benchmarks.server import running_server

CLIENTS = (1, 4, 16)
LOADS = (0.5, 0.7, 0.9, 1.5, 3.0)
OPEN_LOOP_SIZE = 256


def bare(size: int, seconds: float) -> float:
    """Images per second of the network alone."""
    command = [sys.executable, "-m", "benchmarks.bare", "--size", str(size), "--seconds", str(seconds)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="time for each row of a table (default: 15)")
    parser.add_argument("--sizes", type=int, nargs="*", default=(256, 512), help="sides of the photo, in pixels")
    asked = parser.parse_args()
    steps = len(asked.sizes) * (2 + 2 * len(CLIENTS)) + len(LOADS) + 1
    with tqdm(total=steps, unit="run", leave=False) as progress:
        closed = [line for size in asked.sizes for line in closed_rows(size, asked.seconds, progress)]
        opened = open_rows(asked.seconds, progress)
    print("Closed loop")
    print("size  clients  server    images/s  of the bare loop  p50 ms  p99 ms  p99 / alone")
    print("\n".join(closed))
    print(f"\nOpen loop at {OPEN_LOOP_SIZE} pixels, Poisson arrivals")
    print("load  offered/s  p50 ms  p95 ms  p99 ms  p99 / service time  refused  goodput of capacity")
    print("\n".join(opened))


def closed_rows(size: int, seconds: float, progress: "tqdm[None]") -> list[str]:
    """A row per server and number of clients."""
    roofs = [bare(size, seconds)]
    progress.update()
    measured = []
    for name, running in (("impasto", running_server), ("litserve", running_litserve)):
        with running() as url:
            for clients in CLIENTS:
                measured.append((name, clients, asyncio.run(closed_loop(url, size, clients, seconds))))
                progress.update()
    roofs.append(bare(size, seconds))
    progress.update()
    roof = statistics.mean(roofs)
    alone = {name: m.percentile(50) for name, clients, m in measured if clients == 1}
    return [
        f"{size:4}  {clients:7}  {name:8}  {m.rate:8.2f}  {m.rate / roof:16.3f}  {1000 * m.percentile(50):6.0f}  "
        f"{1000 * m.percentile(99):6.0f}  {m.percentile(99) / alone[name]:11.2f}"
        for name, clients, m in sorted(measured, key=lambda row: (row[1], row[0]))
    ]


def open_rows(seconds: float, progress: "tqdm[None]") -> list[str]:
    """A row per load, in parts of the capacity that a closed loop of 16 clients shows first."""
    rows = []
    with running_server("--queue-seconds", "2") as url:
        alone = asyncio.run(closed_loop(url, OPEN_LOOP_SIZE, 1, seconds / 3)).percentile(50)
        capacity = asyncio.run(closed_loop(url, OPEN_LOOP_SIZE, 16, seconds)).rate
        progress.update()
        for load in LOADS:
            m = asyncio.run(open_loop(url, OPEN_LOOP_SIZE, load * capacity, 2 * seconds))
            progress.update()
            refused = m.refused / (m.refused + len(m.times))
            rows.append(
                f"{load:4.0%}  {load * capacity:9.2f}  {1000 * m.percentile(50):6.0f}  {1000 * m.percentile(95):6.0f}  "
                f"{1000 * m.percentile(99):6.0f}  {m.percentile(99) / alone:18.2f}  {refused:7.1%}  "
                f"{m.rate / capacity:19.3f}"
            )
    return rows


if __name__ == "__main__":
    main()
