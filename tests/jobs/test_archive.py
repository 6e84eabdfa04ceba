"""Archives with any bytes wrong are told so, or read as far as they can be."""

import io
from contextlib import suppress
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.images.errors import UnreadableImage
from app.jobs.archive import ArchiveLimits, clean, opened
from app.jobs.names import Names
from app.jobs.work import Fault, Upload
from tests.pictures import jpeg, photo

PHOTO = jpeg(photo("astronaut", 16))


def archive() -> bytes:
    file = io.BytesIO()
    with ZipFile(file, "w") as zipped:
        zipped.writestr("a/photo.jpg", PHOTO, ZIP_DEFLATED)
        zipped.writestr("photo.jpg", PHOTO, ZIP_STORED)
    return file.getvalue()


WHOLE = archive()
# But for the bytes of the photo that is stored, whose checksum tells.
STRUCTURE = [n for n in range(len(WHOLE)) if not 0 <= n - WHOLE.index(PHOTO) < len(PHOTO)]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from(STRUCTURE), st.integers(0, 255), max_size=6), cut=st.integers(0, 60))
def test_any_bytes_are_read_or_told_to_be_wrong(tmp_path: Path, changes: dict[int, int], cut: int) -> None:
    data = bytearray(WHOLE)
    for place, value in changes.items():
        data[place] = value
    path = tmp_path / "archive"
    path.write_bytes(data[: len(data) - max(0, cut - 40)])
    with suppress(Fault), opened(Upload("content", path), ArchiveLimits(10, 10_000, 20_000)) as contents:
        for one in contents.photos:
            with suppress(UnreadableImage), one.open() as file:
                assert file.read() == PHOTO


@given(st.text(max_size=300), st.sampled_from([".jpg", ".png", ".webp"]))
def test_any_name_becomes_a_path_that_leads_down(name: str, suffix: str) -> None:
    path = clean(f"{name}x.jpg")
    result = Names().new(path, suffix)
    for one in (path, result):
        assert not any(part in ("", ".", "..") or len(part) > 110 for part in one.split("/"))
        assert not any(c in one for c in "\\:\0")
