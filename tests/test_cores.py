"""CPU quotas as kernels tell them: trees laid out as /proc and /sys/fs/cgroup are in the wild."""

import os
from pathlib import Path

import pytest

from app.cores import available_cores

MANY = 64


@pytest.fixture(autouse=True)
def _on_a_large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(MANY)))


class Machine:
    """/proc/self and mounted cgroup hierarchies under a folder; files by their path below the mount."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        (self.proc / "self").mkdir(parents=True)
        self.folder = folder
        self.groups: list[str] = []
        self.mounts: list[str] = []

    def mount(self, kind: str, options: str, group: str, files: dict[str, str], root: str = "/") -> "Machine":
        where = self.folder / f"cgroup{len(self.mounts)}"
        where.mkdir()
        for name, text in files.items():
            path = where / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        self.mounts.append(f"30 25 0:26 {root} {where} rw,nosuid shared:4 - {kind} cgroup rw{options}")
        self.groups.append(group)
        (self.proc / "self/cgroup").write_text("\n".join(self.groups) + "\n")
        (self.proc / "self/mountinfo").write_text("\n".join(self.mounts) + "\n")
        return self


def test_a_container_of_version_2_whose_own_group_is_the_root(tmp_path: Path) -> None:
    machine = Machine(tmp_path).mount("cgroup2", "", "0::/", {"cpu.max": "350000 100000"})
    assert available_cores(machine.proc) == 3


def test_a_quota_of_a_group_above(tmp_path: Path) -> None:
    files = {
        "system.slice/cpu.max": "200000 100000",
        "system.slice/impasto.service/cpu.max": "max 100000",
    }
    machine = Machine(tmp_path).mount("cgroup2", "", "0::/system.slice/impasto.service", files)
    assert available_cores(machine.proc) == 2


def test_the_least_on_the_way_up_counts(tmp_path: Path) -> None:
    files = {
        "kubepods/cpu.max": "800000 100000",
        "kubepods/pod1/cpu.max": "500000 100000",
        "kubepods/pod1/one/cpu.max": "600000 100000",
    }
    assert available_cores(Machine(tmp_path).mount("cgroup2", "", "0::/kubepods/pod1/one", files).proc) == 5


def test_less_than_a_core_is_one(tmp_path: Path) -> None:
    machine = Machine(tmp_path).mount("cgroup2", "", "0::/", {"cpu.max": "50000 100000"})
    assert available_cores(machine.proc) == 1


def test_version_1_with_cpu_and_cpuacct_together(tmp_path: Path) -> None:
    files = {"docker/abc/cpu.cfs_quota_us": "400000", "docker/abc/cpu.cfs_period_us": "100000"}
    machine = Machine(tmp_path).mount("cgroup", ",cpu,cpuacct", "4:cpu,cpuacct:/docker/abc", files)
    assert available_cores(machine.proc) == 4


def test_version_1_in_a_container_sees_only_its_own_group(tmp_path: Path) -> None:
    """The path in /proc/self/cgroup is the host's; what is mounted is the group itself."""
    files = {"cpu.cfs_quota_us": "150000", "cpu.cfs_period_us": "50000"}
    group = "/docker/abc"
    machine = Machine(tmp_path).mount("cgroup", ",cpu,cpuacct", f"4:cpu,cpuacct:{group}", files, root=group)
    assert available_cores(machine.proc) == 3


def test_version_1_without_a_quota(tmp_path: Path) -> None:
    files = {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}
    assert available_cores(Machine(tmp_path).mount("cgroup", ",cpu", "4:cpu:/", files).proc) == MANY


def test_a_hybrid_of_both_versions(tmp_path: Path) -> None:
    machine = Machine(tmp_path).mount("cgroup", ",memory", "9:memory:/a", {"a/cpu.cfs_quota_us": "100000"})
    machine.mount("cgroup2", "", "0::/a", {"a/cgroup.procs": "1"})
    files = {"a/cpu.cfs_quota_us": "700000", "a/cpu.cfs_period_us": "100000"}
    machine.mount("cgroup", ",cpu,cpuacct", "4:cpu,cpuacct:/a", files)
    assert available_cores(machine.proc) == 7


def test_a_group_outside_its_namespace(tmp_path: Path) -> None:
    machine = Machine(tmp_path).mount("cgroup2", "", "0::/../../elsewhere", {"cpu.max": "200000 100000"})
    assert available_cores(machine.proc) == 2


def test_no_cgroups_at_all(tmp_path: Path) -> None:
    assert available_cores(tmp_path / "nothing") == MANY


def test_fewer_cores_than_the_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path).mount("cgroup2", "", "0::/", {"cpu.max": "800000 100000"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert available_cores(machine.proc) == 2
