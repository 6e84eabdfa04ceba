"""The container files keep their promises, as far as they can be read and run without a container engine."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from ruamel.yaml import YAML

from app.settings import Settings
from tests.e2e.server import SERVE, Server, free_port

ROOT = Path(__file__).parents[2]
LINES = [
    line
    for line in re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text()).splitlines()
    if line.strip() and not line.startswith("#")
]
FINAL = LINES[max(number for number, line in enumerate(LINES) if line.startswith("FROM ")) :]
COPIED = [
    source for line in LINES if line.startswith("COPY ") and "--from" not in line for source in shlex.split(line)[1:-1]
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SERVICES = ("impasto", "impasto-gpu", "replica")


def last(instruction: str) -> str:
    """What follows the last such instruction of the final stage."""
    return [line for line in FINAL if line.startswith(instruction + " ")][-1].removeprefix(instruction).strip()


ENVIRONMENT = dict(re.findall(r"(IMPASTO_\w+)=(\S+)", last("ENV")))


def run_line(needle: str) -> str:
    """The shell command of the one RUN that has `needle`."""
    (line,) = [line for line in LINES if line.startswith("RUN ") and needle in line]
    return line.removeprefix("RUN ")


def health_command() -> list[str]:
    command: list[str] = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    return command


def compose() -> dict[str, Any]:
    told: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
    return told


def compose_service(name: str) -> dict[str, Any]:
    service: dict[str, Any] = compose()["services"][name]
    return service


def is_ignored(path: PurePosixPath) -> bool:
    """Whether .dockerignore keeps `path` out of the build: the last pattern that fits it or a parent decides."""
    ignored = False
    for pattern in (ROOT / ".dockerignore").read_text().split():
        if any(fnmatch(str(place), pattern.removeprefix("!")) for place in (path, *path.parents)):
            ignored = not pattern.startswith("!")
    return ignored


def run(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **{"cwd": ROOT, **options})


def test_the_dockerfile_passes_its_linter() -> None:
    linted = run(str(Path(sys.executable).with_name("hadolint")), "Dockerfile")
    assert linted.returncode == 0, linted.stdout


def test_the_compose_file_meets_its_schema() -> None:
    checked = run(
        sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"
    )
    assert checked.returncode == 0, checked.stdout


def test_the_image_runs_as_a_numbered_user_that_is_not_root() -> None:
    user, group = map(int, last("USER").split(":"))
    assert user > 0
    assert group > 0


def test_the_image_starts_and_stops_without_a_shell() -> None:
    command = json.loads(last("ENTRYPOINT")) + json.loads(last("CMD"))
    assert command == ["impasto", "serve"]
    assert command[0] in PROJECT["scripts"]
    assert last("STOPSIGNAL") == "SIGTERM"


def test_the_image_listens_where_it_says() -> None:
    assert ENVIRONMENT["IMPASTO_HOST"] == "0.0.0.0"  # noqa: S104
    assert ENVIRONMENT["IMPASTO_PORT"] == last("EXPOSE")


def test_the_image_sets_only_settings_that_exist() -> None:
    assert set(ENVIRONMENT) <= {f"IMPASTO_{field.upper()}" for field in Settings.model_fields}
    assert float(ENVIRONMENT["IMPASTO_DRAIN_SECONDS"]) > 0


def test_the_image_is_more_than_one_stage_and_installs_nothing_in_the_last() -> None:
    assert sum(line.startswith("FROM ") for line in LINES) == 2
    assert not any(line.startswith("RUN ") for line in FINAL)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])  # noqa: S104
def test_the_health_check_asks_the_port_served_and_tells_alive_from_dead_past_any_proxy(
    host: str, tmp_path: Path
) -> None:
    """The service was told its port by an option, which the check can't see."""
    written = tmp_path / "address"
    port = free_port()
    command = (*SERVE, "--port", str(port), "--host", host)
    server = Server({"address_file": written}, command)
    server.url = f"http://[::1]:{port}" if host == "::" else f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "IMPASTO_ADDRESS_FILE": str(written),
        "http_proxy": "http://127.0.0.1:9",
    }
    check = (sys.executable, "-m", "app", *health_command()[1:])
    with server:
        alive = run(*check, env=environment)
        ready = run(*check, "--ready", env=environment)
        server.terminate()
        dead = run(*check, env=environment)
    assert alive.returncode == 0, alive.stderr
    assert ready.returncode == 0, ready.stderr
    assert dead.returncode == 1
    assert "Traceback" not in dead.stderr


def test_without_a_written_address_the_settings_say_where_to_ask(tmp_path: Path) -> None:
    with Server() as server:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "IMPASTO_PORT": str(server.port)}
        alive = run(sys.executable, "-m", "app", "health", env=environment)
    assert alive.returncode == 0, alive.stderr


@pytest.mark.parametrize("source", COPIED)
def test_what_is_copied_is_in_the_tree_and_in_the_build_context(source: str) -> None:
    path = ROOT / source
    assert path.exists()
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    kept = [file for file in files if "__pycache__" not in file.parts]
    assert kept
    assert not [file for file in kept if is_ignored(PurePosixPath(file.relative_to(ROOT)))]


@pytest.mark.parametrize("path", [".git/config", ".venv/bin/python", "tests/e2e/server.py", "app/__pycache__/a.pyc"])
def test_what_is_no_part_of_the_image_stays_out_of_the_build_context(path: str) -> None:
    assert is_ignored(PurePosixPath(path))


def test_the_dependencies_are_a_layer_before_the_sources(tmp_path: Path) -> None:
    listing, _, install = run_line("requirements.txt").partition("&&")
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    listed = run("sh", "-ec", f'python() {{ "{sys.executable}" "$@"; }}; {listing}', cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    wanted = [
        *PROJECT["dependencies"],
        *(one for extra in ("postgres", "redis", "otel") for one in PROJECT["optional-dependencies"][extra]),
    ]
    assert (tmp_path / "requirements.txt").read_text().splitlines() == wanted
    assert install.split() == ["pip", "install", "-r", "requirements.txt"]
    assert LINES.index("RUN " + run_line("requirements.txt")) < LINES.index("COPY app app")


def test_both_variants_ask_for_the_torch_the_project_needs() -> None:
    asked = re.findall(r'"(torch\b[^"]*)"', run_line("VARIANT"))
    assert len(asked) == 2
    assert set(asked) <= set(PROJECT["dependencies"])


def test_a_variant_that_does_not_exist_stops_the_build_and_says_which_do() -> None:
    stopped = run("sh", "-c", run_line("VARIANT"), env={"VARIANT": "gpu"})
    assert stopped.returncode == 1
    assert "'gpu'; it can be cpu or cuda" in stopped.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_locked_down_and_bounded(name: str) -> None:
    service = compose_service(name)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert re.fullmatch(r"/tmp:size=\d+[mg],mode=1777", service["tmpfs"][0])  # noqa: S108
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}


def test_each_service_keeps_jobs_in_a_volume_of_its_own() -> None:
    assert ENVIRONMENT["IMPASTO_DATA_DIR"] == last("VOLUME")
    of_services = [volume for service in compose()["services"].values() for volume in service.get("volumes", ())]
    volumes = [volume.partition(":")[0] for volume in of_services if volume.endswith(f":{last('VOLUME')}")]
    assert len(volumes) == 3
    assert len(set(volumes)) == len(volumes)
    assert {*volumes, "postgres", "prometheus"} == set(compose()["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_the_health_check_of_the_image(name: str) -> None:
    check = compose_service(name)["healthcheck"]
    assert check.pop("test") == ["CMD", *health_command()]
    options = re.findall(r"--([a-z-]+)=(\S+)", last("HEALTHCHECK").partition("CMD ")[0])
    assert {key: str(value) for key, value in check.items()} == {key.replace("-", "_"): value for key, value in options}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_longer_to_stop_than_it_takes(name: str) -> None:
    service = compose_service(name)
    takes = float(service["environment"]["IMPASTO_GRACE_SECONDS"]) + float(ENVIRONMENT["IMPASTO_DRAIN_SECONDS"])
    assert int(service["stop_grace_period"].removesuffix("s")) > takes


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_sets_only_settings_that_exist(name: str) -> None:
    known = {f"IMPASTO_{field.upper()}" for field in Settings.model_fields}
    assert set(compose_service(name)["environment"]) <= known


def test_the_gpu_is_reserved_in_its_profile_alone() -> None:
    on_gpu = compose_service("impasto-gpu")
    assert on_gpu["profiles"] == ["gpu"]
    assert on_gpu["build"]["args"] == {"VARIANT": "cuda"}
    (device,) = on_gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    on_cpu = compose_service("impasto")
    assert "profiles" not in on_cpu
    assert "reservations" not in on_cpu["deploy"]["resources"]
