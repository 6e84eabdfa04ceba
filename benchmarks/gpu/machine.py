"""What a device can do at most, and how long something takes on it."""

import time
from collections.abc import Callable
from statistics import median

import torch


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(run: Callable[[], object], device: torch.device, least: float) -> float:
    """The median time of a call, by the device's own clock where it has one, of calls that take `least` in all."""
    times = []
    until = time.perf_counter() + least
    while not times or time.perf_counter() < until:
        if device.type == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            run()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end) / 1000)
        else:
            since = time.perf_counter()
            run()
            times.append(time.perf_counter() - since)
    return median(times)


def roof(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """Operations a second of a large matrix product in that precision, and bytes a second of a large copy."""
    side, length = (8192, 2**30) if device.type == "cuda" else (1024, 2**24)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    source = torch.ones(length, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    for _ in range(3):
        a @ b
        target.copy_(source)
    synchronize(device)
    product, copy = seconds_of(lambda: a @ b, device, 0.3), seconds_of(lambda: target.copy_(source), device, 0.2)
    return 2 * side**3 / product, 2 * length / copy
