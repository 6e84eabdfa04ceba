"""Draw page.jpg: the page of a service that runs, with a sample photo in a style that stands ready.

python -m docs.pictures.page http://127.0.0.1:8000
"""

import io
import sys
from pathlib import Path

from PIL import Image

from benchmarks.page import opened, running_browser

FILE = Path(__file__).with_suffix(".jpg")


def main() -> None:
    with running_browser() as browser, opened(browser, sys.argv[1], "portrait.jpg", "Stained glass") as page:
        Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(FILE, quality=80, optimize=True)


if __name__ == "__main__":
    main()
