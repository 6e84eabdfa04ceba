"""Statistics gathered part by part are those of the whole."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.engine.statistics import Moments
from app.network.blend import EPSILON


@given(
    cuts=st.lists(st.integers(1, 999), max_size=6, unique=True),
    offset=st.sampled_from([0.0, 3.0, 1000.0]),
    seed=st.integers(0, 9),
)
def test_moments_of_parts_are_those_of_the_whole(cuts: list[int], offset: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = (offset + random.gamma(2, 3, (5, 1000))).astype(np.float32)
    seen = random.uniform(0, 1, 1000).astype(np.float32)
    seen[random.integers(0, 900) :][:100] = 0
    alike, weighted = Moments(), Moments()
    for part, weights in zip(np.split(values, sorted(cuts), axis=1), np.split(seen, sorted(cuts)), strict=True):
        alike.add(part)
        weighted.add(part, weights)
    exact = values.astype(np.float64)
    assert alike.weight == 1000
    np.testing.assert_allclose(alike.statistics.mean, exact.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(alike.statistics.std, np.sqrt(exact.var(axis=1) + EPSILON), rtol=1e-6)
    mean = np.average(exact, axis=1, weights=seen)
    variance = np.average((exact - mean[:, None]) ** 2, axis=1, weights=seen)
    np.testing.assert_allclose(weighted.statistics.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(weighted.statistics.std, np.sqrt(variance + EPSILON), rtol=1e-6)


def test_small_variance_far_from_zero_survives() -> None:
    values = (1e4 + np.linspace(-0.05, 0.05, 4000)).astype(np.float32)[None]
    moments = Moments()
    for part in np.split(values, 40, axis=1):
        moments.add(part)
    np.testing.assert_allclose(moments.statistics.std[0], np.sqrt(values.astype(np.float64).var() + EPSILON), rtol=1e-3)


def test_a_flat_channel_has_a_deviation_to_divide_by() -> None:
    moments = Moments()
    moments.add(np.full((2, 3, 4), 7, np.float32))
    np.testing.assert_allclose(moments.statistics.std, EPSILON**0.5, rtol=1e-6)
