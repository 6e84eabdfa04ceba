"""How many CPU cores this process may keep busy."""

import os
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")


def available_cores(proc: Path = PROC) -> int:
    """Its affinity, and the least quota of its control groups from its own up to the root; 1 at least.

    Quotas are set by containers, Kubernetes' limits and systemd's CPUQuota, in version 1 or 2 of Linux's cgroups.
    `proc`: where the kernel tells of the process.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([float(cores), *_quotas(proc)])))


def _quotas(proc: Path) -> Iterator[float]:
    """Cores' worth of time that each group on the way up allows."""
    try:
        groups = (proc / "self/cgroup").read_text().splitlines()
        mounts = (proc / "self/mountinfo").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        # "0::/a/b" is version 2; "4:cpu,cpuacct:/a/b" a hierarchy of version 1.
        _, controllers, group = line.split(":", 2)
        names = controllers.split(",")
        if controllers and "cpu" not in names:
            continue
        for root, mount in _mounted(mounts, names if controllers else None):
            for folder in _upwards(mount, group, root):
                yield _quota(folder, bool(controllers))


def _mounted(mounts: list[str], controllers: list[str] | None) -> Iterator[tuple[str, Path]]:
    """What part of the hierarchy is mounted, and where; `controllers` of version 1, None for version 2."""
    for line in mounts:
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == ("cgroup2" if controllers is None else "cgroup"):
            if controllers is not None and "cpu" not in options.split(" ")[-1].split(","):
                continue
            fields = before.split(" ")
            yield fields[3], Path(fields[4])


def _upwards(mount: Path, group: str, root: str) -> Iterator[Path]:
    """The group's folder and those above it, as far as mounted; in a container that is its own."""
    inside = group.removeprefix(root.rstrip("/")) if group.startswith(root.rstrip("/") + "/") else ""
    folder = mount / inside.strip("/") if ".." not in inside else mount
    if not folder.is_dir():
        folder = mount
    while True:
        yield folder
        if folder == mount:
            return
        folder = folder.parent


def _quota(folder: Path, first_version: bool) -> float:
    try:
        if first_version:
            quota, period = (float((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        else:
            quota, period = map(float, (folder / "cpu.max").read_text().split())  # "max 100000": not a number
    except (OSError, ValueError):
        return inf
    return quota / period if quota > 0 and period > 0 else inf
