"""`impasto stylize` on videos: a progress bar, and a folder beside the result from which `--resume` goes on."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import click
from tqdm import tqdm

from app.commands.results import STANDARD, NotPainted, sources_of
from app.configured import picture_limits, video_limits
from app.engine.base import Engine, complete
from app.pipeline import FieldError, SizeError
from app.queue.run import batch_steps
from app.queue.work import Done, Work
from app.settings import Settings
from app.styles.library import StyleLibrary
from app.video.errors import VideoError
from app.video.formats import VIDEO_SUFFIXES
from app.video.options import VideoOptions
from app.video.stylize import Progress, Report, Request, Stylisation, plan

PREFIX: Final = ".impasto-"  # and the result's name: the folder of its parts until it is whole


class Videos:
    """What stays the same from one video to the next."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        options: VideoOptions,
        masks: Sequence[Path],
        keyframes: str | None,
        resume: bool,
    ) -> None:
        self.engine = engine
        self.options = options
        self.masks = masks
        self.keyframes = keyframes
        self.library = StyleLibrary(settings.style_cache_bytes)
        self.resume = resume
        self.limits = video_limits(settings)
        self.pictures = picture_limits(settings)

    def paint(self, work: Work) -> "Future[Done]":
        """The network, at once and in this thread; meets `app.video.stylize.Painter`."""
        painted: Future[Done] = Future()
        (result,) = complete(batch_steps(self.engine, [work], self.library))
        painted.set_result(Done(result, 0.0, 0.0, 1))
        return painted

    def one(
        self, content: Path, styles: Sequence[Path], target: Callable[[str], Path], format: str | None
    ) -> dict[str, Any]:
        """Repaint a video into the file that `target` names for a suffix, and tell about it.

        `format` is the one asked for. Raises NotPainted.
        """
        try:
            options = self.options.model_copy(update={"format": format})
            planned = plan(content, options, self.limits, self.pictures)
            path = target(VIDEO_SUFFIXES[planned.format])
            with ExitStack() as stack:
                folder = self._folder(path, stack)
                files = [stack.enter_context(style.open("rb")) for style in styles]
                request = Request(content, sources_of(styles, files), options, self.masks, self.keyframes)
                work = Stylisation(request, planned, self.library, self.limits, self.pictures, folder)
                report = _followed(work.steps(self), path)
                _deliver(report.path, path)
                shutil.rmtree(folder, ignore_errors=True)
        except FieldError as error:
            raise NotPainted(f"{error.field}: {error}") from None
        except (VideoError, SizeError) as error:
            raise NotPainted(str(error)) from None
        except OSError as error:
            raise NotPainted(f"{error.strerror or error}; --resume goes on with what is done") from None
        except (MemoryError, RuntimeError) as error:
            raise NotPainted(f"the network failed on it ({error}); try a smaller --size") from None
        return {
            "output": str(path),
            "width": report.width,
            "height": report.height,
            "frames": report.frames,
            "duration": round(report.seconds, 3),
            "notes": list(report.notes),
        }

    def _folder(self, path: Path, stack: ExitStack) -> Path:
        if path == STANDARD:
            return Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = path.parent / f"{PREFIX}{path.name}"
        if not self.resume and folder.exists():
            shutil.rmtree(folder)
        return folder


def _followed(steps: Generator[Progress, None, Report], path: Path) -> Report:
    """Take all steps, with a bar on a terminal."""
    bar = tqdm(unit="frame", disable=not sys.stderr.isatty(), desc=path.name)
    try:
        with bar:
            while True:
                progress = next(steps)
                bar.total = progress.total
                bar.update(progress.done - bar.n)
    except StopIteration as end:
        report: Report = end.value
        return report
    except KeyboardInterrupt:
        if path != STANDARD:
            click.echo(f"{path}: left; --resume goes on with it", err=True)
        raise


def _deliver(result: Path, path: Path) -> None:
    if path == STANDARD:
        with result.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        result.replace(path)
