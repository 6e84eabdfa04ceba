"""Which errors of an engine say that its device failed, whatever the picture."""

import re
from typing import Final

# As the CUDA runtime words them; torch 2.8 gives them a class of their own, before they were plain RuntimeErrors.
DEVICE_FAILED: Final = re.compile(
    r"CUDA (driver )?error|device-side assert|illegal memory access|unspecified launch failure|uncorrectable ECC"
    r"|(CUDNN|CUBLAS)_STATUS_(EXECUTION_FAILED|INTERNAL_ERROR|MAPPING_ERROR)",
    re.IGNORECASE,
)
OUT_OF_MEMORY: Final = re.compile(r"out of memory|OutOfMemory|_STATUS_(ALLOC_FAILED|NOT_INITIALIZED)", re.IGNORECASE)


def out_of_memory(error: BaseException) -> bool:
    """Whether there was too little memory for this work: less of it may still run."""
    return isinstance(error, MemoryError) or bool(
        isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(f"{type(error).__name__} {error}")
    )


def device_failed(error: BaseException) -> bool:
    """Whether the device failed, so that nothing more can be expected of the engine that was on it."""
    return (
        isinstance(error, RuntimeError)
        and not out_of_memory(error)
        and bool(type(error).__name__ == "AcceleratorError" or DEVICE_FAILED.search(str(error)))
    )


def first_line(error: BaseException) -> str:
    """What an error says, without the advice and the stack that libraries add."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def trouble(error: BaseException) -> str | None:
    """What an error says of the device, for a command's user, in a line; None where it is no fault of the device's."""
    if out_of_memory(error):
        return f"there is too little memory ({first_line(error).partition('. ')[0]})"
    return f"the device failed ({first_line(error)})" if device_failed(error) else None
