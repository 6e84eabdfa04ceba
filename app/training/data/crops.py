"""Random crops of many pictures at once, on any device: what is drawn is a function of a table of chances alone.

The chances, uniform in [0, 1), are drawn beforehand on the CPU. So a crop is the same in a run that goes on, and on
whatever device it is made; and a GPU makes a batch of them without waiting for anything.
"""

from math import log, pi, sqrt
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from app.training.data.shelf import LEVELS

# Parts of a picture's area that a crop covers: styles from closer up, so that strokes of many sizes are seen.
CONTENT_AREA: Final = (0.2, 1.0)
STYLE_AREA: Final = (0.05, 1.0)
STYLE_ASPECT: Final = (0.7, 1.4)
# Paintings are few: turned, so that strokes slant, stretched, recoloured and sharpened they are many.
TURNED: Final = 0.3
UPSIDE_DOWN: Final = 0.25
PERMUTED: Final = 0.35
JITTERED: Final = 0.5
BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.3, 0.4, 0.4, 0.15  # how far each is changed at most
GREY: Final = 0.05
INVERTED: Final = 0.1
STRETCHED: Final = 0.2  # in contrast
POSTERIZED: Final = 0.1
SHARPENED: Final = 0.2
SHARPNESS: Final = 5.0
POSTERIZED_LEVELS: Final = 4
LUMA: Final = (0.2989, 0.587, 0.114)
# Of a row of chances, how many say where to cut, TRIES pairs among them for shapes, of which the first that fits is
# taken; the others say what is changed.
TRIES: Final = 10
GEOMETRY: Final = 6 + 2 * TRIES
CHANCES: Final = GEOMETRY + 14
# A crop is read at twice its size and averaged, lest thin lines be missed where it is smaller than what it is cut from.
OVERSAMPLED: Final = 2


def crops(pixels: Tensor, table: Tensor, slots: Tensor, chances: Tensor, styles: int, size: int) -> Tensor:
    """RGB (n, 3, size, size) in [0, 1], of 256 levels, channels_last.

    `pixels`, `table` as `Shelf` has them; `slots` int64 (n,), the pictures to take; `chances` float32 (n, CHANCES). The
    last `styles` of them are cut and changed as styles are, the others as contents.
    """
    is_style = torch.arange(len(slots), device=slots.device) >= len(slots) - styles
    levels = table[slots]
    corner, down, across, reach = _places(levels[:, 0, 1].float(), levels[:, 0, 2].float(), is_style, chances)
    cut = _sampled(pixels, levels, corner, down, across, reach, size)
    changed = _changed(cut[len(slots) - styles :], chances[len(slots) - styles :, GEOMETRY:])
    whole = torch.cat([cut[: len(slots) - styles], changed])
    return (whole * 255).round_().div_(255).contiguous(memory_format=torch.channels_last)


def _places(height: Tensor, width: Tensor, is_style: Tensor, chances: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where to cut from pictures of the given sides, all (n,).

    Returns the first corner, what leads down a crop's side and what leads across, (n, 2) of y and x in pixels, and the
    crop's mean side, (n,).
    """
    turned = is_style & (chances[:, 0] < TURNED)
    angle = turned * (2 * pi * chances[:, 1])
    # Turned by any angle, this middle square is all picture.
    square = torch.minimum(height, width) / sqrt(2)
    room_y, room_x = torch.where(turned, square, height), torch.where(turned, square, width)
    cut_y, cut_x = _shape(room_y, room_x, is_style, *chances[:, 6:GEOMETRY].chunk(2, 1))
    top, left = (room_y - cut_y) * chances[:, 2], (room_x - cut_x) * chances[:, 3]
    flipped_x, flipped_y = chances[:, 4] < 0.5, is_style & (chances[:, 5] < UPSIDE_DOWN)
    # From the middle of the room, which is the picture's own.
    y, step_y = top - room_y / 2 + flipped_y * cut_y, torch.where(flipped_y, -cut_y, cut_y)
    x, step_x = left - room_x / 2 + flipped_x * cut_x, torch.where(flipped_x, -cut_x, cut_x)
    cos, sin = angle.cos(), angle.sin()
    corner = torch.stack([height / 2 + sin * x + cos * y, width / 2 + cos * x - sin * y], 1)
    down = torch.stack([cos * step_y, -sin * step_y], 1)
    across = torch.stack([sin * step_x, cos * step_x], 1)
    return corner, down, across, (cut_y * cut_x).sqrt()


def _shape(room_y: Tensor, room_x: Tensor, is_style: Tensor, area: Tensor, aspect: Tensor) -> tuple[Tensor, Tensor]:
    """Sides of crops, (n,): of the shapes tried the first that fits, else the largest of an aspect allowed."""
    least, most = (
        (of_content + (of_style - of_content) * is_style)[:, None]
        for of_content, of_style in zip(CONTENT_AREA, STYLE_AREA, strict=True)
    )
    areas = (least + (most - least) * area) * (room_y * room_x)[:, None]
    flattest, tallest = (is_style * log(bound) for bound in reversed(STYLE_ASPECT))
    aspects = (tallest[:, None] + (flattest - tallest)[:, None] * aspect).exp()
    cut_x, cut_y = (areas * aspects).sqrt(), (areas / aspects).sqrt()
    fits = (cut_x <= room_x[:, None]) & (cut_y <= room_y[:, None])
    first = fits.byte().argmax(1, keepdim=True)
    whole_aspect = (room_x / room_y).clamp(tallest.exp(), flattest.exp())
    whole_x = torch.minimum(room_x, room_y * whole_aspect)
    some = fits.any(1)
    return (
        torch.where(some, cut_y.gather(1, first)[:, 0], whole_x / whole_aspect).clamp_min(1),
        torch.where(some, cut_x.gather(1, first)[:, 0], whole_x).clamp_min(1),
    )


def _sampled(
    pixels: Tensor, levels: Tensor, corner: Tensor, down: Tensor, across: Tensor, reach: Tensor, size: int
) -> Tensor:
    """The crops, RGB (n, 3, size, size) in [0, 1], unchanged."""
    samples = size * OVERSAMPLED
    # Where neighbouring samples are about a pixel apart: with a quarter of a level less, fine lines would be jagged.
    level = ((reach / samples).log2() + 0.75).floor().clamp(0, LEVELS - 1)
    rows = levels.gather(1, level.long()[:, None, None].expand(-1, 1, 3))[:, 0]
    part = (torch.arange(samples, device=pixels.device) + 0.5) / samples
    y, x = (
        (corner[:, axis, None, None] + down[:, axis, None, None] * part[:, None] + across[:, axis, None, None] * part)
        for axis in (0, 1)
    )
    scale = torch.exp2(-level)[:, None, None]
    offset, height, width = (rows[:, part, None, None] for part in range(3))
    y = (y * scale - 0.5).clamp_min_(0).minimum(height - 1)
    x = (x * scale - 0.5).clamp_min_(0).minimum(width - 1)
    top, left = y.long(), x.long()
    right = (left + 1).minimum(width - 1)
    upper = offset + top * width
    lower = offset + (top + 1).minimum(height - 1) * width
    y, x = (y - top)[..., None], (x - left)[..., None]
    above = _rgb(pixels, upper + left).lerp(_rgb(pixels, upper + right), x)
    below = _rgb(pixels, lower + left).lerp(_rgb(pixels, lower + right), x)
    whole = above.lerp(below, y)
    mean = (whole[:, ::2, ::2] + whole[:, 1::2, ::2] + whole[:, ::2, 1::2] + whole[:, 1::2, 1::2]) / (4 * 255)
    return mean[..., :3].permute(0, 3, 1, 2)


def _rgb(pixels: Tensor, places: Tensor) -> Tensor:
    """float32 (..., 4), of which the last is without meaning."""
    found: Tensor = pixels[places][..., None].view(torch.uint8).float()
    return found


def _changed(x: Tensor, chances: Tensor) -> Tensor:
    """Styles (n, 3, S, S) in [0, 1], each changed by its own chances, (n, CHANCES - GEOMETRY)."""
    chance = [chances[:, n, None, None, None] for n in range(chances.shape[1])]
    order = chances[:, 0:3].argsort(1)[:, :, None, None].expand(-1, -1, *x.shape[2:])
    x = torch.where(chance[3] < PERMUTED, x.gather(1, order), x)
    x = _jittered(x, chance[4] < JITTERED, *chance[5:9])
    x = torch.where(chance[9] < GREY, luma(x), x)
    x = torch.where(chance[10] < INVERTED, 1 - x, x)
    least, most = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    x = torch.where((chance[11] < STRETCHED) & (most > least), (x - least) / (most - least), x)
    posterized = (x * 255).round().div(256 // POSTERIZED_LEVELS).floor() * (256 // POSTERIZED_LEVELS) / 255
    x = torch.where(chance[12] < POSTERIZED, posterized, x)
    # A pixel counts 5 and each neighbour 1 in what is blurred; the edge stays as it is.
    inner = x[..., 1:-1, 1:-1]
    blurred = (F.avg_pool2d(x, 3, 1) * 9 + inner * 4) / 13
    sharp = F.pad((SHARPNESS - 1) * (inner - blurred), (1, 1, 1, 1))
    return torch.where(chance[13] < SHARPENED, (x + sharp).clamp(0, 1), x)


def _jittered(x: Tensor, which: Tensor, *chance: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue changed by as many chances, where `which` (n, 1, 1, 1) says so."""
    by = [1 + which * most * (2 * c - 1) for c, most in zip(chance, (BRIGHTNESS, CONTRAST, SATURATION), strict=False)]
    x = (x * by[0]).clamp(0, 1)
    x = torch.lerp(luma(x).mean((1, 2, 3), keepdim=True), x, by[1]).clamp(0, 1)
    x = torch.lerp(luma(x), x, by[2]).clamp(0, 1)
    return torch.where(which, hue_turned(x, HUE * (2 * chance[3] - 1)), x)


def luma(x: Tensor) -> Tensor:
    """(n, 3, ...) -> (n, 1, ...), Rec. 601."""
    red, green, blue = x.chunk(3, 1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def hue_turned(x: Tensor, by: Tensor) -> Tensor:
    """RGB (n, 3, H, W) in [0, 1] with its hue in HSV turned by parts of a whole turn, (n, 1, 1, 1)."""
    red, green, blue = x.chunk(3, 1)
    value, least = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    chroma = value - least
    safe = chroma.clamp_min(1e-8)
    sixths = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    sixths = sixths + 6 * by
    # Each channel is the value less its share of the chroma, by how far the hue is from its own.
    shares = [((sixths + start).remainder(6) - 2) for start in (5, 3, 1)]
    return torch.cat([value - chroma * (2 - share.abs()).clamp(0, 1) for share in shares], 1)
