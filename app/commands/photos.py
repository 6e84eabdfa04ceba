"""`impasto stylize` on photos."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Final

from app.configured import picture_limits
from app.engine.base import Engine, complete
from app.files import write_whole
from app.options import Options
from app.pipeline import FieldError, SizeError, StyleSource, finish, prepare
from app.queue.run import batch_steps
from app.settings import Settings
from app.styles.library import StyleLibrary, style_id

PHOTO_SUFFIXES: Final = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}
STANDARD: Final = Path("-")


class Photos:
    """What stays the same from one photo to the next."""

    def __init__(
        self, engine: Engine, settings: Settings, options: Options, masks: Sequence[Path], library: StyleLibrary
    ) -> None:
        self.engine = engine
        self.options = options
        self.masks = masks
        self.limits = picture_limits(settings)
        self.library = library

    def one(
        self, content: Path, styles: Sequence[Path], target: Callable[[str], Path], format: str | None
    ) -> dict[str, Any]:
        """Stylise a photo into the file that `target` names for a suffix, and tell about it.

        `format` is the one asked for. A fault of its files is told, not raised.
        """
        since = time.perf_counter()
        try:
            with ExitStack() as stack:
                opened = [stack.enter_context(path.open("rb")) for path in (content, *styles, *self.masks)]
                photo, *rest = opened
                files, masks = rest[: len(styles)], rest[len(styles) :]
                sources = sources_of(styles, files)
                prepared = prepare(photo, sources, masks, self.options, self.library, self.limits)
            (result,) = complete(batch_steps(self.engine, [prepared.work], self.library))
            own = prepared.photo.format
            format = format or (own if own in PHOTO_SUFFIXES else "jpeg")
            data = finish(prepared, result, self.options, format)
        except FieldError as error:
            return {"error": f"{error.field}: {error}"}
        except (SizeError, OSError) as error:
            return {"error": str(error)}
        except (MemoryError, RuntimeError) as error:
            return {"error": f"the network failed on it ({error}); try a smaller --size"}
        path = target(PHOTO_SUFFIXES[format])
        try:
            if path == STANDARD:
                sys.stdout.buffer.write(data)
            else:
                write_whole(path, data)
        except OSError as error:
            return {"error": f"{path}: cannot be written ({error.strerror})"}
        height, width = prepared.photo.rgb.shape[:2]
        seconds = round(time.perf_counter() - since, 3)
        return {"output": str(path), "width": width, "height": height, "seconds": seconds}


def sources_of(styles: Sequence[Path], files: Sequence[BinaryIO]) -> list[StyleSource]:
    """Styles as they are told in errors, with their files."""
    return [StyleSource(str(path), style_id(file), file) for path, file in zip(styles, files, strict=True)]
