"""Errors that say a device is lost are told from those of a picture, and from too little memory."""

import pytest
import torch

from app.engine.faults import device_failed, first_line, out_of_memory

NEWER = getattr(torch, "AcceleratorError", RuntimeError)


@pytest.mark.parametrize(
    "error",
    [
        NEWER("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be reported later"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
    ],
)
def test_a_device_that_failed(error: Exception) -> None:
    assert device_failed(error)
    assert not out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        NEWER("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        MemoryError("out of memory in ncnn"),
    ],
)
def test_too_little_memory(error: Exception) -> None:
    assert out_of_memory(error)
    assert not device_failed(error)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("The size of tensor a (3) must match"), ValueError("CUDA error"), OSError(28, "No space left")],
)
def test_a_fault_of_the_picture_or_of_ours(error: Exception) -> None:
    assert not device_failed(error)
    assert not out_of_memory(error)


def test_one_line_of_an_error_is_left() -> None:
    error = RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be reported later")
    assert first_line(error) == "CUDA error: device-side assert triggered"
    assert first_line(KeyError()) == "KeyError"
