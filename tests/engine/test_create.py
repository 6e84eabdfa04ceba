"""The engine that runs is the one that fits the machine."""

import subprocess
import sys

import pytest
import torch

from app.cores import available_cores
from app.engine.create import EngineUnavailable, create_engine

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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_auto_takes_the_gpu() -> None:
    assert create_engine("auto").name.startswith("torch on cuda")
