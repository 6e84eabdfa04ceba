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
    """Pen and sepia ink on toned paper: the darker the place, the more layers of lines cross there."""
    greys = (
        colours("ffffff", "d0d0d0", "989898"),
        colours("808080", "b8b8b8", "f0f0f0"),
        colours("d8d8d8", "a8a8a8", "c4c4c4"),
    )
    tone = gaussian_filter(still_life(random, *greys).mean(-1), 2) + 0.05 * noise(random, 0.08)
    paper = colours("f4ead6")[0] * (0.72 + 0.3 * np.clip(tone, 0, 1))[..., None]
    ink = np.zeros((SIDE, SIDE))
    for number, angle in enumerate((0.85, -0.7, 0.2)):
        lines = stripes(angle, 0.021, 0.008 * noise(random, 0.2, 3)) + 0.3 * noise(random, 0.012, 2)
        deep = np.clip((0.72 - 0.2 * number - tone) * 5, 0, 1)
        ink = np.maximum(ink, np.clip((lines - 1.25 + 0.6 * deep) * 3, 0, 1) * deep)
    outline = np.clip(np.hypot(*np.gradient(tone)) * 22 - 0.45, 0, 1)
    ink = np.maximum(ink, outline)[..., None] * 0.85
    return paper * (1 - ink) + colours("4a3426")[0] * ink


def halftone(random: Random) -> Field:
    """Comic print: flat colours, one raster of dots in the half tones, black contours."""
    fruit = colours("f0384a", "ffd23a", "ff7fa8")
    base = still_life(random, colours("ffe04a", "ffd23a", "f59a2c"), colours("35b6e8", "62c8f0", "a8e0f8"), fruit)
    flat = np.round(gaussian_filter(base, (1.5, 1.5, 0)) * 3) / 3
    u, v = (X + Y) * 30, (X - Y) * 30
    dots = (np.cos(2 * np.pi * u) + np.cos(2 * np.pi * v)) / 4 + 0.5
    cover = np.clip((dots - 0.35 - 0.5 * gaussian_filter(base.mean(-1), 2)) * 9, 0, 1)[..., None]
    picture = np.clip(flat, 0.08, 0.97) * (1 - 0.32 * cover * colours("d0ffff")[0])
    edge = np.hypot(*np.gradient(gaussian_filter(base.mean(-1), 1.3))) * 30
    return picture * (1 - np.clip(edge - 0.5, 0, 1)[..., None] * 0.92)
