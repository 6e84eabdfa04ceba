"""Draw styles.jpg: each style that stands ready, and the page's sample photos in it, by a service that runs.

python -m docs.pictures.styles http://127.0.0.1:8000
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from app.client import Impasto
from app.http.page import WEB
from app.styles.ready import SHIPPED, ready_styles

FILE = Path(__file__).with_suffix(".jpg")
PHOTOS = [WEB / "samples" / f"{name}.jpg" for name in ("portrait", "cat", "coffee")]
SIDE, GAP, LABEL, COLUMNS = 128, 4, 16, 2


def main() -> None:
    styles = list(ready_styles([SHIPPED], 10**9).values())
    rows = -(-len(styles) // COLUMNS)
    width, height = (1 + len(PHOTOS)) * (SIDE + GAP) + 3 * GAP, SIDE + LABEL + GAP
    sheet = Image.new("RGB", (COLUMNS * width - 4 * GAP, rows * height), "white")
    draw = ImageDraw.Draw(sheet)
    with Impasto(sys.argv[1]) as impasto:
        for number, style in enumerate(styles):
            left, top = number // rows * width, number % rows * height
            draw.text((left, top), style.name, "#333")
            painted = [impasto.stylize(photo, style.path, size=512, format="png").image() for photo in PHOTOS]
            for place, picture in enumerate([Image.open(style.path), *painted]):
                tile = ImageOps.fit(picture.convert("RGB"), (SIDE, SIDE))
                sheet.paste(tile, (left + place * (SIDE + GAP), top + LABEL))
    sheet.save(FILE, quality=70, optimize=True)


if __name__ == "__main__":
    main()
