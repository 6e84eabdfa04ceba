"""Folders of photos as zip archives, in and out; and what comes of archives that were made in haste, or to do harm."""

import io
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_LZMA, ZIP_STORED, ZipFile, ZipInfo

import httpx
import pytest
from PIL import Image

from tests.archives import archive
from tests.e2e.jobs import STYLE, accepted, content, ended, folders, send, until
from tests.e2e.server import Server
from tests.e2e.test_jobs import problem

PHOTO = content(48)
OTHER = content(40, "chelsea")
MEGABYTE = 1_000_000
LIMITS = {"max_job_photos": 6, "max_job_file_bytes": 5 * MEGABYTE, "max_job_request_bytes": 8 * MEGABYTE}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[Server]:
    with Server({"data_dir": data, **LIMITS}) as running:
        yield running


def post(client: httpx.Client, *archives: bytes, **fields: object) -> httpx.Response:
    files = [("content", (f"holiday-{n}.zip", data)) for n, data in enumerate(archives)]
    data = {name: str(value) for name, value in fields.items()}
    return client.post("/jobs", files=[*files, ("style", ("style.jpg", STYLE))], data=data)


def painted(client: httpx.Client, data: bytes, **fields: object) -> tuple[ZipFile, str]:
    """What an archive came to, and its report."""
    job = ended(client, accepted(post(client, data, **fields)))
    assert job["state"] == "done", job
    result = ZipFile(io.BytesIO(client.get(job["links"]["result"]).content))
    assert result.testzip() is None
    report = "".join(f"{line}\n" for line in job["result"]["report"])
    assert ("report.txt" in result.namelist()) == bool(report)
    assert not report or result.read("report.txt").decode() == report
    return result, report


def pictures(result: ZipFile) -> list[str]:
    return [name for name in result.namelist() if name != "report.txt"]


def test_a_folder_comes_back_as_it_was_with_its_pictures_repainted(client: httpx.Client) -> None:
    files = {
        "holiday/": b"",
        "holiday/Day 1/IMG 1.JPG": PHOTO,
        "holiday/day 2/ünïcödé 写真.jpeg": OTHER,
        "holiday/day 2/notes.txt": b"what we saw",
        "holiday/.DS_Store": b"litter",
        "__MACOSX/holiday/Day 1/._IMG 1.JPG": b"litter",
        "holiday/Thumbs.db": b"litter",
        "top.jpg": PHOTO,
    }
    where = accepted(post(client, archive(files)))
    job = ended(client, where)
    assert job["progress"] == {"done": 3, "total": 3, "unit": "photos"}
    answer = client.get(job["links"]["result"])
    assert answer.headers["Content-Type"] == job["result"]["media_type"] == "application/zip"
    assert job["result"]["name"] == "holiday-0.zip"
    result = ZipFile(io.BytesIO(answer.content))
    assert pictures(result) == ["holiday/Day 1/IMG 1.JPG", "holiday/day 2/ünïcödé 写真.jpeg", "top.jpg"]
    assert result.read("top.jpg") == send(client, PHOTO, path="/stylize").content
    assert job["result"]["report"] == ["content: passed over, no picture by its name: holiday/day 2/notes.txt"]


def test_an_archive_of_one_photo_comes_back_as_one_in_the_format_asked_for(client: httpx.Client) -> None:
    result, report = painted(client, archive({"a/photo.jpg": PHOTO}, ZIP_STORED), format="webp")
    assert (result.namelist(), report) == (["a/photo.webp"], "")
    assert Image.open(result.open("a/photo.webp")).size == (48, 48)


def flagged(data: bytes, flag: int) -> bytes:
    """An archive of one file with a bit set in its flags, both of them."""
    changed = bytearray(data)
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        changed[changed.index(signature) + at + (flag > 255)] |= flag >> 8 if flag > 255 else flag
    return bytes(changed)


def merged(*archives: bytes) -> bytes:
    """One archive of all their files, as they are: with their flags, sizes and checksums."""
    bodies, entries, place = [], [], 0
    for data in archives:
        end = data.rindex(b"PK\x05\x06")
        count, size, start = struct.unpack_from("<HII", data, end + 10)
        directory, at = bytearray(data[start : start + size]), 0
        for _ in range(count):
            name, extra, comment = struct.unpack_from("<HHH", directory, at + 28)
            struct.pack_into("<I", directory, at + 42, struct.unpack_from("<I", directory, at + 42)[0] + place)
            at += 46 + name + extra + comment
        bodies.append(data[:start])
        entries.append((count, bytes(directory)))
        place += start
    directory = b"".join(data for _, data in entries)
    count = sum(number for number, _ in entries)
    return (
        b"".join(bodies)
        + directory
        + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), place, 0)
    )


def resized(data: bytes, size: int) -> bytes:
    """An archive of one file that says it has another size unpacked."""
    changed = bytearray(data)
    struct.pack_into("<I", changed, changed.index(b"PK\x01\x02") + 24, size)
    return bytes(changed)


def damaged(data: bytes) -> bytes:
    """An archive of one file that is stored, with a bit of it wrong."""
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (flagged(archive({"bad.jpg": PHOTO}), 0x1), "encrypted"),
        (flagged(archive({"bad.jpg": PHOTO}), 0x41), "encrypted"),
        (archive({"bad.jpg": PHOTO}, ZIP_BZIP2), "unusual way"),
        (archive({"bad.jpg": PHOTO}, ZIP_LZMA), "unusual way"),
        (archive({"bad.jpg": b"\xff\xd8\xff" + bytes(2 * MEGABYTE)}), "more than 100 times its bytes"),
        (archive({"bad.jpg": PHOTO + bytes(5 * MEGABYTE)}), f"the limit is {5 * MEGABYTE}"),
        (resized(archive({"bad.jpg": PHOTO + bytes(2 * MEGABYTE)}), 2000), "damaged in the archive"),
        (damaged(archive({"bad.jpg": PHOTO}, ZIP_STORED)), "damaged in the archive"),
        (archive({"bad.jpg": archive({"in.jpg": PHOTO})}), "is a zip archive"),
        (archive({"bad.jpg": b""}), "empty"),
        (archive({"bad.jpg": PHOTO[:-200]}), "truncated"),
    ],
    ids=[
        "encrypted", "strongly-encrypted", "bzip2", "lzma", "ratio", "large", "more-than-said",
        "checksum", "nested", "empty", "truncated",
    ],
)  # fmt: skip
def test_what_can_t_be_read_is_told_and_the_others_are_painted(client: httpx.Client, bad: bytes, told: str) -> None:
    result, report = painted(client, merged(archive({"good.jpg": PHOTO}), bad, archive({"last.jpg": OTHER})))
    assert pictures(result) == ["good.jpg", "last.jpg"]
    assert report.startswith("content[bad.jpg]: The ")
    assert told in report
    body = problem(post(client, bad), 422, "unreadable-image")
    assert body["field"] == "content[bad.jpg]"
    assert told in body["detail"]


@pytest.mark.parametrize(
    ("files", "names", "told"),
    [
        (["../../etc/x.jpg", "a/../../y.jpg"], ["etc/x.jpg", "a/y.jpg"], "../../etc/x.jpg to etc/x.jpg"),
        (["/root/x.jpg", "C:\\My\\y.jpg"], ["root/x.jpg", "C_/My/y.jpg"], "/root/x.jpg to root/x.jpg"),
        (["a\\b\\x.jpg", "./y.jpg"], ["a/b/x.jpg", "y.jpg"], None),
        (["x.jpg", "X.JPG", "x.jpeg"], ["x.jpg", "X-2.JPG", "x.jpeg"], "X.JPG is X-2.JPG"),
        (["a\r\nb\x1b[31m.jpg", "con?.jpg"], ["a__b_[31m.jpg", "con_.jpg"], "to con_.jpg"),
        (["a/" * 200 + "x.jpg", "y" * 2000 + ".jpg"], ["a/" * 31 + "x.jpg", "y" * 96 + ".jpg"], "safe"),
    ],
    ids=["traversal", "absolute", "backslashes", "case", "controls", "long"],
)
def test_names_lead_nowhere_but_down(
    client: httpx.Client, files: list[str], names: list[str], told: str | None
) -> None:
    result, report = painted(client, archive(dict.fromkeys(files, PHOTO)))
    assert pictures(result) == names
    assert (told or "") in report
    assert bool(report) == bool(told)


def test_names_that_are_equal_in_the_result_get_numbers(client: httpx.Client) -> None:
    twice = merged(*[archive({"a.jpg": PHOTO})] * 2, archive({"a.png": PHOTO, "a-2.webp": PHOTO}))
    result, report = painted(client, twice, format="webp")
    assert pictures(result) == ["a.webp", "a-2.webp", "a-3.webp", "a-2-2.webp"]
    assert report.count("in the archive, since another is") == 3


@pytest.mark.parametrize(
    ("written", "name"), [("ü.jpg".encode(), "ü.jpg"), (b"\x81.jpg", "ü.jpg"), ("фото.jpg".encode("cp866"), "Σ«Γ«.jpg")]
)
def test_names_without_the_mark_of_utf_8_are_read_as_such_where_they_are_it(
    client: httpx.Client, written: bytes, name: str
) -> None:
    placeholder = "x" * (len(written) - 4) + ".jpg"
    data = archive({placeholder: PHOTO}).replace(placeholder.encode(), written)
    assert pictures(painted(client, data)[0]) == [name]


def zip64() -> bytes:
    file = io.BytesIO()
    with ZipFile(file, "w") as zipped, zipped.open(ZipInfo("a.jpg"), "w", force_zip64=True) as entry:
        entry.write(PHOTO)
    return file.getvalue()


def test_the_kind_for_large_archives_is_read(client: httpx.Client) -> None:
    assert pictures(painted(client, zip64())[0]) == ["a.jpg"]


def wordy() -> bytes:
    """Few files, and a list of them of five megabytes."""
    file = io.BytesIO()
    with ZipFile(file, "w") as zipped:
        for n in range(80):
            info = ZipInfo(f"{n}.txt")
            info.comment = bytes(60_000)
            zipped.writestr(info, b"")
    return file.getvalue()


def endless() -> bytes:
    """An archive whose end says that its list is where no file reaches, in 64 bits."""
    data = archive({"a.jpg": PHOTO})
    end = data.rindex(b"PK\x05\x06")
    long_end = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2**63, 2**63, 2**63, 2**63)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    return (
        data[:end]
        + long_end
        + locator
        + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, *[65535] * 2, *[2**32 - 1] * 2, 0)
    )


def not_utf_8() -> bytes:
    return flagged(archive({"xx.jpg": PHOTO}), 0x800).replace(b"xx.jpg", b"\xff\xfe.jpg")


ZEROS = b"BM" + bytes(2 * MEGABYTE)


@pytest.mark.parametrize(
    ("archives", "status", "name", "limit"),
    [
        ((archive({}),), 422, "unreadable-archive", None),
        ((archive({"a/": b"", "a/b/": b""}),), 422, "unreadable-archive", None),
        ((archive({"__MACOSX/._a.jpg": PHOTO, ".b/a.jpg": PHOTO}),), 422, "unreadable-archive", None),
        ((archive({"notes.txt": b"", "inner.zip": archive({"a.jpg": PHOTO})}),), 422, "unreadable-archive", None),
        ((archive({"a.jpg": PHOTO})[:-30],), 422, "unreadable-archive", None),
        ((b"PK\x03\x04" + bytes(100),), 422, "unreadable-archive", None),
        ((endless(),), 422, "unreadable-archive", None),
        ((not_utf_8(),), 422, "unreadable-archive", None),
        ((wordy(),), 422, "unreadable-archive", 4 << 20),
        ((archive({f"{n}.jpg": PHOTO for n in range(7)}),), 422, "invalid-request", 6),
        ((merged(*[archive({"a.jpg": PHOTO})] * 7),), 422, "invalid-request", 6),
        ((archive({f"{n}.bmp": ZEROS for n in range(5)}),), 413, "file-too-large", 8 * MEGABYTE),
        ((archive({"a.jpg": PHOTO}), archive({"b.jpg": PHOTO})), 422, "invalid-request", 1),
        ((archive({"a.jpg": PHOTO}), PHOTO), 422, "invalid-request", 1),
    ],
    ids=[
        "empty", "folders", "litter", "others", "truncated", "garbage", "zip64", "not-utf-8", "directory", "count",
        "same-file", "bytes", "two", "beside-a-photo",
    ],
)  # fmt: skip
def test_an_archive_of_no_use_is_refused(
    client: httpx.Client, data: Path, archives: tuple[bytes, ...], status: int, name: str, limit: int | None
) -> None:
    before = folders(data)
    body = problem(post(client, *archives), status, name)
    told = body["errors"][0] if "errors" in body else body
    assert (told["field"], told.get("limit")) == ("content", limit)
    assert folders(data) <= before


def test_an_archive_is_no_photo_to_wait_for_and_no_style(client: httpx.Client) -> None:
    data = archive({"a.jpg": PHOTO})
    body = problem(send(client, data, path="/stylize"), 422, "unreadable-image")
    assert "POST it to /jobs" in body["detail"]
    assert problem(send(client, PHOTO, style=data), 422, "unreadable-image")["field"] == "style"


def test_bombs_take_no_memory(server: Server, client: httpx.Client) -> None:
    post(client, archive({"a.jpg": PHOTO}))
    before = server.resident_bytes()
    bomb = resized(archive({"a.jpg": PHOTO + bytes(400 * MEGABYTE)}), 3 * MEGABYTE)
    for _ in range(3):
        problem(post(client, bomb), 422, "unreadable-image")
    assert server.resident_bytes() < before + 100 * MEGABYTE


def test_a_folder_goes_on_after_a_kill(tmp_path: Path) -> None:
    files = {f"{n}/photo.jpg": content(300 + n) for n in range(4)} | {"2/bad.jpg": b"bad", "5/photo.jpg": PHOTO}
    wait: Callable[[dict], bool] = lambda job: job["progress"]["done"] >= 1  # noqa: E731
    with Server({"data_dir": tmp_path}) as server:
        where = accepted(post(server.client, archive(files)))
        until(server.client, where, state="running")
        while not wait(server.client.get(where).json()):
            time.sleep(0.02)
        server.kill()
    with Server({"data_dir": tmp_path}) as server:
        job = ended(server.client, where)
        whole = ended(server.client, accepted(post(server.client, archive(files))))
        results = [server.client.get(one["links"]["result"]).content for one in (job, whole)]
        assert results[0] == results[1]
        assert job["result"]["report"] == whole["result"]["report"]
