"""What is written for other replicas, and read back from where others may have written."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.network.blend import ChannelStatistics, StyleCode
from app.styles.store import Malformed, pack_code, pack_picture, unpack_code, unpack_picture


def statistics(channels: int) -> ChannelStatistics:
    numbers = np.random.default_rng(channels).random((2, channels), np.float32)
    return ChannelStatistics(numbers[0], numbers[1])


CODE = StyleCode(statistics(512), tuple(statistics(channels) for channels in (512, 256, *[128] * 9)))


def test_a_code_comes_back_to_the_last_bit_and_in_its_order() -> None:
    back = unpack_code(pack_code(CODE))
    assert len(back.decoded) == len(CODE.decoded)
    for one, other in zip((back.relu4_1, *back.decoded), (CODE.relu4_1, *CODE.decoded), strict=True):
        assert np.array_equal(one.mean, other.mean)
        assert np.array_equal(one.std, other.std)


@given(st.binary(max_size=200), st.booleans(), st.integers(0, 30_000))
def test_what_is_no_code_is_told(noise: bytes, of_this_version: bool, cut: int) -> None:
    whole = pack_code(CODE)
    for value in (noise, whole[:1] * of_this_version + noise, whole[: min(cut, len(whole) - 1)], b"\x02" + whole[1:]):
        with pytest.raises(Malformed):
            unpack_code(value)


def test_statistics_that_are_no_numbers_are_told() -> None:
    broken = StyleCode(ChannelStatistics(np.full(4, np.nan, np.float32), np.ones(4, np.float32)))
    with pytest.raises(Malformed):
        unpack_code(pack_code(broken))


def test_a_picture_is_what_its_name_says() -> None:
    name = hashlib.sha256(b"a picture").hexdigest()[:32]
    assert unpack_picture(pack_picture(b"a picture"), name) == b"a picture"
    for value in (b"", b"\x02a picture", pack_picture(b"another")):
        with pytest.raises(Malformed):
            unpack_picture(value, name)
