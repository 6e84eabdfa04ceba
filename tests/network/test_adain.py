"""AdaIN, blends, strength and masks against float64 versions written from the paper's formula."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.network.adain import adain, channel_statistics
from app.network.blend import EPSILON, affine, shares

CHANNELS, ROWS, COLUMNS = 5, 4, 3
Array = NDArray[np.float64]


def reference_adain(content: Array, style: Array) -> Array:
    """Equation 8 of Huang & Belongie (2017), a channel at a time, over (C, h, w)."""
    adapted = np.empty_like(content)
    for channel, (x, y) in enumerate(zip(content, style, strict=True)):
        sigma_x = np.sqrt(np.mean((x - np.mean(x)) ** 2) + EPSILON)
        sigma_y = np.sqrt(np.mean((y - np.mean(y)) ** 2) + EPSILON)
        adapted[channel] = sigma_y * (x - np.mean(x)) / sigma_x + np.mean(y)
    return adapted


def features(seed: int, count: int = 1) -> list[Array]:
    random = np.random.default_rng(seed)
    return [random.gamma(1, 2, (CHANNELS, ROWS, COLUMNS)) for _ in range(count)]


def mixed(content: Array, styles: list[Array], share: NDArray[np.float32]) -> Array:
    """What the engines do: one affine map, with statistics in float32."""

    def statistics(x: Array) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        mean, std = channel_statistics(torch.from_numpy(x[None]).float())
        return mean.flatten().numpy(), std.flatten().numpy()

    codes = [statistics(style) for style in styles]
    means, stds = (np.stack(part) for part in zip(*codes, strict=True))
    scale, bias = affine(*statistics(content), means, stds, share)
    shape = (CHANNELS, 1, 1) if share.shape[1] == 1 else content.shape
    result: Array = content * scale.reshape(shape) + bias.reshape(shape)
    return result


@given(st.integers(0, 2**32 - 1))
def test_adain_is_the_papers_formula(seed: int) -> None:
    content, style = features(seed, 2)
    mean, std = channel_statistics(torch.from_numpy(style[None]))
    result = adain(torch.from_numpy(content[None]), mean, std)[0].numpy()
    np.testing.assert_allclose(result, reference_adain(content, style), rtol=1e-9, atol=1e-9)


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.floats(0, 100), min_size=1, max_size=8).filter(any),
    st.floats(0, 1),
)
def test_a_blend_is_the_weighted_sum_of_adapted_features_and_strength_leads_to_the_contents_own(
    seed: int, weights: list[float], strength: float
) -> None:
    content, *styles = features(seed, 1 + len(weights))
    blend = sum(w * reference_adain(content, s) for w, s in zip(weights, styles, strict=True)) / sum(weights)
    expected = strength * blend + (1 - strength) * content
    np.testing.assert_allclose(mixed(content, styles, shares(weights, strength)), expected, rtol=1e-3, atol=1e-3)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.floats(0, 1))
@settings(max_examples=50)
def test_masks_weigh_each_position_overlaps_normalised_the_rest_the_contents_own(
    seed: int, count: int, strength: float
) -> None:
    random = np.random.default_rng(seed)
    content, *styles = features(seed, 1 + count)
    weights = random.uniform(0.1, 3, count)
    masks = random.choice([0, 60, 128, 255], (count, ROWS, COLUMNS)).astype(np.uint8)
    expected = content.copy()
    for row, column in np.ndindex(ROWS, COLUMNS):
        cover = masks[:, row, column] / 255
        if not cover.any():
            continue
        parts = weights * cover / (weights * cover).sum() * min(1, cover.sum()) * strength
        adapted = [reference_adain(content, style)[:, row, column] for style in styles]
        own = content[:, row, column]
        expected[:, row, column] = sum(p * a for p, a in zip(parts, adapted, strict=True)) + (1 - parts.sum()) * own
    share = shares(list(weights), strength, list(masks))
    np.testing.assert_allclose(mixed(content, styles, share), expected, rtol=1e-3, atol=1e-3)


def test_white_masks_are_as_none() -> None:
    masks = [np.full((ROWS, COLUMNS), 255, np.uint8)] * 2
    assert np.allclose(shares([3, 1], 0.5, masks), shares([3, 1], 0.5))


def test_a_style_of_no_weight_takes_no_part_where_only_its_mask_is_white() -> None:
    masks = [np.full((ROWS, COLUMNS), 255, np.uint8), np.zeros((ROWS, COLUMNS), np.uint8)]
    assert not shares([0, 1], 1, masks).any()


def test_the_mask_of_a_style_of_no_weight_covers_nothing_for_the_others() -> None:
    white, fifth = np.full((ROWS, COLUMNS), 255, np.uint8), np.full((ROWS, COLUMNS), 51, np.uint8)
    share = shares([0, 2], 1, [white, fifth])
    np.testing.assert_allclose(share, np.repeat([[0], [0.2]], ROWS * COLUMNS, axis=1), rtol=1e-6)


def test_a_flat_channel_takes_the_styles_mean_and_nothing_blows_up() -> None:
    content, style = np.full((CHANNELS, ROWS, COLUMNS), 2.0), features(1)[0]
    result = mixed(content, [style], shares([1]))
    np.testing.assert_allclose(result, np.broadcast_to(style.mean((1, 2), keepdims=True), result.shape), rtol=1e-3)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 3))
def test_a_gain_bounds_how_far_each_channel_is_enlarged_and_leaves_means_the_styles(seed: int, gain: float) -> None:
    content, style = features(seed, 2)
    mean, std = (statistic.double() for statistic in channel_statistics(torch.from_numpy(style[None])))
    result = adain(torch.from_numpy(content[None]), mean, std, gain)[0].numpy()
    free = reference_adain(content, style)
    for held, own, full in zip(result, content, free, strict=True):
        np.testing.assert_allclose(held.mean(), full.mean(), rtol=1e-6)
        np.testing.assert_allclose(held.std(), min(full.std(), gain * own.std()), rtol=1e-3)
