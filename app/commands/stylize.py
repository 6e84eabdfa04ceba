"""`impasto stylize`: files and folders, by the engine on this machine or by a service."""

import json
import sys
import time
from collections.abc import Callable, Container, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from tqdm import tqdm

from app.client import Impasto, ImpastoError, Unreachable
from app.commands.results import STANDARD, SUFFIXES, FromEngine, FromService, NotPainted, Source, on_disk
from app.configured import configured_engine
from app.engine.base import Engine
from app.engine.create import EngineUnavailable
from app.files import write_whole
from app.images.folders import listing
from app.images.sniff import PICTURE_SUFFIXES
from app.network.weights import WeightsError
from app.options import MAX_STYLES, Options
from app.settings import Settings, WrongSettings, read_settings
from app.video.formats import VIDEO_SUFFIXES
from app.video.options import VideoOptions
from app.video.read import is_video
from app.video.sniff import MOVIES, kind_of

if TYPE_CHECKING:
    from app.commands.videos import Videos

VIDEO_FORMATS: Final = tuple(VIDEO_SUFFIXES)
MOST_TOLD: Final = 5
FORMATS: Final = {suffix: format for format, suffix in (SUFFIXES | VIDEO_SUFFIXES).items()} | {".jpeg": "jpeg"}


@dataclass(frozen=True)
class Task:
    """One photo with its style, or its blend of styles; `name` is the result's, without a suffix."""

    content: Path
    styles: tuple[Path, ...]
    name: str


@dataclass(frozen=True)
class Asked:
    """The controls of photos and those of videos, and the format asked for, which is of the one or the other."""

    photo: Options
    video: VideoOptions
    format: str | None
    keyframes: str | None


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
    type=click.Choice([*SUFFIXES, *VIDEO_FORMATS]),
    help="File format of the results; when absent, the output's suffix decides, else the content: a photo's own, mp4 "
    "of most videos.",
)
@click.option("--quality", type=int, help=Options.model_fields["quality"].description)
@click.option("--steadiness", type=float, help=VideoOptions.model_fields["steadiness"].description)
@click.option(
    "--keyframes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON file that tells what styles, weights and strength are at some moments of a video.",
)
@click.option("--resume", is_flag=True, help="Go on with videos that were begun and not finished.")
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
    resume: bool,
    server: str,
    key: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Repaint photos and videos (CONTENT: files, folders, or - for standard input) in the style of pictures.

    \b
    impasto stylize photo.jpg --style painting.jpg -o out.jpg
    impasto stylize photo.jpg --style a.jpg --style b.jpg --weight 2 --weight 1 -o blend.jpg
    impasto stylize holiday/ --style museum/ -o results/       every photo in every style
    impasto stylize -r photos/ --style painting.jpg -o out/    with all folders below, kept apart as they are
    impasto stylize clip.mp4 --style painting.jpg -o out.mp4   a video, with its sound
    camera | impasto stylize - --style painting.jpg -o - | display
    impasto stylize holiday/ --style painting.jpg -o out/ --server http://gallery.example

    The engine, its threads, its weights and the limits are the settings of `impasto serve`, read from the same
    environment variables (IMPASTO_*).
    """
    if output == STANDARD and as_json:
        raise click.UsageError("-o - and --json both want standard output")
    tasks = _tasks(content, styles, recursive)
    settings = None if server else _settings()
    asked = _asked(weights, given, len(tasks[0].styles), len(masks), settings)
    files = (*masks, *(path for task in tasks for path in (task.content, *task.styles)))
    inputs = {path.resolve() for path in files if path != STANDARD}
    file, folder = _output(tasks, output, asked.format, inputs)
    with ExitStack() as stack:
        source: Source
        videos = None
        if settings is None:
            source = FromService(stack.enter_context(_service(server, key)), asked.photo)
        else:
            engine = _engine(settings)
            source = FromEngine(engine, settings, asked.photo)
            videos = partial(_videos, engine, settings, asked.video, masks, asked.keyframes, resume)
        failures = _all(tasks, Run(source, videos, asked.format, masks, inputs), file, folder, as_json)
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
        else:
            for note in report.get("notes", ()):
                tqdm.write(f"{report['content']}: {note}", file=sys.stderr)
            if report["output"] != str(STANDARD):
                frames = f"  {report['frames']} frames" if "frames" in report else ""
                size = f"{report['width']}x{report['height']}{frames}"
                tqdm.write(f"{report['output']}  {size}  {report['seconds']:.2f} s")
    return failures


class Run:
    """What stays the same from one content to the next. `videos` is made where there is one, and None by a service."""

    def __init__(
        self,
        source: Source,
        videos: "Callable[[], Videos] | None",
        format: str | None,
        masks: Sequence[Path],
        inputs: Set[Path],
    ) -> None:
        self.source = source
        self.format = format
        self.masks = masks
        self.inputs = inputs
        self._new_videos = videos

    @cached_property
    def videos(self) -> "Videos":
        """Raises NotPainted where there are none; ImportError where what they need is not installed."""
        if self._new_videos is None:
            raise NotPainted("videos are jobs of a service: POST it to /jobs there, or leave --server out")
        return self._new_videos()

    def one(self, task: Task, file: Path | None, folder: Path) -> dict[str, Any]:
        """Stylise one photo or video into `file`, else into `folder` under the task's name, and tell about it.

        A fault of its files is told, not raised.
        """
        since = time.perf_counter()
        report: dict[str, Any] = {"content": str(task.content), "styles": [str(style) for style in task.styles]}
        wanted = self.format or (FORMATS.get(file.suffix.lower()) if file else None)

        def target(suffix: str) -> Path:
            path = file or folder / (task.name + suffix)
            if path.resolve() in self.inputs:
                raise NotPainted(f"{path}: is one of the inputs; choose another output")
            return path

        try:
            with on_disk(task.content) as content:
                made = self._made(content, task.styles, target, wanted)
        except (NotPainted, OSError) as fault:
            return {**report, "error": str(fault)}
        return {**report, **made, "seconds": round(time.perf_counter() - since, 3)}

    def _made(
        self, content: Path, styles: Sequence[Path], target: Callable[[str], Path], wanted: str | None
    ) -> dict[str, Any]:
        """Raises NotPainted."""
        if wanted not in SUFFIXES and is_video(content):
            return self.videos.one(content, styles, target, wanted)
        if wanted in VIDEO_FORMATS:
            raise NotPainted(f"this is no video, and can't be written as {wanted}")
        if kind_of(content) in MOVIES:
            raise NotPainted(f"a video can't be written as {wanted}: use {', '.join(VIDEO_FORMATS)}")
        painted = self.source.paint(content, styles, self.masks, wanted)
        path = target(SUFFIXES[painted.format])
        try:
            if path == STANDARD:
                sys.stdout.buffer.write(painted.data)
            else:
                write_whole(path, painted.data)
        except OSError as error:
            raise NotPainted(f"{path}: cannot be written ({error.strerror})") from None
        return {"output": str(path), "width": painted.width, "height": painted.height}


def _videos(*parts: Any) -> "Videos":
    from app.commands.videos import Videos

    return Videos(*parts)


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


def _asked(
    weights: Sequence[float], given: dict[str, Any], styles: int, masks: int, settings: Settings | None
) -> Asked:
    if weights and len(weights) != styles:
        raise click.UsageError(f"--weight: one per style, or none; {styles} styles, {len(weights)} weights")
    if masks and masks != styles:
        raise click.UsageError(f"--mask: one per style, or none; {styles} styles, {masks} masks")
    values = {name: value for name, value in given.items() if value is not None} | {"weight": tuple(weights)}
    keyframes, format = _text(values.pop("keyframes", None)), values.pop("format", None)
    of_video = {name: values.pop(name) for name in ("steadiness",) if name in values}
    if format:
        (values if format in SUFFIXES else of_video)["format"] = format
    limits = {"size": settings.max_size, "style_size": settings.max_style_size} if settings else {}
    try:
        photo = Options.model_validate(values, context=limits)
        video = VideoOptions.model_validate({**values, "format": None, **of_video}, context=limits)
    except ValidationError as invalid:
        raise click.UsageError("; ".join(_fault(error, limits) for error in invalid.errors())) from None
    return Asked(photo, video, format, keyframes)


def _text(file: Path | None) -> str | None:
    try:
        return None if file is None else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--keyframes: {file} cannot be read ({error})") from None


def _fault(error: ErrorDetails, limits: Container[str]) -> str:
    field = str(error["loc"][0])
    text = f"--{field.replace('_', '-')}: {error['msg']}; found {error['input']!r}"
    if field in limits and error["type"] == "less_than_equal":
        return f"{text} (IMPASTO_MAX_{field.upper()} sets the limit)"
    return text


def _output(
    tasks: Sequence[Task], output: Path | None, format: str | None, inputs: Set[Path]
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
    if output.suffix.lower() not in FORMATS and format is None:
        raise click.UsageError(f"{output}: can't write {output.suffix}; use {', '.join(FORMATS)} or --format")
    if output.resolve() in inputs:
        raise click.UsageError(f"{output}: is one of the inputs; choose another output")
    return output, output.parent
