"""The real Makefile, installer and pip, between an index of CPU builds and a registry with wheels of a few bytes."""

import os
import shutil
import subprocess
import sys
import sysconfig
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from tools.install import torch_requirements

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has CPU builds beside the registry's")

ROOT = Path(__file__).parents[2]
PYTHON = f"cp{sys.version_info[0]}{sys.version_info[1]}"
HERE = f"{PYTHON}-{PYTHON}-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
ELSEWHERE = "cp27-cp27mu-linux_x86_64"

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "impasto"
version = "1"
dependencies = ["torch>=2.5"]
[project.optional-dependencies]
train = ["torchvision>=0.19"]
dev = ["impasto[train]"]
"""
# What setuptools would make of it, without fetching setuptools.
BACKEND = """
from pathlib import Path
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "impasto-1-py3-none-any.whl"
    Path(folder, name).write_bytes(Path("editable.whl").read_bytes())
    return name
"""


def wheel(name: str, version: str, *metadata: str) -> bytes:
    """A wheel that holds nothing but what it is and needs."""
    files = {
        "METADATA": "\n".join(("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *metadata, "")),
        "WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    data, record = BytesIO(), ""
    with ZipFile(data, "w") as archive:
        for part, text in files.items():
            path = f"{name}-{version}.dist-info/{part}"
            archive.writestr(path, text)
            digest = urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(text)}\n"
        archive.writestr(f"{name}-{version}.dist-info/RECORD", record + f"{name}-{version}.dist-info/RECORD,,\n")
    return data.getvalue()


@dataclass
class Index:
    """A package index (PEP 503) over HTTP: pages at /NAME/, and the files they link to, but for those it has lost."""

    files: dict[str, bytes]
    lost: bool = False
    silent: bool = False
    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> str:
        index = self
        self._end = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                if index.silent:
                    index._end.wait(60)
                    return
                name = self.path.strip("/")
                links = [file for file in index.files if file.partition("-")[0] == name]
                if links:
                    page = "".join(f'<a href="/{f.replace("+", "%2B")}">{f}</a><br>\n' for f in links)
                    self.answer(200, f"<!DOCTYPE html><html><body>{page}</body></html>".encode(), "text/html")
                elif (data := index.files.get(name.replace("%2B", "+"))) and not index.lost:
                    self.answer(200, data, "application/octet-stream")
                else:
                    self.answer(404, b"", "text/plain")

            def answer(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._server.shutdown()
        self._server.server_close()


def builds(local: str, tags: str = HERE) -> dict[str, bytes]:
    return {
        f"torch-9.1{local}-{tags}.whl": wheel("torch", f"9.1{local}"),
        f"torchvision-0.99{local}-{tags}.whl": wheel("torchvision", f"0.99{local}", "Requires-Dist: torch==9.1"),
    }


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with Index(builds("")) as url:
        yield url


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an environment that has nothing but pip."""
    folder = tmp_path_factory.mktemp("fresh")
    (folder / "tools").mkdir()
    for file in ("Makefile", "tools/install.py"):
        shutil.copy(ROOT / file, folder / file)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND)
    needs = ["Provides-Extra: train", "Provides-Extra: dev", "Requires-Dist: torch>=2.5"]
    needs += ["Requires-Dist: torchvision>=0.19; extra == 'train'", "Requires-Dist: impasto[train]; extra == 'dev'"]
    (folder / "editable.whl").write_bytes(wheel("impasto", "1", *needs))
    made = subprocess.run(("make", ".venv/bin/python"), cwd=folder, capture_output=True, text=True, timeout=240)
    assert made.returncode == 0, made.stderr
    return folder


class Machine:
    """A copy of the fresh project, and make in it."""

    def __init__(self, folder: Path, registry: str, programs: Path) -> None:
        self.folder = folder
        self.registry = registry
        self.programs = programs

    def make(self, target: str, index: str, torch: str = "") -> str:
        """What `make` says; `target` is what `make serve` and `make test` set up before they run."""
        clean = {n: v for n, v in os.environ.items() if not n.startswith(("PIP_", "TORCH")) and n != "PYTHONPATH"}
        environment = {**clean, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": self.registry, "PIP_NO_CACHE_DIR": "1"}
        environment |= {"TORCH_INDEX": index, "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}"}
        command = ["make", f".venv/.{target}", *([f"TORCH={torch}"] if torch else [])]
        made = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=240)
        self.status = made.returncode
        assert "Traceback" not in made.stderr, made.stderr
        return made.stdout + made.stderr

    def builds(self) -> set[str]:
        """What is installed, without pip and ourselves."""
        (site,) = self.folder.glob(".venv/lib/python*/site-packages")
        return {path.name.removesuffix(".dist-info") for path in site.glob("torch*.dist-info")}


@pytest.fixture
def machine(fresh: Path, registry: str, tmp_path: Path) -> Machine:
    shutil.copytree(fresh, tmp_path / "project", symlinks=True)
    (tmp_path / "programs").mkdir()
    return Machine(tmp_path / "project", registry, tmp_path / "programs")


CPU = {"torch-9.1+cpu", "torchvision-0.99+cpu"}
CUDA = {"torch-9.1", "torchvision-0.99"}


def test_cpu_builds_of_both_come_from_their_index_one_after_the_other(machine: Machine) -> None:
    with Index(builds("+cpu")) as index:
        said = machine.make("serve", index, "cpu")
        assert machine.status == 0, said
        assert f"PyTorch's build for CPUs from {index}, since TORCH=cpu" in said
        assert machine.builds() == {"torch-9.1+cpu"}
        said = machine.make("dev", index)
        assert machine.status == 0, said
        assert machine.builds() == CPU
    # With all of it there nobody is asked.
    said = machine.make("serve", "http://127.0.0.1:9", "cpu")
    assert machine.status == 0, said
    assert "PyTorch's build for CPUs, since TORCH=cpu" in said
    assert machine.builds() == CPU


def test_what_is_there_is_changed_for_the_other_where_that_is_asked_for(machine: Machine) -> None:
    with Index(builds("+cpu")) as index:
        said = machine.make("dev", index, "cuda")
        assert machine.status == 0, said
        assert machine.builds() == CUDA
        said = machine.make("serve", index, "cpu")
    assert machine.status == 0, said
    assert machine.builds() == CPU


@pytest.mark.parametrize("fault", ["silent", "without this Python", "without torchvision", "lost"])
def test_an_index_that_is_of_no_use_is_left_for_the_registry(machine: Machine, fault: str) -> None:
    files = builds("+cpu", ELSEWHERE if fault == "without this Python" else HERE)
    if fault == "without torchvision":
        files = {name: data for name, data in files.items() if name.startswith("torch-")}
    with Index(files, lost=fault == "lost", silent=fault == "silent") as index:
        said = machine.make("dev", index, "cpu")
    assert machine.status == 0, said
    assert machine.builds() == CUDA
    told = {"silent": "did not answer within 5 seconds", "lost": "could not be installed"}
    assert f"torch: the registry's build, since {'what ' * (fault == 'lost')}{index}" in said
    assert told.get(fault, "has no torch") in said


def test_torchvision_never_stands_beside_a_torch_from_elsewhere(machine: Machine) -> None:
    with Index(builds("+cpu")) as index:
        machine.make("serve", index, "cpu")
    assert machine.builds() == {"torch-9.1+cpu"}
    said = machine.make("dev", "http://127.0.0.1:9")
    assert machine.status == 0, said
    assert "http://127.0.0.1:9 can't be asked" in said
    assert machine.builds() == CUDA


def test_a_machine_with_a_driver_takes_the_registrys(machine: Machine) -> None:
    program = machine.programs / "nvidia-smi"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with Index(builds("+cpu")) as index:
        said = machine.make("serve", index)
    assert machine.status == 0, said
    assert "since there is an NVIDIA driver" in said
    assert machine.builds() == {"torch-9.1"}


@pytest.mark.skipif(
    shutil.which("nvidia-smi") is not None or Path("/dev/nvidiactl").exists() or Path("/proc/driver/nvidia").exists(),
    reason="this machine has an NVIDIA driver",
)
def test_a_machine_without_one_takes_cpu_builds(machine: Machine) -> None:
    with Index(builds("+cpu")) as index:
        said = machine.make("dev", index)
    assert machine.status == 0, said
    assert "since there is no NVIDIA driver" in said
    assert machine.builds() == CPU


def test_another_word_is_refused(machine: Machine) -> None:
    said = machine.make("serve", "http://127.0.0.1:9", "rocm")
    assert machine.status != 0
    assert "TORCH is 'rocm'; it can be auto, cpu or cuda" in said
    assert not (machine.folder / ".venv" / ".serve").exists()


def test_the_projects_own_needs_are_found() -> None:
    assert "torch" in {needed.name for needed in torch_requirements(ROOT, [""])}
    assert {needed.name for needed in torch_requirements(ROOT, ["dev"])} == {"torch", "torchvision"}
