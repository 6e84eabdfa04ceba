"""`impasto stylize`: the engine on files and folders, without a server."""

import json
import sys
import time
from collections.abc import Container, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from tqdm import tqdm

from app.configured import configured_engine, picture_limits
from app.engine.base import Engine
from app.engine.create import EngineUnavailable
from app.engine.styles import StyleLibrary, style_id
from app.engine.worker import encode_styles
from app.files import write_whole
from app.images.sniff import PICTURE_SUFFIXES
from app.network.weights import WeightsError
from app.options import MAX_STYLES, Options
from app.pipeline import FieldError, SizeError, StyleSource, finish, prepare
from app.settings import Settings, WrongSettings, read_settings

SUFFIXES: Final = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}
FORMATS: Final = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp"}


@dataclass(frozen=True)
class Task:
    """One photo with its style, or its blend of styles; `name` is the result's, without a suffix."""

    content: Path
    styles: tuple[Path, ...]
    name: str


@click.command()
@click.argument("content", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
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
    type=click.Path(path_type=Path),
    help="A file for one result; a path without a suffix is a folder. When absent: PHOTO-STYLE, in this folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per result, one a line.")
def stylize(
    content: tuple[Path, ...],
    styles: tuple[Path, ...],
    masks: tuple[Path, ...],
    weights: tuple[float, ...],
    output: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Repaint photos (CONTENT: files or folders) in the style of pictures.

    \b
    impasto stylize photo.jpg --style painting.jpg -o out.jpg
    impasto stylize photo.jpg --style a.jpg --style b.jpg --weight 2 --weight 1 -o blend.jpg
    impasto stylize holiday/ --style museum/ -o results/       every photo in every style

    The engine, its threads, its weights and the limits are the settings of `impasto serve`, read from the same
    environment variables (IMPASTO_*).
    """
    try:
        settings = read_settings()
    except WrongSettings as error:
        raise click.UsageError(str(error)) from None
    tasks = _tasks(content, styles)
    options = _options(weights, given, len(tasks[0].styles), len(masks), settings)
    inputs = {path.resolve() for path in (*masks, *(path for task in tasks for path in (task.content, *task.styles)))}
    file, folder = _output(tasks, output, options, inputs)
    try:
        engine = configured_engine(settings)
    except (EngineUnavailable, WeightsError) as error:
        raise click.ClickException(str(error)) from None
    run = Run(engine, settings, options, masks, inputs)
    failures = 0
    for task in tqdm(tasks, unit="picture", disable=len(tasks) == 1 or not sys.stderr.isatty()):
        report = run.one(task, file, folder)
        failures += "error" in report
        if as_json:
            tqdm.write(json.dumps(report), file=sys.stdout)
        elif "error" in report:
            tqdm.write(f"{report['content']}: {report['error']}", file=sys.stderr)
        else:
            tqdm.write(f"{report['output']}  {report['width']}x{report['height']}  {report['seconds']:.2f} s")
    if failures:
        raise click.ClickException(f"{failures} of {len(tasks)} could not be stylised")


class Run:
    """What stays the same from one picture to the next."""

    def __init__(
        self, engine: Engine, settings: Settings, options: Options, masks: Sequence[Path], inputs: Set[Path]
    ) -> None:
        self.engine = engine
        self.options = options
        self.masks = masks
        self.inputs = inputs
        self.limits = picture_limits(settings)
        self.library = StyleLibrary(settings.style_cache_bytes)

    def one(self, task: Task, file: Path | None, folder: Path) -> dict[str, Any]:
        """Stylise one picture into `file`, else into `folder` under the task's name, and tell about it.

        A fault of its files is told, not raised.
        """
        since = time.perf_counter()
        report: dict[str, Any] = {"content": str(task.content), "styles": [str(style) for style in task.styles]}
        try:
            with ExitStack() as stack:
                files = [stack.enter_context(path.open("rb")) for path in (task.content, *task.styles, *self.masks)]
                content, *rest = files
                styles, masks = rest[: len(task.styles)], rest[len(task.styles) :]
                sources = [
                    StyleSource(str(path), style_id(file), file) for path, file in zip(task.styles, styles, strict=True)
                ]
                prepared = prepare(content, sources, masks, self.options, self.library, self.limits)
            job = encode_styles(self.engine, prepared.work, self.library)
            (result,) = self.engine.stylize([job])
            format = _format(self.options, file, prepared.photo.format)
            data = finish(prepared, result, self.options, format)
        except FieldError as error:
            return {**report, "error": f"{error.field}: {error}"}
        except (SizeError, OSError) as error:
            return {**report, "error": str(error)}
        except (MemoryError, RuntimeError) as error:
            return {**report, "error": f"the network failed on it ({error}); try a smaller --size"}
        path = file or folder / (task.name + SUFFIXES[format])
        if path.resolve() in self.inputs:
            return {**report, "error": f"{path}: is one of the inputs; choose another output"}
        try:
            write_whole(path, data)
        except OSError as error:
            return {**report, "error": f"{path}: cannot be written ({error.strerror})"}
        height, width = prepared.photo.rgb.shape[:2]
        seconds = round(time.perf_counter() - since, 3)
        return {**report, "output": str(path), "width": width, "height": height, "seconds": seconds}


def _tasks(content: Sequence[Path], styles: Sequence[Path]) -> list[Task]:
    photos = [photo for path in content for photo in _pictures(path)]
    mixes: list[tuple[Path, ...]]
    if len(styles) == 1 and styles[0].is_dir():
        mixes = [(style,) for style in _pictures(styles[0])]
    elif any(style.is_dir() for style in styles):
        raise click.UsageError("--style takes one folder, or up to eight files for a blend; not both")
    elif len(styles) > MAX_STYLES:
        raise click.UsageError(f"--style: at most {MAX_STYLES} in a blend; {len(styles)} given")
    else:
        mixes = [tuple(styles)]
    pairs = [(photo, mix) for photo in photos for mix in mixes]
    names = ["-".join(path.stem for path in (photo, *mix)) for photo, mix in pairs]
    if len(set(names)) < len(names):
        # Pictures that differ only in suffix or folder: number them rather than overwrite one with the other.
        names = [f"{name}-{number}" for number, name in enumerate(names, 1)]
    return [Task(photo, mix, name) for (photo, mix), name in zip(pairs, names, strict=True)]


def _pictures(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(entry for entry in path.iterdir() if entry.is_file() and entry.suffix.lower() in PICTURE_SUFFIXES)
    if not found:
        raise click.UsageError(f"{path}: no pictures in this folder ({', '.join(sorted(PICTURE_SUFFIXES))})")
    return found


def _options(weights: Sequence[float], given: dict[str, Any], styles: int, masks: int, settings: Settings) -> Options:
    if weights and len(weights) != styles:
        raise click.UsageError(f"--weight: one per style, or none; {styles} styles, {len(weights)} weights")
    if masks and masks != styles:
        raise click.UsageError(f"--mask: one per style, or none; {styles} styles, {masks} masks")
    values = {name: value for name, value in given.items() if value is not None}
    limits = {"size": settings.max_size, "style_size": settings.max_style_size}
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
    if len(tasks) > 1 or output.is_dir() or not output.suffix:
        if not output.is_dir() and (output.exists() or output.suffix.lower() in FORMATS):
            raise click.UsageError(f"{output}: is a file; {len(tasks)} results need a folder")
        return None, output
    if output.suffix.lower() not in FORMATS and options.format is None:
        raise click.UsageError(f"{output}: can't write {output.suffix}; use {', '.join(FORMATS)} or --format")
    if output.resolve() in inputs:
        raise click.UsageError(f"{output}: is one of the inputs; choose another output")
    return output, output.parent


def _format(options: Options, file: Path | None, photo_format: str) -> str:
    by_suffix = FORMATS.get(file.suffix.lower()) if file else None
    return options.format or by_suffix or (photo_format if photo_format in SUFFIXES else "jpeg")
