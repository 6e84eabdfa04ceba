"""Painters with a pen, a gouge or a press."""

import numpy as np
from scipy.ndimage import gaussian_filter

from painters.canvas import SIDE, Field, Random, X, Y, colours, noise
from painters.scenes import disc, hills, still_life


def stripes(angle: float, pitch: float, bend: Field) -> Field:
    """Waves in [-1, 1], `pitch` of the picture apart, bent by a field in parts of the picture."""
    return np.sin(2 * np.pi * (X * np.sin(angle) + Y * np.cos(angle) + bend) / pitch)


def woodcut(random: Random) -> Field:
    """Black lines cut along the land, and an orange sun: two blocks on cream paper."""
    tone = hills(
        random, colours("404040", "c8c8c8", "ffffff"), colours("b0b0b0", "606060", "d0d0d0", "202020", "808080"), 6
    ).mean(-1)
    tone = gaussian_filter(disc(np.repeat(tone[..., None], 3, -1), 0.7, 0.22, 0.13, np.ones(3)).mean(-1), 1)
    bend = 0.09 * noise(random, 0.3, 2) + 0.06 * tone
    cut = stripes(0.25, 0.019, bend) + 0.25 * noise(random, 0.01, 2)
    white = np.clip((cut - 1.5 + 2.6 * tone) * 6, 0, 1)[..., None]
    sun = np.clip((0.13 - np.hypot(X - 0.7, Y - 0.22)) * 300, 0, 1)[..., None]
    paper = colours("f1e6cc")[0] * (1 - sun) + colours("e0702c")[0] * sun
    return paper * white + colours("1d1b1e")[0] * (1 - white)


def hatching(random: Random) -> Field:
    """Pen and sepia ink on cream paper: the darker the place, the more layers of lines cross there."""
    greys = (
        colours("f4f4f4", "b0b0b0", "585858"),
        colours("303030", "909090", "f8f8f8"),
        colours("d8d8d8", "a0a0a0", "c4c4c4"),
    )
    tone = gaussian_filter(still_life(random, *greys).mean(-1), 2) + 0.09 * noise(random, 0.12)
    ink = np.zeros((SIDE, SIDE))
    for angle, lightest in ((0.85, 0.9), (-0.7, 0.66), (0.2, 0.45), (1.5, 0.26)):
        lines = stripes(angle, 0.0165, 0.006 * noise(random, 0.2, 3)) + 0.25 * noise(random, 0.012, 2)
        deep = np.clip((lightest - tone) * 4, 0, 1)
        ink = np.maximum(ink, np.clip((lines - 1 + 0.75 * deep) * 3, 0, 1) * np.clip(deep * 4, 0, 1))
    outline = np.clip(np.hypot(*np.gradient(tone)) * 26 - 0.5, 0, 1)
    ink = np.maximum(ink, outline)[..., None]
    paper = colours("f6ecd6")[0] * (1 + 0.015 * noise(random, 0.02, 3)[..., None])
    return paper * (1 - ink) + colours("2f2019")[0] * ink


def halftone(random: Random) -> Field:
    """Comic print: flat colours, one raster of dots in the half tones, black contours."""
    fruit = colours("f0384a", "ffd23a", "ff7fa8")
    base = still_life(random, colours("ffe04a", "ffd23a", "f59a2c"), colours("35b6e8", "62c8f0", "a8e0f8"), fruit)
    flat = np.round(gaussian_filter(base, (1.5, 1.5, 0)) * 3) / 3
    u, v = (X + Y) * 42, (X - Y) * 42
    dots = (np.cos(2 * np.pi * u) + np.cos(2 * np.pi * v)) / 4 + 0.5
    cover = np.clip((dots - 0.35 - 0.5 * gaussian_filter(base.mean(-1), 2)) * 9, 0, 1)[..., None]
    picture = np.clip(flat, 0.08, 0.97) * (1 - 0.22 * cover * colours("d0ffff")[0])
    edge = np.hypot(*np.gradient(gaussian_filter(base.mean(-1), 1.3))) * 55
    return picture * (1 - np.clip(edge - 0.5, 0, 1)[..., None] * 0.92)
