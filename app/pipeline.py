"""From picture files to work for an engine, and from its result to a picture file: all but the network.

Every function here is plain CPU work for a thread pool; the server and the command line both call it.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from app.engine.base import Picture, feature_grid, pad
from app.images.codec import HERE, Codec
from app.images.colour import keep_colours, match_colours
from app.images.decode import Decoded
from app.images.errors import ImageError, TooManyPixels
from app.images.visible import Box, Visible, visible
from app.network.blend import FloatArray, shares
from app.network.layout import STRIDE
from app.options import Controls, Options
from app.queue.work import Style, StylePicture, Work
from app.styles.library import StyleLibrary


class FieldError(Exception):
    """What is wrong with one field; `field` names it as the caller spelt it, as in `style[1]`."""

    def __init__(self, field: str, cause: ImageError) -> None:
        super().__init__(str(cause))
        self.field = field
        self.cause = cause


class SizeError(Exception):
    """The photo's own size was asked for and is over the limit."""

    def __init__(self, long_side: int, limit: int) -> None:
        super().__init__(
            f"the photo's own long side is {long_side} pixels, the most is {limit}: ask for a smaller size"
        )
        self.limit = limit


class StyleForgotten(Exception):
    """A style is known, but not at the size asked for, and its picture was not kept."""

    def __init__(self, name: str) -> None:
        super().__init__(f"style {name} is remembered, but not for this use: upload its picture again")


@dataclass(frozen=True)
class StyleSource:
    """A style as it came: a file, or None for one the library knows; and its id. `field` names it in errors."""

    field: str
    name: str
    file: BinaryIO | None


@dataclass(frozen=True)
class Limits:
    """The bounds a picture is held to, in pixels; see the settings of the same names."""

    max_pixels: int
    max_size: int
    default_size: int


@dataclass(frozen=True)
class Prepared:
    """Work for the engine, and the photo it came from, of which it is what can be seen, all of it within `box`."""

    photo: Decoded
    box: Box
    work: Work


def prepare(
    content: BinaryIO,
    styles: Sequence[StyleSource],
    masks: Sequence[BinaryIO],
    options: Options,
    library: StyleLibrary,
    limits: Limits,
    codec: Codec = HERE,
) -> Prepared:
    """Decode what has to be decoded, by `codec`. `masks` are none, or one per style.

    Raises FieldError for a file that can't be read, SizeError, StyleForgotten.
    """
    try:
        photo = codec.decode(
            content, max_pixels=limits.max_pixels, size=options.size or None, limit=_limit(options, limits)
        )
        height, width = photo.rgb.shape[:2]
        if max(height, width) > limits.max_size:
            raise SizeError(max(height, width), limits.max_size)
        seen = visible(photo.rgb, photo.alpha)
    except ImageError as error:
        raise FieldError("content", error) from None
    codes = [read_style(source, seen, options, library, limits, codec) for source in styles]
    grids = [read_mask(f"mask[{n}]", mask, height, width, seen.box, limits, codec) for n, mask in enumerate(masks)]
    weights = options.weight or (1.0,) * len(styles)
    share = shares(weights, options.strength, grids or None)
    # Where the network does not see a style of weight 0, the result is to the last bit what it is without it.
    acting = [n for n, weight in enumerate(weights) if weight > 0]
    share = share[acting]
    key = _key(seen, [styles[n] for n in acting], options, share)
    return Prepared(photo, seen.box, Work(seen.rgb, tuple(codes[n] for n in acting), share, key, seen.alpha))


def unreadable(
    first: FieldError,
    styles: Sequence[StyleSource],
    masks: Sequence[BinaryIO],
    options: Options,
    limits: Limits,
    codec: Codec = HERE,
) -> list[FieldError]:
    """What `prepare` raised for one file, and the same for every file behind it that can't be read either."""
    readers: dict[str, Callable[[], object]] = {
        source.field: partial(codec.decode_trimmed, source.file, max_pixels=limits.max_pixels, size=options.style_size)
        for source in styles
        if source.file is not None
    }
    for n, mask in enumerate(masks):
        readers[f"mask[{n}]"] = partial(
            codec.decode_mask, mask, max_pixels=limits.max_pixels, width=STRIDE, height=STRIDE
        )
    fields = list(readers)
    found = [first]
    for field in fields[fields.index(first.field) + 1 if first.field in fields else 0 :]:
        try:
            readers[field]()
        except ImageError as error:
            found.append(FieldError(field, error))
    return found


def fault(found: Sequence[FieldError]) -> tuple[str, str, dict[str, Any]]:
    """One problem for every file that can't be read: its type's name, its detail and its members.

    The first decides what kind it is.
    """
    errors = []
    for error in found:
        members: dict[str, Any] = {"field": error.field}
        if isinstance(error.cause, TooManyPixels):
            members["limit"] = error.cause.limit
        errors.append({"detail": str(error), **members})
    first = {name: value for name, value in errors[0].items() if name != "detail"}
    detail = "; ".join(f"{error.field}: {error}" for error in found)
    return "too-many-pixels" if "limit" in first else "unreadable-image", detail, {**first, "errors": errors}


def finish(prepared: Prepared, result: Picture, options: Options, format: str, codec: Codec = HERE) -> bytes:
    """The result as a file of `format`, with the photo's colours where they are to be kept, and its alpha.

    Raises FieldError where the format can't hold a picture of this size.
    """
    if result.shape != prepared.photo.rgb.shape:
        whole = prepared.photo.rgb.copy()
        whole[prepared.box] = result
        result = whole
    if options.preserve_color == "luminance":
        result = keep_colours(result, prepared.photo.rgb)
    try:
        return codec.encode(result, prepared.photo.alpha, format, options.quality)
    except ImageError as error:
        raise FieldError("format", error) from None


def _key(photo: Visible, styles: Sequence[StyleSource], options: Options, share: FloatArray) -> bytes:
    """Equal for work of equal results: a hash of all the network's result depends on."""
    digest = hashlib.sha256(photo.rgb.data)
    if photo.alpha is not None:
        digest.update(photo.alpha.data)
    digest.update(share.data)
    match = options.preserve_color == "match"
    names = [source.name for source in styles]
    digest.update(repr((photo.rgb.shape, photo.alpha is None, share.shape, names, options.style_size, match)).encode())
    return digest.digest()


def _limit(options: Options, limits: Limits) -> int | None:
    return min(limits.default_size, limits.max_size) if options.size is None else None


def read_style(
    source: StyleSource, photo: Visible, options: Controls, library: StyleLibrary, limits: Limits, codec: Codec = HERE
) -> Style:
    """The style's code where it is known, else its picture, recoloured to the photo where that is asked for.

    Raises FieldError, StyleForgotten.
    """
    match = options.preserve_color == "match"
    if not match and (code := library.find_code(source.name, options.style_size)):
        return code
    file = source.file
    if file is None:
        data = library.find_picture(source.name)
        if data is None:
            raise StyleForgotten(source.name)
        file = io.BytesIO(data)
    try:
        picture = codec.decode_trimmed(file, max_pixels=limits.max_pixels, size=options.style_size)
        seen = visible(picture.rgb, picture.alpha)
    except ImageError as error:
        raise FieldError(source.field, error) from None
    if source.file is not None:
        library.keep_picture(source.name, source.file)
    if match:
        pixels = match_colours(seen.rgb, photo.rgb, seen.alpha, photo.alpha)
        return StylePicture(pixels, None, options.style_size, seen.alpha)
    return StylePicture(seen.rgb, source.name, options.style_size, seen.alpha)


def read_mask(
    field: str, mask: BinaryIO, height: int, width: int, box: Box, limits: Limits, codec: Codec = HERE
) -> Picture:
    """A mask of a picture's `box` at the size of relu4_1, as `grid` has it.

    Raises FieldError.
    """
    try:
        grey = codec.decode_mask(mask, max_pixels=limits.max_pixels, width=width, height=height)
    except ImageError as error:
        raise FieldError(field, error) from None
    return grid(grey[box])


def grid(grey: Picture) -> Picture:
    """A mask (H, W) at the size of relu4_1: each position the mean of the 8x8 pixels it stands for."""
    rows, columns = feature_grid(*grey.shape)
    means: Picture = pad(grey).reshape(rows, STRIDE, columns, STRIDE).mean(axis=(1, 3)).round().astype(np.uint8)
    return means
