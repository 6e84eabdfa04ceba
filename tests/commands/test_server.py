"""`impasto stylize --server` against the real service."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from app.commands.stylize import stylize
from tests.e2e.server import Server, free_port
from tests.pictures import jpeg, photo, png


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder the artist is in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(png(photo("chelsea", 64)))
    (tmp_path / "photos" / "rocket.jpg").write_bytes(jpeg(photo("rocket", 80)))
    (tmp_path / "coffee.png").write_bytes(png(photo("coffee", 96)))
    (tmp_path / "painting.jpg").write_bytes(jpeg(photo("astronaut", 96)))
    return tmp_path


def test_a_service_gives_what_this_machine_gives(folder: Path, server: Server) -> None:
    styles = ("--style", "coffee.png", "--style", "painting.jpg", "--weight", "3", "--weight", "1")
    for name, more in (("here", ()), ("there", ("--server", server.url))):
        ended = CliRunner().invoke(stylize, ("photos", *styles, "--strength", "0.7", "-o", name, *more))
        assert ended.exit_code == 0, ended.output
        assert sorted(path.name for path in Path(name).iterdir()) == [
            "cat-coffee-painting.png",
            "rocket-coffee-painting.jpg",
        ]
    here, there = (np.asarray(Image.open(Path(name) / "cat-coffee-painting.png"), int) for name in ("here", "there"))
    assert np.abs(here - there).max() <= 1


def test_a_photo_comes_in_and_goes_out_by_pipes_and_no_engine_is_loaded(folder: Path, server: Server) -> None:
    command = (
        "import sys; from app.cli import main; main(standalone_mode=False); print(*sys.modules, file=sys.stderr)",
        *("stylize", "-", "--style", "coffee.png", "--size", "48", "-o", "-", "--server", server.url),
    )
    ended = subprocess.run(
        (sys.executable, "-c", *command),
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        input=(folder / "photos" / "rocket.jpg").read_bytes(),
        capture_output=True,
        timeout=120,
        check=True,
    )
    (folder / "out").write_bytes(ended.stdout)
    with Image.open(folder / "out") as result:
        assert (result.format, max(result.size)) == ("JPEG", 48)
    assert not {b"ncnn", b"torch"} & set(ended.stderr.split())


def test_what_the_service_refuses_is_told_in_its_words_and_the_rest_goes_on(folder: Path, server: Server) -> None:
    (folder / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    ended = CliRunner().invoke(
        stylize, ("photos", "--style", "coffee.png", "-o", "out", "--size", "32", "--json", "--server", server.url)
    )
    assert ended.exit_code == 1
    reports = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [report.get("error", "").partition(":")[0] for report in reports] == ["content", "", ""]
    assert "truncated" in reports[0]["error"]


def test_an_address_without_a_service_is_told_at_once(folder: Path) -> None:
    told = {
        "localhost:8000": (2, "'localhost:8000' is no address; expected one as http://127.0.0.1:8000"),
        f"http://127.0.0.1:{free_port()}": (1, "no answer from the service"),
    }
    for address, (status, message) in told.items():
        ended = CliRunner().invoke(stylize, ("photos", "--style", "coffee.png", "-o", "out", "--server", address))
        assert ended.exit_code == status
        assert message in " ".join(ended.stderr.split())
    assert not (folder / "out").exists()
