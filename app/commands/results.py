"""Where the results of `impasto stylize` come from: the engine on this machine, or a service."""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from app.client import Impasto, ImpastoProblem
from app.configured import picture_limits
from app.engine.base import Engine, complete
from app.options import Options
from app.pipeline import FieldError, SizeError, StyleSource, finish, prepare
from app.queue.run import batch_steps
from app.settings import Settings
from app.styles.library import StyleLibrary, style_id

SUFFIXES: Final = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}
STANDARD: Final = Path("-")


@dataclass(frozen=True)
class Painted:
    """A result: the bytes of a file of `format`, a key of SUFFIXES, and its size in pixels."""

    data: bytes
    format: str
    width: int
    height: int


class NotPainted(Exception):
    """A fault of one photo or its styles, in words for whoever gave them; others may go well."""


class Source(Protocol):
    """Makes a result of a photo, its styles and one mask a style; `format` None is the photo's own."""

    def paint(
        self, content: Path, styles: Sequence[Path], masks: Sequence[Path], format: str | None
    ) -> Painted:  # pragma: no cover
        """Raises NotPainted, and what makes every further photo pointless too."""
        ...


class FromEngine:
    """The engine on this machine, with the limits of a service's settings."""

    def __init__(self, engine: Engine, settings: Settings, options: Options) -> None:
        self._engine = engine
        self._options = options
        self._limits = picture_limits(settings)
        self._library = StyleLibrary(settings.style_cache_bytes)

    def paint(self, content: Path, styles: Sequence[Path], masks: Sequence[Path], format: str | None) -> Painted:
        """As Source.paint."""
        try:
            with ExitStack() as stack:
                photo, *rest = [stack.enter_context(path.open("rb")) for path in (content, *styles, *masks)]
                sources = sources_of(styles, rest[: len(styles)])
                prepared = prepare(photo, sources, rest[len(styles) :], self._options, self._library, self._limits)
            (result,) = complete(batch_steps(self._engine, [prepared.work], self._library))
            own = prepared.photo.format if prepared.photo.format in SUFFIXES else "jpeg"
            data = finish(prepared, result, self._options, format or own)
        except FieldError as error:
            raise NotPainted(f"{error.field}: {error}") from None
        except (SizeError, OSError) as error:
            raise NotPainted(str(error)) from None
        except (MemoryError, RuntimeError) as error:
            raise NotPainted(f"the network failed on it ({error}); try a smaller --size") from None
        height, width = prepared.photo.rgb.shape[:2]
        return Painted(data, format or own, width, height)


class FromService:
    """A service somewhere: nothing of the engine is loaded here. `options` that were not given are the service's."""

    def __init__(self, client: Impasto, options: Options) -> None:
        self._client = client
        self._given = options.model_dump(exclude_unset=True, exclude={"format"})

    def paint(self, content: Path, styles: Sequence[Path], masks: Sequence[Path], format: str | None) -> Painted:
        """As Source.paint. Raises app.client.Unreachable where no answer comes."""
        try:
            with content.open("rb") as photo:
                options = {**self._given, "format": format}
                result = self._client.stylize(photo.read(), styles, mask=masks, **options)
        except ImpastoProblem as problem:
            faults = "; ".join(f"{fault['field']}: {fault['detail']}" for fault in problem.errors)
            raise NotPainted(faults or " ".join(filter(None, (str(problem), problem.remedy)))) from None
        except OSError as error:
            raise NotPainted(str(error)) from None
        width, height = result.image().size
        return Painted(result.data, result.media_type.removeprefix("image/"), width, height)


def sources_of(styles: Sequence[Path], files: Sequence[BinaryIO]) -> list[StyleSource]:
    """Styles as errors name them, with their files."""
    return [StyleSource(str(path), style_id(file), file) for path, file in zip(styles, files, strict=True)]


@contextmanager
def on_disk(path: Path) -> Iterator[Path]:
    """The file, or one of what comes from standard input."""
    if path != STANDARD:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stdin"
        with file.open("wb") as opened:
            shutil.copyfileobj(sys.stdin.buffer, opened)
        yield file
