"""The service with processes that read and write its pictures."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.server import Server
from tests.e2e.test_bad_input import problem
from tests.pictures import jpeg, photo, png

PHOTO = jpeg(photo("astronaut", 96))
STYLE = jpeg(photo("coffee", 64))
MASK = png(np.linspace(0, 255, 64, dtype=np.uint8)[None].repeat(64, 0))
CUT_OUT = png(np.dstack((photo("chelsea", 64), photo("chelsea", 64)[..., 0] // 128 * 255)))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server({"image_processes": 2}) as running:
        yield running


def processes(server: Server) -> list[int]:
    """Those it has started, and that live."""
    tasks = Path(f"/proc/{server.process.pid}/task")
    return [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]


def test_answers_are_those_of_a_service_without(server: Server) -> None:
    requests = [
        ({"content": PHOTO, "style": STYLE, "mask": MASK}, {}),
        ({"content": CUT_OUT, "style": STYLE}, {"preserve_color": "match"}),
        ({"content": PHOTO, "style": CUT_OUT}, {"size": "64", "preserve_color": "luminance", "format": "webp"}),
    ]
    assert len(processes(server)) == 2
    with Server() as plain:
        assert processes(plain) == []
        for files, fields in requests:
            answers = [one.client.post("/stylize", files=files, data=fields) for one in (server, plain)]
            assert [answer.status_code for answer in answers] == [200, 200]
            assert answers[0].content == answers[1].content


def test_faults_of_files_are_told(server: Server) -> None:
    files = [("content", PHOTO), ("style", b"no picture"), ("mask", PHOTO[:900])]
    errors = problem(server.client.post("/stylize", files=files), 422, "unreadable-image")["errors"]
    assert [error["field"] for error in errors] == ["style", "mask[0]"]


def test_a_process_that_is_killed_costs_no_more_than_a_request(server: Server) -> None:
    for pid in processes(server):
        os.kill(pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
    statuses = [server.client.post("/stylize", files={"content": PHOTO, "style": STYLE}).status_code for _ in range(4)]
    assert set(statuses) <= {200, 500}
    assert statuses[-1] == 200


def test_they_end_with_the_service() -> None:
    with Server({"image_processes": 1}) as server:
        assert server.client.post("/stylize", files={"content": PHOTO, "style": STYLE}).is_success
        (pid,) = processes(server)
        os.kill(pid, signal.SIGTERM)  # as a supervisor's signal to a group, which is the service's to obey
        assert server.client.post("/stylize", files={"content": PHOTO, "style": STYLE}).is_success
        assert processes(server) == [pid]
        assert server.terminate() == 0
        until = time.monotonic() + 20
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < until
            time.sleep(0.01)
