"""The styles that stand ready: those shipped, and a folder of the operator's own."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image

from app.images.decode import decode_style
from app.images.encode import encode
from app.images.errors import ImageError
from app.styles.library import style_id

logger = logging.getLogger("impasto.styles")

SHIPPED: Final = Path(__file__).parent / "ready"
LIST: Final = (
    "styles.json"  # names and credits beside the pictures: {"credit": …, "styles": [{"file", "name", "credit"}]}
)
SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".avif")
THUMBNAIL_SIDE: Final = 240


@dataclass(frozen=True)
class ReadyStyle:
    """A style the service can be asked for by `id` without an upload; `width`, `height` in pixels."""

    id: str
    name: str
    credit: str
    path: Path
    width: int
    height: int
    thumbnail: bytes


def ready_styles(folders: Sequence[Path], max_pixels: int) -> dict[str, ReadyStyle]:
    """The pictures in these folders by id, in the order of their lists, then by name; one that can't be read is told.

    `max_pixels`: the most pixels a picture may have. Raises OSError for a folder that can't be listed.
    """
    styles: dict[str, ReadyStyle] = {}
    for folder in folders:
        credit, listed = _list(folder)
        rest = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        names = dict.fromkeys((*(name for name in listed if (folder / name).is_file()), *rest))
        for name in names:
            if name.startswith("."):
                continue
            told = listed.get(name, {})
            title = told.get("name", (folder / name).stem.replace("-", " ").replace("_", " "))
            try:
                style = _read(folder / name, title, told.get("credit", credit), max_pixels)
            except (ImageError, OSError) as error:
                logger.warning("the style %s is left out: %s", folder / name, error)
                continue
            styles.setdefault(style.id, style)
    return styles


def _list(folder: Path) -> tuple[str, dict[str, dict[str, str]]]:
    """What the list beside the pictures says of all of them, and of each by its file's name."""
    try:
        told = json.loads((folder / LIST).read_text(encoding="utf-8"))
        return str(told.get("credit", "")), {entry["file"]: entry for entry in told["styles"]}
    except FileNotFoundError:
        return "", {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s is not a list of styles (%r); names are taken from the files", folder / LIST, error)
        return "", {}


def _read(path: Path, name: str, credit: str, max_pixels: int) -> ReadyStyle:
    data = path.read_bytes()
    small = decode_style(BytesIO(data), max_pixels=max_pixels, size=THUMBNAIL_SIDE)
    with Image.open(BytesIO(data)) as picture:
        width, height = picture.size
    return ReadyStyle(style_id(BytesIO(data)), name, credit, path, width, height, encode(small, None, "jpeg", 85))
