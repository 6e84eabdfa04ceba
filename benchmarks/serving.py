"""The service under load beside the bare network in a loop and beside LitServe over the same engine: one run.

Closed loop first: a client sends its next request when it has the answer to its last. The bare loop, in a process of
its own, the service and LitServe take turns: machines drift. Then open loop, arrivals that wait for nobody, below and
beyond what a closed loop shows to be the capacity: evenly spaced, as load generators of a constant rate send them, and
at random. Random arrivals queue even before a perfect server: for a constant service time, 99 % of them are answered
within about 6 service times at 70 % load, whatever serves them (the M/D/1 queue).
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
from collections import defaultdict

from tqdm import tqdm

from benchmarks.litserve_peer import running_litserve
from benchmarks.load import Measured, closed_loop, open_loop
from benchmarks.results import save
from benchmarks.server import running_server

CLIENTS = (1, 4, 16)
SERVERS = {"impasto": running_server, "litserve": running_litserve}
LOADS = (("even", 0.5), ("even", 0.7), ("even", 0.9), ("even", 1.5), ("even", 3.0), ("random", 0.5), ("random", 0.7))
OPEN_LOOP_SIZE = 512
# As many as keep the service busy and never meet its bound: who is refused and asks again at once only takes its time.
BUSY_CLIENTS = 4


def bare(size: int, seconds: float) -> float:
    """Images per second of the network alone."""
    command = [sys.executable, "-m", "benchmarks.bare", "--size", str(size), "--seconds", str(seconds)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="time for each turn of a row (default: 6)")
    parser.add_argument("--rounds", type=int, default=1, help="turns each server takes at each size (default: 1)")
    parser.add_argument("--sizes", type=int, nargs="*", default=(256, 512), help="sides of the photo, in pixels")
    asked = parser.parse_args()
    steps = len(asked.sizes) * (1 + asked.rounds * (1 + len(SERVERS) * len(CLIENTS))) + len(LOADS) + 1
    with tqdm(total=steps, unit="run", leave=False) as progress:
        closed = [row for size in asked.sizes for row in closed_rows(size, asked.seconds, asked.rounds, progress)]
        opened = open_rows(asked.seconds, progress)
    print("Closed loop")
    print("size  clients  server    images/s  of the bare loop  p50 ms  p99 ms  p99 / alone")
    for row in closed:
        print(
            "{size:4}  {clients:7}  {server:8}  {rate:8.2f}  {of_bare:16.3f}  {p50:6.0f}  {p99:6.0f}  "
            "{p99_of_alone:11.2f}".format(**row)
        )
    print(f"\nOpen loop at {OPEN_LOOP_SIZE} pixels")
    print("arrivals  load  offered/s  p50 ms  p95 ms  p99 ms  p99 / service time  refused  goodput of capacity")
    for row in opened:
        print(
            "{arrivals:8}  {load:4.0%}  {offered:9.2f}  {p50:6.0f}  {p95:6.0f}  {p99:6.0f}  {p99_of_service:18.2f}  "
            "{refused:7.1%}  {goodput:19.3f}".format(**row)
        )
    save("serving", {"closed": closed, "open": opened})


def closed_rows(size: int, seconds: float, rounds: int, progress: "tqdm[None]") -> list[dict[str, str | float]]:
    """A row per number of clients and server."""
    roofs = [bare(size, seconds)]
    progress.update()
    measured: dict[tuple[int, str], Measured] = defaultdict(Measured)
    for _ in range(rounds):
        for name, running in SERVERS.items():
            with running() as url:
                for clients in CLIENTS:
                    measured[clients, name].add(asyncio.run(closed_loop(url, size, clients, seconds)))
                    progress.update()
        roofs.append(bare(size, seconds))
        progress.update()
    # The loops at both ends stand beside one round each, those between beside two.
    roof = statistics.mean([*roofs, *roofs[1:-1]])
    alone = {name: measured[1, name].percentile(50) for name in SERVERS}
    return [
        {
            "size": size,
            "clients": clients,
            "server": name,
            "rate": m.rate,
            "of_bare": m.rate / roof,
            "p50": 1000 * m.percentile(50),
            "p99": 1000 * m.percentile(99),
            "p99_of_alone": m.percentile(99) / alone[name],
        }
        for (clients, name), m in sorted(measured.items())
    ]


def open_rows(seconds: float, progress: "tqdm[None]") -> list[dict[str, str | float]]:
    """A row per load, in parts of the capacity that closed loops show before and after."""
    measured = []
    with running_server("--queue-seconds", "2") as url:
        alone = asyncio.run(closed_loop(url, OPEN_LOOP_SIZE, 1, seconds)).percentile(50)
        capacity = asyncio.run(closed_loop(url, OPEN_LOOP_SIZE, BUSY_CLIENTS, 2 * seconds)).rate
        progress.update()
        for arrivals, load in LOADS:
            offered = load * capacity
            measured.append(
                (arrivals, load, asyncio.run(open_loop(url, OPEN_LOOP_SIZE, offered, 3 * seconds, arrivals)))
            )
            progress.update()
        after = asyncio.run(closed_loop(url, OPEN_LOOP_SIZE, BUSY_CLIENTS, 2 * seconds)).rate
    return [
        {
            "arrivals": arrivals,
            "load": load,
            "offered": load * capacity,
            "p50": 1000 * m.percentile(50),
            "p95": 1000 * m.percentile(95),
            "p99": 1000 * m.percentile(99),
            "p99_of_service": m.percentile(99) / alone,
            "refused": m.refused / (m.refused + len(m.times)),
            "goodput": m.rate / statistics.mean([capacity, after]),
        }
        for arrivals, load, m in measured
    ]


if __name__ == "__main__":
    main()
