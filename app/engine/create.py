"""Which engine runs here."""

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from app.cores import available_cores
from app.cuda import cuda_devices, what_is_there
from app.engine.base import SMALLEST, Engine
from app.engine.faults import first_line, out_of_memory
from app.engine.processor import native_precisions
from app.engine.tiles import Limits
from app.network.ranges import RangesError
from app.network.weights import DECODER, ENCODER

if TYPE_CHECKING:
    from app.engine import openvino

logger = logging.getLogger("impasto.engine")

EngineName = Literal["auto", "ncnn", "openvino", "torch"]
Precision = Literal["auto", "float32", "bfloat16", "int8"]

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
    precision: Precision = "auto",
) -> Engine:
    """The engine called `name` on `device` ("auto", "cpu", "cuda" or "cuda:N"), in `precision`.

    "auto" takes torch where there is a CUDA device for it, in float16. On the CPU it takes OpenVINO in int8 where the
    processor multiplies that natively and the decoder has ranges, else ncnn in float32, else torch. `threads` are the
    CPU threads it may use; None or 0 for every core this process may run on. `limits` bounds the memory of large
    pictures.

    Raises EngineUnavailable when this machine cannot run what was asked for, WeightsError for a wrong weights file, or
    for missing or wrong ranges where int8 was asked for.
    """
    threads = threads or available_cores()
    if device.startswith("cuda"):
        if name in ("ncnn", "openvino"):
            raise EngineUnavailable(f"{name} runs on the CPU, not on {device}; set the engine to 'torch' or 'auto'")
        _require_cuda(device)
    elif device == "auto" and name in ("auto", "torch") and _has_nvidia_driver() and cuda_devices():
        device = "cuda"
    else:
        if device == "auto" and name in ("auto", "torch") and _has_nvidia_driver():
            logger.warning("an NVIDIA driver is here, but %s: the CPU runs the network", what_is_there())
        device = "cpu"
    if device != "cpu":
        return _torch_engine(device, threads, encoder, decoder, limits, precision)
    native = native_precisions()
    if precision == "int8" and "int8" not in native:
        raise EngineUnavailable(
            "this processor has no instructions for int8 (AVX-512 VNNI, AVX-VNNI or AMX); set the precision to "
            "'float32' or 'auto'"
        )
    if name == "openvino" or (name == "auto" and precision in ("int8", "bfloat16")):
        _import_openvino()
        return _openvino_engine(threads, encoder, decoder, limits, _openvino_precision(precision, native))
    if name == "auto" and precision == "auto" and "int8" in native:
        engine = _int8_or_none(threads, encoder, decoder, limits)
        if engine:
            return engine
    if name == "ncnn" or (name == "auto" and _has_ncnn()):
        return _ncnn_engine(threads, encoder, decoder, limits, precision)
    return _torch_engine(device, threads, encoder, decoder, limits, precision)


def engine_devices(name: EngineName = "auto", device: str = "auto") -> list[str]:
    """One device for each engine to run side by side: every GPU for "cuda", or for "auto" where there are any."""
    if device == "cuda" or (device == "auto" and name in ("auto", "torch") and _has_nvidia_driver()):
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


def _import_openvino() -> None:
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        raise EngineUnavailable(f"openvino cannot be imported ({error}); install it: pip install openvino") from None


def _openvino_precision(precision: Precision, native: frozenset[str]) -> "openvino.Precision":
    """Of what was asked for, what OpenVINO is to compute in."""
    if precision == "bfloat16" and "bfloat16" not in native:
        raise EngineUnavailable(
            "this processor has no instructions for bfloat16 (AVX512_BF16 or AMX); set the precision to 'float32' or "
            "'auto'"
        )
    if precision == "auto":
        return "int8" if "int8" in native else "float32"
    return precision


def _int8_or_none(threads: int, encoder: Path, decoder: Path, limits: Limits | None) -> Engine | None:
    """The fastest engine of a CPU, where all is there that it needs; else the log says what is missing."""
    try:
        _import_openvino()
        return _openvino_engine(threads, encoder, decoder, limits, "int8")
    except EngineUnavailable as error:
        logger.info("%s; until then the network runs in float32, at about half the speed", error)
    except RangesError as error:
        logger.warning("%s; until then the network runs in float32, at about half the speed", error)
    return None


def _openvino_engine(
    threads: int, encoder: Path, decoder: Path, limits: Limits | None, precision: "openvino.Precision"
) -> Engine:
    from app.engine.openvino import OpenVINOEngine

    return OpenVINOEngine(threads, encoder, decoder, limits, precision)


def _ncnn_engine(threads: int, encoder: Path, decoder: Path, limits: Limits | None, precision: Precision) -> Engine:
    if precision in ("bfloat16", "int8"):
        raise EngineUnavailable(f"ncnn computes in float32, not in {precision}; set the engine to 'auto'")
    _import_ncnn()
    from app.engine.ncnn import NcnnEngine

    return NcnnEngine(threads, encoder, decoder, limits)


def _torch_engine(
    device: str, threads: int, encoder: Path, decoder: Path, limits: Limits | None, precision: Precision
) -> Engine:
    if precision == "int8":
        raise EngineUnavailable(
            f"torch computes in float32 or bfloat16 on {device}, not in int8; set the engine to 'auto' and the device "
            "to 'cpu', or another precision"
        )
    try:
        import torch
    except ImportError as error:
        raise EngineUnavailable(f"torch cannot be imported ({error}); install it: pip install torch") from None
    from app.engine.torch import TorchEngine

    dtype = None if precision == "auto" else getattr(torch, precision)
    if device == "cpu":
        torch.set_num_threads(threads)
        return TorchEngine(device, encoder, decoder, limits, dtype)
    try:
        engine = TorchEngine(device, encoder, decoder, limits, dtype)
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
