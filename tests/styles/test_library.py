"""Styles that are remembered, and how many."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from app.network.blend import ChannelStatistics, StyleCode
from app.styles.library import StyleLibrary, style_id


def code(value: float = 0.0) -> StyleCode:
    return StyleCode(ChannelStatistics(np.full(512, value, np.float32), np.ones(512, np.float32)))


CODE_BYTES = 2 * 512 * 4


def test_an_id_is_the_same_for_the_same_bytes_and_leaves_the_file_at_its_start() -> None:
    file = io.BytesIO(b"a style" * 1_000_000)
    file.seek(5)
    assert style_id(file) == style_id(io.BytesIO(b"a style" * 1_000_000)) != style_id(io.BytesIO(b"another"))
    assert file.tell() == 0


def test_what_is_kept_is_known_by_name_and_size() -> None:
    library = StyleLibrary(1_000_000)
    library.keep_picture("a", io.BytesIO(b"bytes"))
    library.keep_code("a", 256, code(1))
    library.keep_code("a", 512, code(2))
    assert "a" in library
    assert library.sizes("a") == [256, 512]
    assert library.picture("a") == b"bytes"
    kept = library.code("a", 512)
    assert kept is not None
    assert kept.relu4_1.mean[0] == 2
    assert library.code("a", 100) is None
    assert library.bytes == len(b"bytes") + 2 * CODE_BYTES


def test_nothing_is_known_of_a_stranger() -> None:
    library = StyleLibrary(1_000_000)
    assert "b" not in library
    assert library.sizes("b") == []
    assert library.picture("b") is None
    assert not library.has_picture("b")


def test_the_least_recently_used_goes_first() -> None:
    library = StyleLibrary(3 * CODE_BYTES)
    for name in "abc":
        library.keep_code(name, 512, code())
    assert library.code("a", 512)
    library.keep_code("d", 512, code())
    assert [name for name in "abcd" if name in library] == ["a", "c", "d"]
    assert library.bytes == 3 * CODE_BYTES


def test_a_picture_over_an_eighth_of_the_memory_is_not_kept_but_its_code_is() -> None:
    library = StyleLibrary(8 * CODE_BYTES)
    library.keep_picture("large", io.BytesIO(bytes(CODE_BYTES + 1)))
    library.keep_picture("small", io.BytesIO(bytes(CODE_BYTES)))
    library.keep_code("large", 512, code())
    assert not library.has_picture("large")
    assert library.has_picture("small")
    assert library.sizes("large") == [512]


def test_memory_for_none_keeps_none() -> None:
    library = StyleLibrary(0)
    library.keep_picture("a", io.BytesIO(b"bytes"))
    library.keep_code("a", 512, code())
    assert "a" not in library
    assert library.bytes == 0


def test_threads_keep_the_count_right() -> None:
    library = StyleLibrary(50 * CODE_BYTES)

    def use(number: int) -> None:
        name = str(number % 70)
        library.keep_picture(name, io.BytesIO(bytes(number % 70)))
        library.keep_code(name, 512, code())
        library.code(name, 512)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(4000)))
    held = sum(len(library.picture(str(n)) or b"") + CODE_BYTES * len(library.sizes(str(n))) for n in range(70))
    assert library.bytes == held <= library.max_bytes
