"""What painters share: smooth noise, cells, palettes, light on paint, and brush strokes along a field.

Pictures are float arrays (SIDE, SIDE, 3) of RGB in [0, 1]; fields are (SIDE, SIDE). Coordinates are in [0, 1], y down.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

SIDE: Final = 640

Field = NDArray[np.float64]
Random = np.random.Generator

Y, X = np.mgrid[0:SIDE, 0:SIDE] / SIDE


def colours(*names: str) -> Field:
    """Hexadecimal RGB -> (N, 3)."""
    return np.array([[int(name[i : i + 2], 16) / 255 for i in (0, 2, 4)] for name in names])


def noise(random: Random, size: float, octaves: int = 4, shape: tuple[int, int] = (SIDE, SIDE)) -> Field:
    """Smooth noise of deviation 1 whose largest features are `size` of the picture wide."""
    total = np.zeros(shape)
    for octave in range(octaves):
        layer = gaussian_filter(random.normal(size=shape), size * SIDE / 3 / 2**octave, mode="wrap")
        total += layer / layer.std() / 2**octave
    return total / total.std()


def warped(picture: Field, down: Field, across: Field) -> Field:
    """Each position taken from (y + down, x + across), in parts of the picture, mirrored at the borders."""
    where = [(Y + down) * SIDE, (X + across) * SIDE]
    if picture.ndim == 2:
        return map_coordinates(picture, where, order=1, mode="reflect")
    return np.stack([map_coordinates(picture[..., c], where, order=1, mode="reflect") for c in range(3)], -1)


def shaded(tones: Field, palette: Field) -> Field:
    """Tones in [0, 1] -> the colours of a palette, blended between neighbours."""
    place = np.clip(tones, 0, 1) * (len(palette) - 1)
    low = np.minimum(place.astype(int), len(palette) - 2)
    part = (place - low)[..., None]
    return palette[low] * (1 - part) + palette[low + 1] * part


def cells(points: Field) -> tuple[NDArray[np.int64], Field]:
    """Which of the (N, 2) points (y, x) is nearest, and how much further the second is: 0 on the borders of cells."""
    distances, indices = cKDTree(points).query(np.stack([Y, X], -1).reshape(-1, 2), k=2)
    shape = (SIDE, SIDE)
    return indices[:, 0].reshape(shape), (distances[:, 1] - distances[:, 0]).reshape(shape)


def scattered(random: Random, count: int, rounds: int = 3) -> Field:
    """Points (y, x) spread evenly: random ones, moved to the middle of their cells a few times (Lloyd 1982)."""
    points = random.random((count, 2))
    samples = random.random((60 * count, 2))
    for _ in range(rounds):
        owner = cKDTree(points).query(samples)[1]
        number = np.maximum(np.bincount(owner, minlength=count), 1)[:, None]
        points = np.stack([np.bincount(owner, samples[:, axis], count) for axis in (0, 1)], -1) / number
    return points


def lit(picture: Field, height: Field, depth: float = 1.0) -> Field:
    """Light from the upper left on paint of some height."""
    down, across = np.gradient(height * depth)
    return picture * (1 + np.clip(-(down + across), -0.5, 0.6)[..., None])


def strokes(
    base: Field,
    angle: Field,
    random: Random,
    layers: Sequence[tuple[float, float, int]],
    tint: Callable[[Field, Random], Field],
    scale: int = 2,
) -> Field:
    """Brush strokes over `base`, each the colour `tint` makes of what is under it.

    `layers`: length and width, in parts of the picture, and number; `angle`: direction of the brush, in radians.
    """
    edge = SIDE * scale
    canvas = to_image(base).resize((edge, edge))
    draw = ImageDraw.Draw(canvas)
    for length, width, count in layers:
        places = random.random((count, 2))
        rows, columns = (places * SIDE).astype(int).T
        paint = (np.clip(tint(base[rows, columns], random), 0, 1) * 255).astype(int)
        for (y, x), colour in zip(places, paint, strict=True):
            points = [(x, y)]
            for _ in range(5):
                turn = angle[int(np.clip(y, 0, 0.999) * SIDE), int(np.clip(x, 0, 0.999) * SIDE)]
                x, y = x + np.cos(turn) * length / 5, y + np.sin(turn) * length / 5
                points.append((x, y))
            draw.line([(a * edge, b * edge) for a, b in points], tuple(colour), max(1, round(width * edge)), "curve")
    return from_image(canvas.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def dots(base: Field, places: Field, paint: Field, radii: Field, scale: int = 3) -> Field:
    """Round dots at (N, 2) places (y, x) over `base`, of (N, 3) colours and (N,) radii in parts of the picture."""
    edge = SIDE * scale
    canvas = to_image(base).resize((edge, edge))
    draw = ImageDraw.Draw(canvas)
    for (y, x), colour, radius in zip(places * edge, np.clip(paint, 0, 1) * 255, radii * edge, strict=True):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), tuple(colour.astype(int)))
    return from_image(canvas.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def to_image(picture: Field) -> Image.Image:
    return Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))


def from_image(image: Image.Image) -> Field:
    return np.asarray(image.convert("RGB"), np.float64) / 255
