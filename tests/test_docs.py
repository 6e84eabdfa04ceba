"""The guides know all there is, and lead nowhere that is not."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from app.cli import main as impasto
from app.http.problems import TYPES
from app.settings import Settings
from docs import reference
from tests.e2e.server import Server

ROOT = Path(__file__).parents[1]
NOTES = ROOT / "docs" / "notes"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("models/*.md")])
GUIDES = [page for page in PAGES if NOTES not in page.parents and page.name != "CHANGELOG.md"]


@pytest.fixture(scope="module")
def text() -> str:
    """All that a user is given to read."""
    return "\n".join(page.read_text() for page in GUIDES)


def missing(names: set[str], text: str) -> set[str]:
    """Those that don't stand in the text as words of their own: `--size` is not in `--style-size` or `--sizes`."""
    return {name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)}


def test_every_setting_is_told_with_its_default() -> None:
    page = reference.FILE.read_text()
    assert len(Settings.model_fields) > 20
    assert "\n".join(reference.settings()) in page, "run `make reference`"


def test_every_problem_is_told(text: str) -> None:
    assert missing({f"`{name}`" for name in TYPES}, text) == set(), "run `make reference`"


def test_every_route_is_told(text: str) -> None:
    routes = {f"{method} {route.path}" for method, route in reference.served_routes()}
    assert {"POST /stylize", "GET /healthz"} <= routes
    assert missing(routes, text) == set(), "run `make reference`"


def test_every_metric_is_told(text: str) -> None:
    with Server() as server:
        exposed = re.findall(r"^# TYPE (\w+) ", server.client.get("/metrics").text, re.M)
    names = {name for name in exposed if not name.endswith("_created")}
    assert "impasto_requests_total" in names
    assert missing(names, text) == set(), "run `make reference`"


def commands() -> Iterator[tuple[str, click.Command]]:
    for words, command in reference.commands(("impasto",), impasto):
        yield " ".join(words), command


@pytest.mark.parametrize(
    ("words", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_is_told_with_its_options(words: str, command: click.Command) -> None:
    _, _, section = reference.FILE.read_text().partition(f"\n### {words}\n")
    section = section.partition("\n### ")[0]
    assert section, "run `make reference`"
    options = {name for parameter in command.params for name in parameter.opts if name.startswith("-")}
    # Every setting is an option of `impasto serve`, and stands among the settings.
    assert missing(set() if words == "impasto serve" else options, section) == set(), "run `make reference`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: there is no such file"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.M)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in anchors, f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_of_the_project_that_are_named_exist(page: Path) -> None:
    folders = "app|benchmarks|deploy|docs|models|tests|tools"
    for path in re.findall(rf"(?<![\w./-])((?:{folders})/[\w./-]*\w)", page.read_text()):
        assert (ROOT / path).exists(), f"{path}: is not there"


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_settings_that_are_named_exist(page: Path) -> None:
    """What a guide tells to type can be typed: `make` targets, `impasto` commands, IMPASTO_* variables."""
    read = page.read_text()
    settings = {f"IMPASTO_{name.upper()}" for name in Settings.model_fields}
    given = {parameter.envvar for _, command in commands() for parameter in command.params if parameter.envvar}
    assert set(re.findall(r"\bIMPASTO_[A-Z_]+[A-Z]\b", read)) <= settings | given
    typed = {words for words, _ in commands()} | {"impasto keys", "impasto weights"}
    code = "\n".join(code_of(read))
    named = re.findall(r"(?:^|[\s/])impasto ((?:keys |weights )?[a-z]+)\b(?![.:=/])", code)
    assert {f"impasto {words}" for words in named} <= typed
    for target in set(re.findall(r"(?:^|\s)make ([a-z]+)", code)):
        made = subprocess.run(("make", "--dry-run", target), cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert made.returncode == 0, made.stderr


def code_of(text: str) -> list[str]:
    """Blocks of shell, and what stands between single backticks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    return [*blocks, *re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))]
