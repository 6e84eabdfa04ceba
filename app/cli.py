"""The command `impasto`: what it can do, each in a module of its own that is imported when it is called."""

import importlib
from typing import Any, Final

import click

COMMANDS: Final = {
    "serve": ("app.commands.serve", "Serve POST /stylize over HTTP."),
    "health": ("app.commands.health", "Ask the service on this machine whether it lives, for health checks."),
    "stylize": ("app.commands.stylize", "Repaint photos and videos in the style of pictures, here or by a service."),
    "keys": ("app.commands.keys", "Make keys for a service that is not open to everybody."),
    "train": ("app.commands.train", "Train a decoder on folders of photos and paintings."),
    "evaluate": ("app.commands.evaluate", "Judge decoders, or another program's results, on pairs of pictures."),
    "weights": ("app.commands.weights", "Look into weights files, and make them of public checkpoints."),
}


# What a service is installed without, and the extra that brings it.
EXTRAS: Final = {
    "torchvision": "train",
    "tensorboard": "train",
    "redis": "redis",
    "opentelemetry": "otel",
    "av": "video",
    "cv2": "video",
}


class LazyGroup(click.Group):
    """Knows its commands' names and one-liners; imports one when it runs, so that --help takes no seconds."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ImportError as error:
            package = (error.name or "").partition(".")[0]
            if package not in EXTRAS:
                raise
            text = f"{package} is not installed: pip install 'impasto[{EXTRAS[package]}]'"
            raise click.ClickException(text) from None
        except RuntimeError as error:
            # What a torchvision raises on its import beside a torch of another build.
            if "operator torchvision::" not in str(error):
                raise
            text = f"torchvision does not fit the torch it meets ({error}): install both anew, from one index"
            raise click.ClickException(text) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[name][0]), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="impasto")
def main() -> None:
    """Impasto repaints a photo in the style of any picture (AdaIN, Huang & Belongie 2017).

    \b
    impasto serve                                       a REST service on http://127.0.0.1:8000
    impasto stylize photo.jpg --style painting.jpg      one picture, without a server
    impasto COMMAND --help                              everything a command can do
    """
