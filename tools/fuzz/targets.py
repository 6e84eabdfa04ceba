"""What is fed with bytes: each target takes any, and may raise nothing.

A fault that the code documents is what it is to give, and is looked at; all else is a finding.
"""

import asyncio
import io
import math
import re
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from atheris import FuzzedDataProvider

from app.http.fields import FILE_FIELDS, read_fields
from app.http.forms import Form, read_form
from app.http.problems import Problem, problem_response
from app.images.decode import decode, decode_mask, decode_style, decode_trimmed
from app.images.errors import ImageError, UnreadableImage
from app.jobs.archive import ArchiveLimits, is_archive, opened
from app.jobs.names import Names
from app.jobs.work import Fault, Upload
from app.network.weights import WeightsError, read_weights
from app.settings import Settings
from app.styles.library import StyleLibrary
from app.video.errors import BadKeyframes, VideoError
from app.video.frames import Limits
from app.video.keyframes import read_keyframes
from app.video.read import is_video, open_video

SETTINGS: Final = Settings()
SIDE: Final = 256
FRAMES: Final = 40
SCRATCH: Final = Path(tempfile.mkdtemp(prefix="impasto-fuzz-"))
BOUNDARY: Final = b"b"
TYPES: Final = [b"multipart/form-data; boundary=b", b'multipart/form-data; boundary="b"']
FILE_BYTES: Final = 2000
PHOTOS: Final = 5
PLACE: Final = re.compile(rb" at \d+")  # python-multipart counts from a chunk's beginning

warnings.simplefilter("ignore")  # Pillow warns of what it then raises for


def images(data: bytes) -> None:
    """A picture file, read as a photo, a style, a mask and a cut-out are."""
    most, file = SETTINGS.max_pixels, io.BytesIO(data)
    reader = sum(data) % 4
    try:
        if reader == 0:
            rgb = decode(file, max_pixels=most, limit=SIDE).rgb
        elif reader == 1:
            rgb = decode_style(file, max_pixels=most, size=SIDE)
        elif reader == 2:
            rgb = decode_mask(file, max_pixels=most, width=SIDE, height=SIDE // 2)[:, :, None]
        else:
            rgb = decode_trimmed(file, max_pixels=most, size=SIDE).rgb
    except ImageError as error:
        assert str(error).endswith("."), error
        return
    assert rgb.dtype == np.uint8
    assert rgb.ndim == 3
    assert 0 < rgb.size <= 3 * SIDE * SIDE


def form(data: bytes) -> None:
    """A multipart body in chunks of the fuzzer's choice, which must read as it does in one; then its fields."""
    given = FuzzedDataProvider(data)
    kind = given.PickValueInList(TYPES) if given.ConsumeIntInRange(0, 7) else given.ConsumeBytes(60)
    cuts = [given.ConsumeIntInRange(1, 100) for _ in range(given.ConsumeIntInRange(0, 20))]
    body = given.ConsumeBytes(given.remaining_bytes())
    chunks = []
    start = 0
    for cut in cuts:
        chunks.append(body[start : start + cut])
        start += cut
    chunks.append(body[start:])
    headers = {"content-type": kind.decode("latin-1")}
    apart, whole = _told(headers, chunks), _told(headers, [body])
    assert apart == whole, (apart, whole)


def _told(headers: dict[str, str], chunks: Sequence[bytes]) -> object:
    """What comes of a form, so that it can be compared."""

    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    try:
        read: Form = asyncio.run(
            read_form(headers, stream(), file_fields=FILE_FIELDS, max_file_bytes=FILE_BYTES, max_request_bytes=10**6)
        )
    except Problem as problem:
        return _answered(problem)
    try:
        texts = dict(read.texts)
        files = {name: [(file.name, file.data.read()) for file in files] for name, files in read.files.items()}
        for some in read.files.values():
            for file in some:
                file.data.seek(0)
        try:
            asked = read_fields(read, StyleLibrary(0), max_size=4096, max_style_size=1024)
        except Problem as problem:
            return texts, files, _answered(problem)
        assert all(math.isfinite(weight) for weight in asked.options.weight)
        return texts, files, asked.options.model_dump()
    finally:
        read.close()


def _answered(problem: Problem) -> bytes:
    assert 400 <= problem.kind.status < 500, problem
    return PLACE.sub(b"", bytes(problem_response(problem, "").body))


def keyframes(data: bytes) -> None:
    """Keyframes as a form has them: JSON, or what is called so."""
    text = data.decode("utf-8", "replace")
    styles = [["style", "style[0]"], ["style[1]"], ["0123456789abcdef"]]
    try:
        read = read_keyframes(text, styles, (), 1.0)
    except BadKeyframes as error:
        _answered_text(str(error))
        return
    for time in (0.0, 0.5, 1.0, 10.0, 1e9):
        moment = read.at(time)
        assert math.isclose(moment.weights.sum(), 1.0), moment
        assert 0 <= moment.strength <= 1


def _answered_text(text: str) -> None:
    text.encode()
    assert len(text) < 1000, text[:100]


def videos(data: bytes) -> None:
    """A video file: whether it is one, what its header says, and its first frames."""
    path = SCRATCH / "video"
    path.write_bytes(data)
    limits = Limits(
        SETTINGS.max_video_bytes,
        SETTINGS.max_video_pixels,
        SETTINGS.max_video_frames,
        SETTINGS.max_video_seconds,
    )
    if not is_video(path):
        return
    try:
        video = open_video(path, limits)
        try:
            last = -1
            for frame in islice(video.frames((32, 24)), FRAMES):
                assert frame.rgb.shape == (24, 32, 3), frame.rgb.shape
                assert frame.ticks > last, (frame.ticks, last)
                last = frame.ticks
        finally:
            video.close()
    except VideoError as error:
        _answered_text(str(error))


def archives(data: bytes) -> None:
    """A zip archive of photos: its list, what is unpacked of it, and the names of the results."""
    path = SCRATCH / "archive"
    path.write_bytes(data)
    with path.open("rb") as file:
        if not is_archive(file):
            return
    try:
        with opened(Upload("content", path), ArchiveLimits(PHOTOS, FILE_BYTES, PHOTOS * FILE_BYTES)) as contents:
            assert 0 < len(contents.photos) <= PHOTOS
            names = Names()
            results = [names.new(one.name, ".jpg") for one in contents.photos]
            assert len({name.casefold() for name in results}) == len(results), results
            for name in results:
                assert not set(name.split("/")) & {"", ".", ".."}, name
            for one in contents.photos:
                try:
                    with one.open() as photo:
                        assert len(photo.read()) <= FILE_BYTES
                except UnreadableImage as error:
                    assert str(error).endswith("."), error
            for line in contents.report:
                line.encode()
                assert line.isprintable(), line
    except Fault as fault:
        assert fault.problem in ("unreadable-archive", "file-too-large", "invalid-request"), fault
        fault.detail.encode()


def weights(data: bytes) -> None:
    """A safetensors file of weights, and what its metadata say."""
    path = SCRATCH / "weights.safetensors"
    path.write_bytes(data)
    try:
        read = read_weights(path)
        assert read.widths
        assert read.upsample_after is not None
        assert read.adain_gain is None or read.adain_gain > 0
    except WeightsError as error:
        assert "\n" not in str(error), error


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "images": images,
    "form": form,
    "keyframes": keyframes,
    "videos": videos,
    "archives": archives,
    "weights": weights,
}
