"""Videos as jobs over HTTP: what comes out, and what is said of those that can't be."""

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.video.writer import SEGMENT
from tests.e2e.jobs import STYLE, accepted, ended, events, result
from tests.e2e.server import Server
from tests.e2e.test_operation import wait_until
from tests.pictures import jpeg, photo
from tests.video import clips


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("data")
    limits = {"max_video_seconds": 5, "max_video_frames": 60, "max_video_pixels": 100_000, "max_video_bytes": 3_000_000}
    with Server({"data_dir": data, **limits, "root_path": ""}) as running:
        yield running


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return clips.phone(tmp_path / "clip.mov", 48, 32)


def send(client: httpx.Client, content: bytes, masks: tuple[bytes, ...] = (), **fields: object) -> httpx.Response:
    files = [("content", ("clip.mov", content)), ("style", ("style.jpg", STYLE))]
    files += [("mask", ("mask", mask)) for mask in masks]
    return client.post("/jobs", files=files, data={name: str(value) for name, value in fields.items()})


def refused(answer: httpx.Response, status: int, name: str, field: str) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict = answer.json()
    assert body["type"] == f"/problems/{name}"
    assert field in (body.get("field"), *(error["field"] for error in body.get("errors", ())))
    return body


def test_a_phones_clip(server: Server, clip: Path, tmp_path: Path) -> None:
    where = accepted(send(server.client, clip.read_bytes(), keyframes='[{"time": 0, "strength": 0.5}]'))
    job = ended(server.client, where)
    assert job["state"] == "done", job
    assert (job["progress"]["done"], job["progress"]["unit"]) == (len(clips.UNEVEN), "frames")
    answer = server.client.get(job["links"]["result"])
    assert answer.headers["Content-Type"] == "video/mp4"
    out = tmp_path / "out.mp4"
    out.write_bytes(answer.content)
    assert clips.shown(out)[0][1].shape == (48, 32, 3)
    assert clips.packets(out, "audio") == clips.packets(clip, "audio")
    assert abs(clips.duration(out) - clips.duration(clip)) < Fraction(1, 30)
    part = server.client.get(job["links"]["result"], headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    assert server.client.get(f"{where}/preview").headers["Content-Type"] == "image/jpeg"


def test_another_format(server: Server, clip: Path) -> None:
    job = ended(server.client, accepted(send(server.client, clip.read_bytes(), video_format="GIF", steadiness=0)))
    assert server.client.get(job["links"]["result"]).content[:6] == b"GIF89a"
    assert job["result"]["report"] == ["A gif has no sound; the video's is left out."]


def test_a_broken_tail_is_done_and_told(server: Server, tmp_path: Path) -> None:
    path = clips.write(tmp_path / "clip.mkv", clips.pan(50, 48, 32, 1), noise=True)
    job = ended(server.client, accepted(send(server.client, path.read_bytes()[: path.stat().st_size * 6 // 10])))
    assert job["state"] == "done"
    assert "there are pictures for" in job["result"]["report"][-1]


@pytest.mark.parametrize("data", [b"\0\0\0\x20ftypisom" + bytes(500), b"\x1a\x45\xdf\xa3" + bytes(500)])
def test_what_is_no_video(server: Server, data: bytes) -> None:
    refused(send(server.client, data), 422, "unreadable-video", "content")


def test_limits(server: Server, tmp_path: Path) -> None:
    """Each is told with its number: frames, seconds, pixels of a frame, bytes."""
    still = [np.zeros((32, 32, 3), np.uint8)]
    noise = np.random.default_rng(0).integers(0, 256, (256, 320, 3), np.uint8)
    for unit, path in {
        "frames": clips.write(tmp_path / "frames.mp4", still * 61),
        "seconds": clips.write(tmp_path / "hours.mp4", still * 3, [0, 20, 600 * 7200]),
        "pixels": clips.write(tmp_path / "large.mp4", [np.zeros((512, 512, 3), np.uint8)] * 2),
        "bytes": clips.write(tmp_path / "heavy.mkv", [noise] * 16, codec="ffv1", pixels="bgr0"),
    }.items():
        problem = refused(send(server.client, path.read_bytes()), 413, "video-too-large", "content")
        assert problem["unit"] == unit
        assert problem["limit"] in (60, 5, 100_000, 3_000_000)


def test_a_stream_that_goes_on_past_what_was_told(server: Server, tmp_path: Path) -> None:
    """The header of an MKV tells no frames: it is stopped when there are too many, and the job says why."""
    path = clips.write(tmp_path / "clip.mkv", clips.pan(70, 32, 32, 1))
    job = ended(server.client, accepted(send(server.client, path.read_bytes())))
    assert job["state"] == "failed"
    assert job["problem"]["type"] == "/problems/video-too-large"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"keyframes": '[{"time": 1}, {"time": 0}]'}, "keyframes"),
        ({"keyframes": "soon"}, "keyframes"),
        ({"steadiness": 2}, "steadiness"),
        ({"video_format": "avi"}, "video_format"),
        ({"format": "png"}, "format"),
        ({"strength": 7}, "strength"),
    ],
)
def test_wrong_fields(server: Server, clip: Path, fields: dict[str, object], field: str) -> None:
    refused(send(server.client, clip.read_bytes(), **fields), 422, "invalid-request", field)


def test_a_mask_that_cannot_be_read(server: Server, clip: Path) -> None:
    refused(send(server.client, clip.read_bytes(), (clip.read_bytes()[:200],)), 422, "unreadable-video", "mask[0]")


def test_a_mask_of_another_length(server: Server, clip: Path, tmp_path: Path) -> None:
    mask = clips.write(tmp_path / "mask.mp4", [np.full((32, 32, 3), 255, np.uint8)] * 3)
    job = ended(server.client, accepted(send(server.client, clip.read_bytes(), (mask.read_bytes(),))))
    assert job["result"]["report"] == ["mask[0] ends at 0.1 s; its last frame stands from there on."]


def test_one_video_a_job(server: Server, clip: Path) -> None:
    data = clip.read_bytes()
    files = [("content", ("a.mov", data)), ("content", ("b.mov", data)), ("style", ("style.jpg", STYLE))]
    refused(server.client.post("/jobs", files=files), 422, "invalid-request", "content")


def test_a_video_is_no_photo(server: Server, clip: Path) -> None:
    """What waits for an answer is told where videos go."""
    files = {"content": clip.read_bytes(), "style": jpeg(photo("coffee", 32))}
    answer = server.client.post("/stylize", files=files)
    assert answer.status_code == 422
    assert "POST it to /jobs" in json.dumps(answer.json())


def test_stylize_takes_a_video_as_a_job_where_that_is_preferred(server: Server, clip: Path) -> None:
    files = {"content": clip.read_bytes(), "style": STYLE}
    asked = server.client.post("/stylize", files=files, headers={"Prefer": "respond-async"})
    assert server.client.get(accepted(asked)).json()["kind"] == "video"


def test_a_video_goes_on_after_a_kill_and_comes_to_the_same_bytes(server: Server, tmp_path: Path) -> None:
    clips.write(tmp_path / "pan.mp4", clips.pan(56, 48, 32))
    data, keyframes = (tmp_path / "pan.mp4").read_bytes(), '[{"time": 0, "strength": 0}, {"time": 3, "strength": 1}]'
    with Server({"data_dir": tmp_path / "data"}) as killed:
        where = accepted(send(killed.client, data, keyframes=keyframes))
        wait_until(lambda: any((tmp_path / "data").rglob("00000.json")), 120)  # the first segment is on disk
        killed.kill()
    with Server({"data_dir": tmp_path / "data"}) as again:
        seen = [job["progress"]["done"] for _, job in events(again.client, where)]
        # At first it stands where it was last written down, which is not at each frame.
        assert all(done >= SEGMENT for done in seen if done > seen[0]), "what was finished is not done again"
        disturbed = result(again.client, where)
    assert disturbed == result(server.client, accepted(send(server.client, data, keyframes=keyframes)))
