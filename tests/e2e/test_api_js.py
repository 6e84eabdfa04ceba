"""Web pages' code against the real server: the README's, and the page's client `api.js` as others may use it."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.e2e.browser import browser, needs_chromium
from tests.e2e.server import Server
from tests.pictures import jpeg, photo

__all__ = ["browser"]
pytestmark = needs_chromium

ROOT = Path(__file__).parents[2]
PHOTO, STYLE = jpeg(photo("astronaut", 64)), jpeg(photo("coffee", 64))
# Pictures go in and out as text, which is all that passes between a test and a page. What an example shows is taken
# where it makes an address of it.
PROLOGUE = """
const main = document.querySelector("[type=module]").src;
const { Impasto, ImpastoProblem } = await import(main.replace("main.js", "api.js"));
const file = text => new Blob([Uint8Array.from(atob(text), c => c.charCodeAt(0))], { type: "image/jpeg" });
const text = async blob => btoa([...new Uint8Array(await blob.arrayBuffer())].map(b => String.fromCharCode(b)).join``);
const [photo, painting] = pictures.map(file);
let shown;
const URL = { createObjectURL: blob => (shown = blob, "blob:") };
"""


@pytest.fixture(scope="module")
def small() -> Iterator[Server]:
    """A service that holds one request at once."""
    with Server({"max_requests": 1}) as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser, small: Server) -> Iterator[Page]:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(small.url)
        yield page


def run(page: Page, server: Server, code: str) -> list[str]:
    """What this code returns, after the prologue."""
    pictures = [base64.b64encode(file).decode() for file in (PHOTO, STYLE)]
    given = json.dumps([f"{server.url}/", pictures])
    answer: list[str] = page.evaluate(f"async () => {{ const [address, pictures] = {given}; {PROLOGUE} {code} }}")
    return answer


def by_api(server: Server, **data: str) -> bytes:
    answer = server.client.post("/stylize", files={"content": PHOTO, "style": STYLE}, data=data)
    assert answer.is_success
    return answer.content


def test_the_example_in_api_js(page: Page, small: Server) -> None:
    comment = (ROOT / "app" / "web" / "js" / "api.js").read_text().partition("*/")[0]
    lines = [line for line in re.findall(r"^ \*     (.*)$", comment, re.M) if not line.startswith("import")]
    assert len(lines) == 4
    example = "\n".join(lines).replace('"http://127.0.0.1:8000/"', "address")
    (result,) = run(page, small, f"const image = new Image(), other = photo; {example}\nreturn [await text(shown)];")
    assert base64.b64decode(result) == by_api(small, strength="0.8")


def test_the_readmes_example(page: Page, small: Server) -> None:
    example = (ROOT / "README.md").read_text().partition("```js\n")[2].partition("```")[0]
    result, style = run(
        page,
        small,
        "const [photoInput, paintingInput] = [{ files: [photo] }, { files: [painting] }], img = new Image();"
        + example.replace('"http://127.0.0.1:8000/stylize"', 'address + "stylize"')
        + "return [await text(shown), styleId];",
    )
    assert base64.b64decode(result) == by_api(small, strength="0.8")
    assert small.client.get(f"/styles/{style}").is_success


def test_a_busy_service_is_asked_again_after_the_time_it_names(page: Page, small: Server) -> None:
    refused = 'impasto_requests_total{outcome="queue-full"}'
    before = small.metric(refused)
    answers = run(
        page,
        small,
        "const impasto = new Impasto(address); const wish = { content: photo, styles: [{ picture: painting }] };"
        "const results = await Promise.all([1, 0.5, 0].map(strength => impasto.stylize({ ...wish, strength })));"
        "return Promise.all(results.map(result => text(result.picture)));",
    )
    assert small.metric(refused) > before, "one at once is all it takes"
    assert [base64.b64decode(answer) for answer in answers] == [
        by_api(small, strength=strength) for strength in ("1", "0.5", "0")
    ]


def test_a_proxy_that_limits_rates_is_asked_again_and_patience_ends(page: Page, small: Server) -> None:
    asked = []

    def limit(route: Route) -> None:
        asked.append(route)
        if len(asked) % 2:
            route.fulfill(status=429, headers={"Retry-After": "1"})
        else:
            route.continue_()

    page.route("**/styles", limit)
    (found, status) = run(
        page,
        small,
        "const found = await new Impasto(address).styles();"
        "const problem = await new Impasto(address, { retries: 0 }).styles().catch(problem => problem);"
        "return [found[0].id, problem instanceof ImpastoProblem && problem.status];",
    )
    page.unroute("**/styles")
    assert found == small.client.get("/styles").json()["styles"][0]["id"]
    assert (status, len(asked)) == (429, 3)


def test_a_style_the_service_has_forgotten_is_sent_again_beside_one_that_has_no_picture(
    page: Page, small: Server
) -> None:
    ready = small.client.get("/styles").json()["styles"][0]["id"]
    result, *ids = run(
        page,
        small,
        f"""const styles = [{{ id: "{ready}", weight: 3 }}, {{ id: "{"0" * 32}", picture: painting, weight: 1 }}];
        const result = await new Impasto(address).stylize({{ content: photo, styles, format: "png" }});
        return [await text(result.picture), ...result.styleIds];""",
    )
    answer = small.client.post(
        "/stylize",
        files={"content": PHOTO, "style": STYLE},
        data={"style_id": ready, "weight": ["1", "3"], "format": "png"},
    )
    assert ids == [ready, answer.headers["X-Style-Id"].partition(",")[0]]
    assert base64.b64decode(result) == answer.content
