"""The command `impasto`."""

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="impasto")
def main() -> None:
    """Repaint photos in the style of any picture."""
