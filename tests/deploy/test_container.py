"""The container files keep their promises, as far as they can be read without a container engine."""

import fnmatch
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.server import Server

ROOT = Path(__file__).parents[2]
LINES = [
    line.strip()
    for line in re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text()).splitlines()
    if line.strip() and not line.startswith("#")
]
FINAL = LINES[max(number for number, line in enumerate(LINES) if line.startswith("FROM ")) :]


def last(instruction: str) -> str:
    """What follows the last such instruction of the final stage."""
    return [line for line in FINAL if line.startswith(instruction + " ")][-1].removeprefix(instruction).strip()


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_the_dockerfile_passes_its_linter() -> None:
    linted = run(str(Path(sys.executable).with_name("hadolint")), "Dockerfile")
    assert linted.returncode == 0, linted.stdout


def test_the_compose_file_meets_its_schema() -> None:
    checked = run(
        sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"
    )
    assert checked.returncode == 0, checked.stdout


def test_it_runs_as_a_numbered_user_that_is_not_root() -> None:
    user, group = map(int, last("USER").split(":"))
    assert user > 0
    assert group > 0


def test_it_starts_and_stops_without_a_shell() -> None:
    command = json.loads(last("ENTRYPOINT")) + json.loads(last("CMD"))
    assert command == ["impasto", "serve"]
    assert last("STOPSIGNAL") == "SIGTERM"


@pytest.mark.parametrize("alive", [True, False])
def test_its_health_check_tells_alive_from_dead(alive: bool) -> None:
    command = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    with Server() as server:
        port = server.port
        if not alive:
            server.terminate()
        checked = subprocess.run(
            [sys.executable, *command[1:]], env={"IMPASTO_PORT": str(port)}, capture_output=True, timeout=30
        )
    assert (checked.returncode == 0) is alive


def test_everything_it_copies_is_in_the_tree_and_in_the_build_context() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [line for line in LINES if line.startswith("COPY ") and "--from" not in line]
    assert copied
    for line in copied:
        for source in shlex.split(line)[1:-1]:
            assert (ROOT / source).exists(), source
            assert any(fnmatch.fnmatch(source, pattern) for pattern in kept), source


def test_the_grace_period_is_longer_than_the_services_own() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    (period,) = re.findall(r"stop_grace_period: (\d+)s", compose)
    (grace,) = re.findall(r'IMPASTO_GRACE_SECONDS: "(\d+)"', compose)
    assert int(period) > int(grace)
