"""Painters in planes and pieces: glass, tesserae, facets, marbled paper, cut paper."""

import numpy as np
from scipy.ndimage import gaussian_filter

from painters.canvas import SIDE, Field, Random, X, Y, cells, colours, lit, noise, scattered, shaded, warped
from painters.scenes import disc, hills


def stained_glass(random: Random) -> Field:
    """Panes of glass in lead, the light behind them."""
    points = scattered(random, 190, 2)
    owner, gap = cells(points)
    ring = np.hypot(points[:, 1] - 0.5, points[:, 0] - 0.46)
    palette = colours("a3122c", "d9481c", "f0a81c", "f6dc5a", "1f7a4a", "1a4fa8", "2c2a86", "5fb4d8", "6a1f78")
    place = (ring * 14 + random.normal(0, 0.8, len(points))).astype(int) % len(palette)
    panes = palette[place][owner] * (
        0.75 + 0.14 * noise(random, 0.1)[..., None] + 0.5 * np.clip(gap * 14, 0, 0.5)[..., None]
    )
    lead = np.clip((0.0075 - gap) * 500, 0, 1)[..., None]
    rings = np.min([np.abs(np.hypot(X - 0.5, Y - 0.46) - r) for r in (0.18, 0.36, 0.47)], 0)
    lead = np.maximum(lead, np.clip((0.006 - rings) * 500, 0, 1)[..., None])
    return panes * (1 - lead) + colours("15130f")[0] * lead


def mosaic(random: Random) -> Field:
    """Small stones laid in rows, with grout between."""
    base = disc(
        hills(random, colours("1f5a8c", "4f9cc0", "e8d8a0"), colours("4a7a5c", "b8602c", "d8a83c", "7a2c2c"), 5),
        0.32,
        0.2,
        0.1,
        colours("f4c430")[0],
    )
    rows, number = [], 28
    for row in range(number):
        across = (np.arange(number) + 0.5 * (row % 2) + random.normal(0, 0.1, number)) / number
        rows.append(
            np.stack(
                [
                    (row + 0.5 + random.normal(0, 0.08, number)) / number + 0.025 * np.sin(6 * across + row * 0.05),
                    across,
                ],
                -1,
            )
        )
    points = np.concatenate(rows)
    owner, gap = cells(points)
    under = base[tuple((np.clip(points, 0, 0.999) * SIDE).astype(int).T)]
    stones = np.clip(
        under * (1 + 0.12 * random.normal(size=(len(points), 1))) + 0.05 * random.normal(size=under.shape), 0.03, 1
    )[owner]
    grout = np.clip((0.004 - gap) * 600, 0, 1)[..., None]
    return lit(stones * (1 - grout) + colours("7d7060")[0] * grout, np.clip(gap * 60, 0, 0.35), 0.9)


def cubist(random: Random) -> Field:
    """Overlapping facets of ochre, grey and green, each shaded from one edge."""
    palette = colours("b89a6a", "8c7450", "5c5240", "d8c8a0", "6c7a6c", "3c4a4c", "a8683c", "e4dcc4", "2c2a28")
    picture = shaded(Y + 0.2 * noise(random, 0.3), colours("a89a78", "6c6450", "4a463c"))
    for _ in range(150):
        y, x = random.normal(0.5, 0.27, 2)
        angle, size = random.random() * np.pi, 0.05 + 0.17 * random.random()
        u = (X - x) * np.cos(angle) + (Y - y) * np.sin(angle)
        v = (Y - y) * np.cos(angle) - (X - x) * np.sin(angle)
        slant = random.normal(0, 0.6)
        inside = (np.abs(u + slant * v) < size) & (np.abs(v) < size * (0.3 + 0.7 * random.random()))
        fade = np.clip(0.5 + (u + slant * v) / size * 0.5, 0, 1)[..., None]
        colour = palette[random.integers(len(palette))]
        facet = colour * (0.65 + 0.5 * fade) + 0.02 * noise(random, 0.02, 2)[..., None]
        cover = inside[..., None] * (0.35 + 0.6 * fade)
        picture = picture * (1 - cover) + facet * cover
        outline = inside ^ (gaussian_filter(inside.astype(float), 1.1) > 0.5 + 0.35)
        picture = np.where((outline & inside)[..., None], picture * 0.45, picture)
    return picture


def marbling(random: Random) -> Field:
    """Paint floating on water, drawn through with a comb, then taken up with paper."""
    down, across = 0.0 * X, 0.0 * X
    for size, strength in ((0.5, 0.12), (0.25, 0.07), (0.1, 0.025)):
        down, across = down + strength * noise(random, size, 2), across + strength * noise(random, size, 2)
    comb = 0.05 * np.sin(2 * np.pi * 5 * (X + across)) ** 3
    bands = (Y + down + comb) * 26
    palette = colours(
        "14304f", "1f6a7c", "e9e2d0", "c8402c", "e9e2d0", "d8a03c", "14304f", "7fb0a8", "f4efe0", "2c4a6c"
    )
    index = np.floor(bands).astype(int) % len(palette)
    vein = np.clip(np.abs(bands % 1 - 0.5) * 9 - 3.7, 0, 1)[..., None]
    return palette[index] * (1 - 0.6 * vein) + 0.015 * noise(random, 0.01, 2)[..., None]


def woodblock_wave(random: Random) -> Field:
    """Waves as flat bands of blue with white crests and dark outlines, under a pale sky."""
    picture = shaded(Y * 1.6, colours("c8b890", "ead9b4", "f2ead2", "e8dcc0"))
    sea = colours("a8c4cc", "5f93b0", "2c6090", "1a3f70", "122c54")
    for row in range(9):
        near = row / 8
        phase, tall = random.random() * 6, 0.035 + 0.04 * near
        x = X + 0.03 * np.sin(9 * X + phase)
        line = 0.3 + 0.085 * row - tall * (np.abs(np.sin((3.2 - near) * np.pi * x + phase)) ** 0.7) * 1.6
        below = Y - line - 0.004 * noise(random, 0.03, 3)
        band = np.clip(below * 320, 0, 1)[..., None]
        colour = sea[(row * 2 + (below * (26 - 8 * near)).astype(int)) % len(sea)]
        foam = np.clip((0.02 + 0.012 * noise(random, 0.02, 3) - below) * 200, 0, 1)[..., None]
        outline = np.clip((0.0045 - np.abs(below)) * 500, 0, 1)[..., None]
        picture = picture * (1 - band) + (colour * (1 - foam) + colours("f4f0e2")[0] * foam) * band
        picture = picture * (1 - outline) + colours("1a2438")[0] * outline
    return picture


def cut_paper(random: Random) -> Field:
    """Leaves and shapes cut out of painted paper, laid on plain fields."""
    fields = colours("f2b632", "e0482c", "2a6fb0", "f4e8d0", "1f8a70", "ef8aa8")
    picture = fields[(np.floor(X * 3).astype(int) + 2 * np.floor(Y * 3).astype(int)) % len(fields)]
    leaves = colours("16324f", "f7f1e1", "d93a2b", "1d7a5c", "f4c23c", "10202e", "e6739a")
    for number in range(26):
        y, x = random.random(2)
        angle, size = random.random() * 6.3, 0.07 + 0.08 * random.random()
        u, v = (X - x) * np.cos(angle) + (Y - y) * np.sin(angle), (Y - y) * np.cos(angle) - (X - x) * np.sin(angle)
        radius, turn = np.hypot(u, v), np.arctan2(v, u)
        lobes = size * (0.62 + 0.38 * np.abs(np.cos(turn * random.integers(2, 5))) ** 0.6)
        shade = np.clip((lobes * 1.02 - np.hypot(u - 0.006, v - 0.006)) * 90, 0, 1)[..., None] * 0.2
        leaf = np.clip((lobes - radius) * 320, 0, 1)[..., None]
        picture = picture * (1 - shade)
        picture = picture * (1 - leaf) + leaves[number % len(leaves)] * leaf
    return (
        warped(picture, 0.002 * noise(random, 0.05), 0.002 * noise(random, 0.05))
        + 0.012 * noise(random, 0.006, 2)[..., None]
    )


def forest_glow(random: Random) -> Field:
    """Trunks against the light, in pastel: soft edges, warm paper."""
    picture = shaded(
        np.hypot(X - 0.55, (Y - 0.4) * 0.8) * 1.7 + 0.07 * noise(random, 0.05),
        colours("fff0b8", "f8b85c", "d86a4a", "6c3a6a", "2c2450"),
    )
    for number in range(13):
        x = (number + random.random()) / 13
        width = 0.006 + 0.02 * random.random() ** 2
        trunk = np.clip((width * (0.8 + 0.5 * Y) - np.abs(X - x - 0.02 * noise(random, 0.3, 3)[:, :1])) * 130, 0, 1)[
            ..., None
        ]
        picture = picture * (1 - 0.85 * trunk) + colours("241a38")[0] * 0.85 * trunk
    leaves = np.clip(noise(random, 0.05, 4) - 0.5 + 1.4 * (0.35 - Y), 0, 1)[..., None]
    picture = picture * (1 - 0.6 * leaves) + colours("3c2c54")[0] * 0.6 * leaves
    grain = gaussian_filter(random.normal(size=(SIDE, SIDE)), (2.6, 0.6))
    return picture + 0.16 * (grain / grain.std() * 0.35)[..., None]
