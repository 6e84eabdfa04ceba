"""What a person does with the page, in a real browser on the real server."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pillow_heif
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, Request, Route, ViewportSize, expect

from app.access.keys import add_key
from tests.e2e.browser import PATIENCE, browser, needs_chromium
from tests.e2e.server import Server
from tests.pictures import jpeg, photo

__all__ = ["browser"]
pytestmark = needs_chromium

CAT = (Path(__file__).parents[2] / "app" / "web" / "samples" / "cat.jpg").read_bytes()
WIDE, NARROW = ViewportSize(width=1280, height=900), ViewportSize(width=360, height=740)


# The protocol that drives the browser does not tell what is in a form with files: the page notes it as it is sent.
NOTE_FORMS = """
window.sent = [];
const send = window.fetch;
window.fetch = (address, options) => {
  const form = options?.body;
  if (form instanceof FormData) sent.push([...form].map(([name, value]) => [name, value.size ?? value]));
  return send(address, options);
};
"""


class Visit:
    """A page opened by a visitor, and whatever went wrong in it."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server
        self.faults: list[str] = []
        self.asked: list[Request] = []
        page.set_default_timeout(PATIENCE)
        page.add_init_script(NOTE_FORMS)
        page.on("console", lambda message: self.faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.asked.append(request))
        page.goto(server.url)
        page.wait_for_selector("#gallery button")

    def choose_sample(self, name: str = "Cat") -> None:
        self.page.get_by_role("button", name=name, exact=True).click()
        self.page.wait_for_selector("#viewer")

    def choose_style(self, name: str) -> None:
        self.page.locator("#gallery button", has_text=name).click()

    def painted(self) -> Image.Image:
        """Wait for the full picture that belongs to what is chosen; its pixels as the page holds them.

        With each change the status says that it is being painted, until the last one's full picture is there.
        """
        self.page.wait_for_function("() => document.querySelector('#status').textContent.startsWith('Painted')")
        return self.picture()

    def picture(self) -> Image.Image:
        address = self.page.locator("#after").evaluate(
            """image => {
                const canvas = document.createElement("canvas");
                [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
                canvas.getContext("2d").drawImage(image, 0, 0);
                return canvas.toDataURL("image/png");
            }"""
        )
        return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))

    def sent(self) -> list[list[tuple[str, object]]]:
        """The fields of each form sent since the page was loaded; of a file its size in bytes."""
        forms: list[list[list[object]]] = self.page.evaluate("() => window.sent")
        return [[(str(name), value) for name, value in form] for form in forms]

    def by_api(self, style: str, size: tuple[int, int], content: Image.Image | None = None) -> Image.Image:
        """What the API makes of a picture, or else of the cat, in a style that stands ready."""
        styles = self.server.client.get("/styles").json()["styles"]
        data = {"style_id": next(s["id"] for s in styles if s["name"] == style), "size": max(size)}
        picture = jpeg(np.asarray(content)) if content else CAT
        answer = self.server.client.post("/stylize", files={"content": picture}, data=data)
        return Image.open(io.BytesIO(answer.content))


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Visit]:
    context = browser.new_context(viewport=WIDE, locale="en-GB", accept_downloads=True)
    visited = Visit(context.new_page(), server)
    yield visited
    context.close()
    assert visited.faults == []
    assert {urlsplit(request.url).netloc for request in visited.asked if not request.url.startswith("blob:")} == {
        urlsplit(server.url).netloc
    }


def difference(one: Image.Image, other: Image.Image) -> float:
    first, second = (np.asarray(picture.convert("RGB"), np.float32) for picture in (one, other))
    assert first.shape == second.shape
    return float(np.abs(first - second).mean())


def test_two_clicks_from_a_sample_to_a_painting_which_is_the_one_the_api_gives(visit: Visit) -> None:
    visit.choose_sample()
    visit.choose_style("Stained glass")
    shown = visit.painted()
    assert difference(shown, visit.by_api("Stained glass", shown.size)) == 0


def test_four_clicks_with_pictures_of_ones_own(visit: Visit, tmp_path: Path) -> None:
    mine, style = tmp_path / "mine.jpg", tmp_path / "my style.png"
    mine.write_bytes(jpeg(photo("astronaut", 300)))
    Image.fromarray(photo("coffee", 200)).save(style)
    with visit.page.expect_file_chooser() as chooser:
        visit.page.get_by_role("button", name="Your own photo…").click()
    chooser.value.set_files(mine)
    with visit.page.expect_file_chooser() as chooser:
        visit.page.get_by_role("button", name="Your own…", exact=True).click()
    chooser.value.set_files(style)
    assert visit.painted().size == (300, 300)
    expect(visit.page.locator("#gallery button").first).to_contain_text("my style")
    visit.page.locator("#strength").fill("0.5")
    visit.painted()
    assert "style" in dict(visit.sent()[0])
    assert "style" not in dict(visit.sent()[-1]), "the style is not uploaded twice"


def test_a_large_photo_is_reduced_in_the_browser(visit: Visit, tmp_path: Path) -> None:
    large = tmp_path / "phone.jpg"
    Image.fromarray(photo("chelsea")).resize((4000, 3000)).save(large, quality=95)
    visit.page.locator("#file").set_input_files(large)
    visit.page.locator("#size").select_option("512")
    visit.choose_style("Ink wash")
    assert visit.painted().size == (512, 384)
    assert max(int(str(dict(form)["content"])) for form in visit.sent()) < large.stat().st_size / 4


def test_a_photo_only_the_service_can_read_is_painted_and_shown(visit: Visit, tmp_path: Path) -> None:
    phone = tmp_path / "phone.heic"
    pillow_heif.from_pillow(Image.fromarray(photo("chelsea"))).save(phone)
    visit.page.locator("#file").set_input_files(phone)
    visit.page.locator("#size").select_option("512")
    visit.choose_style("Watercolour")
    assert visit.painted().size == (512, 341)
    expect(visit.page.locator("#compare")).to_be_hidden()


def test_while_a_slider_moves_a_preview_follows_and_at_rest_the_full_picture_comes(visit: Visit) -> None:
    visit.choose_sample()
    visit.choose_style("Watercolour")
    full = visit.painted()
    visit.page.locator("#after").evaluate(
        """after => {
            window.sizes = [];
            new MutationObserver(() => sizes.push(after.dataset.size)).observe(after, {attributeFilter: ["data-size"]});
        }"""
    )
    visit.page.locator("#strength").focus()
    for _ in range(30):
        visit.page.keyboard.press("ArrowLeft")
    assert visit.painted().size == full.size
    sizes = visit.page.evaluate("() => window.sizes")
    assert (sizes[0], sizes[-1]) == ("preview", "full")
    assert dict(visit.sent()[-1])["strength"] == "0.7"


def test_before_and_after_zoom_and_fit(visit: Visit) -> None:
    visit.choose_sample()
    visit.choose_style("Mosaic")
    visit.painted()
    page = visit.page
    expect(page.locator("#divider")).to_be_visible()
    page.get_by_role("slider", name="Before and after").fill("20")
    clip = page.locator("#plane").evaluate("plane => plane.style.getPropertyValue('--split')")
    assert clip == "20%"
    before = page.locator("#after").bounding_box()
    page.get_by_role("button", name="Zoom in").click()
    zoomed = page.locator("#after").bounding_box()
    assert before
    assert zoomed
    assert zoomed["width"] == pytest.approx(1.5 * before["width"], rel=0.01)
    page.get_by_role("button", name="Fit").click()
    assert page.locator("#after").bounding_box() == before


def test_styles_are_mixed_by_a_point_between_them(visit: Visit) -> None:
    page = visit.page
    visit.choose_sample()
    page.get_by_label("Mix", exact=True).check()
    for name in ("Ink wash", "Wheat and sky", "Cut paper"):
        visit.choose_style(name)
    dot = page.locator("#pad .dot")
    box = page.locator("#pad").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.12, box["y"] + box["height"] * 0.82, steps=4)
    page.mouse.up()
    expect(dot).to_have_attribute("aria-label", re.compile(r"Wheat and sky 100 %"))
    shown = visit.painted()
    assert difference(shown, visit.by_api("Wheat and sky", shown.size)) < 1
    dot.focus()
    page.keyboard.press("ArrowRight")
    expect(dot).not_to_have_attribute("aria-label", re.compile(r"Wheat and sky 100 %"))


def test_regions_are_painted_undone_and_redone(visit: Visit) -> None:
    page = visit.page
    visit.choose_sample()
    page.get_by_label("Mix", exact=True).check()
    visit.choose_style("Ink wash")
    visit.choose_style("Cut paper")
    page.get_by_role("button", name="Paint where").click()
    for name in ("Ink wash", "Cut paper"):
        page.locator("#brush-styles button", has_text=name).click()
        expect(page.locator('#brush-styles [aria-pressed="true"]')).to_have_text(name)
    page.locator("#brush-size").fill("30")
    box = page.locator("#paint").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.9, steps=6)
    page.mouse.up()
    painted = visit.painted()
    ink, paper = (visit.by_api(name, painted.size) for name in ("Ink wash", "Cut paper"))
    width, height = painted.size
    left, right = (0, 0, width // 3, height), (width * 7 // 10, height // 5, width * 8 // 10, height * 4 // 5)
    assert difference(painted.crop(left), ink.crop(left)) < difference(painted.crop(left), paper.crop(left))
    assert difference(painted.crop(right), paper.crop(right)) < difference(painted.crop(right), ink.crop(right))
    for key, masks in (("Control+z", 0), ("Control+Shift+z", 2)):
        page.keyboard.press(key)
        page.wait_for_function(
            "masks => sent.at(-1).filter(([name]) => name === 'mask').length === masks", arg=masks, polling=50
        )


def test_a_result_is_kept_over_a_reload_opened_downloaded_and_deleted(visit: Visit) -> None:
    page = visit.page
    visit.choose_sample()
    visit.choose_style("Marbled paper")
    page.locator("#strength").fill("0.8")
    result = visit.painted()
    page.get_by_role("button", name="Keep", exact=True).click()
    expect(page.locator("#kept-count")).to_have_text("1")
    page.reload()
    page.wait_for_selector("#gallery button")
    expect(page.locator("#kept-count")).to_have_text("1")
    page.locator("#open-kept").click()
    with page.expect_download() as download:
        page.locator("#kept-list").get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "cat-impasto.jpg"
    page.locator("#kept-list").get_by_role("button", name="Open").click()
    assert difference(visit.painted(), result) < 1
    expect(page.locator("#strength")).to_have_value("0.8")
    page.locator("#open-kept").click()
    before = page.locator("#before").get_attribute("src") or ""
    page.locator("#kept-list").get_by_role("button", name="Compare").click()
    expect(page.locator("#before")).not_to_have_attribute("src", before)
    expect(page.locator("#status")).to_contain_text("what was kept")
    page.locator("#open-kept").click()
    page.locator("#kept-list").get_by_role("button", name="Delete").click()
    expect(page.locator("#kept-count")).to_have_text("0")


def test_a_result_is_downloaded_in_each_format(visit: Visit) -> None:
    page = visit.page
    visit.choose_sample()
    visit.choose_style("Woodcut")
    size = visit.painted().size
    for name in ("JPEG", "PNG", "WebP"):
        page.locator("#open-save").click()
        with page.expect_download() as download:
            page.locator("#save").get_by_role("button", name=name).click()
        with Image.open(download.value.path()) as saved:
            assert (saved.format, saved.size) == (name.upper(), size)


def test_a_large_picture_is_a_job_that_a_reload_does_not_end(visit: Visit) -> None:
    page = visit.page
    visit.choose_sample()
    visit.choose_style("Woodcut")
    visit.painted()
    page.locator("#open-save").click()
    page.locator("#large select").evaluate("select => select.replaceChildren(new Option('600'))")  # large is slow
    page.get_by_role("button", name="Paint it").click()
    expect(page.locator("#jobs li")).to_contain_text("cat.jpg, 600 px")
    page.reload()
    with page.expect_download() as download:
        page.locator("#jobs").get_by_role("button", name="Download").click()
    with Image.open(download.value.path()) as saved:
        assert saved.size == (600, 399)
    page.locator("#jobs").get_by_role("button", name="Delete").click()
    expect(page.locator("#jobs")).to_be_hidden()


def test_a_video_is_a_job_that_plays_beside_what_it_was_painted_from(visit: Visit, tmp_path: Path) -> None:
    clips = pytest.importorskip("tests.video.clips", reason="av is not installed")
    page = visit.page
    page.locator("#file").set_input_files(clips.write(tmp_path / "clip.webm", clips.pan(5, 96, 64), codec="libvpx-vp9"))
    visit.choose_style("Woodcut")
    assert visit.painted().size == (96, 64), "a frame stands for it"
    page.locator("#open-save").click()
    expect(page.locator("#large select")).to_be_hidden()
    page.get_by_role("button", name="Paint it").click()
    page.locator("#jobs").get_by_role("button", name="Play").click()
    for name in ("#play-before", "#play-after"):
        expect(page.locator(name)).to_have_js_property("videoWidth", 96)
    page.get_by_role("button", name="Close").click()


def test_styles_along_a_video_are_keyframes_on_its_time_line(visit: Visit, tmp_path: Path) -> None:
    clips = pytest.importorskip("tests.video.clips", reason="av is not installed")
    page = visit.page
    ticks = [60 * n for n in range(10)]  # the last at 0.9 s
    clip = clips.write(tmp_path / "clip.webm", clips.pan(10, 96, 64), ticks, codec="libvpx-vp9")
    page.locator("#file").set_input_files(clip)
    first, second = (page.get_by_role("slider", name=f"Keyframe: {name}") for name in ("Woodcut", "Wheat and sky"))
    add = page.get_by_role("button", name="Add keyframe")
    expect(add).to_be_disabled()
    visit.choose_style("Woodcut")
    add.click()
    visit.painted()
    early = page.locator("#before").get_attribute("src") or ""
    page.get_by_role("slider", name="Time").fill("0.5")
    expect(page.locator("#before")).not_to_have_attribute("src", early)
    visit.choose_style("Wheat and sky")
    add.click()
    second.press("End")
    second.press("ArrowLeft")
    assert 0.8 < float(second.get_attribute("aria-valuenow") or 0) <= 0.9
    # The first is dragged, deleted, and set again where it was.
    line, box = page.locator("#keyframes").bounding_box(), first.bounding_box()
    assert line
    assert box
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 5 + line["width"] * 0.3, box["y"] + 5, steps=4)
    page.mouse.up()
    expect(first).to_have_attribute("aria-valuetext", re.compile(r"0\.2\d s"))
    page.keyboard.press("Delete")
    expect(first).to_have_count(0)
    expect(second).to_be_focused()
    page.get_by_role("slider", name="Time").fill("0")
    visit.choose_style("Woodcut")
    add.click()
    # The frame is painted once more when it has been found in the clip, which may take the button away amid a click.
    while not page.locator("#save[open]").count():
        page.locator("#open-save").click()
    expect(page.locator("#large-video")).to_have_text("The whole video, with 2 keyframes")
    page.get_by_role("button", name="Paint it").click()
    with page.expect_download() as download:
        page.locator("#jobs").get_by_role("button", name="Download").click()
    frames = [[Image.fromarray(frame) for _, frame in clips.shown(path)] for path in (clip, download.value.path())]
    for index, like, unlike in ((0, "Woodcut", "Wheat and sky"), (-1, "Wheat and sky", "Woodcut")):
        before, after = frames[0][index], frames[1][index]
        near, far = (difference(after, visit.by_api(name, before.size, before)) for name in (like, unlike))
        assert near < 0.8 * far, f"frame {index} is {near} from {like}, {far} from {unlike}"


def test_a_link_carries_the_settings(visit: Visit, browser: Browser) -> None:
    page = visit.page
    page.get_by_label("Mix", exact=True).check()
    visit.choose_style("Ink wash")
    visit.choose_style("Mosaic")
    page.locator("#strength").fill("0.4")
    page.get_by_role("radio", name=re.compile("The photo.s")).check()
    page.evaluate("() => { navigator.clipboard.writeText = text => Promise.resolve(window.copied = text); }")
    page.get_by_role("button", name="Copy link").click()
    address = page.evaluate("() => window.copied")
    context = browser.new_context(viewport=WIDE, locale="en-GB")
    other = context.new_page()
    other.goto(address)
    expect(other.locator('#gallery button[aria-pressed="true"]')).to_have_count(2)
    expect(other.locator("#strength")).to_have_value("0.4")
    assert other.locator('input[name="preserve_color"]:checked').input_value() == "luminance"
    context.close()


def test_the_code_shown_does_what_the_screen_shows(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    visit.choose_sample()
    visit.choose_style("Palette knife")
    page.locator("#strength").fill("0.6")
    shown = visit.painted()
    page.get_by_role("button", name="Code", exact=True).click()
    for language, word in (("JavaScript", "FormData"), ("Python", "httpx"), ("curl", "curl")):
        page.get_by_role("tab", name=language).click()
        expect(page.locator("#code-text")).to_contain_text(word)
    command = page.locator("#code-text").inner_text()
    fields = dict(re.findall(r"-F (\w+)=([^@\s]\S*)", command))
    fields["size"] = str(max(shown.size))  # the photo is smaller than the size chosen
    answer = visit.server.client.post("/stylize", files={"content": CAT}, data=fields)
    assert difference(shown, Image.open(io.BytesIO(answer.content))) < 1


def test_trouble_is_told_counted_down_and_tried_again(visit: Visit) -> None:
    page = visit.page
    refusals = iter([503, 429])

    def refuse(route: Route) -> None:
        status = next(refusals, None)
        if status is None:
            route.continue_()
            return
        body = '{"type": "/problems/queue-full", "title": "busy", "detail": "more work than can be done"}'
        route.fulfill(
            status=status, body=body, headers={"Content-Type": "application/problem+json", "Retry-After": "1"}
        )

    page.route("**/stylize", refuse)
    visit.choose_sample()
    visit.choose_style("Mosaic")
    expect(page.locator("#trouble")).to_contain_text(re.compile(r"busy.*1 s"))
    visit.painted()
    expect(page.locator("#trouble")).to_be_hidden()
    visit.faults[:] = [fault for fault in visit.faults if "503" not in fault and "429" not in fault]


def test_a_file_that_can_not_be_read_is_told_in_the_problems_words(visit: Visit, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no picture")
    visit.page.locator("#file").set_input_files(broken)
    visit.choose_style("Mosaic")
    expect(visit.page.locator("#trouble")).to_contain_text("The JPEG is truncated")
    visit.faults[:] = [fault for fault in visit.faults if "422" not in fault]


def test_a_server_that_goes_away_and_returns_without_memory_is_waited_for(browser: Browser, tmp_path: Path) -> None:
    style = tmp_path / "mine.png"
    Image.fromarray(photo("coffee", 100)).save(style)
    with browser.new_context(viewport=WIDE, locale="en-GB") as context, Server() as first:
        visit = Visit(context.new_page(), first)
        visit.choose_sample()
        with visit.page.expect_file_chooser() as chooser:
            visit.page.get_by_role("button", name="Your own…", exact=True).click()
        chooser.value.set_files(style)
        visit.painted()
        first.terminate()
        visit.page.locator("#strength").fill("0.5")
        expect(visit.page.locator("#trouble")).to_contain_text(re.compile("can.t be reached"))
        with Server(port=first.port):
            visit.painted()
            expect(visit.page.locator("#trouble")).to_be_hidden()
        assert "style" in dict(visit.sent()[-1]), "what it no longer knows was sent again"


def test_a_service_that_wants_a_key_is_given_one_for_this_tab_only(browser: Browser, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys", "visitor", None, None)
    with (
        Server({"api_keys_file": tmp_path / "keys"}) as server,
        browser.new_context(viewport=WIDE, locale="en-GB") as context,
    ):
        visit = Visit(context.new_page(), server)
        visit.choose_sample()
        visit.choose_style("Mosaic")
        for given in ("a wrong one", key):
            visit.page.get_by_label("Key, kept until this tab is closed").fill(given)
            with visit.page.expect_response("**/stylize"):
                visit.page.get_by_role("button", name="OK").click()
        visit.painted()
        assert visit.page.evaluate("() => sessionStorage.getItem('key')") == key
        assert key not in visit.page.evaluate("() => JSON.stringify(localStorage)")
        assert all("401" in fault for fault in visit.faults)


def test_a_hundred_clicks_on_a_slow_network_leave_the_last_choice_on_the_screen(visit: Visit) -> None:
    page = visit.page
    visit.choose_sample()
    slow = {"offline": False, "latency": 200, "downloadThroughput": 100_000, "uploadThroughput": 100_000}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    page.evaluate("""() => {
        const tiles = [...document.querySelectorAll('#gallery button')];
        for (let click = 0; click < 100; click++) setTimeout(() => tiles[click % tiles.length].click(), 20 * click);
        setTimeout(() => window.clicked = true, 2000);
    }""")
    page.wait_for_function("() => window.clicked")
    shown = visit.painted()
    chosen = page.locator('#gallery button[aria-pressed="true"]')
    expect(chosen).to_have_count(1)
    expect(chosen).to_contain_text("Woodblock waves")  # the 100th of sixteen, in order
    assert difference(shown, visit.by_api("Woodblock waves", shown.size)) == 0


def test_by_keyboard_alone(visit: Visit) -> None:
    page = visit.page

    def go(wanted: str, key: str = "Tab") -> None:
        for _ in range(60):
            page.keyboard.press(key)
            if page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
                return
        raise AssertionError(f"{key} never leads to {wanted}")

    go(".skip")
    go('#samples [aria-label="Cat"]')
    page.keyboard.press("Enter")
    page.wait_for_selector("#viewer")
    go("#gallery button:nth-child(5)")
    page.keyboard.press("Enter")
    visit.painted()
    go("#strength")
    page.keyboard.press("ArrowLeft")
    visit.painted()
    assert dict(visit.sent()[-1])["strength"] == "0.99"
    go("#split", "Shift+Tab")
    page.keyboard.press("Home")
    assert page.locator("#plane").evaluate("plane => plane.style.getPropertyValue('--split')") == "0%"
    go("#open-save")
    page.keyboard.press("Enter")
    go('#save [data-format="png"]')
    with page.expect_download():
        page.keyboard.press("Enter")


def test_it_speaks_chinese_and_remembers_that(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", name="选择一张照片")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="选择一张照片")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "zh"


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    browser: Browser, server: Server, viewport: ViewportSize
) -> None:
    context = browser.new_context(viewport=viewport, locale="en-GB", bypass_csp=True)
    visit = Visit(context.new_page(), server)
    for stage in ("start", "result", "mix", "code", "kept", "key"):
        if stage == "result":
            visit.choose_sample()
            visit.choose_style("Mosaic")
            visit.painted()
        elif stage == "mix":
            visit.page.get_by_label("Mix", exact=True).check()
            visit.choose_style("Ink wash")
            visit.page.get_by_role("button", name="Paint where").click()
        elif stage == "code":
            visit.page.get_by_role("button", name="Code", exact=True).click()
        elif stage == "kept":
            visit.page.locator("#code").get_by_role("button", name="Close").click()
            visit.painted()
            visit.page.get_by_role("button", name="Keep", exact=True).click()
            expect(visit.page.locator("#kept-count")).to_have_text("1")
            visit.page.locator("#open-kept").click()
            expect(visit.page.locator("#kept-list figure")).to_be_visible()
        elif stage == "key":
            visit.page.locator("#kept").get_by_role("button", name="Close").click()
            visit.page.locator("#ask-key").evaluate("dialog => dialog.showModal()")
        look_at(visit.page, stage)
    context.close()


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_nothing_around_a_video_and_nothing_is_wider_than_the_screen(
    browser: Browser, server: Server, viewport: ViewportSize, tmp_path: Path
) -> None:
    clips = pytest.importorskip("tests.video.clips", reason="av is not installed")
    with browser.new_context(viewport=viewport, locale="zh-CN", bypass_csp=True) as context:
        page = Visit(context.new_page(), server).page
        clip = clips.write(tmp_path / "clip.webm", clips.pan(5, 96, 64), codec="libvpx-vp9")
        page.locator("#file").set_input_files(clip)
        page.locator("#gallery button").first.click()
        page.locator("#add-keyframe").click()
        page.locator("#keyframes button").press("End")
        page.locator("#moment").fill("0")
        page.locator("#gallery button").nth(1).click()
        page.locator("#add-keyframe").click()
        expect(page.locator("#keyframes button")).to_have_count(2)
        look_at(page, "time line")
        page.locator("#open-save").click()
        page.locator("#large button").click()
        page.get_by_role("button", name="播放").click()
        expect(page.locator("#play-after")).to_have_js_property("videoWidth", 96)
        look_at(page, "play")


def look_at(page: Page, stage: str) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        results = Axe().run(page)
        assert results.violations_count == 0, f"{stage}, {scheme}: {results.generate_report()}"
    assert page.locator("html").evaluate("html => html.scrollWidth <= innerWidth"), stage


def test_first_paint_waits_for_nothing(browser: Browser, server: Server) -> None:
    with browser.new_context(viewport=WIDE, locale="en-GB") as context:
        page = context.new_page()
        page.route("**/styles", lambda route: None)  # never answered
        page.goto(server.url)
        expect(page.get_by_role("button", name="Your own photo…")).to_be_visible()


@pytest.mark.parametrize(("locale", "viewport"), [("en-GB", WIDE), ("zh-CN", NARROW)], ids=["en, wide", "zh, narrow"])
def test_nothing_moves_while_the_page_loads(
    browser: Browser, server: Server, locale: str, viewport: ViewportSize
) -> None:
    with browser.new_context(viewport=viewport, locale=locale) as context:
        page = context.new_page()
        page.add_init_script(
            "window.shifts = []; new PerformanceObserver(list => list.getEntries().forEach(entry => window.shifts.push("
            "[entry.value, ...entry.sources.map(source => source.node?.id || source.node?.nodeName)])))"
            ".observe({type: 'layout-shift', buffered: true});"
        )
        page.goto(server.url)
        page.wait_for_selector("#gallery button")
        page.wait_for_function("() => [...document.images].every(image => image.complete)")
        # What moved in a frame is told once it is over.
        frames = "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))"
        page.evaluate(f"() => new Promise(done => {frames})")
        assert page.evaluate("() => window.shifts") == []


def test_the_page_is_small_cached_for_ever_and_policed(server: Server) -> None:
    client = server.client
    page = client.get("/")
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert client.get("/", headers={"If-None-Match": page.headers["ETag"]}).status_code == 304
    root = Path(__file__).parents[2] / "app" / "web"
    files = [path for path in root.rglob("*") if path.suffix in (".js", ".css", ".html", ".svg")]
    assert sum(path.stat().st_size for path in files) < 150_000
    address = re.search(r'src="(web/[^"]+main\.js)"', page.text)
    assert address
    script = client.get("/" + address[1])
    assert script.headers["Content-Type"].startswith("text/javascript")
    assert "immutable" in script.headers["Cache-Control"]
    assert script.headers["X-Content-Type-Options"] == "nosniff"
    assert client.get("/web/0123/js/main.js").status_code == 404


def test_the_page_can_be_switched_off() -> None:
    with Server({"page": "off"}) as server:
        assert server.client.get("/").headers["location"] == "docs"
        assert server.client.get("/web/").status_code == 404
