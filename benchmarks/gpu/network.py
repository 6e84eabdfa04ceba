"""The network on one device: ways to run it side by side, each checked against float32 on the CPU before it is timed.

"device" is the network alone, its input on the device already; "engine" is from uint8 on the host to uint8 on the
host, as the service's worker has it; "two" is two engines on the same device, each in its thread, one preparing
while the other computes. Rows are JSON, a line each, for `benchmarks.gpu`, which shows them.
"""

import argparse
import itertools
import json
import threading
import time

import numpy as np
import torch

from app.engine.base import Job
from app.engine.torch import TorchEngine
from app.network.blend import shares
from app.network.weights import DECODER, read_weights
from benchmarks.gpu.candidates import NAMES, candidate
from benchmarks.gpu.machine import device_name, roof, seconds_of, synchronize
from benchmarks.gpu.power import Power
from benchmarks.gpu.scene import painting, photo
from benchmarks.roof import operations, values_moved

STYLE_SIDE = 512
WARM_UP = 4  # a graph is recorded at the third


def report(kind: str, **found: object) -> None:
    print(json.dumps({"kind": kind, **found}), flush=True)


def poison(device: torch.device) -> None:
    """Leave NaN in memory that is free: who reads what nobody has written is found out."""
    if device.type == "cuda":
        torch.full((2**30,), float("nan"), dtype=torch.float16, device=device)
        synchronize(device)


def jobs(engine: TorchEngine, side: int, count: int) -> list[Job]:
    """`count` different ones: no two contents, strengths or mixtures are alike."""
    codes = [engine.encode_style(painting(STYLE_SIDE)), engine.encode_style(photo(STYLE_SIDE))]
    content = photo(side)
    return [
        Job(np.ascontiguousarray(np.roll(content, 8 * n, axis=1)), (codes[0],), shares([1.0], 1 - n / 100))
        for n in range(count)
    ]


def differences(engine: TorchEngine, side: int) -> dict[str, float]:
    """From float32 on the CPU, in steps of 1/255, over a batch with strengths, a blend and masks."""
    reference = TorchEngine("cpu")
    code, other = reference.encode_style(painting(side)), reference.encode_style(photo(side))
    grid = side // 8
    mask = np.linspace(0, 255, grid, dtype=np.uint8)[None].repeat(grid, 0)
    batch = [
        Job(photo(side), (code,), shares([1.0])),
        Job(photo(side)[:, ::-1].copy(), (code,), shares([1.0], 0.5)),
        Job(painting(side), (code, other), shares([1.0, 2.0], 1.0, [mask, 255 - mask])),
    ]
    poison(engine.device)
    apart = np.stack(engine.stylize(batch)).astype(int) - np.stack(reference.stylize(batch))
    return {"mean_difference": float(np.abs(apart).mean()), "most_difference": int(np.abs(apart).max())}


def in_threads(engines: list[TorchEngine], work: list[Job], seconds: float) -> float:
    """Pictures a second of engines that each take the same batch again and again."""
    done = [0] * len(engines)
    until = time.perf_counter() + seconds
    errors: list[Exception] = []

    def loop(number: int) -> None:
        try:
            while time.perf_counter() < until:
                engines[number].stylize(work)
                done[number] += len(work)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(len(engines))]
    since = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum(done) / (time.perf_counter() - since)


def measure(
    name: str, engine: TorchEngine, side: int, count: int, seconds: float, roofs: tuple[float, float], power: Power
) -> None:
    """One row: a candidate at one size and batch."""
    device = engine.device
    work = jobs(engine, side, count)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    since = time.perf_counter()
    for _ in range(WARM_UP):
        engine.stylize(work)
    warm_up = time.perf_counter() - since
    part = next(iter(engine._parts(work)))
    with torch.inference_mode():
        inputs = engine._inputs(part)
        run = engine._graphs or engine._stylized
        on_device = len(part) / seconds_of(lambda: run(*inputs), device, seconds / 2)
    with power.measured() as used:
        rate = in_threads([engine], work, seconds)
    decoder = read_weights(DECODER)
    bytes_each = values_moved(decoder, side) * torch.finfo(engine.dtype).bits / 8
    at_most = 1 / max(operations(decoder, side) / roofs[0], bytes_each / roofs[1])
    report(
        "network",
        candidate=name,
        side=side,
        batch=count,
        device_rate=on_device,
        engine_rate=rate,
        milliseconds=1000 * count / rate,
        of_roof=on_device / at_most,
        joules=used.watts / rate if used.watts else None,
        megabytes=torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else None,
        warm_up=warm_up,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", nargs="+", choices=NAMES, default=["graphs"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sides", type=int, nargs="+", default=[512])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each measurement (default: 1)")
    parser.add_argument("--check-side", type=int, default=256)
    parser.add_argument("--two", action="store_true", help="two engines on the device as well, at the largest batch")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    roofs = roof(device, torch.float16 if device.type == "cuda" else torch.float32)
    report("roof", device=device_name(device), torch=torch.__version__, operations=roofs[0], bytes=roofs[1])
    with Power(device.type == "cuda") as power:
        for chosen in asked.candidates:
            try:
                engine = candidate(chosen, asked.device)
                report("check", candidate=chosen, **differences(engine, asked.check_side))
                for side, count in itertools.product(asked.sides, asked.batches):
                    measure(chosen, engine, side, count, asked.seconds, roofs, power)
                if asked.two:
                    side, count = asked.sides[0], asked.batches[-1]
                    engines = [engine, candidate(chosen, asked.device)]
                    work = jobs(engine, side, count)
                    for _ in range(WARM_UP):
                        engines[1].stylize(work)
                    report(
                        "two", candidate=chosen, side=side, batch=count, rate=in_threads(engines, work, asked.seconds)
                    )
            except Exception as error:
                report("failed", candidate=chosen, error=f"{type(error).__name__}: {error}"[:500])


if __name__ == "__main__":
    main()
