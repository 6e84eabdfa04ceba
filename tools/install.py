"""Fill the environment of the Python that runs this: torch's build first, then Impasto with what it needs.

    python tools/install.py .            the service
    python tools/install.py '.[dev]'     with training and tests

On Linux the registry's torch is built for CUDA and brings 3 GB of libraries, which nothing uses where no NVIDIA driver
is. PyTorch's own index has a build for CPUs. torchvision has to come from the same place as torch: one from each don't
load together. TORCH (auto, cpu, cuda) decides by hand, TORCH_INDEX is where CPU builds are.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from html import unescape
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote
from urllib.request import Request, urlopen

# A fresh environment has pip and nothing else; pip carries these with it.
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.tags import sys_tags
from pip._vendor.packaging.utils import InvalidWheelFilename, parse_wheel_filename
from pip._vendor.packaging.version import InvalidVersion, Version

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
ANSWER_SECONDS = 5
MOST_BYTES = 20_000_000
NAMES = {
    "cpu": "PyTorch's build for CPUs",
    "cuda": "the registry's build, on Linux for CUDA (some 3 GB to download)",
    "registry": "the registry's build",
}


def main(project: str) -> int:
    """Install `project`, a folder with extras as pip takes it; the exit status."""
    asked = os.environ.get("TORCH") or "auto"
    if asked not in ("auto", "cpu", "cuda"):
        print(f"TORCH is {asked!r}; it can be auto, cpu or cuda", file=sys.stderr)
        return 2
    folder, _, extras = project.partition("[")
    wanted = torch_requirements(Path(folder), extras.rstrip("]").split(","))
    found = [build for build in map(installed, ("torch", "torchvision")) if build]
    build, why = chosen(asked, found)
    if build == "cpu":
        fault = install_cpu(wanted, found, why)
        if fault:
            build, why = "registry", f"since {fault}"
    if build != "cpu":
        if any(map(is_cpu, found)):
            uninstall()
        say(f"torch: {NAMES[build]}, {why}")
    return pip("install", "--progress-bar", "on", "-e", project, *map(str, wanted))


def chosen(asked: str, found: list[Version]) -> tuple[str, str]:
    """Which build, one of NAMES, and why. What is installed stays, unless another is asked for."""
    if sys.platform != "linux":
        return "registry", "which has no CUDA on this system"
    if asked != "auto":
        return asked, f"since TORCH={asked}"
    if found:
        return ("cpu" if is_cpu(found[0]) else "registry"), "as there is one already"
    if shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists():
        return "cuda", "since there is an NVIDIA driver (TORCH=cpu takes the small one)"
    return "cpu", "since there is no NVIDIA driver (TORCH=cuda takes the other)"


def install_cpu(wanted: list[Requirement], found: list[Version], why: str) -> str:
    """See to CPU builds, from PyTorch's index where there are none yet; "" where that went well, else why not."""
    of_one_kind = all(map(is_cpu, found))
    if of_one_kind and all_there(wanted):
        say(f"torch: {NAMES['cpu']}, {why}")
        return ""
    index = (os.environ.get("TORCH_INDEX") or CPU_INDEX).rstrip("/")
    fault = probe(index, wanted)
    if fault:
        return fault
    if not of_one_kind:
        uninstall()  # pip would take 2.14.1 for good enough
    say(f"torch: {NAMES['cpu']} from {index}, {why}")
    limits = ("--progress-bar", "on", "--timeout", "20", "--retries", "1", "--index-url", index)
    # No other index that the user's configuration names may give one of the two.
    if pip("install", *limits, *map(str, wanted), PIP_EXTRA_INDEX_URL=index) != 0:
        return f"what {index} has could not be installed"
    return ""


def probe(index: str, wanted: list[Requirement]) -> str:
    """Why the index is of no use here; "" where it has a wheel of each for this Python.

    pip would try for minutes. In a thread, since nothing else bounds what a name's resolution and a slow answer take.
    """
    answer: list[str] = []

    def ask() -> None:
        try:
            missing = [wheel.name for wheel in wanted if not offers(index, wheel)]
            answer.append(f"{index} has no {' and no '.join(missing)} for this Python" if missing else "")
        except (OSError, HTTPException, ValueError) as error:
            answer.append(f"{index} can't be asked ({error})")

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ANSWER_SECONDS)
    return answer[0] if answer else f"{index} did not answer within {ANSWER_SECONDS} seconds"


def offers(index: str, wanted: Requirement) -> bool:
    """Whether the index (PEP 503) lists a CPU wheel of it that this Python can install."""
    request = Request(f"{index}/{wanted.name}/", headers={"Accept": "text/html"})
    try:
        with urlopen(request, timeout=ANSWER_SECONDS) as page:
            text = page.read(MOST_BYTES).decode(errors="replace")
    except HTTPError as error:
        if error.code != 404:
            raise
        return False
    here = set(sys_tags())
    for link in re.findall(r">\s*([^<>]+\.whl)\s*<", text):
        try:
            _, found, _, tags = parse_wheel_filename(unquote(unescape(link)))
        except (InvalidWheelFilename, InvalidVersion):
            continue
        if is_cpu(found) and found in wanted.specifier and here & tags:
            return True
    return False


def torch_requirements(folder: Path, extras: list[str]) -> list[Requirement]:
    """What pyproject.toml asks of torch and torchvision: with these extras, and of what is there already."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    optional = {name: list(map(Requirement, lines)) for name, lines in project["optional-dependencies"].items()}
    always = list(map(Requirement, project["dependencies"]))
    needed = [*always, *(more for extra in extras for more in optional.get(extra, []))]
    for requirement in needed:  # those found on the way too
        if requirement.name == project["name"]:
            needed += [more for extra in requirement.extras for more in optional[extra]]
    names = {requirement.name for requirement in needed}
    either = [wheel for wheel in chain(always, *optional.values()) if wheel.name in ("torch", "torchvision")]
    return [wheel for wheel in either if wheel.name in names or installed(wheel.name)]


def all_there(wanted: list[Requirement]) -> bool:
    there = [(installed(needed.name), needed) for needed in wanted]
    return all(found is not None and found in needed.specifier for found, needed in there)


def pip(*arguments: str, **environment: str) -> int:
    command = (sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments)
    return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode


def uninstall() -> None:
    pip("uninstall", "--quiet", "--yes", "torch", "torchvision")


def say(text: str) -> None:
    print(text, flush=True)


def installed(name: str) -> Version | None:
    try:
        return Version(version(name))
    except PackageNotFoundError:
        return None


def is_cpu(found: Version) -> bool:
    return (found.local or "").startswith("cpu")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
