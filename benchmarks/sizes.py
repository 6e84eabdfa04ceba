"""Time per megapixel and peak memory from small pictures to very large ones, each in a process of its own."""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
from skimage import data

from app.engine.base import Job
from app.engine.create import create_engine
from app.network.blend import shares

SIDES = (512, 1024, 2048, 4096)


def measure(side: int, repeats: int) -> None:
    """Print the fastest run's seconds and the process's peak resident bytes, as JSON."""
    engine = create_engine()
    tile = data.astronaut()
    photo = np.tile(tile, (-(-side // 512), -(-side // 512), 1))[:side, :side].copy()
    job = Job(photo, (engine.encode_style(data.coffee()),), shares([1.0]))
    times = []
    for _ in range(repeats):
        since = time.perf_counter()
        (result,) = engine.stylize([job])
        times.append(time.perf_counter() - since)
        del result
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": min(times), "peak": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="*", default=SIDES, help="sides of the pictures; 10000 is 100 MP")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        measure(asked.one, 1 if asked.one > 2048 else 3)
        return
    print("megapixels  seconds  s/megapixel  of the smallest's  peak MB")
    first = None
    for side in asked.sides:
        command = [sys.executable, "-m", "benchmarks.sizes", "--one", str(side)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        megapixels = side * side / 1e6
        rate = found["seconds"] / megapixels
        first = first or rate
        part, seconds, peak = rate / first, found["seconds"], found["peak"] / 1e6
        print(f"{megapixels:10.2f}  {seconds:7.2f}  {rate:11.3f}  {part:17.2f}  {peak:7.0f}")


if __name__ == "__main__":
    main()
