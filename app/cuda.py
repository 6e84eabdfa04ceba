"""Which CUDA devices torch finds, and why it finds none. Imports torch only when asked."""


def cuda_devices() -> int:
    """How many there are."""
    try:
        import torch
    except ImportError:
        return 0
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def what_is_there() -> str:
    """For whoever asked for a device that is not there: what torch finds, and what to do about a driver too old."""
    count = cuda_devices()
    if count:
        return f"torch finds {count} CUDA device{'s' if count != 1 else ''}"
    try:
        import torch

        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (ImportError, RuntimeError, AssertionError) as error:  # AssertionError: of a torch without CUDA
        reason = str(error).strip().partition("\n")[0].partition(". ")[0]
        advice = "; update the driver, or install a torch for an older CUDA" if "too old" in reason else ""
        return f"torch finds no CUDA device ({reason}){advice}"
    return "torch finds no CUDA device"
