"""The training loop beside a plain one, which encodes every content and style of a batch anew: one run.

Both are `impasto train` with the same network, losses, crops and precision; the plain one has `--refresh 1`. They take
turns, so that a machine whose speed drifts is the same to both; the median of all steps counts. A step is timed from
the end of the one before, reading and cropping pictures included.
"""

import argparse
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

from PIL import Image
from skimage import data
from tqdm import tqdm

from app.training.start import start

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
# Reading ahead has just begun, and torch chooses its algorithms in the first steps.
WARM_UP = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8, help="steps timed in each turn (default: 8)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each loop (default: 3)")
    parser.add_argument("--crop", type=int, default=128, help="side of the crops, in pixels (default: 128)")
    parser.add_argument("--batch", type=int, default=12, help="pictures a step (default: 12)")
    parser.add_argument("--precision", default="auto", help="auto, float32 or bfloat16 (default: auto)")
    asked = parser.parse_args()
    common = {"crops": str(asked.crop), "batch": str(asked.batch), "precision": asked.precision}
    common |= {"steps": str(WARM_UP + asked.steps), "val_share": "0", "test_share": "0"}
    loops: dict[str, dict[str, str]] = {"plain": {"refresh": "1"}, "impasto": {}}
    times: dict[str, list[float]] = {name: [] for name in loops}
    with tempfile.TemporaryDirectory() as folder, tqdm(total=asked.rounds * 2, unit="turn", leave=False) as progress:
        photos = Path(folder) / "photos"
        photos.mkdir()
        for name in PHOTOS:
            Image.fromarray(getattr(data, name)()).save(photos / f"{name}.jpg", quality=92)
        for turn in range(asked.rounds):
            for name, options in loops.items():
                times[name] += step_times(photos, Path(folder) / f"{name}-{turn}", common | options)
                progress.update()
    rates = {name: asked.batch / median(seconds) for name, seconds in times.items()}
    print(f"{asked.batch} crops of {asked.crop} pixels a step, {asked.precision} precision")
    print("loop     s/step  images/s  of the plain loop")
    for name, rate in rates.items():
        print(f"{name:8} {asked.batch / rate:6.2f}  {rate:8.2f}  {rate / rates['plain']:17.2f}")


def step_times(photos: Path, out: Path, options: dict[str, str]) -> list[float]:
    """Seconds of each step after the first few."""
    run, _ = start(photos, photos, out, False, options)
    ends: list[float] = []

    def note() -> bool:
        ends.append(time.perf_counter())
        return False

    run.run(note, show_bar=False)
    return [later - earlier for earlier, later in pairwise(ends)][WARM_UP - 1 :]


if __name__ == "__main__":
    main()
