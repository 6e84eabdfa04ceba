"""Time per megapixel and peak memory from small pictures to very large ones, each in a process of its own.

Beside the engine, which runs large pictures in tiles, two peers that run them in one piece: torch and onnxruntime, with
the same weights. A process may take `--memory` gigabytes; a peer that ran out of them is not asked for larger pictures.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from skimage import data

from app.engine.base import Job, Picture
from app.engine.create import create_engine
from app.engine.tiles import Limits
from app.network.blend import shares
from benchmarks.peers import onnxruntime_run
from benchmarks.results import save

SIDES = (512, 1024, 2048, 4096)
ENGINES = ("impasto", "torch untiled", "onnxruntime")
WHOLE = Limits(tile_width=2**20)


def prepared(name: str, photo: Picture) -> Callable[[], Picture]:
    """The engine called `name`, ready to repaint `photo`."""
    engine = create_engine("torch", limits=WHOLE) if name == "torch untiled" else create_engine()
    style = engine.encode_style(data.coffee())
    if name == "onnxruntime":
        return onnxruntime_run(photo, style)
    job = Job(photo, (style,), shares([1.0]))
    return lambda: engine.stylize([job])[0]


def measure(name: str, side: int, repeats: int, memory: int) -> None:
    """Print the fastest run's seconds and the process's peak resident bytes, as JSON."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    tile = data.astronaut()
    photo = np.tile(tile, (-(-side // 512), -(-side // 512), 1))[:side, :side].copy()
    run = prepared(name, photo)
    times = []
    for _ in range(repeats):
        since = time.perf_counter()
        run()
        times.append(time.perf_counter() - since)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": min(times), "peak": peak}))


def measured(name: str, side: int, memory: int) -> dict[str, float] | None:
    """`measure` in a process of its own; None where it ran out of memory."""
    command = [sys.executable, "-m", "benchmarks.sizes", "--one", name, str(side), "--memory", str(memory / 1e9)]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    if run.returncode == 0:
        found: dict[str, float] = json.loads(run.stdout)
        return found
    if any(word in run.stderr.lower() for word in ("memory", "bad_alloc", "allocate")):
        return None
    raise SystemExit(f"{name} at {side}x{side} failed:\n{run.stderr[-2000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="*", default=SIDES, help="sides of the pictures; 10000 is 100 MP")
    parser.add_argument("--memory", type=float, default=8.0, help="gigabytes a process may take (default: 8)")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    memory = int(asked.memory * 1e9)
    if asked.one:
        name, side = asked.one[0], int(asked.one[1])
        measure(name, side, 1 if side > 2048 else 3, memory)
        return
    rows = []
    first: dict[str, float] = {}
    full: set[str] = set()
    print(f"{'megapixels':>10}  {'engine':<14}{'seconds':>8}{'s/megapixel':>13}{'/ the smallest':>16}{'peak MB':>9}")
    for side in asked.sides:
        megapixels = side * side / 1e6
        for name in ENGINES:
            found = None if name in full else measured(name, side, memory)
            if found is None:
                full.add(name)
                print(f"{megapixels:10.2f}  {name:<14}out of {asked.memory:g} GB of memory", flush=True)
                continue
            rate = found["seconds"] / megapixels
            part = rate / first.setdefault(name, rate)
            line = f"{megapixels:10.2f}  {name:<14}{found['seconds']:8.2f}{rate:13.3f}{part:16.2f}"
            print(f"{line}{found['peak'] / 1e6:9.0f}", flush=True)
            rows.append({"megapixels": megapixels, "engine": name, **found})
    save("sizes", {"memory": memory, "rows": rows})


if __name__ == "__main__":
    main()
