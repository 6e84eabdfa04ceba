"""The training loop beside a plain one, which encodes every content and style of a batch anew: one run.

Both are `impasto train` with the same network, losses, crops and precision; the plain one has `--refresh 1`. They take
turns, so that a machine whose speed drifts is the same to both; the median of all steps counts. A step is timed from
the end of the one before, reading and cropping pictures included. The roof is a large matrix product in the same
precision.
"""

import argparse
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from PIL import Image
from skimage import data
from tqdm import tqdm

from app.evaluation.device import chosen_device
from app.network.weights import DECODER, read_weights
from app.training.options import TrainingOptions
from app.training.start import start
from app.training.step.trainer import chosen_precision
from benchmarks.gpu.machine import device_name, roof
from benchmarks.roof import training_operations

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
# Reading ahead has just begun, torch chooses its algorithms in the first steps, and a GPU's are recorded then.
WARM_UP = 8
CPU, GPU = {"crop": 128, "batch": 12, "steps": 8}, {"crop": 256, "batch": 16, "steps": 100}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--steps", type=int, help="steps timed in each turn (default: 8, on a GPU 100)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each loop (default: 3)")
    parser.add_argument("--crop", type=int, help="side of the crops, in pixels (default: 128, on a GPU 256)")
    parser.add_argument("--batch", type=int, help="pictures a step (default: 12, on a GPU 16)")
    parser.add_argument("--precision", default="auto", help="auto, float32 or bfloat16 (default: auto)")
    parser.add_argument("--launch", default="recorded", help="plain, recorded or compiled (default: recorded)")
    asked = parser.parse_args()
    device = chosen_device(asked.device)
    sizes = GPU if device.type == "cuda" else CPU
    crop, batch, steps = (getattr(asked, name) or default for name, default in sizes.items())
    common = {"crops": str(crop), "batch": str(batch), "precision": asked.precision, "device": str(device)}
    common |= {"launch": asked.launch, "steps": str(WARM_UP + steps), "val_share": "0", "test_share": "0"}
    common |= {"decoder": str(DECODER), "revive_every": "0"}
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
    half = chosen_precision(asked.precision, device)
    most, _ = roof(device, torch.bfloat16 if half else torch.float32)
    decoder = read_weights(DECODER)
    rates = {name: batch / median(seconds) for name, seconds in times.items()}
    print(f"{device_name(device)}, torch {torch.__version__}: a large matrix product {most / 1e12:.3g} TFLOP/s")
    print(f"{batch} crops of {crop} pixels a step, {'bfloat16' if half else 'float32'}, launched {asked.launch}")
    print("loop     ms/step   pairs/s  of the roof  of the plain loop")
    for name, rate in rates.items():
        refresh = float(loops[name].get("refresh", TrainingOptions().refresh))
        fresh = max(1, round(batch * refresh)) / batch
        part = rate * training_operations(decoder, crop, fresh) / most
        print(f"{name:8} {1000 * batch / rate:7.1f}  {rate:8.2f}  {part:11.3f}  {rate / rates['plain']:17.2f}")


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
