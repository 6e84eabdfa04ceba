"""Styles drawn by program, which paintings hardly show: flat colours, flags, line drawings, textures of one hue.

A decoder that never saw flat colours gives others for them: its features hold no texture there to go by.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from app.training.data.seeds import seed_of
from app.training.data.splits import Source

Field = NDArray[np.float64]
Colour = tuple[int, int, int]

COUNT: Final = 480
SIDE: Final = 384
# Drawn at twice the side and averaged, so that edges are smooth.
DRAWN_AT: Final = 2 * SIDE
WHITE: Final = (255, 255, 255)
BLACK: Final = (0, 0, 0)
# Parts of a palette that are pure colours, and white, grey or black; the others are any.
PURE: Final = 0.4
NEUTRAL: Final = 0.25


@dataclass(frozen=True)
class Drawn(Source):
    """A picture that is drawn whenever it is asked for, always the same; `path` is only what it is called."""

    seed: int

    def read(self, long_side: int) -> Tensor:
        """uint8 (3, H, W), no larger than asked for."""
        random = np.random.default_rng(self.seed)
        kinds = list(KINDS.values())
        image = kinds[int(random.integers(len(kinds)))](random).reduce(DRAWN_AT // SIDE)
        image.thumbnail((long_side, long_side))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def drawn(count: int, seed: int) -> tuple[Drawn, ...]:
    """So many pictures, of all kinds, each a function of the seed and of its number."""
    return tuple(Drawn(Path(f"drawn-{n}"), SIDE, SIDE, seed_of(seed, "drawn", n)) for n in range(count))


def plain(random: Generator) -> Image.Image:
    """One colour."""
    return Image.new("RGB", (DRAWN_AT, DRAWN_AT), _colour(random))


def gradient(random: Generator) -> Image.Image:
    """From colour to colour, along a line or outwards."""
    x, y = _turned(random)
    place = x if random.random() < 0.7 else np.hypot(x - 0.5, y - 0.5)
    return _ramp(np.clip(place, 0, 1), [_colour(random) for _ in range(random.integers(2, 4))])


def stripes(random: Generator) -> Image.Image:
    """Stripes in a few colours, now and then with a disc or a cross on them, as flags have."""
    ends = np.cumsum(random.uniform(0.5, 1.5, random.integers(2, 14)))
    image = _filled(np.searchsorted(ends / ends[-1], np.clip(_turned(random)[0], 0, 1)), _palette(random, 2, 4))
    draw = ImageDraw.Draw(image)
    if random.random() < 0.3:
        _disc(random, draw, _colour(random), 0.1, 0.3)
    elif random.random() < 0.3:
        at, wide = random.uniform(0.3, 0.7) * DRAWN_AT, random.uniform(0.03, 0.1) * DRAWN_AT
        for box in ((at - wide, 0, at + wide, DRAWN_AT), (0, at - wide, DRAWN_AT, at + wide)):
            draw.rectangle(box, fill=_colour(random))
    return image


def rectangles(random: Generator) -> Image.Image:
    """A plane cut down and across again and again, with lines between."""
    colours, line = _palette(random, 2, 5), random.choice([BLACK, WHITE, _colour(random)], p=[0.7, 0.15, 0.15])
    ground = WHITE if random.random() < 0.6 else _colour(random)
    image = Image.new("RGB", (DRAWN_AT, DRAWN_AT))
    draw = ImageDraw.Draw(image)
    width = int(random.integers(0, DRAWN_AT // 25))
    boxes = [(0.0, 0.0, float(DRAWN_AT), float(DRAWN_AT))]
    for _ in range(random.integers(3, 40)):
        left, top, right, bottom = boxes.pop(int(np.argmax([(b[2] - b[0]) * (b[3] - b[1]) for b in boxes])))
        part = random.uniform(0.25, 0.75)
        if right - left > bottom - top:
            middle = left + part * (right - left)
            boxes += [(left, top, middle, bottom), (middle, top, right, bottom)]
        else:
            middle = top + part * (bottom - top)
            boxes += [(left, top, right, middle), (left, middle, right, bottom)]
    for box in boxes:
        fill = ground if random.random() < 0.5 else _any(random, colours)
        draw.rectangle(box, fill=fill, outline=tuple(map(int, line)), width=width)
    return image


def shapes(random: Generator) -> Image.Image:
    """Discs or polygons in a few colours on one."""
    colours = _palette(random, 1, 5)
    image = Image.new("RGB", (DRAWN_AT, DRAWN_AT), _colour(random))
    draw = ImageDraw.Draw(image)
    most = random.uniform(0.05, 0.35)
    round_ones = random.random() < 0.6
    for _ in range(random.integers(3, 60)):
        if round_ones:
            _disc(random, draw, _any(random, colours), most / 4, most)
        else:
            middle, angles = random.random(2), np.sort(random.uniform(0, 2 * pi, random.integers(3, 7)))
            corners = (middle + most * np.stack([np.cos(angles), np.sin(angles)], 1)) * DRAWN_AT
            draw.polygon([(float(x), float(y)) for x, y in corners], fill=_any(random, colours))
    return image


def blobs(random: Generator) -> Image.Image:
    """Patches with soft outlines, as of a map or a cow."""
    field = _noise(random, int(random.integers(3, 16)), int(random.integers(1, 3)))
    colours = _palette(random, 2, 5)
    bounds = np.quantile(field, np.sort(random.uniform(0.1, 0.9, len(colours) - 1)))
    return _filled(np.searchsorted(bounds, field), colours)


def line_drawing(random: Generator) -> Image.Image:
    """Curves and hatching of one pen on plain paper."""
    paper, pen = (WHITE, BLACK) if random.random() < 0.5 else (_colour(random), _colour(random))
    image = Image.new("RGB", (DRAWN_AT, DRAWN_AT), paper)
    draw = ImageDraw.Draw(image)
    width = int(random.integers(2, 14))
    for _ in range(random.integers(4, 50)):
        turns = np.cumsum(random.normal(0, 0.35, 30)) + random.uniform(0, 2 * pi)
        steps = np.stack([np.cos(turns), np.sin(turns)], 1) * random.uniform(0.005, 0.04)
        line = (random.random(2) + np.cumsum(steps, 0)) * DRAWN_AT
        draw.line([(float(x), float(y)) for x, y in line], fill=pen, width=width, joint="curve")
    for _ in range(random.integers(0, 6)):
        (left, top), size, angle = random.random(2), random.uniform(0.1, 0.4), random.uniform(0, pi)
        along = np.array([np.cos(angle), np.sin(angle)]) * size
        for part in np.linspace(0, 1, int(random.integers(6, 25))):
            start = np.array([left - along[1] * part, top + along[0] * part])
            ends = [(float(x), float(y)) for x, y in np.stack([start, start + along]) * DRAWN_AT]
            draw.line(ends, fill=pen, width=max(1, width // 2))
    return image


def one_hue(random: Generator) -> Image.Image:
    """A texture from dark to light in one hue."""
    field = _noise(random, int(random.integers(4, 64)), int(random.integers(1, 5)))
    if random.random() < 0.4:  # as brushed, woven or in rings
        field = np.sin(field * random.uniform(1, 4) + _turned(random)[0] * random.uniform(20, 200))
    low, high = np.quantile(field, [0.01, 0.99])
    middle = np.array(_colour(random))
    dark, light = middle * random.uniform(0, 0.5), 255 - (255 - middle) * random.uniform(0.1, 0.8)
    return _ramp(np.clip((field - low) / (high - low), 0, 1), [dark, middle, light])


KINDS: Final[dict[str, Callable[[Generator], Image.Image]]] = {
    kind.__name__: kind for kind in (plain, gradient, stripes, rectangles, shapes, blobs, line_drawing, one_hue)
}


def _colour(random: Generator) -> Colour:
    kind = random.random()
    if kind < PURE:
        values = random.choice([0.0, 0.0, 0.5, 1.0, 1.0], 3)
    elif kind < PURE + NEUTRAL:
        values = np.repeat(random.choice([0.0, random.random(), 1.0]), 3)
    else:
        values = random.random(3)
    red, green, blue = (round(255 * float(value)) for value in values)
    return red, green, blue


def _palette(random: Generator, least: int, most: int) -> list[Colour]:
    return [_colour(random) for _ in range(random.integers(least, most + 1))]


def _any(random: Generator, colours: list[Colour]) -> Colour:
    return colours[int(random.integers(len(colours)))]


def _turned(random: Generator) -> tuple[Field, Field]:
    """Coordinates, 0 to 1 over the picture, turned: mostly by quarters."""
    angle = random.choice([0, 0.5, random.random()]) * pi
    y, x = (np.mgrid[:DRAWN_AT, :DRAWN_AT] + 0.5) / DRAWN_AT - 0.5
    return x * np.cos(angle) + y * np.sin(angle) + 0.5, y * np.cos(angle) - x * np.sin(angle) + 0.5


def _noise(random: Generator, cells: int, octaves: int) -> Field:
    """Smooth noise of so many cells a side, and finer ones at less strength upon it."""
    total = np.zeros((DRAWN_AT, DRAWN_AT))
    for octave in range(octaves):
        side = min(cells * 2**octave, DRAWN_AT)
        coarse = Image.fromarray(random.normal(size=(side, side)).astype(np.float32))
        total += np.array(coarse.resize((DRAWN_AT, DRAWN_AT), Image.Resampling.BICUBIC)) / 1.7**octave
    return total


def _filled(places: NDArray[np.int64], colours: list[Colour]) -> Image.Image:
    """A picture of colours by their numbers, which begin anew after the last."""
    return Image.fromarray(np.array(colours, np.uint8)[places % len(colours)])


def _ramp(places: Field, colours: list[Colour] | list[Field]) -> Image.Image:
    """Colours at even distances from 0 to 1, and what is between them."""
    stops = np.linspace(0, 1, len(colours))
    channels = [np.interp(places, stops, channel) for channel in np.array(colours, float).T]
    return Image.fromarray(np.stack(channels, -1).round().astype(np.uint8))


def _disc(random: Generator, draw: ImageDraw.ImageDraw, colour: Colour, least: float, most: float) -> None:
    (x, y), radius = random.random(2) * DRAWN_AT, random.uniform(least, most) * DRAWN_AT
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
