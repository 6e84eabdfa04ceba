"""Which engine runs here."""

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import numpy as np

from app.cores import available_cores
from app.cuda import cuda_devices, what_is_there
from app.engine.base import SMALLEST, Engine
from app.engine.faults import first_line, out_of_memory
from app.engine.tiles import Limits
from app.network.weights import DECODER, ENCODER

logger = logging.getLogger("impasto.engine")

EngineName = Literal["auto", "ncnn", "torch"]

# The NVIDIA driver's own traces, bare metal and WSL: their absence tells cheaply that importing torch is not worth it.
NVIDIA_DRIVER: Final = (Path("/proc/driver/nvidia"), Path("/dev/nvidiactl"), Path("/dev/dxg"))


class EngineUnavailable(RuntimeError):
    """The engine asked for cannot run here; the message says what to do, and to `app.engine.faults` what the device
    said."""


def create_engine(
    name: EngineName = "auto",
    device: str = "auto",
    threads: int | None = None,
    encoder: Path = ENCODER,
    decoder: Path = DECODER,
    limits: Limits | None = None,
) -> Engine:
    """The engine called `name` on `device`: "auto", "cpu", "cuda" or "cuda:N".

    "auto" takes torch where there is a CUDA device for it, else ncnn, else torch on the CPU. `threads` are the CPU
    threads it may use; None or 0 for every core this process may run on. `limits` bounds the memory of large pictures.

    Raises EngineUnavailable when this machine cannot run what was asked for, WeightsError for a wrong weights file.
    """
    threads = threads or available_cores()
    if device.startswith("cuda"):
        if name == "ncnn":
            raise EngineUnavailable(f"ncnn runs on the CPU, not on {device}; set the engine to 'torch' or 'auto'")
        _require_cuda(device)
    elif device == "auto" and name != "ncnn" and _has_nvidia_driver() and cuda_devices():
        device = "cuda"
    else:
        if device == "auto" and name != "ncnn" and _has_nvidia_driver():
            logger.warning("an NVIDIA driver is here, but %s: the CPU runs the network", what_is_there())
        device = "cpu"
    if device == "cpu" and (name == "ncnn" or (name == "auto" and _has_ncnn())):
        return _ncnn_engine(threads, encoder, decoder, limits)
    return _torch_engine(device, threads, encoder, decoder, limits)


def engine_devices(name: EngineName = "auto", device: str = "auto") -> list[str]:
    """One device for each engine to run side by side: every GPU for "cuda", or for "auto" where there are any."""
    if device == "cuda" or (device == "auto" and name != "ncnn" and _has_nvidia_driver()):
        return [f"cuda:{index}" for index in range(cuda_devices())] or [device]
    return [device]


def _has_ncnn() -> bool:
    try:
        _import_ncnn()
    except EngineUnavailable as error:
        logger.warning("%s; until then torch runs the network, at about a third of the speed", error)
        return False
    return True


def bound_spinning() -> None:
    """Threads of OpenMP that wait by spinning slow down whatever else runs: bound it, before a library reads it."""
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def _import_ncnn() -> None:
    bound_spinning()
    try:
        import ncnn  # noqa: F401
    except ImportError as error:
        raise EngineUnavailable(f"ncnn cannot be imported ({error}); install it: pip install ncnn") from None


def _ncnn_engine(threads: int, encoder: Path, decoder: Path, limits: Limits | None) -> Engine:
    _import_ncnn()
    from app.engine.ncnn import NcnnEngine

    return NcnnEngine(threads, encoder, decoder, limits)


def _torch_engine(device: str, threads: int, encoder: Path, decoder: Path, limits: Limits | None) -> Engine:
    try:
        import torch
    except ImportError as error:
        raise EngineUnavailable(f"torch cannot be imported ({error}); install it: pip install torch") from None
    from app.engine.torch import TorchEngine

    if device == "cpu":
        torch.set_num_threads(threads)
        return TorchEngine(device, encoder, decoder, limits)
    try:
        engine = TorchEngine(device, encoder, decoder, limits)
        engine.encode_style(np.zeros((SMALLEST, SMALLEST, 3), np.uint8))
    except RuntimeError as error:
        raise EngineUnavailable(_why_not_on(device, error)) from None
    return engine


def _why_not_on(device: str, error: RuntimeError) -> str:
    import torch

    if not out_of_memory(error):
        return (
            f"{device} does not run the network ({first_line(error)}); set the device to 'cpu', or try a newer driver "
            "and a torch that is built for this GPU"
        )
    left = ""
    with suppress(RuntimeError):
        free, total = torch.cuda.mem_get_info(device)
        left = f", {free >> 20} of {total >> 20} MiB"
    return (
        f"{device} has too little memory free for the network{left}; stop what else runs there (nvidia-smi lists it), "
        "or set the device to another or to 'cpu'"
    )


def _require_cuda(device: str) -> None:
    if int(device.partition(":")[2] or 0) >= cuda_devices():
        raise EngineUnavailable(f"{device} is not there: {what_is_there()}; set the device to 'auto' or 'cpu'")


def _has_nvidia_driver() -> bool:
    return os.name == "nt" or any(path.exists() for path in NVIDIA_DRIVER)
