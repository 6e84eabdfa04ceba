"""What an error says of the device, by the words CUDA and torch have for it."""

import pytest
import torch

from app.engine.faults import device_lost, first_line, out_of_memory

LOST = """CUDA error: device-side assert triggered
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
"""


@pytest.mark.parametrize(
    "text",
    [
        LOST,
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: unknown error",
        "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    ],
)
def test_a_context_that_is_gone_is_told_from_everything_else(text: str) -> None:
    assert device_lost(RuntimeError(text))
    assert not out_of_memory(RuntimeError(text))
    assert not device_lost(ValueError(text)), "no library's error"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    ],
)
def test_too_little_memory_is_no_loss(error: RuntimeError) -> None:
    assert out_of_memory(error)
    assert not device_lost(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
        RuntimeError("CUDA error: operation not permitted when stream is capturing"),
        RuntimeError("CUDA error: invalid argument"),
        MemoryError(),
        OSError(28, "No space left on device"),
    ],
)
def test_other_errors_are_neither(error: Exception) -> None:
    assert not device_lost(error)
    assert not out_of_memory(error)


def test_one_line_of_an_error_is_left() -> None:
    assert first_line(RuntimeError(LOST)) == "CUDA error: device-side assert triggered"
    assert first_line(KeyError()) == "KeyError"
