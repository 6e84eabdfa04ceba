"""What this processor multiplies natively, as Linux tells it."""

from pathlib import Path
from platform import machine
from typing import Final

CPUINFO: Final = Path("/proc/cpuinfo")
INT8: Final = {"avx512_vnni", "avx_vnni", "amx_int8"}
BFLOAT16: Final = {"avx512_bf16", "amx_bf16"}


def native_precisions(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """Of "int8" and "bfloat16", those it has instructions for; none where it can't be told, as on Arm or macOS."""
    flags = _flags(cpuinfo)
    wanted = {"int8": INT8, "bfloat16": BFLOAT16}
    return frozenset(precision for precision, names in wanted.items() if flags & names)


def processor(cpuinfo: Path = CPUINFO) -> str:
    """What tells this processor from one whose arithmetic may differ in the last bit."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    wanted = ("model name", "flags", "Features", "CPU part")
    told = dict.fromkeys(line for line in lines if line.split("\t")[0].strip(" :") in wanted)
    return "\n".join((machine(), *told))


def _flags(cpuinfo: Path) -> set[str]:
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())
