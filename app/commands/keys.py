"""`impasto keys`: who may use a service that asks for keys."""

from pathlib import Path

import click

from app.access.keys import KeysError, add_key


@click.group()
def keys() -> None:
    """Make keys for a service that is not open to everybody."""


@keys.command()
@click.argument("name")
@click.option("--file", type=click.Path(path_type=Path), envvar="IMPASTO_API_KEYS_FILE", help="The file of keys.")
@click.option("--requests", type=click.IntRange(0), help="Most requests a minute; 0 for no limit.")
@click.option("--megapixels", type=click.FloatRange(0), help="Most megapixels of results a minute; 0 for no limit.")
def add(name: str, file: Path | None, requests: int | None, megapixels: float | None) -> None:
    """Make a key for the client NAME, and print it: it is shown this once.

    Its SHA-256 goes into the file of keys, which a running service reads again by itself.

    \b
    IMPASTO_API_KEYS_FILE=keys.txt impasto keys add gallery --requests 600
    """
    if file is None:
        raise click.UsageError("name the file of keys: --file, or IMPASTO_API_KEYS_FILE")
    try:
        key = add_key(file, name, requests, megapixels)
    except (KeysError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(key)
