"""The wheels that a machine with torch lacks to run the service and its tests, into a folder that can travel there.

    python tools/gpu/wheels.py FOLDER

Run it where there is a network. There: `. tools/gpu/site.sh FOLDER`.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
# Beside torch itself: what is there wherever somebody trains. Their versions are taken as they are.
# fmt: off
THERE = (
    "absl-py", "anyio", "certifi", "click", "filelock", "fsspec", "grpcio", "h11", "httpcore", "httpx", "hypothesis",
    "idna", "imageio", "iniconfig", "jinja2", "joblib", "lazy-loader", "markdown", "markupsafe", "mpmath", "networkx",
    "numpy", "packaging", "pluggy", "prometheus-client", "protobuf", "pygments", "pytest", "pytest-timeout",
    "safetensors", "scikit-image", "scikit-learn", "scipy", "setuptools", "six", "sortedcontainers", "sympy",
    "tensorboard", "tensorboard-data-server", "threadpoolctl", "tifffile", "torch", "torchvision", "tqdm", "triton",
    "uvloop", "werkzeug",
)
# fmt: on
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux_2_5", "manylinux1")


def name_of(text: str) -> str:
    """A requirement's or a wheel's project, as registries spell it."""
    found = re.match(r"[A-Za-z0-9._-]*[A-Za-z0-9]", text)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="the version there (default: 3.12)")
    parser.add_argument("--machine", default="x86_64", help="x86_64 or aarch64 (default: x86_64)")
    parser.add_argument("--there", nargs="*", default=THERE, help="packages that are there already")
    asked = parser.parse_args()
    wanted = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    platforms = [word for name in PLATFORMS for word in ("--platform", f"{name}_{asked.machine}")]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", asked.python, *platforms]
    asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # torch and what it needs are gigabytes; nothing else of ours needs it.
        needed = [requirement for requirement in wanted if name_of(requirement) != "torch"]
        subprocess.run([*command, "--dest", folder, *needed], check=True)
        for wheel in sorted(Path(folder).glob("*.whl")):
            if name_of(wheel.name.partition("-")[0]) not in asked.there:
                (asked.folder / wheel.name).write_bytes(wheel.read_bytes())
    wheels = sorted(asked.folder.glob("*.whl"))
    for wheel in wheels:
        print(f"{wheel.stat().st_size / 1e6:8.1f} MB  {wheel.name}")
    print(f"{sum(wheel.stat().st_size for wheel in wheels) / 1e6:8.1f} MB in all")


if __name__ == "__main__":
    main()
