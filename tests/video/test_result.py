"""What comes out: formats, times, sound. The network's part is played by one that paints frames as they are."""

import io
import resource
import shutil
import signal
import tracemalloc
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from app.files import DISK_FULL
from app.pipeline import Limits as PictureLimits
from app.pipeline import StyleSource
from app.queue.work import Done, Work
from app.styles.library import StyleLibrary
from app.video.errors import CannotBeWritten, UnreadableVideo
from app.video.frames import Limits
from app.video.masks import WrongMask
from app.video.options import VideoOptions
from app.video.stylize import Progress, Report, Request, Stylisation, plan
from tests.pictures import photo, png
from tests.video import clips

LIMITS = Limits(bytes=10**9, pixels=10**7, frames=10_000, seconds=1000.0)
PICTURES = PictureLimits(10**7, 1024, 512)


class AsItIs:
    """Meets `app.video.stylize.Painter`; keeps the shares of styles it was asked for."""

    def __init__(self) -> None:
        self.shares: list[Any] = []

    def paint(self, work: Work) -> "Future[Done]":
        self.shares.append(work.share)
        painted: Future[Done] = Future()
        painted.set_result(Done(work.content, 0.0, 0.0, 1))
        return painted


class OtherStrokes(AsItIs):
    """Paints as a network would that flickers as much as can be: equal frames alike, and no two others."""

    def paint(self, work: Work) -> "Future[Done]":
        rng = np.random.default_rng(zlib.crc32(work.content.tobytes()))
        strokes = rng.integers(40, 216, work.content.shape, np.uint8)
        return super().paint(replace(work, content=strokes))


def stylised(
    source: Path,
    styles: int = 1,
    masks: Sequence[Path] = (),
    keyframes: str | None = None,
    painter: AsItIs | None = None,
    **options: Any,
) -> tuple[Report, AsItIs, list[Progress]]:
    painter, wanted = painter or AsItIs(), VideoOptions(**{"steadiness": 0, **options})
    sources = [StyleSource(f"style[{n}]", f"{n}", io.BytesIO(png(photo("coffee", 16)))) for n in range(styles)]
    request = Request(source, sources, wanted, masks, keyframes)
    planned = plan(source, wanted, LIMITS, PICTURES)
    work = Stylisation(request, planned, StyleLibrary(10**6), LIMITS, PICTURES, source.parent / "work")
    steps, seen = work.steps(painter), []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return end.value, painter, seen


def test_progress_is_told(tmp_path: Path) -> None:
    report, _, seen = stylised(clips.write(tmp_path / "clip.mp4", clips.pan(50, 32, 32, 1)))
    assert [progress.done for progress in seen][-1] == seen[-1].total == seen[-1].finished == report.frames == 50
    assert all(one.done <= other.done for one, other in pairwise(seen))
    assert seen[-1].picture is not None


def test_a_ramp_of_grey_comes_back_a_ramp_of_grey(tmp_path: Path) -> None:
    ramp = np.repeat(np.linspace(0, 255, 256).round().astype(np.uint8)[None, :, None], 48, 0).repeat(3, 2)
    source = clips.write(tmp_path / "clip.mkv", [ramp] * 3, codec="ffv1", pixels="bgr0")
    for format, most in (("mp4", 3), ("webm", 3), ("zip", 0)):
        report, _, _ = stylised(source, format=format)
        if format == "zip":
            with zipfile.ZipFile(report.path) as archive:
                got = np.asarray(Image.open(io.BytesIO(archive.read("frame-000001.png"))))
        else:
            got = clips.shown(report.path)[1][1]
        assert np.abs(got.astype(int) - ramp).max() <= most, format


@pytest.mark.parametrize(("format", "size"), [("mp4", (50, 38)), ("webm", (51, 39)), ("gif", (51, 39))])
def test_odd_sizes(tmp_path: Path, format: str, size: tuple[int, int]) -> None:
    source = clips.write(tmp_path / "clip.mkv", clips.pan(2, 51, 39), codec="ffv1", pixels="bgr0")
    report, _, _ = stylised(source, format=format)
    assert (report.width, report.height) == size


def test_a_size_that_is_asked_for(tmp_path: Path) -> None:
    source = clips.write(tmp_path / "clip.mp4", clips.pan(2, 64, 48))
    report, _, _ = stylised(source, size=128)
    assert (report.width, report.height) == (128, 96)
    with pytest.raises(CannotBeWritten, match="at most 16384"):
        plan(source, VideoOptions(size=20_000), LIMITS, PICTURES)


@pytest.mark.parametrize(
    ("name", "codec", "sound", "format"),
    [
        ("clip.mp4", "libx264", "aac", "mp4"),
        ("clip.mkv", "libx264", "libmp3lame", "mp4"),
        ("clip.mkv", "libx264", "ac3", "mp4"),
        ("clip.webm", "libvpx-vp9", "libopus", "webm"),
        ("clip.webm", "libvpx-vp9", "libopus", "mp4"),
    ],
)
def test_sound_is_copied(tmp_path: Path, name: str, codec: str, sound: str, format: str) -> None:
    source = clips.write(tmp_path / name, clips.pan(12, 32, 32), codec=codec, sound=sound)
    report, _, _ = stylised(source, format=format)
    assert report.notes == ()
    was, now = clips.packets(source, "audio"), clips.packets(report.path, "audio")
    assert [data for _, data in now] == [data for _, data in was]
    assert max(abs(one - other) for (one, _), (other, _) in zip(was, now, strict=True)) < Fraction(1, 500)


@pytest.mark.parametrize(("sound", "format", "encoded"), [("pcm_s16le", "mp4", "aac"), ("aac", "webm", "opus")])
def test_sound_that_the_container_does_not_take(tmp_path: Path, sound: str, format: str, encoded: str) -> None:
    source = clips.write(tmp_path / "clip.mkv", clips.pan(30, 32, 32, 1), sound=sound)
    report, _, _ = stylised(source, format=format)
    assert report.notes == (f"The sound is encoded anew, as {encoded}: a {format} does not take {sound}.",)
    with av.open(str(report.path)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.codec.canonical_name == encoded
        heard = sum(frame.samples for frame in container.decode(audio=0)) / stream.rate
    assert abs(heard - 1) < 0.1


def test_sound_that_has_no_place(tmp_path: Path) -> None:
    report, _, _ = stylised(clips.write(tmp_path / "clip.mp4", clips.pan(2, 32, 32), sound="aac"), format="gif")
    assert report.notes == ("A gif has no sound; the video's is left out.",)


def test_a_broken_tail_is_told(tmp_path: Path) -> None:
    source = clips.write(tmp_path / "clip.mkv", clips.pan(60, 64, 48, 1), noise=True, sound="aac")
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 6 // 10])
    report, _, _ = stylised(source)
    assert 20 < report.frames < 60
    assert report.notes
    assert len(clips.shown(report.path)) == report.frames


def test_a_walk_between_styles(tmp_path: Path) -> None:
    source = clips.write(tmp_path / "clip.mp4", clips.pan(11, 32, 32, 1), [60 * n for n in range(11)])
    text = '[{"time": 0.2, "style": 0}, {"time": 0.6, "style": 1, "strength": 0.5}]'
    _, painter, _ = stylised(source, 2, keyframes=text)
    got = np.stack([share[:, 0] for share in painter.shares])
    np.testing.assert_allclose(got[:3], [[1, 0]] * 3)
    np.testing.assert_allclose(got[4], [0.375, 0.375], atol=1e-6)
    np.testing.assert_allclose(got[6:], [[0, 0.5]] * 5)


def test_masks_that_move_and_end(tmp_path: Path) -> None:
    """One stands still, the other is a video that shows its second half for as long as it lasts, and longer."""
    source = clips.write(tmp_path / "clip.mp4", clips.pan(9, 64, 64, 1))
    left = np.zeros((64, 64), np.uint8)
    left[:, :32] = 255
    (tmp_path / "left.png").write_bytes(png(left))
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    moving = clips.write(tmp_path / "moving.mp4", [black] * 3 + [white] * 3)
    report, painter, _ = stylised(source, 2, [tmp_path / "left.png", moving])
    assert report.notes == ("mask[1] ends at 0.2 s; its last frame stands from there on.",)
    first, last = (painter.shares[n].reshape(2, 8, 8) for n in (0, 8))
    np.testing.assert_allclose(first[0, 0], [1] * 4 + [0] * 4, atol=0.01)
    np.testing.assert_allclose(first[1], 0, atol=0.01)
    np.testing.assert_allclose(last[1, :, 4:], 1, atol=0.01)
    np.testing.assert_allclose(last[:, :, :4], 0.5, atol=0.01)


def test_a_mask_that_cannot_be_read(tmp_path: Path) -> None:
    source = clips.write(tmp_path / "clip.mp4", clips.pan(2, 32, 32))
    (tmp_path / "mask.mp4").write_bytes(source.read_bytes()[:300])
    with pytest.raises(WrongMask) as raised:
        stylised(source, 1, [tmp_path / "mask.mp4"])
    assert raised.value.field == "mask[0]"


def test_what_is_transparent_everywhere(tmp_path: Path) -> None:
    """Frames of nothing stay so between others; a video of nothing else is none for colours to match."""
    clear, solid = Image.new("RGBA", (32, 32), (0, 0, 0, 0)), Image.fromarray(photo("coffee", 32)).convert("RGBA")
    solid.save(tmp_path / "some.png", save_all=True, append_images=[clear, solid], duration=50)
    _, painter, _ = stylised(tmp_path / "some.png", steadiness=0.7)
    assert len(painter.shares) == 3  # two, and one more that the loop begins with
    clear.save(tmp_path / "none.webp", save_all=True, append_images=[Image.new("RGBA", (32, 32), (9, 0, 0, 0))])
    with pytest.raises(UnreadableVideo, match="transparent"):
        stylised(tmp_path / "none.webp", preserve_color="match")


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_a_loop_stays_one(tmp_path: Path, kind: str) -> None:
    """As long as it was, and its last frame meets its first."""
    first, *rest = (Image.fromarray(frame) for frame in clips.around(20, 32, 4))
    source = tmp_path / f"loop.{kind}"
    first.save(source, save_all=True, append_images=rest, duration=50, loop=0, lossless=True)
    report, _, seen = stylised(source, painter=OtherStrokes(), steadiness=0.7, format="zip")
    assert (report.frames, [progress.done for progress in seen][-1]) == (20, 20)
    with zipfile.ZipFile(report.path) as archive:
        frames = [np.asarray(Image.open(io.BytesIO(archive.read(f"frame-{n:06}.png")))) for n in range(20)]
    seam, *others = clips.steps([frame[:, :, :3] for frame in frames], 4)
    assert seam <= max(others)
    first.save(source, save_all=True, append_images=rest, duration=50, **({} if kind == "gif" else {"loop": 1}))
    assert not plan(source, VideoOptions(), LIMITS, PICTURES).info.loops


@pytest.mark.parametrize("loops", [False, True])
def test_left_at_any_frame_it_comes_to_the_same_bytes(tmp_path: Path, loops: bool) -> None:
    """And so it does where it was never left."""
    frames = clips.pan(100, 40, 32, 1)
    if loops:
        first, *rest = (Image.fromarray(frame) for frame in frames)
        source = tmp_path / "clip.gif"
        first.save(source, save_all=True, append_images=rest, duration=50, loop=0)
    else:
        source = clips.write(tmp_path / "clip.mp4", frames)
    wanted = VideoOptions(format="mp4")
    results = []
    for number, leave in enumerate([(), (), (10, 50, 97)]):
        for most in (*leave, None):
            style = StyleSource("style[0]", "0", io.BytesIO(png(photo("coffee", 16))))
            planned = plan(source, wanted, LIMITS, PICTURES)
            request, folder = Request(source, [style], wanted), tmp_path / f"{number}"
            steps = Stylisation(request, planned, StyleLibrary(10**6), LIMITS, PICTURES, folder).steps(OtherStrokes())
            for progress in steps:
                if most is not None and progress.done >= most:
                    steps.close()
        results.append((folder / "result.mp4").read_bytes())
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("format", ["mp4", "gif", "zip"])
@pytest.mark.parametrize("room", [0.1, 0.95])
def test_a_full_disk_leaves_no_half_result(tmp_path: Path, format: str, room: float) -> None:
    """Where a file may not be larger, as where there is no room: it is told as such, and gone on with when there is."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (96, 96, 3), np.uint8) for _ in range(60)]
    source = clips.write(tmp_path / "clip.mkv", noise, sound="aac")
    whole = stylised(source, format=format)[0].path.read_bytes()
    shutil.rmtree(tmp_path / "work")
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(room * len(whole)), resource.RLIM_INFINITY))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            stylised(source, format=format)
        assert raised.value.errno in DISK_FULL
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, before)
    assert not (tmp_path / "work" / f"result.{format}").exists()
    assert stylised(source, format=format)[0].path.read_bytes() == whole


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    peaks = []
    for count in (60, 600):
        (tmp_path / f"{count}").mkdir()
        source = clips.write(
            tmp_path / f"{count}" / "clip.mkv", [photo("coffee", 64)] * count, codec="ffv1", pixels="bgr0"
        )
        tracemalloc.start()
        stylised(source)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 2e6
