"""What a library's error says of the device: it lacked memory, or it is gone. Knows nothing of torch."""

from typing import Final

# cudaGetErrorString of what leaves a process's context on the device unusable.
LOST: Final = (
    "an illegal memory access was encountered",
    "device-side assert triggered",
    "unspecified launch failure",
    "the launch timed out and was terminated",
    "misaligned address",
    "an illegal instruction was encountered",
    "hardware stack error",
    "operation not supported on global/shared address space",
    "invalid program counter",
    "uncorrectable ECC error encountered",
    "uncorrectable NVLink error detected",
    "over nvlink or a hardware error",
    "context is destroyed",
    "driver shutting down",
    "busy or unavailable",
    "no CUDA-capable device is detected",
    "CUDA error: unknown error",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_EXECUTION_FAILED",
)
# Beside torch's own error: memory that libraries ask the driver for themselves, and pinned memory of the host.
LACKED: Final = (
    "CUDA error: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_NOT_INITIALIZED",
)


def device_lost(error: BaseException) -> bool:
    """Whether this process can use the device no longer: CUDA repeats such an error at every call until it ends.

    An engine made anew in the same process fails too; a process of its own is what helps.
    """
    return isinstance(error, RuntimeError) and any(text in str(error) for text in LOST)


def out_of_memory(error: BaseException) -> bool:
    """Whether the device, or pinned memory of the host, was too small: smaller work may fit."""
    if type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in LACKED)


def first_line(error: BaseException) -> str:
    """What an error says, without the advice and the stack that libraries add."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
