"""The page in a real browser beside its own server: how soon it is painted, and how soon a preview follows a slider.

Playwright drives Debian's chromium-headless-shell (or chromium, or google-chrome). First paint: each visit with empty
caches. Previews: the slider of the strength is moved once the last picture is there, and the time is taken from the
event to the frame after the preview is in the document; in turns with the same request sent without a browser, as
quick as the service answers it.
"""

import argparse
import io
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from tqdm import tqdm

from app.http.page import WEB
from benchmarks.server import running_server

SAMPLE = "portrait.jpg"
STYLE = "Watercolour"
PREVIEW_SIDE = 256
SCREEN = ViewportSize(width=1280, height=800)

# Times in milliseconds since the move, by what came: a preview, the full picture.
WATCH = """
window.shifts = 0;
new PerformanceObserver(list => list.getEntries().forEach(entry => window.shifts += entry.value))
  .observe({ type: "layout-shift", buffered: true });
window.move = strength => new Promise(done => {
  const [slider, after] = [document.querySelector("#strength"), document.querySelector("#after")];
  const moved = performance.now(), times = {};
  new MutationObserver((_, observer) => {
    const size = after.dataset.size;
    requestAnimationFrame(() => {
      times[size] ??= performance.now() - moved;
      if (size !== "full") return;
      observer.disconnect();
      done(times);
    });
  }).observe(after, { attributeFilter: ["data-size"] });
  slider.value = strength;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
});
"""


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Chromium without a window."""
    names = ("chromium-headless-shell", "chromium", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise SystemExit("no Chromium: apt-get install chromium-headless-shell")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def first_paint(browser: Browser, url: str) -> tuple[float, float, float]:
    """Milliseconds to the first paint and to the styles, and the layout shift, of a visit with empty caches."""
    with browser.new_context(viewport=SCREEN) as context:
        page = context.new_page()
        page.add_init_script(WATCH)
        page.goto(url)
        page.wait_for_function("() => [...document.images].every(image => image.complete) && gallery.children.length")
        paint, styles, shifts = page.evaluate(
            """() => [
                performance.getEntriesByName("first-contentful-paint")[0].startTime,
                Math.max(...performance.getEntriesByType("resource").map(entry => entry.responseEnd)),
                window.shifts,
            ]"""
        )
        return paint, styles, shifts


@contextmanager
def opened(browser: Browser, url: str, sample: str, style: str) -> Iterator[Page]:
    """The page with a sample photo painted in a style."""
    with browser.new_context(viewport=SCREEN, locale="en") as context:
        page = context.new_page()
        page.add_init_script(WATCH)
        page.goto(url)
        page.locator(f'#samples img[src$="{sample}"]').click()
        page.locator("#gallery button", has_text=style).click()
        page.wait_for_function("() => document.querySelector('#status').textContent.startsWith('Painted')")
        yield page


class Api:
    """The request a preview makes, without a browser."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=60)
        styles = self.client.get("/styles").json()["styles"]
        self.style = next(style["id"] for style in styles if style["name"] == STYLE)
        with Image.open(WEB / "samples" / SAMPLE) as photo:
            # As the page reads a style smaller for a preview, so that its strokes are as large beside the photo.
            self.style_size = 512 * PREVIEW_SIDE // max(photo.size)
            photo.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
            file = io.BytesIO()
            photo.save(file, "JPEG", quality=93)
        self.photo = file.getvalue()

    def milliseconds(self, strength: float) -> float:
        fields = {"style_id": self.style, "strength": strength, "size": PREVIEW_SIDE, "style_size": self.style_size}
        since = time.perf_counter()
        self.client.post("/stylize", files={"content": self.photo}, data=fields).raise_for_status()
        return 1000 * (time.perf_counter() - since)


def p95(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=20, method="inclusive")[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=10, help="visits with empty caches (default: 10)")
    parser.add_argument("--moves", type=int, default=40, help="moves of the slider (default: 40)")
    asked = parser.parse_args()
    with running_server() as url, running_browser() as browser:
        first_paint(browser, url)
        visits = [first_paint(browser, url) for _ in tqdm(range(asked.visits), unit="visit", leave=False)]
        previews, fulls, answers = [], [], []
        api = Api(url)
        api.milliseconds(1)
        with opened(browser, url, SAMPLE, STYLE) as page:
            for move in tqdm(range(asked.moves), unit="move", leave=False):
                strength = 0.5 + 0.01 * (move % 50)
                times = page.evaluate("strength => window.move(strength)", strength)
                previews.append(times["preview"])
                fulls.append(times["full"])
                answers.append(api.milliseconds(strength))
    paints, styles, shifts = zip(*visits, strict=True)
    print("                               median ms   p95 ms")
    for name, figures in (
        ("first contentful paint", paints),
        ("styles and samples there", styles),
        ("preview after a move", previews),
        ("the API alone, as large", answers),
        ("full picture after a move", fulls),
    ):
        print(f"{name:29}  {statistics.median(figures):10.0f}  {p95(figures):7.0f}")
    print(f"layout shift: {max(shifts):.4f}; bound of the preview's p95: {1.2 * p95(answers) + 50:.0f} ms")


if __name__ == "__main__":
    main()
