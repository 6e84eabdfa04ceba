"""`impasto health`: whether the service on this machine answers; what a container's health check runs."""

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

import click

SECONDS: Final = 3.0


@click.command()
@click.option("--ready", is_flag=True, help="Ask whether it takes work, not only whether it lives.")
@click.option("--url", metavar="URL", help="Where the service is; else where it said it is, else by its settings.")
def health(ready: bool, url: str | None) -> None:
    """Ask the service on this machine whether it lives; the exit status is 0 if it does.

    \b
    impasto health                              what HEALTHCHECK runs in the container
    impasto health --ready                      an exec probe for readiness
    impasto health --url http://127.0.0.1:9000
    """
    address = (url or _written() or _by_settings()).rstrip("/")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # past any proxy: it is on this machine
    try:
        with opener.open(f"{address}/{'readyz' if ready else 'healthz'}", timeout=SECONDS) as answer:
            click.echo(f"{address} answers {answer.status}")
    except (urllib.error.URLError, OSError, ValueError) as error:
        click.echo(f"{address}: {error}", err=True)
        sys.exit(1)


def _written() -> str | None:
    """The address the service wrote to IMPASTO_ADDRESS_FILE when it began to listen."""
    try:
        return Path(os.environ["IMPASTO_ADDRESS_FILE"]).read_text().strip()
    except (KeyError, OSError):
        return None


def _by_settings() -> str:
    from app.settings import WrongSettings, read_settings

    try:
        settings = read_settings()
    except WrongSettings as error:
        raise click.UsageError(str(error)) from None
    return local_address(settings.host, settings.port)


def local_address(host: str, port: int) -> str:
    """Where a service that listens on `host` is asked on this machine."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{here}]:{port}" if ":" in here else f"http://{here}:{port}"
