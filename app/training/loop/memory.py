"""How the process gets memory for activations."""

import ctypes
import platform
from typing import Final

# Parameters of glibc's mallopt, by their numbers in malloc.h, and the values that keep freed memory.
KEEP: Final = {"M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, 2**31 - 1), "M_TOP_PAD": (-2, 2**28)}


def keep_freed_memory() -> bool:
    """Have freed memory used again instead of returned to the system; says whether the C library can (glibc).

    Each step frees and asks for the same hundreds of megabytes of activations. By default every tensor of more than a
    few megabytes comes as fresh pages, which the system fills with zeros one at a time: a fifth of a step's time.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(number, value) for number, value in KEEP.values())
