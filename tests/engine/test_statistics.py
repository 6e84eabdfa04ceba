"""Statistics gathered part by part are those of the whole."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.engine.statistics import Moments
from app.network.blend import EPSILON, ChannelStatistics, FloatArray

HEIGHT, WIDTH = 60, 40
Cuts = list[int]


def gathered(layer: FloatArray, weights: FloatArray | None, down: Cuts, across: Cuts) -> list[ChannelStatistics]:
    """Of (C, H, W), taken in by columns, each from top to bottom."""
    moments = Moments(layer.shape[2])
    for left, right in zip([0, *across], [*across, layer.shape[2]], strict=True):
        for top, bottom in zip([0, *down], [*down, layer.shape[1]], strict=True):
            part = (slice(None), slice(top, bottom), slice(left, right))
            moments.add(left, layer[part], None if weights is None else weights[part])
    return moments.statistics


@given(
    down=st.lists(st.integers(1, HEIGHT - 1), max_size=4, unique=True).map(sorted),
    across=st.lists(st.integers(1, WIDTH - 1), max_size=3, unique=True).map(sorted),
    offset=st.sampled_from([0.0, 3.0, 1000.0]),
    channels_last=st.booleans(),
    seed=st.integers(0, 9),
)
def test_moments_are_those_of_the_whole_and_the_same_to_the_bit_however_it_is_cut(
    down: Cuts, across: Cuts, offset: float, channels_last: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    values = (offset + random.gamma(2, 3, (5, HEIGHT, WIDTH))).astype(np.float32)
    if channels_last:
        values = np.ascontiguousarray(values.transpose(1, 2, 0)).transpose(2, 0, 1)
    seen = random.uniform(0, 1, (2, HEIGHT, WIDTH)).astype(np.float32)
    seen[0, random.integers(0, 30) :][:20] = 0
    exact = values.astype(np.float64)
    for weights in (None, seen):
        whole, parts = gathered(values, weights, [], []), gathered(values, weights, down, across)
        assert len(whole) == (1 if weights is None else 2)
        for number, (one, other) in enumerate(zip(whole, parts, strict=True)):
            assert (one.mean == other.mean).all()
            assert (one.std == other.std).all()
            weight = np.ones((HEIGHT, WIDTH)) if weights is None else weights[number].astype(np.float64)
            mean = (exact * weight).sum((1, 2)) / weight.sum()
            variance = (np.square(exact - mean[:, None, None]) * weight).sum((1, 2)) / weight.sum()
            np.testing.assert_allclose(one.mean, mean, rtol=1e-6)
            np.testing.assert_allclose(one.std, np.sqrt(variance + EPSILON), rtol=1e-5)


def test_small_variance_far_from_zero_survives() -> None:
    values = (1e4 + np.linspace(-0.05, 0.05, 4000)).astype(np.float32).reshape(1, 80, 50)
    [found] = gathered(values, None, [10, 50], [25])
    np.testing.assert_allclose(found.std[0], np.sqrt(values.astype(np.float64).var() + EPSILON), rtol=1e-3)


def test_a_flat_channel_has_a_deviation_to_divide_by() -> None:
    [found] = gathered(np.full((2, 3, 4), 7, np.float32), None, [], [])
    np.testing.assert_allclose(found.std, EPSILON**0.5, rtol=1e-6)
