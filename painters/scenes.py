"""What the painters look at: landscapes and still lifes, plain fields of colour for a brush to work on."""

import numpy as np

from painters.canvas import Field, Random, X, Y, colours, noise, shaded


def ridge(random: Random, level: float, height: float, size: float) -> Field:
    """1 below the line of a row of hills, 0 above, with a soft edge of two pixels."""
    line = level - height * noise(random, size, 5)[0]
    return np.clip((Y - line[None]) * 320, 0, 1)


def hills(random: Random, sky: Field, land: Field, rows: int = 5, start: float = 0.35) -> Field:
    """Rows of hills under a sky; palettes go from the top of the sky down and from the furthest hill to the nearest."""
    picture = shaded(Y / (start + 0.15) + 0.12 * noise(random, 0.3), sky)
    for row in range(rows):
        near = row / max(1, rows - 1)
        hill = ridge(random, start + 0.55 * near**1.2 + 0.03, 0.03 + 0.03 * near, 0.25)[..., None]
        tone = np.clip(near + 0.07 * noise(random, 0.08), 0, 1)
        picture = picture * (1 - hill) + shaded(tone, land) * hill
    return picture


def disc(picture: Field, x: float, y: float, radius: float, colour: Field) -> Field:
    """A sun, a moon or a fruit."""
    inside = np.clip((radius - np.hypot(X - x, Y - y)) * 320, 0, 1)[..., None]
    return picture * (1 - inside) + colour * inside


def garden(random: Random) -> Field:
    """A bright park by a river: sky, far trees, water and grass with flowers."""
    picture = hills(
        random,
        colours("7f9fd0", "b8c4e0", "f6d9b4"),
        colours("7480b0", "5f8a7c", "93a65e", "c9b45e"),
        rows=4,
        start=0.3,
    )
    water = ((Y > 0.52) & (0.66 + 0.03 * np.sin(7 * X) > Y))[..., None]
    picture = np.where(
        water, shaded((Y - 0.5) * 5 + 0.2 * noise(random, 0.1), colours("8ab0dc", "4a6fae", "e8cfa8")), picture
    )
    for x, y, r in ((0.14, 0.36, 0.15), (0.86, 0.3, 0.19), (0.66, 0.42, 0.09), (0.33, 0.45, 0.07)):
        tree = np.clip((r * (1 + 0.15 * noise(random, 0.08)) - np.hypot(X - x, Y - y)) * 160, 0, 1)[..., None]
        light = np.clip(0.5 + (x - X + y - Y) / r * 0.5, 0, 1)
        picture = picture * (1 - tree) + shaded(light, colours("2a3f5c", "44704e", "b0ac54")) * tree
    flowers = (noise(random, 0.02, 2) > 1.6) & (Y > 0.7)
    return np.where(flowers[..., None], colours("d94a5c")[0], picture)


def still_life(random: Random, cloth: Field, wall: Field, fruit: Field) -> Field:
    """Fruit on a table before a wall."""
    table = np.clip((Y - 0.58 - 0.04 * np.sin(3 * X)) * 320, 0, 1)[..., None]
    picture = shaded(Y + 0.2 * noise(random, 0.2), wall) * (1 - table)
    picture += shaded((Y - 0.5) * 2 + 0.25 * noise(random, 0.1), cloth) * table
    for number, (x, y, r) in enumerate(
        (
            (0.3, 0.55, 0.15),
            (0.53, 0.5, 0.18),
            (0.74, 0.58, 0.13),
            (0.42, 0.7, 0.13),
            (0.62, 0.72, 0.12),
            (0.17, 0.7, 0.09),
        )
    ):
        light = np.clip(0.5 - ((X - x) + (Y - y)) / r * 0.42, 0, 1)
        body = shaded(
            light, np.stack([fruit[number % len(fruit)] * 0.35, fruit[number % len(fruit)], np.ones(3) * 0.97])
        )
        shadow = np.clip((1 - np.hypot((X - x - 0.06) / 1.3, (Y - y - r * 0.9) * 3) / r) * 2, 0, 1)[..., None] * 0.5
        picture = picture * (1 - shadow * table)
        inside = np.clip((r - np.hypot(X - x, Y - y)) * 320, 0, 1)[..., None]
        picture = picture * (1 - inside) + body * inside
    return picture
