"""Ask a real server whatever its OpenAPI document lets be asked, and what it does not: python -m tools.fuzz.api"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import click

# Small, so that a request is quick and its limits are reached.
SETTINGS: Final = {
    "max_pixels": 500_000,
    "max_size": 64,
    "default_size": 48,
    "max_style_size": 64,
    "max_job_size": 96,
    "max_file_bytes": 60_000,
    "max_request_bytes": 200_000,
    "max_job_file_bytes": 60_000,
    "max_job_request_bytes": 200_000,
    "max_job_photos": 3,
    "max_video_pixels": 10_000,
    "max_video_frames": 8,
    "jobs_keep_seconds": 120,
    "jobs_keep_bytes": 3_000_000,
    "result_cache_bytes": 1_000_000,
}
# 503 and 504 are answers the document tells of, for a service that is asked for more than it can do.
CONFIG: Final = """hooks = "tools.fuzz.hooks"

[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503", "504"]

[checks.positive_data_acceptance]
enabled = false

[checks.negative_data_rejection]
expected-statuses = ["400", "401", "404", "405", "406", "408", "409", "413", "415", "422", "429", "431", "503", "504"]

[checks.ensure_resource_availability]
enabled = false
"""
REQUEST_SECONDS: Final = 60
START_SECONDS: Final = 600  # it runs beside other work


@click.command(epilog="Start it from the project's folder, with the extra `fuzz`. An hour is what is usual.")
@click.option("--minutes", default=60.0, show_default=True, help="how long to go on")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/fuzz"),
    show_default=True,
    help="gets the server's log and schemathesis' reports",
)
@click.option("--seed", default=1, show_default=True, help="of what is generated")
@click.option("--keys", is_flag=True, help="have the service ask for keys")
def main(minutes: float, folder: Path, seed: int, keys: bool) -> None:
    """Fuzz the API with schemathesis: a server of its own, small limits, real pictures and videos in the forms.

    All its checks but two: that what the document allows is accepted, since a document cannot tell which files are
    pictures, and that all there is of a job is there at once. Exit status 1: there are findings, or the server logged a
    failure or did not outlive it.
    """
    from tests.e2e.server import Server

    folder = folder / ("api-with-keys" if keys else "api")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "schemathesis.toml"
        config.write_text(CONFIG)
        settings, headers = dict(SETTINGS), []
        if keys:
            settings["api_keys_file"] = str(Path(scratch) / "keys")
            settings["requests_per_minute"] = 600
            add = (sys.executable, "-m", "app", "keys", "add", "fuzzer", "--file", str(settings["api_keys_file"]))
            key = subprocess.run(add, capture_output=True, text=True, check=True).stdout.split()[-1]
            headers = ["--header", f"Authorization: Bearer {key}"]
        with Server(settings, start_seconds=START_SECONDS) as server:
            command = [Path(sys.executable).with_name("schemathesis"), "--config-file", config, "run", *headers]
            command += ["--seed", str(seed), "--max-time", str(max(1, round(60 * minutes))), "--continue-on-failure"]
            command += ["--request-timeout", str(REQUEST_SECONDS), "--report", "json,junit", "--report-dir", folder]
            ended = subprocess.run([*map(str, command), f"{server.url}/openapi.json"], check=False).returncode
            lived = server.process.poll() is None
            (folder / "server.log").write_text(server.log())
    failed = [line for line in (folder / "server.log").read_text().splitlines() if " ERROR " in line]
    click.echo(f"the server {'lived' if lived else 'ended'}, and logged {len(failed)} errors")
    sys.exit(bool(ended or failed or not lived))


if __name__ == "__main__":
    main()
