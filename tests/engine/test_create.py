"""The engine that runs is the one that fits the machine."""

import subprocess
import sys

import pytest
import torch

from app.cores import available_cores
from app.engine import create
from app.engine.create import EngineUnavailable, create_engine
from app.engine.faults import device_failed
from app.evaluation.device import chosen_device
from app.evaluation.errors import EvaluationError

WITHOUT_NCNN = """
import sys
sys.modules["ncnn"] = None  # what an import finds where the package is not installed
from app.engine.create import EngineUnavailable, create_engine
print(create_engine("auto", "cpu").name)
try:
    create_engine("ncnn", "cpu")
except EngineUnavailable as error:
    print(error)
"""


def test_the_cpu_gets_ncnn() -> None:
    assert create_engine("auto", "cpu", threads=1).name == "ncnn on the CPU, 1 thread"


def test_threads_default_to_the_cores_there_are() -> None:
    assert available_cores() >= 1
    assert str(available_cores()) in create_engine("ncnn").name


def test_torch_is_there_when_asked_for() -> None:
    assert create_engine("torch", "cpu", threads=torch.get_num_threads()).name == "torch on cpu"


def test_without_ncnn_torch_takes_over_and_asking_for_ncnn_says_what_to_do() -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT_NCNN], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    name, error = run.stdout.splitlines()
    assert name == "torch on cpu"
    assert "pip install ncnn" in error


def test_ncnn_on_a_gpu_is_refused() -> None:
    with pytest.raises(EngineUnavailable, match="set the engine to 'torch' or 'auto'"):
        create_engine("ncnn", "cuda")


def test_a_gpu_that_is_not_there_is_named() -> None:
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(EngineUnavailable, match=f"{absent} is not there.*set the device to 'auto' or 'cpu'"):
        create_engine("torch", absent)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_it_is_said_why(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineUnavailable, match=r"torch finds no CUDA device \(.+\); set the device"):
        create_engine("torch", "cuda")
    monkeypatch.setattr(create, "_has_nvidia_driver", lambda: True)
    assert create_engine("auto", "auto", threads=1).name.startswith("ncnn")
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
