"""Partial AdaIN, in numpy and in torch, against float64 arithmetic written out channel by channel."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.network.blend import EPSILON, MOST_DISTANCE, MOST_LOG_RATIO, partial_adain
from app.network.decoder import Decoder
from app.network.partial import PartialAdaIN

CHANNELS, ROWS, COLUMNS = 3, 4, 6
Array = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


def features(random: np.random.Generator) -> Array:
    return random.gamma(1, 2, (CHANNELS, ROWS, COLUMNS))


def weighted(x: Array, weight: Array) -> tuple[Array, Array]:
    """Each channel's mean and deviation, positions weighing as told."""
    means, stds = [], []
    for channel in x:
        mean = (channel * weight).sum() / weight.sum()
        means.append(mean)
        stds.append(math.sqrt(((channel - mean) ** 2 * weight).sum() / weight.sum() + EPSILON))
    return np.array(means), np.array(stds)


def reference(x: Array, style: tuple[Array, Array], matrix: Array, weight: Array) -> Array:
    """One style everywhere, met by the statistics of the positions it acts on."""
    (means, stds), (style_means, style_stds) = weighted(x, weight), style
    differences = [np.clip(math.log(style_stds[c] / stds[c]), -MOST_LOG_RATIO, MOST_LOG_RATIO) for c in range(CHANNELS)]
    differences += [
        np.clip((style_means[c] - means[c]) / stds[c], -MOST_DISTANCE, MOST_DISTANCE) for c in range(CHANNELS)
    ]
    moved = [sum(matrix[row, column] * differences[column] for column in range(2 * CHANNELS)) for row in range(6)]
    result = np.empty_like(x)
    for c in range(CHANNELS):
        result[c] = (x[c] - means[c]) * math.exp(moved[c]) + means[c] + stds[c] * moved[CHANNELS + c]
    return result


def torch_module(matrix: Array) -> PartialAdaIN:
    module = PartialAdaIN(CHANNELS)
    module.load_state_dict({"weight": torch.from_numpy(matrix).float()})
    return module


def run(
    module: PartialAdaIN, x: Array, styles: list[tuple[Array, Array]], share: Array, visible: Array | None = None
) -> Array:
    wanted = torch.tensor(np.array(styles))[None].float()
    seen = None if visible is None else torch.from_numpy(visible)[None, None].float()
    given = torch.from_numpy(x)[None].float(), wanted, torch.from_numpy(share)[None].float(), seen
    with torch.inference_mode():
        result: Array = module(*given)[0]
    return np.asarray(result)


@given(seeds, st.floats(0, 1))
@settings(max_examples=30)
def test_one_style_is_the_formula_and_strength_leads_from_what_was_there(seed: int, strength: float) -> None:
    random = np.random.default_rng(seed)
    x, style = features(random), weighted(features(random), np.ones((ROWS, COLUMNS)))
    matrix = random.normal(0, 0.3, (2 * CHANNELS, 2 * CHANNELS))
    expected = strength * reference(x, style, matrix, np.ones((ROWS, COLUMNS))) + (1 - strength) * x
    got = run(torch_module(matrix), x, [style], np.full((1, 1, 1), strength))
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


@given(seeds)
@settings(max_examples=30)
def test_each_style_meets_the_statistics_of_its_own_region(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = features(random)
    styles = [weighted(features(random), np.ones((ROWS, COLUMNS))) for _ in range(2)]
    matrix = random.normal(0, 0.3, (2 * CHANNELS, 2 * CHANNELS))
    # At half the layer's size, as masks of relu4_1 are to a layer behind the first doubling.
    small = random.uniform(0.05, 0.5, (2, ROWS // 2, COLUMNS // 2))
    share = small.repeat(2, 1).repeat(2, 2)
    expected = x * (1 - share.sum(0))
    for style, part in zip(styles, share, strict=True):
        expected += part * reference(x, style, matrix, part)
    np.testing.assert_allclose(run(torch_module(matrix), x, styles, small), expected, rtol=2e-3, atol=2e-3)


@given(seeds)
@settings(max_examples=30)
def test_what_cannot_be_seen_is_in_no_statistics(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = features(random)
    style = weighted(features(random), np.ones((ROWS, COLUMNS)))
    matrix = random.normal(0, 0.3, (2 * CHANNELS, 2 * CHANNELS))
    # At four times the layer's size, as a picture's alpha is.
    seen = random.uniform(0.2, 1, (ROWS, COLUMNS))
    seen[:, :3] = 0
    x[:, :, :3] = 1e3
    alpha = seen.repeat(4, 0).repeat(4, 1)
    module = torch_module(matrix)
    expected = reference(x, style, matrix, seen)
    np.testing.assert_allclose(run(module, x, [style], np.ones((1, 1, 1)), alpha), expected, rtol=2e-3, atol=2e-3)
    share = random.uniform(0.1, 0.9, (1, ROWS, COLUMNS))
    expected = share[0] * reference(x, style, matrix, share[0] * seen) + (1 - share[0]) * x
    np.testing.assert_allclose(run(module, x, [style], share, alpha), expected, rtol=2e-3, atol=2e-3)


def test_the_unit_matrix_is_adain_and_zeros_do_nothing() -> None:
    random = np.random.default_rng(4)
    x = features(random)
    style = weighted(x * 1.4 + 0.5, np.ones((ROWS, COLUMNS)))
    moved = run(torch_module(np.eye(2 * CHANNELS)), x, [style], np.ones((1, 1, 1)))
    np.testing.assert_allclose(weighted(moved, np.ones((ROWS, COLUMNS))), style, rtol=1e-3)
    same = run(torch_module(np.zeros((6, 6))), x, [style], np.ones((1, 1, 1)))
    np.testing.assert_allclose(same, x, rtol=1e-6, atol=1e-6)


def test_numpy_and_torch_give_one_map_and_neither_believes_in_more_than_a_bound() -> None:
    random = np.random.default_rng(5)
    mean, std, style_mean, style_std = (random.gamma(1, 1, (2, CHANNELS)).astype(np.float32) for _ in range(4))
    std[0, 0] = 1e-6
    matrix = random.normal(0, 0.3, (6, 6)).astype(np.float32)
    ours = partial_adain(mean, std, style_mean, style_std, matrix)
    theirs = partial_adain(*map(torch.from_numpy, (mean, std, style_mean, style_std, matrix)), torch)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    bounds = np.array([MOST_LOG_RATIO] * CHANNELS + [MOST_DISTANCE] * CHANNELS)
    assert (ours[0] <= np.exp(np.abs(matrix[:CHANNELS]) @ bounds)).all()


@pytest.mark.parametrize("adain_after", [(0,), (1, 2), (0, 1, 2, 3)])
def test_a_picture_in_its_own_style_is_the_picture_and_another_style_is_not(adain_after: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    decoder = Decoder([(512, 16), (16, 12), (12, 8), (8, 8), (8, 3)], (0, 1, 3), adain_after).eval()
    for adain in decoder.adain.values():
        torch.nn.init.normal_(adain.get_parameter("weight"), std=0.2)
    one, other = torch.rand(2, 1, 512, 4, 5) * torch.tensor([1.0, 3.0]).view(2, 1, 1, 1, 1)
    with torch.inference_mode():
        plain, own = decoder(one), decoder(one, decoder.statistics(one)[:, None])
        styled = decoder(one, decoder.statistics(other)[:, None])
    torch.testing.assert_close(own, plain, rtol=1e-3, atol=1e-4)
    assert (styled - plain).abs().max() > 10 * (own - plain).abs().max()
    assert decoder.statistics(one).shape == (1, 2, sum((16, 12, 8, 8)[index] for index in adain_after))
