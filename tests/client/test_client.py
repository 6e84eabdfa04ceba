"""The Python client against the real server."""

import asyncio
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from app.client import AsyncImpasto, Impasto, ImpastoProblem, Job, NotAPicture, StyleId, Unreachable
from tests.e2e.server import Server
from tests.pictures import jpeg, photo

PHOTO = jpeg(photo("astronaut", 64))
STYLE = jpeg(photo("coffee", 64))


@pytest.fixture
def impasto(server: Server) -> Iterator[Impasto]:
    with Impasto(server.url) as client:
        yield client


def test_a_path_bytes_a_pil_picture_and_an_array_give_the_same(impasto: Impasto, tmp_path: Path) -> None:
    pixels = photo("astronaut", 64)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    given = (path, str(path), path.read_bytes(), Image.fromarray(pixels), pixels)
    results = [impasto.stylize(content, STYLE, format="png").array() for content in given]
    assert results[0].shape == (64, 64, 3)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_what_it_gives_is_what_the_api_gives(impasto: Impasto, server: Server, tmp_path: Path) -> None:
    result = impasto.stylize(PHOTO, STYLE, strength=0.5, format="png")
    files = {"content": PHOTO, "style": STYLE}
    answer = server.client.post("/stylize", files=files, data={"strength": "0.5", "format": "png"})
    assert result.data == answer.content
    assert result.media_type == "image/png"
    assert set(result.timing) == {"decode", "queue", "network", "encode"}
    result.save(tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes() == result.data


def test_a_style_is_uploaded_once(impasto: Impasto, server: Server) -> None:
    style = jpeg(photo("chelsea", 80))
    first = impasto.stylize(PHOTO, style)
    second = impasto.stylize(PHOTO, [first.style_ids[0] or ""])
    third = impasto.stylize(PHOTO, style)
    assert isinstance(first.style_ids[0], StyleId)
    assert first.data == second.data == third.data
    assert first.style_ids == second.style_ids == third.style_ids


def test_a_blend_keeps_its_order_when_one_style_is_known(impasto: Impasto) -> None:
    other = jpeg(photo("rocket", 72))
    fresh = impasto.stylize(PHOTO, [STYLE, other], weight=[3, 1], format="png").array().astype(int)
    impasto.stylize(PHOTO, STYLE)
    known = impasto.stylize(PHOTO, [STYLE, other], weight=[3, 1], format="png").array().astype(int)
    swapped = impasto.stylize(PHOTO, [STYLE, other], weight=[1, 3], format="png").array().astype(int)
    assert np.abs(fresh - known).max() <= 1
    assert np.abs(fresh - swapped).mean() > 2


def test_masks_follow_their_styles(impasto: Impasto) -> None:
    left = np.zeros((64, 64), np.uint8)
    left[:, :32] = 255
    blend = impasto.stylize(PHOTO, [STYLE, jpeg(photo("rocket", 64))], mask=[left, 255 - left], format="png").array()
    assert blend.shape == (64, 64, 3)


def test_ready_styles_are_listed_and_taken_by_id(impasto: Impasto) -> None:
    styles = impasto.styles()
    assert len(styles) >= 12
    assert impasto.stylize(PHOTO, styles[0].id).style_ids == (styles[0].id,)


def test_a_style_the_service_forgot_is_sent_again_by_itself() -> None:
    with Server() as first, Impasto(first.url, retries=0) as client:
        before = client.stylize(PHOTO, STYLE)
        first.terminate()
        with Server(port=first.port):
            after = client.stylize(PHOTO, STYLE)
    assert after.data == before.data
    assert after.style_ids == before.style_ids


def test_a_problem_is_raised_in_the_services_words(impasto: Impasto) -> None:
    with pytest.raises(ImpastoProblem, match="empty") as raised:
        impasto.stylize(b"", STYLE)
    assert raised.value.status == 422
    assert raised.value.type == "unreadable-image"
    assert raised.value.remedy


def test_an_unknown_id_is_a_problem_and_not_tried_for_ever(impasto: Impasto) -> None:
    with pytest.raises(ImpastoProblem) as raised:
        impasto.stylize(PHOTO, StyleId("0" * 32))
    assert raised.value.style_forgotten


@pytest.mark.parametrize("wrong", [3, np.zeros((4, 4), np.float32), np.zeros((2, 2, 7), np.uint8)])
def test_what_is_no_picture_is_told_before_anything_is_sent(wrong: object) -> None:
    with Impasto("http://127.0.0.1:9") as client, pytest.raises(NotAPicture):
        client.stylize(wrong, STYLE)  # type: ignore[arg-type]


def test_no_service_is_told() -> None:
    with Impasto("http://127.0.0.1:9", retries=0) as client, pytest.raises(Unreachable):
        client.styles()


def test_the_asynchronous_client_does_several_at_once(server: Server) -> None:
    async def all_of_them() -> list[bytes]:
        async with AsyncImpasto(server.url) as client:
            assert await client.styles()
            results = await asyncio.gather(*(client.stylize(PHOTO, STYLE, strength=s) for s in (0.2, 0.6, 1.0)))
            return [result.data for result in results]

    assert len(set(asyncio.run(all_of_them()))) == 3


def test_a_job_is_begun_watched_fetched_and_ended(impasto: Impasto) -> None:
    seen: list[Job] = []
    job = impasto.begin(PHOTO, STYLE, strength=0.5, format="png")
    result = impasto.finished(job.id, seen.append)
    assert result.data == impasto.stylize(PHOTO, STYLE, strength=0.5, format="png").data
    assert (seen[-1].state, seen[-1].done, seen[-1].total) == ("done", 1, 1)
    impasto.end(job.id)
    with pytest.raises(ImpastoProblem) as raised:
        impasto.job(job.id)
    assert raised.value.status == 404


def test_several_photos_are_one_job_and_what_could_not_be_done_is_told(impasto: Impasto) -> None:
    seen: list[Job] = []
    archive = impasto.finished(impasto.begin([PHOTO, b"no picture"], STYLE).id, seen.append)
    assert archive.media_type == "application/zip"
    assert len(seen[-1].report) == 1


def test_a_zip_archive_of_photos_is_one_job(impasto: Impasto, tmp_path: Path) -> None:
    with ZipFile(tmp_path / "holiday.zip", "w") as zipped:
        zipped.writestr("day 1/photo.jpg", PHOTO)
    result = impasto.finished(impasto.begin(tmp_path / "holiday.zip", STYLE).id)
    assert ZipFile(io.BytesIO(result.data)).read("day 1/photo.jpg") == impasto.stylize(PHOTO, STYLE).data


def test_photos_of_files_keep_their_names(impasto: Impasto, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one.jpg", "two.jpg")]
    for path in paths:
        path.write_bytes(PHOTO)
    result = impasto.finished(impasto.begin([str(paths[0]), paths[1]], STYLE).id)
    assert ZipFile(io.BytesIO(result.data)).namelist() == ["001-one.jpg", "002-two.jpg"]


def test_a_job_that_fails_raises_its_problem(server: Server) -> None:
    async def failed() -> None:
        async with AsyncImpasto(server.url) as client:
            job = await client.begin([b"no picture", b"none either"], STYLE)
            await client.finished(job.id)

    with pytest.raises(ImpastoProblem):
        asyncio.run(failed())


class _BusyThenForward(BaseHTTPRequestHandler):
    """A balancer that is busy twice, then says what it was asked for."""

    asked = 0
    key = ""

    def do_GET(self) -> None:
        type(self).asked += 1
        type(self).key = self.headers["Authorization"]
        busy = type(self).asked <= 2
        self.send_response((429 if type(self).asked == 1 else 503) if busy else 200)
        if busy:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(b"{}" if busy else b'{"styles": []}')

    def log_message(self, *_: object) -> None:
        pass


def test_busy_services_are_asked_again_after_the_time_they_name() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _BusyThenForward) as balancer:
        threading.Thread(target=balancer.serve_forever, daemon=True).start()
        with Impasto(f"http://127.0.0.1:{balancer.server_port}", key="secret") as client:
            assert client.styles() == []
        balancer.shutdown()
    assert _BusyThenForward.asked == 3
    assert _BusyThenForward.key == "Bearer secret"
