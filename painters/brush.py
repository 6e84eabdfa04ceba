"""Painters with a brush or a knife."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

from painters.canvas import SIDE, Field, Random, X, Y, colours, dots, lit, noise, scattered, shaded, strokes
from painters.scenes import disc, garden, still_life

Tint = Callable[[Field, Random], Field]


def varied(light: float, hue: float) -> Tint:
    """A tint: the colour under the brush, lighter or darker by `light` and of another hue by `hue`, on average."""

    def tint(under: Field, random: Random) -> Field:
        return under * (1 + light * random.normal(size=(len(under), 1))) + hue * random.normal(size=under.shape)

    return tint


def wheat(random: Random) -> Field:
    """A field of wheat in the wind, under a restless sky."""
    sky = shaded(Y * 2.2 + 0.25 * noise(random, 0.16), colours("1f4e9c", "3f82c8", "9cc9dc", "eef0dc"))
    field = shaded(
        (Y - 0.4) * 1.6 + 0.22 * noise(random, 0.06), colours("f5e08a", "edc03a", "d9962a", "8f6a1e", "56702c")
    )
    ground = np.clip((Y - 0.43 - 0.03 * np.sin(5 * X + 1)) * 200, 0, 1)[..., None]
    base = disc(sky, 0.74, 0.17, 0.09, colours("fdf3b0")[0]) * (1 - ground) + field * ground
    wind = noise(random, 0.3)
    angle = np.where(ground[..., 0] > 0.5, -np.pi / 2 + 0.5 + 0.35 * wind, 0.9 * noise(random, 0.25))
    base = strokes(
        base, angle, random, ((0.09, 0.016, 3000), (0.06, 0.008, 9000), (0.035, 0.004, 15000)), varied(0.16, 0.03)
    )
    return lit(base, base.mean(-1), 1.1)


def knife(random: Random) -> Field:
    """Thick paint laid on with a knife: flat slabs with a ridge at the edge, lit from the side."""
    base = still_life(
        random,
        colours("e8dcc4", "b8a284", "6e5a50"),
        colours("2c5a5e", "4f8a86", "93b8a0"),
        colours("d8482c", "e8a02c", "7f9c3a", "b02c4a"),
    )
    angle = np.round(noise(random, 0.18) * 1.5) * 0.7
    picture = strokes(
        base, angle, random, ((0.11, 0.05, 900), (0.08, 0.03, 2200), (0.05, 0.016, 3200)), varied(0.1, 0.035)
    )
    height = (
        picture.mean(-1)
        + 0.12 * strokes(np.full((SIDE, SIDE, 3), 0.5), angle, random, ((0.1, 0.004, 9000),), varied(0.4, 0))[..., 0]
    )
    return lit(picture, gaussian_filter(height, 0.8), 2.2)


def watercolour(random: Random) -> Field:
    """Washes that pool at their edges, on grained paper."""
    paper = 0.97 + 0.012 * noise(random, 0.006, 2)[..., None] * np.ones(3)
    picture = paper.copy()
    pigments = colours("4f8fc0", "79b8c8", "e39a8c", "f2c46c", "8fb87c", "5c6ea8", "c77a9c", "3f6f6a")
    for number in range(34):
        y, x = random.random(2)
        radius = 0.06 + 0.16 * random.random()
        shape = radius * (1 + 0.3 * noise(random, 0.12, 5)) - np.hypot((X - x) * (0.5 + random.random()), Y - y)
        wet = np.clip(shape * 160, 0, 1)
        edge = np.exp(-((shape * 110 - 0.6) ** 2)) * 0.45
        depth = wet * (0.3 + 0.13 * noise(random, 0.1)) + edge * wet + 0.05 * wet * noise(random, 0.008, 2)
        picture *= 1 - np.clip(depth, 0, 1)[..., None] * (1 - pigments[number % len(pigments)])
    return picture


def pointillism(random: Random) -> Field:
    """A park of dots, each purer than what it stands for, some its opposite: they mix in the eye."""
    base = 0.8 * garden(random) + 0.2 * colours("f3dcb4")[0]
    places = scattered(random, 9000, 1)
    under = base[tuple((np.clip(places, 0, 0.999) * SIDE).astype(int).T)]
    grey = under.mean(-1, keepdims=True)
    vivid = grey + (under - grey) * 1.15 + 0.09 * random.normal(size=(len(under), 1))
    opposite = random.random((len(under), 1)) < 0.12
    return dots(
        base,
        places,
        np.where(opposite, grey + 0.7 * (grey - under), vivid),
        0.0056 + 0.002 * random.random(len(places)),
    )


def ink_wash(random: Random) -> Field:
    """Mountains in mist, ink on rice paper, with one red seal."""
    paper = colours("f3eee0")[0] * (1 + 0.012 * noise(random, 0.01, 3)[..., None])
    picture = paper
    for row in range(6):
        near = row / 5
        line = 0.3 + 0.1 * row - (0.07 + 0.03 * near) * noise(random, 0.3, 6)[0]
        below = Y - line[None]
        edge = np.clip(below * 300, 0, 1)
        wash = edge * np.exp(-np.clip(below, 0, None) / (0.05 + 0.06 * near)) * (0.25 + 0.55 * near)
        wash *= 1 + 0.18 * noise(random, 0.05, 5)
        picture = picture * (1 - np.clip(wash, 0, 0.95)[..., None] * (1 - colours("1c2024")[0]))
    trees = (noise(random, 0.03, 4) > 1.1) * np.clip((Y - 0.75) * 4, 0, 1)
    picture = picture * (1 - 0.75 * gaussian_filter(trees, 0.9)[..., None])
    seal = ((np.abs(X - 0.9) < 0.028) & (np.abs(Y - 0.1) < 0.035))[..., None]
    return np.where(seal & (noise(random, 0.008, 2) < 1.2)[..., None], colours("b3261e")[0], picture)
