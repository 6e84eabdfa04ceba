"""Pictures read and written in processes of their own: the same as here, faults and all, and no process is missed."""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from app.images.codec import HERE, Codec
from app.images.errors import ImageError, TooManyPixels, UnclearMask
from app.images.processes import KEPT_BYTES, Processes, ProcessFailed
from tests.images.files import PIXELS, heic, photo, saved, small

ROOM = 40_000_000
CUT_OUT = saved(np.dstack((small(), small()[..., :1] // 128 * 255)), "png")
FILES = {"jpeg": saved(photo(), "jpeg"), "png": CUT_OUT, "heif": heic(small()), "webp": saved(small(), "webp")}


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    started = Processes(2, ROOM)
    yield started
    started.close()


def both(processes: Processes, ask: Callable[[Codec], Any], kind: type[Exception] | None = None) -> tuple[Any, Any]:
    """What here and what a process makes of it, or the error each raises."""
    if kind is None:
        return ask(HERE), ask(processes)
    errors = []
    for codec in (HERE, processes):
        with pytest.raises(kind) as raised:
            ask(codec)
        errors.append(raised.value)
    return errors[0], errors[1]


@pytest.mark.parametrize("format", FILES)
@pytest.mark.parametrize("how", [{}, {"size": 100}, {"limit": 40}])
def test_photos_are_decoded_as_here(processes: Processes, format: str, how: dict[str, int]) -> None:
    here, there = both(processes, lambda codec: codec.decode(BytesIO(FILES[format]), max_pixels=PIXELS, **how))
    assert np.array_equal(there.rgb, here.rgb)
    assert there.rgb.flags.writeable
    assert there.format == here.format == format
    assert (there.alpha is None) == (here.alpha is None) == (format != "png")
    if here.alpha is not None:
        assert np.array_equal(there.alpha, here.alpha)


def test_styles_and_masks_are_decoded_as_here(processes: Processes) -> None:
    here, there = both(processes, lambda codec: codec.decode_trimmed(BytesIO(CUT_OUT), max_pixels=PIXELS, size=30))
    assert np.array_equal(there.rgb, here.rgb)
    masks = both(
        processes, lambda codec: codec.decode_mask(BytesIO(FILES["jpeg"]), max_pixels=PIXELS, width=40, height=24)
    )
    assert masks[0].shape == (24, 40)
    assert np.array_equal(*masks)


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("transparent", [False, True])
def test_results_are_encoded_as_here(processes: Processes, format: str, transparent: bool) -> None:
    alpha = np.ascontiguousarray(small()[..., 1]) if transparent else None
    here, there = both(processes, lambda codec: codec.encode(small(), alpha, format, 80))
    assert isinstance(there, bytes)
    assert there == here


@pytest.mark.parametrize(
    ("kind", "ask"),
    [
        (ImageError, lambda codec: codec.decode(BytesIO(FILES["jpeg"][:5000]), max_pixels=PIXELS)),
        (ImageError, lambda codec: codec.decode(BytesIO(b""), max_pixels=PIXELS)),
        (TooManyPixels, lambda codec: codec.decode(BytesIO(FILES["jpeg"]), max_pixels=1000)),
        (
            UnclearMask,
            lambda codec: codec.decode_mask(
                BytesIO(saved(np.full((8, 8), 9, np.uint8), "png")), max_pixels=PIXELS, width=8, height=8
            ),
        ),
        (ImageError, lambda codec: codec.encode(np.zeros((1, 16_384, 3), np.uint8), None, "webp", 80)),
    ],
)
def test_faults_are_told_as_here(processes: Processes, kind: type[Exception], ask: Callable[[Codec], Any]) -> None:
    here, there = both(processes, ask, kind)
    assert type(there) is type(here)
    assert str(there) == str(here)
    assert vars(there) == vars(here)


def test_many_threads_share_them(processes: Processes) -> None:
    wanted = HERE.decode(BytesIO(FILES["jpeg"]), max_pixels=PIXELS, size=64).rgb
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(5):
            found = processes.decode(BytesIO(FILES["jpeg"]), max_pixels=PIXELS, size=64 + number)
            if found.rgb.shape[0] != 64 + number or (number == 0 and not np.array_equal(found.rgb, wanted)):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_large_picture_does_not_stay_in_memory(processes: Processes) -> None:
    side = 2500
    large = saved(np.zeros((side, side, 3), np.uint8), "png")
    assert 3 * side**2 > KEPT_BYTES
    assert processes.decode(BytesIO(large), max_pixels=PIXELS).rgb.shape == (side, side, 3)
    for process in processes._all:
        assert 512 * os.fstat(process._file.fileno()).st_blocks <= KEPT_BYTES


def test_more_than_there_is_room_for_is_a_fault_of_that_picture(processes: Processes) -> None:
    large = saved(np.zeros((4000, 4000, 3), np.uint8), "png")
    with pytest.raises(ProcessFailed, match="MemoryError: a picture takes more than the 40000000 bytes"):
        processes.decode(BytesIO(large), max_pixels=PIXELS)
    assert processes.decode(BytesIO(FILES["jpeg"]), max_pixels=PIXELS).format == "jpeg"


def test_a_process_that_died_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    alone = Processes(1, ROOM)
    try:
        (process,) = alone._all
        process._process.send_signal(signal.SIGSTOP)
        thread = threading.Timer(0.2, process._process.kill)
        thread.start()
        with pytest.raises(ProcessFailed, match="died \\(signal 9\\)"):
            alone.decode(BytesIO(FILES["jpeg"]), max_pixels=PIXELS)
        assert "starts again" in caplog.text
        assert alone.decode(BytesIO(FILES["jpeg"]), max_pixels=PIXELS).format == "jpeg"
        process._process.kill()
        process._process.wait()
        assert alone.decode(BytesIO(FILES["jpeg"]), max_pixels=PIXELS).format == "jpeg", "nobody had asked it yet"
    finally:
        alone.close()


OWNER = """
import os, time
from app.images.processes import Processes
processes = Processes(1, 1_000_000)
print(processes._all[0]._process.pid, flush=True)
time.sleep(100)
"""


def test_it_ends_with_its_owner_and_leaves_signals_to_him() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert owner.stdout
    pid = int(owner.stdout.readline())
    ended = os.pidfd_open(pid)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    with pytest.raises(subprocess.TimeoutExpired):
        owner.wait(0.3)
    os.kill(pid, 0)
    owner.kill()
    owner.wait()
    assert select.select([ended], [], [], 30)[0], "still there after its owner"
    os.close(ended)
