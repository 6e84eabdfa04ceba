"""Frames as a camera meant them, and what can be read of a file that is not whole."""

import struct
import sys
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from av import VideoFrame
from numpy.typing import NDArray
from PIL import Image

from app.video.errors import UnreadableVideo, VideoTooLarge
from app.video.frames import Frame, Limits
from app.video.read import is_video, open_video
from tests.pictures import jpeg, photo
from tests.video import clips

LIMITS = Limits(bytes=10**8, pixels=10**6, frames=1000, seconds=100.0)
RAMP = np.repeat(np.linspace(0, 255, 256).round().astype(np.uint8)[None, :, None], 48, 0).repeat(3, 2)


def read(path: Path, limits: Limits = LIMITS, size: tuple[int, int] | None = None) -> tuple[list[Frame], list[str]]:
    video = open_video(path, limits)
    frames = list(video.frames(size or (video.info.width, video.info.height)))
    return frames, video.notes


@pytest.mark.parametrize("turn", [0, 90, 180, -90])
def test_upright(tmp_path: Path, turn: int) -> None:
    wanted = photo("astronaut", 96)[:64]
    stored = np.ascontiguousarray(np.rot90(wanted, -turn // 90))
    path = clips.write(tmp_path / "clip.mp4", [stored] * 3, turn=turn, options={"crf": "8"})
    frames, _ = read(path)
    assert frames[0].rgb.shape == wanted.shape
    assert np.abs(frames[0].rgb.astype(int) - wanted).mean() < 6


def test_mirrored(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    wanted = photo("astronaut", 64)
    clips.write(path, [np.ascontiguousarray(wanted[:, ::-1])] * 2, mirrored=True, options={"crf": "8"})
    assert np.abs(read(path)[0][0].rgb.astype(int) - wanted).mean() < 6


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "told by nothing"])
@pytest.mark.parametrize("full", [False, True])
def test_a_grey_ramp_and_its_colours(tmp_path: Path, matrix: str, full: bool) -> None:
    """Whatever matrix and range the camera chose, and told."""
    colours = RAMP.copy()
    colours[24:, :, 0], colours[24:, :, 2] = 255 - colours[24:, :, 0], 128
    path = coloured(tmp_path / "clip.mp4", colours, {"bt601": 5, "bt709": 1}.get(matrix, 5), full, matrix[:2] == "bt")
    got = read(path)[0][0].rgb.astype(int)
    assert np.abs(got[:22] - colours[:22]).max() <= 3
    assert np.abs(got[27:, 4:-4] - colours[27:, 4:-4]).max() <= 8


def coloured(path: Path, rgb: NDArray[np.uint8], matrix: int, full: bool, told: bool) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.height, stream.width = rgb.shape[:2]
        stream.pix_fmt = "yuv444p"
        stream.codec_context.color_range = 2 if full else 1
        if told:
            stream.codec_context.colorspace = matrix
        frame = VideoFrame.from_ndarray(rgb, "rgb24")
        frame.color_range = 2
        yuv = frame.reformat(format="yuv444p", dst_colorspace=matrix, dst_color_range=2 if full else 1)
        container.mux(stream.encode(yuv))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("transfer", "white"), [(16, 0.58), (18, 0.75)])
def test_hdr_is_seen_as_sdr(tmp_path: Path, transfer: int, white: float) -> None:
    """A 10-bit ramp of HLG or PQ: rising, black is black, a white page is bright, a light is white."""
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 256, 64, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = transfer, 9, 9, 1
        frame = VideoFrame(256, 64, "yuv420p10le")
        for number, plane in enumerate(frame.planes):
            levels = np.full((plane.height, plane.line_size // 2), 512, np.uint16)
            if number == 0:
                levels[:, :256] = np.linspace(64, 940, 256).round()
            plane.update(levels.tobytes())
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    levels = read(path)[0][0].rgb[32].astype(int)
    assert levels[0].max() <= 2
    assert np.diff(levels[:, 1]).min() >= -2
    assert 200 <= levels[round(255 * white)].min() <= 245  # the page
    assert np.abs(np.diff(levels[: round(255 * white)], axis=1)).max() <= 4  # grey stays grey
    assert levels[-1].min() >= 250


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "clip.mp4", clips.pan(2, 64, 48), aspect=Fraction(4, 3))
    info = open_video(path, LIMITS).info
    assert (info.width, info.height) == (85, 48)


def test_times_that_go_backwards(tmp_path: Path) -> None:
    """They are put behind those before; nothing else of the clip is moved against the rest."""
    path = clips.write(
        tmp_path / "clip.mkv", clips.pan(8, 32, 32), [0, 30, 60, 90, 1200, 1230, 1260, 1290], options={"bf": "0"}
    )
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert times[4] == 2000
    # A block's time is two bytes behind its track number, from the cluster's: 2000 is made 0.
    at = data.index(b"\x81" + (2000).to_bytes(2, "big"))
    data[at + 1 : at + 3] = b"\0\0"
    path.write_bytes(data)
    frames, notes = read(path)
    ticks = [frame.ticks for frame in frames]
    assert len(frames) == 8
    assert ticks == sorted(set(ticks))
    assert any("went backwards" in note for note in notes)


def test_a_long_gap_stays_and_is_told(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "clip.mp4", clips.pan(3, 32, 32), [0, 20, 6020])
    frames, notes = read(path)
    assert frames[1].duration * float(open_video(path, LIMITS).info.time_base) == pytest.approx(10)
    assert notes == ["No frames for a while 1 time, at most for 10.0 s from 0.0 s on; the one before stands."]


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mp4"])
def test_a_file_that_ends_in_mid_frame(tmp_path: Path, name: str) -> None:
    path = clips.write(tmp_path / name, clips.pan(60, 64, 48, 1), options={"movflags": "+faststart"}, noise=True)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    frames, notes = read(path)
    assert 20 < len(frames) < 60
    assert notes


def test_a_damaged_middle(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "clip.mkv", clips.pan(40, 64, 48, 1), options={"crf": "30"}, noise=True)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)
    middle = len(data) // 2
    data[middle : middle + 400] = rng.integers(0, 256, 400, np.uint8).tobytes()
    path.write_bytes(data)
    frames, notes = read(path)
    assert 1 < len(frames) < 40
    assert notes


def test_a_damaged_animation(tmp_path: Path) -> None:
    frames = [Image.fromarray(frame) for frame in clips.pan(6, 48, 40)]
    frames[0].save(tmp_path / "whole.gif", save_all=True, append_images=frames[1:])
    data = (tmp_path / "whole.gif").read_bytes()
    (tmp_path / "cut.gif").write_bytes(data[: len(data) * 2 // 3])
    got, notes = read(tmp_path / "cut.gif")
    assert 2 <= len(got) < 6
    assert notes


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\0\0\0\x20ftypisom" + bytes(500),
        b"\x1a\x45\xdf\xa3" + bytes(500),
        b"GIF89a" + bytes(100),
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
    ],
)
def test_what_is_no_video(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    with pytest.raises(UnreadableVideo):
        open_video(path, LIMITS)


def test_sound_alone(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "clip.mp4", clips.pan(3, 32, 32), sound="aac")
    with av.open(str(path)) as source, av.open(str(tmp_path / "sound.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    with pytest.raises(UnreadableVideo, match="no picture"):
        open_video(tmp_path / "sound.mp4", LIMITS)


def test_limits_hold_while_it_is_read(tmp_path: Path) -> None:
    """A header need not tell how much comes: a stream is stopped when it has gone too far."""
    path = clips.write(tmp_path / "clip.mkv", clips.pan(30, 32, 32, 1))
    for limits in (Limits(10**8, 10**6, 20, 100.0), Limits(10**8, 10**6, 1000, 0.5)):
        with pytest.raises(VideoTooLarge):
            read(path, limits)


def test_a_header_of_a_huge_size(tmp_path: Path) -> None:
    buffer = BytesIO()
    Image.new("P", (64, 64)).save(buffer, "GIF", save_all=True, append_images=[Image.new("P", (64, 64), 1)])
    data = bytearray(buffer.getvalue())
    data[6:10] = b"\xff\xff\xff\xff"
    (tmp_path / "bomb.gif").write_bytes(data)
    with pytest.raises(VideoTooLarge, match="4,294,836,225 pixels"):
        open_video(tmp_path / "bomb.gif", LIMITS)


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux tells it")
@pytest.mark.parametrize("disposal", [0, 2, 3])
def test_a_first_frame_of_a_gif_that_reaches_far_beyond_the_canvas_takes_no_memory(
    tmp_path: Path, disposal: int
) -> None:
    control = b"!\xf9\x04" + bytes([disposal << 2, 4, 0, 0]) + b"\0"
    large = b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\x02\x01\x2c\0"
    path = tmp_path / "bomb.gif"
    path.write_bytes(b"GIF89a" + struct.pack("<HHBBB", 2, 2, 0x80, 0, 0) + bytes(6) + 2 * (control + large) + b";")
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert is_video(path)
    with pytest.raises(VideoTooLarge, match="3,600,000,000"):
        open_video(path, LIMITS)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize("disposal", [0, 2, 3])
@pytest.mark.parametrize(
    "before", [b"", b"\0", b"!\xfe\0", b"!\xf9\0\x01\0\0", b"!\xff\x0bNETSCAPE2.0\0\x01\0\0"], ids=repr
)
def test_a_later_frame_of_a_gif_that_reaches_far_beyond_the_first_is_refused(
    tmp_path: Path, disposal: int, before: bytes
) -> None:
    path = tmp_path / "bomb.gif"
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(path)
    control = b"!\xf9\x04" + bytes([disposal << 2, 4, 0, 0]) + b"\0"
    large = b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\x02\x01\x2c\0"
    path.write_bytes(path.read_bytes().removesuffix(b";") + before + control + large + b";")
    video = open_video(path, LIMITS)
    frames = video.frames((2, 2))
    assert next(frames).rgb.shape == (2, 2, 3)
    with pytest.raises(VideoTooLarge, match="3,600,000,000"):
        next(frames)


def test_which_files_are_videos(tmp_path: Path) -> None:
    still, moving = Image.new("RGB", (8, 8)), [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for name in ("still.png", "still.webp", "still.gif"):
        still.save(tmp_path / name)
    for name in ("moving.png", "moving.webp", "moving.gif"):
        moving[0].save(tmp_path / name, save_all=True, append_images=moving[1:])
    (tmp_path / "photo.mp4").write_bytes(jpeg(photo("coffee", 16)))
    clips.write(tmp_path / "clip.jpg.webm", clips.pan(2, 32, 32), codec="libvpx-vp9")
    found = {path.name for path in tmp_path.iterdir() if is_video(path)}
    assert found == {"moving.png", "moving.webp", "moving.gif", "clip.jpg.webm"}
