"""Jobs outlive what befalls the service: kills, stops, a full disk, a folder that is not there."""

import io
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from app.engine.begun import Begun
from tests.e2e.jobs import accepted, content, ended, events, folders, result, send, until
from tests.e2e.server import EAGER, Server
from tests.e2e.test_jobs import problem

# The last takes longer than the starts let it, so that each finds something to do.
PHOTOS = [content(384), content(400), content(384, "chelsea"), content(1024, "chelsea")]


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def wait_until(met: Callable[[], bool]) -> None:
    """What happens behind an answer takes its time."""
    deadline = time.monotonic() + 60
    while not met() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert met()


def listen(server: Server, where: str) -> None:
    assert list(events(server.client, where))


def test_a_job_goes_on_after_kills_and_stops_and_comes_to_the_same_bytes(tmp_path: Path) -> None:
    settings = {"data_dir": tmp_path, "job_attempts": 9}
    parts: list[float] = []
    where = ""
    for end in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        with Server(settings) as server:
            where = where or accepted(send(server.client, *PHOTOS, format="png", preserve_color="luminance"))
            job = until(server.client, where, state="running")
            parts.append(job["progress"]["done"])
            listening = threading.Thread(target=listen, args=(server, where), daemon=True)
            if end is signal.SIGTERM:
                listening.start()
            # Not what is waited for: any moment must do.
            time.sleep(random.uniform(0.0, 0.8))
            since = time.monotonic()
            server.process.send_signal(end)
            assert server.process.wait(timeout=60) == (0 if end is signal.SIGTERM else -signal.SIGKILL)
            if end is signal.SIGTERM:
                listening.join(timeout=60)
                assert not listening.is_alive()
                assert time.monotonic() - since < 25, "well before the grace time is over, listener or not"
                assert "Traceback" not in server.log()
    with Server(settings) as server:
        disturbed = result(server.client, where)
        whole = accepted(send(server.client, *PHOTOS, format="png", preserve_color="luminance"))
        assert result(server.client, whole) == disturbed
        assert parts == sorted(parts), "what was finished is not done again"
        wait_until(lambda: files_in(tmp_path / "jobs") == {"photos.zip", "preview.jpg"})


# Tiles so small, features on disk, and so slow an engine that a photo takes long enough for some of it to be kept.
TILES = {"tile_size": 256, "feature_memory_bytes": 0, "engine": "ncnn", "threads": 1}
PRINT = {"size": 700, "format": "png"}


def kept(folder: Path) -> float:
    """How much of the photo in hand is on disk."""
    return max((Begun(one).part for one in folder.glob("jobs/*/work/begun-*")), default=0.0)


def test_a_large_photo_goes_on_after_kills_from_what_was_finished(tmp_path: Path) -> None:
    settings = {"data_dir": tmp_path, "job_attempts": 2, **TILES}
    where, part = "", 0.0
    for _ in range(3):
        with Server(settings, EAGER) as server:
            where = where or accepted(send(server.client, content(400), **PRINT))
            wait_until(lambda part=part: kept(tmp_path) > part)
            # Not what is waited for: any moment must do.
            time.sleep(random.uniform(0.0, 0.3))
            server.kill()
            part = kept(tmp_path)
    with Server(settings, EAGER) as server:
        told = [job for _, job in events(server.client, where)]
        assert told[-1]["state"] == "done", told[-1]
        running = [job["progress"]["done"] for job in told if job["state"] == "running"]
        # At first it may stand where it was last written down, which is not whenever something is kept.
        assert all(done > 0.95 * part for done in running if done > running[0]), "what was finished is not done again"
        again = [job for _, job in events(server.client, accepted(send(server.client, content(400), **PRINT)))]
        results = [server.client.get(job["links"]["result"]).content for job in (told[-1], again[-1])]
        assert results[0] == results[1]
        assert Image.open(io.BytesIO(results[0])).size == (700, 700)
        wait_until(lambda: files_in(tmp_path / "jobs") == {"00000.png", "preview.jpg"})
    progress = [job["progress"]["done"] for job in again]
    assert progress == sorted(progress)
    assert max(progress[:-1]) < progress[-1] == 1, "all is done when it is done"
    assert any(job.get("seconds_left") for job in again[:-1])


def test_a_folder_is_one_process_s_and_the_next_one_s_once_that_has_ended(tmp_path: Path) -> None:
    with Server({"data_dir": tmp_path}) as first:
        where = accepted(send(first.client, content(64)))
        ended(first.client, where)
        with Server({"data_dir": tmp_path}) as second:
            body = problem(second.client.get(where), 503, "jobs-off")
            assert "IMPASTO_DATA_DIR" in body["detail"]
            assert send(second.client, content(64), path="/stylize", headers={"Prefer": "respond-async"}).content
            first.terminate()
            until(second.client, where, state="done")


def test_where_no_folder_can_be_had_all_but_jobs_is_served(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with Server({"data_dir": tmp_path / "file" / "data"}) as server:
        for answer in (send(server.client, content(64)), server.client.get("/jobs/x"), server.client.delete("/jobs/x")):
            assert str(tmp_path) in problem(answer, 503, "jobs-off")["detail"]
        answer = send(server.client, content(64), path="/stylize", headers={"Prefer": "respond-async"})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg"), "a preference, no demand"
        assert "jobs are off" in server.log()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 3 MB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", tmp_path], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"mount: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_job_waits_for_room_and_says_so(small_disk: Path) -> None:
    with Server({"data_dir": small_disk, "jobs_at_once": 1}) as server:
        client = server.client
        where = accepted(send(client, content(200), size=600, format="png"))
        behind = accepted(send(client, content(64)))
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(1024)):
                    pass
            except OSError:
                os.fsync(file.fileno())
        job = until(client, where, note="waits: the disk is full")
        assert "result" not in job
        problem(client.get(f"{where}/result"), 409, "job-not-done")
        full = problem(send(client, content(640)), 503, "storage-full")
        assert full["detail"] == "the folder of jobs is full"
        known = {where.rpartition("/")[2], behind.rpartition("/")[2]}
        assert folders(small_disk) == known, "nothing of what was refused"
        filler.unlink()
        assert ended(client, where)["state"] == ended(client, behind)["state"] == "done"
        whole = send(client, content(200), path="/stylize", size=600, format="png")
        assert result(client, where) == whole.content


def test_ended_jobs_go_when_room_or_time_is_over(tmp_path: Path) -> None:
    limits = {"jobs_keep_bytes": 250_000, "jobs_at_once": 1, "max_jobs": 2, "client_share": 1}
    with Server({"data_dir": tmp_path, **limits}) as server:
        client = server.client
        held = [accepted(send(client, content(64), size=2600)) for _ in range(2)]
        refused = send(client, content(256))
        assert problem(refused, 503, "queue-full")["limit"] == 2
        assert int(refused.headers["Retry-After"]) >= 1
        for where in held:
            assert client.delete(where).status_code == 204
        first, second = (accepted(send(client, content(256), format="png")) for _ in range(2))
        for where in (first, second):
            assert ended(client, where)["state"] == "done"
        third = accepted(send(client, content(256), format="png"))
        problem(client.get(first), 404, "unknown-job")
        assert first.rpartition("/")[2] not in folders(tmp_path)
        assert ended(client, third)["state"] == "done"
        too_large = problem(send(client, *[content(640)] * 8, style=content(640)), 503, "storage-full")
        assert too_large["limit"] == 250_000
    with Server({"data_dir": tmp_path, "jobs_keep_seconds": 0}) as server:
        wait_until(lambda: not folders(tmp_path))
        problem(server.client.get(third), 404, "unknown-job")
