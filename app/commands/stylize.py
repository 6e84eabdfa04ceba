"""`impasto stylize`: files and folders, by the engine on this machine or by a service."""

import json
import sys
import time
from collections.abc import Container, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from tqdm import tqdm

from app.client import Impasto, ImpastoError, Unreachable
from app.commands.results import STANDARD, SUFFIXES, FromEngine, FromService, NotPainted, Source
from app.configured import configured_engine
from app.engine.base import Engine
from app.engine.create import EngineUnavailable
from app.files import write_whole
from app.images.folders import listing
from app.images.sniff import PICTURE_SUFFIXES
from app.network.weights import WeightsError
from app.options import MAX_STYLES, Options
from app.settings import Settings, WrongSettings, read_settings

MOST_TOLD: Final = 5
FORMATS: Final = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp"}


@dataclass(frozen=True)
class Task:
    """One photo with its style, or its blend of styles; `name` is the result's, without a suffix."""

    content: Path
    styles: tuple[Path, ...]
    name: str


def _address(_: click.Context, __: click.Parameter, value: str) -> str:
    address = urlsplit(value)
    if value and not (address.scheme in ("http", "https") and address.hostname):
        raise click.BadParameter(f"{value!r} is no address; expected one as http://127.0.0.1:8000")
    return value


@click.command()
@click.argument("content", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True, path_type=Path))
@click.option(
    "--style",
    "styles",
    multiple=True,
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="A picture whose style is taken; give several for a blend, or one folder to try each picture in it.",
)
@click.option(
    "--mask",
    "masks",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="One picture per style, white on black (or ink on nothing, or labels on black) where that style acts.",
)
@click.option("--weight", "weights", multiple=True, type=float, help="One number per style: how a blend is mixed.")
@click.option("--strength", type=float, help=Options.model_fields["strength"].description)
@click.option("--size", type=int, help=Options.model_fields["size"].description)
@click.option("--style-size", type=int, help=Options.model_fields["style_size"].description)
@click.option(
    "--preserve-color",
    type=click.Choice(["none", "luminance", "match"]),
    help=Options.model_fields["preserve_color"].description,
)
@click.option(
    "--format",
    type=click.Choice(list(SUFFIXES)),
    help="File format of the results; when absent, the output's suffix decides, else the photo's own format.",
)
@click.option("--quality", type=int, help=Options.model_fields["quality"].description)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    help="A file for one result, or - for standard output; a path without a suffix is a folder. When absent: "
    "PHOTO-STYLE, in this folder.",
)
@click.option(
    "-r", "--recursive", is_flag=True, help="Go into the folders below a folder of photos, and make them anew."
)
@click.option(
    "--server",
    default="",
    metavar="URL",
    callback=_address,
    help="Let a service do the work, as http://127.0.0.1:8000, with its limits in place of the settings here.",
)
@click.option("--key", envvar="IMPASTO_KEY", help="What that service wants as a key; better in IMPASTO_KEY than here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per result, one a line.")
def stylize(
    content: tuple[Path, ...],
    styles: tuple[Path, ...],
    masks: tuple[Path, ...],
    weights: tuple[float, ...],
    output: Path | None,
    recursive: bool,
    server: str,
    key: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Repaint photos (CONTENT: files, folders, or - for standard input) in the style of pictures.

    \b
    impasto stylize photo.jpg --style painting.jpg -o out.jpg
    impasto stylize photo.jpg --style a.jpg --style b.jpg --weight 2 --weight 1 -o blend.jpg
    impasto stylize holiday/ --style museum/ -o results/       every photo in every style
    impasto stylize -r photos/ --style painting.jpg -o out/    with all folders below, kept apart as they are
    camera | impasto stylize - --style painting.jpg -o - | display
    impasto stylize holiday/ --style painting.jpg -o out/ --server http://gallery.example

    The engine, its threads, its weights and the limits are the settings of `impasto serve`, read from the same
    environment variables (IMPASTO_*).
    """
    if output == STANDARD and as_json:
        raise click.UsageError("-o - and --json both want standard output")
    tasks = _tasks(content, styles, recursive)
    settings = None if server else _settings()
    options = _options(weights, given, len(tasks[0].styles), len(masks), settings)
    files = (*masks, *(path for task in tasks for path in (task.content, *task.styles)))
    inputs = {path.resolve() for path in files if path != STANDARD}
    file, folder = _output(tasks, output, options, inputs)
    with ExitStack() as stack:
        source: Source
        if settings is None:
            source = FromService(stack.enter_context(_service(server, key)), options)
        else:
            source = FromEngine(_engine(settings), settings, options)
        failures = _all(tasks, Run(source, options.format, masks, inputs), file, folder, as_json)
    if failures:
        raise click.ClickException(f"{failures} of {len(tasks)} could not be stylised")


def _settings() -> Settings:
    try:
        return read_settings()
    except WrongSettings as error:
        raise click.UsageError(str(error)) from None


def _engine(settings: Settings) -> Engine:
    try:
        return configured_engine(settings)
    except (EngineUnavailable, WeightsError) as error:
        raise click.ClickException(str(error)) from None


def _service(server: str, key: str | None) -> Impasto:
    """A client of it, once it has answered: a wrong address is told at once, not after the client's patience."""
    try:
        with Impasto(server, key=key, retries=0) as first:
            first.styles()
    except ImpastoError as error:
        raise click.ClickException(f"{server}: {error}") from None
    return Impasto(server, key=key)


def _all(tasks: Sequence[Task], run: "Run", file: Path | None, folder: Path, as_json: bool) -> int:
    """How many failed."""
    failures = 0
    for task in tqdm(tasks, unit="picture", disable=len(tasks) == 1 or not sys.stderr.isatty()):
        try:
            report = run.one(task, file, folder)
        except Unreachable as error:
            raise click.ClickException(str(error)) from None
        failures += "error" in report
        if as_json:
            tqdm.write(json.dumps(report), file=sys.stdout)
        elif "error" in report:
            tqdm.write(f"{report['content']}: {report['error']}", file=sys.stderr)
        elif report["output"] != str(STANDARD):
            tqdm.write(f"{report['output']}  {report['width']}x{report['height']}  {report['seconds']:.2f} s")
    return failures


class Run:
    """What stays the same from one picture to the next."""

    def __init__(self, source: Source, format: str | None, masks: Sequence[Path], inputs: Set[Path]) -> None:
        self.source = source
        self.format = format
        self.masks = masks
        self.inputs = inputs

    def one(self, task: Task, file: Path | None, folder: Path) -> dict[str, Any]:
        """Stylise one picture into `file`, else into `folder` under the task's name, and tell about it.

        A fault of its files is told, not raised.
        """
        since = time.perf_counter()
        report: dict[str, Any] = {"content": str(task.content), "styles": [str(style) for style in task.styles]}
        wanted = self.format or (FORMATS.get(file.suffix.lower()) if file else None)
        try:
            painted = self.source.paint(task.content, task.styles, self.masks, wanted)
        except NotPainted as fault:
            return {**report, "error": str(fault)}
        path = file or folder / (task.name + SUFFIXES[painted.format])
        if path.resolve() in self.inputs:
            return {**report, "error": f"{path}: is one of the inputs; choose another output"}
        try:
            if path == STANDARD:
                sys.stdout.buffer.write(painted.data)
            else:
                write_whole(path, painted.data)
        except OSError as error:
            return {**report, "error": f"{path}: cannot be written ({error.strerror})"}
        seconds = round(time.perf_counter() - since, 3)
        size = {"width": painted.width, "height": painted.height}
        return {**report, "output": str(path), **size, "seconds": seconds}


def _tasks(content: Sequence[Path], styles: Sequence[Path], recursive: bool) -> list[Task]:
    if content.count(STANDARD) > 1:
        raise click.UsageError("-: standard input has one photo")
    if STANDARD in content and sys.stdin is None:
        raise click.UsageError("-: standard input is closed")
    photos = [photo for path in content for photo in _pictures(path, recursive)]
    mixes: list[tuple[Path, ...]]
    if len(styles) == 1 and styles[0].is_dir():
        mixes = [(style,) for style, _ in _pictures(styles[0])]
    elif any(style.is_dir() for style in styles):
        raise click.UsageError("--style takes one folder, or up to eight files for a blend; not both")
    elif len(styles) > MAX_STYLES:
        raise click.UsageError(f"--style: at most {MAX_STYLES} in a blend; {len(styles)} given")
    else:
        mixes = [tuple(styles)]
    pairs = [(photo, folder, mix) for photo, folder in photos for mix in mixes]
    names = [str(folder / "-".join(_stem(path) for path in (photo, *mix))) for photo, folder, mix in pairs]
    if len(set(names)) < len(names):
        # Pictures that differ only in suffix or folder: number them rather than overwrite one with the other.
        names = [f"{name}-{number}" for number, name in enumerate(names, 1)]
    return [Task(photo, mix, name) for (photo, _, mix), name in zip(pairs, names, strict=True)]


def _stem(path: Path) -> str:
    return "stdin" if path == STANDARD else path.stem


def _pictures(path: Path, below: bool = False) -> list[tuple[Path, Path]]:
    """The picture, or those in a folder, each with the folder below that one it is in; what is passed over is told."""
    if path == STANDARD or not path.is_dir():
        return [(path, Path())]
    try:
        found = listing(path, below)
    except OSError as error:
        raise click.UsageError(f"{path}: cannot be listed ({error.strerror})") from None
    if found.others:
        names = ", ".join(str(other.relative_to(path)) for other in found.others[:MOST_TOLD])
        more = f" and {len(found.others) - MOST_TOLD} more" if len(found.others) > MOST_TOLD else ""
        click.echo(f"{path}: passed over, no picture by its name: {names}{more}", err=True)
    if not found.pictures:
        hint = "" if below else "; -r goes into the folders below it"
        raise click.UsageError(f"{path}: no pictures in this folder ({', '.join(sorted(PICTURE_SUFFIXES))}){hint}")
    return [(picture, picture.parent.relative_to(path)) for picture in found.pictures]


def _options(
    weights: Sequence[float], given: dict[str, Any], styles: int, masks: int, settings: Settings | None
) -> Options:
    if weights and len(weights) != styles:
        raise click.UsageError(f"--weight: one per style, or none; {styles} styles, {len(weights)} weights")
    if masks and masks != styles:
        raise click.UsageError(f"--mask: one per style, or none; {styles} styles, {masks} masks")
    values = {name: value for name, value in given.items() if value is not None}
    limits = {"size": settings.max_size, "style_size": settings.max_style_size} if settings else {}
    try:
        return Options.model_validate({**values, "weight": tuple(weights)}, context=limits)
    except ValidationError as invalid:
        raise click.UsageError("; ".join(_fault(error, limits) for error in invalid.errors())) from None


def _fault(error: ErrorDetails, limits: Container[str]) -> str:
    field = str(error["loc"][0])
    text = f"--{field.replace('_', '-')}: {error['msg']}; found {error['input']!r}"
    if field in limits and error["type"] == "less_than_equal":
        return f"{text} (IMPASTO_MAX_{field.upper()} sets the limit)"
    return text


def _output(
    tasks: Sequence[Task], output: Path | None, options: Options, inputs: Set[Path]
) -> tuple[Path | None, Path]:
    """The one file results go to, if it is one; and the folder they go to otherwise."""
    if output is None:
        return None, Path()
    if output == STANDARD:
        if len(tasks) > 1:
            raise click.UsageError(f"-o -: standard output takes one result; there are {len(tasks)}")
        if sys.stdout is None or sys.stdout.isatty():
            raise click.UsageError("-o -: standard output is a terminal or closed; send it into a file or a pipe")
        return output, Path()
    if len(tasks) > 1 or output.is_dir() or not output.suffix:
        if not output.is_dir() and (output.exists() or output.suffix.lower() in FORMATS):
            raise click.UsageError(f"{output}: is a file; {len(tasks)} results need a folder")
        return None, output
    if output.suffix.lower() not in FORMATS and options.format is None:
        raise click.UsageError(f"{output}: can't write {output.suffix}; use {', '.join(FORMATS)} or --format")
    if output.resolve() in inputs:
        raise click.UsageError(f"{output}: is one of the inputs; choose another output")
    return output, output.parent
