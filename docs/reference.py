"""Writes reference.md: every setting, route, problem, metric and command, as the code has them.

`make reference` after a change of any of them; a test fails until then.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from fastapi.routing import APIRoute

from app.cli import main as impasto
from app.http.problems import TYPES
from app.main import create_app
from app.settings import Settings

HERE = Path(__file__).parent
FILE = HERE / "reference.md"
ROOT = HERE.parent
HEAD = """# Reference

Written by `make reference` from the code. `impasto serve --help` and `/docs` on the running service say the same, and
more of fields and answers.
"""


def reference() -> str:
    """The text of reference.md."""
    parts = (settings(), _routes(), _problems(), _metrics(), _of_commands())
    return "\n".join([HEAD, *("\n".join(part) for part in parts)])


def settings() -> Iterator[str]:
    yield "## Settings\n\nEnvironment variables; each is an option of `impasto serve` too, as `--max-size`.\n"
    rows = []
    for name, field in Settings.model_fields.items():
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        text = str(default.relative_to(ROOT)) if isinstance(default, Path) else str(default).removesuffix(".0")
        rows.append((f"`IMPASTO_{name.upper()}`", field.description or "", "none" if text in ("", "None") else text))
    yield from _table(("setting", "meaning", "default"), rows)


def _routes() -> Iterator[str]:
    yield "## Routes\n"
    rows = [(f"`{method} {route.path}`", route.summary or "For browsers") for method, route in served_routes()]
    rows += [("`GET /docs`", "Every field and every answer, to read and to try"), ("`GET /openapi.json`", "The same")]
    yield from _table(("route", "what it tells or does"), rows)


def served_routes() -> list[tuple[str, APIRoute]]:
    """Our own routes, each with a method; not those that a library brings for /docs."""
    # FastAPI keeps an included router whole; older ones took its routes over.
    parts = [getattr(route, "original_router", None) or route for route in create_app(Settings()).routes]
    routes = [route for part in parts for route in getattr(part, "routes", [part]) if isinstance(route, APIRoute)]
    ours = [route for route in routes if route.endpoint.__module__.startswith("app.")]
    return [(method, route) for route in ours for method in sorted(route.methods)]


def _problems() -> Iterator[str]:
    yield "## Problems\n\nWhat an error's `type` ends with. `GET /problems` lists them, with an example each.\n"
    rows = [(f"`{kind.name}`", str(kind.status), kind.title, kind.remedy) for kind in TYPES.values()]
    yield from _table(("type", "status", "meaning", "what to do"), rows)


def _metrics() -> Iterator[str]:
    yield "## Metrics\n\n`GET /metrics`, for Prometheus. A histogram has `_bucket`, `_sum` and `_count`.\n"
    found = re.findall(r"^# HELP (\S+) (.*)\n# TYPE \S+ (\S+)$", asyncio.run(_scrape()), re.M)
    rows = [(f"`{name}`", kind, meaning) for name, meaning, kind in found if not name.endswith("_created")]
    yield from _table(("metric", "kind", "meaning"), rows)


async def _scrape() -> str:
    """What /metrics answers once the service has started."""
    with TemporaryDirectory() as folder:
        app = create_app(Settings(data_dir=Path(folder)))
        async with app.router.lifespan_context(app):
            text: bytes = app.state.service.metrics.text()[0]
    return text.decode()


def _of_commands() -> Iterator[str]:
    yield "## Commands\n"
    for path, command in commands(("impasto",), impasto):
        yield f"### {' '.join(path)}\n"
        context = click.Context(command, info_name=" ".join(path))
        yield f"{command.get_short_help_str(limit=200)}\n\n`{' '.join(_usage(context, command))}`\n"
        if path[-1] == "serve":
            yield "Its options are the [settings](#settings).\n"
            continue
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        records = [option.get_help_record(context) for option in options]
        rows = [(f"`{option}`", text) for option, text in filter(None, records)]
        yield from _table(("option", "meaning"), rows) if rows else ()


def _usage(context: click.Context, command: click.Command) -> Iterable[str]:
    return (context.info_name or "", *command.collect_usage_pieces(context))


def commands(path: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Commands that do something, each with the words that call it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        if found := command.get_command(context, name):
            yield from commands((*path, name), found)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |\n|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(' '.join(cell.replace('|', chr(92) + '|').split()) for cell in row)} |"
    yield ""


if __name__ == "__main__":
    FILE.write_text(reference())
