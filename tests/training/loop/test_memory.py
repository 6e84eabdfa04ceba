"""Freed memory is used again: counted in page faults, in a process of its own."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from app.training.loop.memory import keep_freed_memory

assert sys.argv[1] == "plain" or keep_freed_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def activations():
    return [torch.zeros(16, 2**20) for _ in range(4)]

def steps():
    for _ in range(5):
        activations()

steps()  # the heap finds its size
before = faults()
steps()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be told")
def test_what_a_step_freed_is_not_fetched_from_the_system_again() -> None:
    counted = {
        kind: int(subprocess.run([sys.executable, "-c", FAULTS, kind], capture_output=True, check=True).stdout)
        for kind in ("plain", "kept")
    }
    assert counted["kept"] < 0.01 * counted["plain"]
