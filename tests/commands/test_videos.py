"""`impasto stylize` on videos, as an artist types it."""

import json
import zipfile
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from app.commands.stylize import stylize
from tests.pictures import photo, png
from tests.video import clips


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder the artist is in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "painting.png").write_bytes(png(photo("coffee", 64)))
    return tmp_path


def call(*arguments: str, environment: dict[str, str] | None = None) -> Result:
    ended = CliRunner().invoke(stylize, [*arguments, "--style", "painting.png"], env=environment)
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended


def test_a_phones_clip(folder: Path) -> None:
    """Upright, at its own uneven times, as long as it was, with every byte of its sound."""
    clip = clips.phone(folder / "clip.mov", 96, 64)
    ended = call("clip.mov", "-o", "out.mp4", "--json")
    assert ended.exit_code == 0, ended.output
    report = json.loads(ended.stdout)
    assert (report["width"], report["height"], report["frames"], report["notes"]) == (64, 96, len(clips.UNEVEN), [])
    out = folder / "out.mp4"
    frames = clips.shown(out)
    assert frames[0][1].shape == (96, 64, 3)
    assert [time for time, _ in frames] == [ticks * clips.TIME_BASE for ticks in clips.UNEVEN]
    assert abs(clips.duration(out) - clips.duration(clip)) < Fraction(1, 30)
    assert clips.packets(out, "audio") == clips.packets(clip, "audio")
    # The first megabyte of a file is enough to begin with: what tells where things are comes first.
    assert out.read_bytes().index(b"moov") < out.read_bytes().index(b"mdat")
    assert sorted(path.name for path in folder.iterdir()) == ["clip.mov", "out.mp4", "painting.png"]


def test_an_animation_stays_one(folder: Path) -> None:
    frames = [Image.fromarray(frame) for frame in clips.pan(4, 48, 40)]
    frames[0].save("dance.gif", save_all=True, append_images=frames[1:], duration=[40, 200, 0, 300], loop=0)
    assert call("dance.gif", "-o", "results").exit_code == 0
    with Image.open(folder / "results" / "dance-painting.gif") as image:
        durations = []
        for number in range(image.n_frames):
            image.seek(number)
            durations.append(image.info["duration"])
    assert durations == [40, 200, 100, 300]  # what is to be shown for no time browsers show for 100 ms


def test_an_animation_as_a_photo(folder: Path) -> None:
    frames = [Image.fromarray(frame) for frame in clips.pan(2, 48, 40)]
    frames[0].save("dance.gif", save_all=True, append_images=frames[1:])
    assert call("dance.gif", "-o", "still.jpg").exit_code == 0
    assert Image.open(folder / "still.jpg").size == (48, 40)


def test_frames_in_a_zip(folder: Path) -> None:
    clips.phone(folder / "clip.mp4", 48, 32)
    assert call("clip.mp4", "-o", "out.zip").exit_code == 0
    with zipfile.ZipFile(folder / "out.zip") as archive:
        times = json.loads(archive.read("frames.json"))
        assert [each["time"] for each in times] == [pytest.approx(ticks / 600) for ticks in clips.UNEVEN]
        first = np.asarray(Image.open(BytesIO(archive.read(times[0]["file"]))))
    assert first.shape == (48, 32, 3)


def test_what_is_transparent_stays_so(folder: Path) -> None:
    """An animated PNG of a cut-out, as a WebM with alpha."""
    frames = []
    for frame in clips.pan(3, 48, 40):
        alpha = np.full(frame.shape[:2], 255, np.uint8)
        alpha[:, :24] = 0
        frames.append(Image.fromarray(np.dstack((frame, alpha))))
    frames[0].save("cut.png", save_all=True, append_images=frames[1:], duration=50)
    assert call("cut.png", "--format", "webm", "-o", "out.webm").exit_code == 0
    assert call("out.webm", "--format", "zip", "-o", "out.zip", "--strength", "0").exit_code == 0
    with zipfile.ZipFile(folder / "out.zip") as archive:
        alpha = np.asarray(Image.open(BytesIO(archive.read("frame-000001.png"))))[:, :, 3]
    assert alpha[:, :16].max() < 40
    assert alpha[:, 32:].min() > 215


def test_from_standard_input_to_standard_output(folder: Path) -> None:
    clips.phone(folder / "clip.mp4", 48, 32)
    data = (folder / "clip.mp4").read_bytes()
    ended = CliRunner().invoke(stylize, ["-", "--style", "painting.png", "-o", "-"], input=data)
    assert ended.exit_code == 0, ended.stderr
    assert ended.stdout_bytes[4:8] == b"ftyp"


@pytest.mark.parametrize(
    ("content", "output", "said"),
    [
        ("clip.mp4", "out.jpg", "a video can't be written as jpeg: use mp4, webm, gif, zip"),
        ("painting.png", "out.mp4", "this is no video, and can't be written as mp4"),
        ("clip.mp4", "clip.mp4", "is one of the inputs"),
    ],
)
def test_what_cannot_be(folder: Path, content: str, output: str, said: str) -> None:
    clips.phone(folder / "clip.mp4", 48, 32)
    before = (folder / "clip.mp4").read_bytes()
    ended = call(content, "-o", output)
    assert ended.exit_code != 0
    assert said in ended.stderr
    assert (folder / "clip.mp4").read_bytes() == before


@pytest.mark.parametrize(
    ("setting", "limit", "said"),
    [
        ("IMPASTO_MAX_VIDEO_FRAMES", "11", "12 frames or more and the limit is 11"),
        ("IMPASTO_MAX_VIDEO_SECONDS", "0.3", "the limit is 0"),
        ("IMPASTO_MAX_VIDEO_PIXELS", "1000", "1,536 pixels and the limit is 1,000"),
        ("IMPASTO_MAX_VIDEO_BYTES", "1000", "bytes and the limit is 1,000"),
    ],
)
def test_limits(folder: Path, setting: str, limit: str, said: str) -> None:
    clips.phone(folder / "clip.mp4", 48, 32)
    ended = call("clip.mp4", "-o", "out.mp4", environment={setting: limit})
    assert ended.exit_code == 1
    assert said in ended.stderr
    assert not (folder / "out.mp4").exists()
