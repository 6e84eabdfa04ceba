"""The engine that runs is the one that fits the machine."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from app.cores import available_cores
from app.engine import create
from app.engine.create import EngineUnavailable, create_engine
from app.engine.faults import device_failed
from app.engine.processor import native_precisions
from app.evaluation.device import chosen_device
from app.evaluation.errors import EvaluationError

WITHOUT = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
for package in sys.argv[1:]:
    sys.modules[package] = None  # what an import finds where the package is not installed
from app.engine.create import EngineUnavailable, create_engine
print(create_engine("auto", "cpu").name)
for package in sys.argv[1:]:
    try:
        create_engine(package, "cpu")
    except EngineUnavailable as error:
        print(error)
"""
NATIVE = native_precisions()


def without(*packages: str) -> str:
    run = subprocess.run([sys.executable, "-c", WITHOUT, *packages], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def refused(**asked: Any) -> str:
    with pytest.raises(EngineUnavailable) as error:
        create_engine(**asked)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_cpu_gets_int8_where_it_multiplies_that_and_else_ncnn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "int8" in NATIVE:
        assert create_engine("auto", "cpu", threads=1).name == "OpenVINO on the CPU in int8, 1 thread"
    monkeypatch.setattr(create, "native_precisions", frozenset)
    assert create_engine("auto", "cpu", threads=1).name == "ncnn on the CPU, 1 thread"
    assert create_engine("openvino", "cpu", threads=1).name == "OpenVINO on the CPU in float32, 1 thread"
    assert "no instructions for int8" in refused(precision="int8", device="cpu")
    assert "no instructions for bfloat16" in refused(precision="bfloat16", device="cpu")


def test_a_precision_a_library_does_not_have_is_refused_with_what_would_work() -> None:
    assert "ncnn computes in float32, not in bfloat16; set the engine to 'auto'" in refused(
        name="ncnn", precision="bfloat16", device="cpu"
    )
    text = refused(name="torch", precision="int8", device="cpu")
    assert "float32 or bfloat16" in text or "no instructions for int8" in text
    assert create_engine("auto", "cpu", 1, precision="float32").name == "ncnn on the CPU, 1 thread"


def test_what_the_processor_multiplies_is_read_from_its_flags(tmp_path: Path) -> None:
    def native(flags: str) -> frozenset[str]:
        told = tmp_path / "cpuinfo"
        told.write_text(f"processor\t: 0\nmodel name\t: any\nflags\t\t: fpu {flags} sse\n\nprocessor\t: 1\n")
        return native_precisions(told)

    assert native("avx2 avx512f") == frozenset()
    assert native("avx_vnni") == {"int8"}
    assert native("avx512_vnni avx512_bf16") == native("amx_int8 amx_bf16") == {"int8", "bfloat16"}
    assert native_precisions(tmp_path / "nowhere") == frozenset()


def test_threads_default_to_the_cores_there_are() -> None:
    assert available_cores() >= 1
    assert str(available_cores()) in create_engine("ncnn").name


def test_torch_is_there_when_asked_for() -> None:
    assert create_engine("torch", "cpu", threads=torch.get_num_threads()).name == "torch on cpu"


def test_without_ncnn_or_openvino_what_is_left_takes_over_and_asking_for_them_says_what_to_do() -> None:
    lines = without("ncnn", "openvino").splitlines()
    assert "torch on cpu" in lines
    assert any("pip install ncnn" in line for line in lines)
    assert "pip install openvino" in lines[-1]


@pytest.mark.skipif("int8" not in NATIVE, reason="this processor has no instructions for int8")
def test_without_openvino_the_log_says_in_one_line_what_would_be_faster() -> None:
    first, second, _ = without("openvino").splitlines()
    assert "pip install openvino; until then the network runs in float32" in first
    assert second.startswith("ncnn on the CPU")


def test_ncnn_on_a_gpu_is_refused() -> None:
    for name in ("ncnn", "openvino"):
        assert f"{name} runs on the CPU, not on cuda; set the engine to 'torch' or 'auto'" in refused(
            name=name, device="cuda"
        )


def test_a_gpu_that_is_not_there_is_named() -> None:
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(EngineUnavailable, match=f"{absent} is not there.*set the device to 'auto' or 'cpu'"):
        create_engine("torch", absent)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_it_is_said_why(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineUnavailable, match=r"torch finds no CUDA device \(.+\); set the device"):
        create_engine("torch", "cuda")
    monkeypatch.setattr(create, "_has_nvidia_driver", lambda: True)
    assert "on the CPU" in create_engine("auto", "auto", threads=1).name
    assert "an NVIDIA driver is here, but torch finds no CUDA device (" in caplog.text


@pytest.mark.parametrize(
    ("error", "failed", "advice"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 18 MiB"), False, "too little .*nvidia-smi"),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), False, "too little .*nvidia-smi"),
        (
            RuntimeError("CUDA error: no kernel image is available for execution on the device\nSearch for"),
            True,
            r"does not run the network \(CUDA error: no kernel image is .* on the device\); set the device",
        ),
    ],
)
def test_a_gpu_that_cannot_run_the_network_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: RuntimeError, failed: bool, advice: str
) -> None:
    def to_device(self: torch.nn.Module, *_: object, **__: object) -> torch.nn.Module:
        raise error

    monkeypatch.setattr(create, "cuda_devices", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.nn.Module, "to", to_device)
    with pytest.raises(EngineUnavailable, match=advice) as refused:
        create_engine("torch", "cuda")
    assert "\n" not in str(refused.value)
    assert device_failed(refused.value) is failed


def test_a_driver_too_old_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> None:
        raise RuntimeError(
            "The NVIDIA driver on your system is too old (found version 12020). Please update your GPU driver by "
            "downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx"
        )

    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said = (
        r"is not there: torch finds no CUDA device "
        r"\(The NVIDIA driver on your system is too old \(found version 12020\)\); "
        r"update the driver, or install a torch for an older CUDA; "
    )
    with pytest.raises(EngineUnavailable, match=said + "set the device to 'auto' or 'cpu'"):
        create_engine("torch", "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(EvaluationError, match=said + "try --device auto"):
        chosen_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_auto_takes_the_gpu() -> None:
    assert create_engine("auto").name.startswith("torch on cuda")
