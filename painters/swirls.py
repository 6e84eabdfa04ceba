"""The README's painting: brush strokes along a field of swirls."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from painters.canvas import SIDE, Field, Random, from_image

SCALE = 2
PALETTE = np.array(
    [[18, 32, 84], [28, 66, 140], [60, 120, 180], [130, 180, 200], [240, 205, 90], [235, 150, 40], [200, 80, 40]]
)
SWIRLS = ((0.28, 0.30, 1.0), (0.72, 0.24, -1.0), (0.55, 0.62, 1.0), (0.12, 0.80, -1.0), (0.90, 0.78, 1.0))


def field(x: Field, y: Field) -> tuple[Field, Field]:
    """Direction of the brush at points of the unit square, as an angle, and how near a swirl is."""
    u, v, near = np.full_like(x, 0.6), np.zeros_like(x), np.zeros_like(x)
    for cx, cy, turn in SWIRLS:
        dx, dy = x - cx, y - cy
        strength = np.exp(-(dx**2 + dy**2) / 0.02)
        u, v = u - turn * dy * strength * 12, v + turn * dx * strength * 12
        near = np.maximum(near, strength)
    return np.arctan2(v, u), near


def night(random: Random) -> Field:
    """Short strokes round five lights, blue and gold; with seed 7 it is docs/pictures/painting.jpg."""
    edge = SIDE * SCALE
    canvas = Image.new("RGB", (edge, edge), tuple(int(c) for c in PALETTE[0]))
    draw = ImageDraw.Draw(canvas)
    for length, width, count in ((70, 22, 4000), (46, 12, 9000), (28, 6, 14000)):
        x, y = random.random(count), random.random(count)
        tone = np.clip(3.2 * field(x, y)[1] + 1.6 * (1 - y) + random.normal(0, 0.7, count), 0, len(PALETTE) - 1)
        low = tone.astype(int)
        part = (tone - low)[:, None]
        colours = PALETTE[low] * (1 - part) + PALETTE[np.minimum(low + 1, len(PALETTE) - 1)] * part
        colours = np.clip(colours + random.normal(0, 12, (count, 3)), 0, 255).astype(int)
        for px, py, colour in zip(x, y, colours, strict=True):
            points = [(px, py)]
            for _ in range(6):
                angle = float(field(np.array([px]), np.array([py]))[0][0])
                px, py = px + np.cos(angle) * length / edge / 6, py + np.sin(angle) * length / edge / 6
                points.append((px, py))
            draw.line([(a * edge, b * edge) for a, b in points], tuple(int(c) for c in colour), width, "curve")
    return from_image(canvas.filter(ImageFilter.GaussianBlur(1)).resize((SIDE, SIDE)))
