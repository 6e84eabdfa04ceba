import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from app.images.colour import keep_colours, match_colours
from tests.images.files import Bytes, photo

LUMA = np.array([0.299, 0.587, 0.114])
PICTURES = arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3)))


def to_ycbcr(rgb: np.ndarray) -> np.ndarray:
    """JFIF's YCbCr, in floats, neither rounded nor clipped."""
    luma = rgb.astype(np.float64) @ LUMA
    return np.stack((luma, (rgb[..., 2] - luma) / 1.772, (rgb[..., 0] - luma) / 1.402), axis=-1)


def to_rgb(ycbcr: np.ndarray) -> np.ndarray:
    luma, cb, cr = np.moveaxis(ycbcr, -1, 0)
    red, blue = luma + 1.402 * cr, luma + 1.772 * cb
    green = (luma - LUMA[0] * red - LUMA[2] * blue) / LUMA[1]
    return np.stack((red, green, blue), axis=-1)


def coral(style: Bytes, picture: Bytes) -> np.ndarray:
    """The AdaIN authors' colour transfer, in float64, with the square roots by singular values."""

    def root(matrix: np.ndarray) -> np.ndarray:
        left, values, right = np.linalg.svd(matrix)
        return left @ np.diag(np.sqrt(values)) @ right

    def normalised(rgb: Bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        flat = rgb.reshape(-1, 3).astype(np.float64).T
        mean, std = flat.mean(1, keepdims=True), flat.std(1, keepdims=True)
        return (flat - mean) / std, mean, std

    source, _, _ = normalised(style)
    target, mean, std = normalised(picture)
    source_root = root(source @ source.T / source.shape[1])
    target_root = root(target @ target.T / target.shape[1])
    matched = target_root @ np.linalg.inv(source_root) @ source * std + mean
    return matched.T.reshape(style.shape)


def gentle(name: str) -> Bytes:
    """A photo far from black and white, so that nothing recoloured to it is clipped."""
    return (photo(name) // 4 + 96).astype(np.uint8)


def test_kept_colours_are_the_photos_chroma_with_the_stylised_luma():
    stylised = photo("china")[:400, :451]
    original = np.pad(photo("chelsea"), ((0, 100), (0, 0), (0, 0)), mode="reflect")
    ycbcr = to_ycbcr(original)
    ycbcr[..., 0] = to_ycbcr(stylised)[..., 0]
    expected = to_rgb(ycbcr).clip(0, 255)
    kept = keep_colours(stylised, original)
    assert kept.dtype == np.uint8
    assert np.abs(kept - expected).max() <= 0.51


def test_a_photo_keeps_its_colours_in_itself():
    np.testing.assert_array_equal(keep_colours(photo(), photo()), photo())


@settings(max_examples=100)
@given(PICTURES, st.data())
def test_kept_colours_of_any_two_pictures(stylised, data):
    original = data.draw(arrays.arrays(np.uint8, stylised.shape))
    ycbcr = to_ycbcr(original)
    ycbcr[..., 0] = to_ycbcr(stylised)[..., 0]
    assert np.abs(keep_colours(stylised, original) - to_rgb(ycbcr).clip(0, 255)).max() <= 0.51


@pytest.mark.parametrize(("style", "picture"), [("coffee", "chelsea"), ("china", "rocket"), ("astronaut", "coffee")])
def test_matched_colours_are_those_of_the_authors_formula(style, picture):
    matched = match_colours(photo(style), photo(picture))
    assert matched.dtype == np.uint8
    assert matched.shape == photo(style).shape
    assert np.abs(matched - coral(photo(style), photo(picture)).clip(0, 255)).max() <= 0.51


def test_matched_colours_have_the_photos_mean_and_covariance():
    matched = match_colours(photo("rocket"), gentle("coffee")).reshape(-1, 3).astype(float)
    target = gentle("coffee").reshape(-1, 3).astype(float)
    np.testing.assert_allclose(matched.mean(0), target.mean(0), atol=0.5)
    np.testing.assert_allclose(np.cov(matched.T), np.cov(target.T), rtol=0.03, atol=1)


def test_a_style_already_in_the_photos_colours_stays_as_it_is():
    assert np.abs(match_colours(photo(), photo()).astype(int) - photo()).max() <= 1


def test_a_flat_style_takes_the_photos_mean_and_a_flat_photo_gives_its_colour():
    flat = np.full((20, 30, 3), (10, 200, 90), np.uint8)
    mean = np.rint(photo("coffee").reshape(-1, 3).mean(0))
    assert np.abs(match_colours(flat, photo("coffee")) - mean).max() <= 1
    assert (match_colours(photo("coffee"), flat) == flat[0, 0]).all()
    assert (match_colours(flat, flat) == flat[0, 0]).all()


def test_a_grey_style_is_not_given_noise_for_colour():
    grey = np.repeat((photo("chelsea") @ LUMA).astype(np.uint8)[:, :, None], 3, axis=2)
    matched = match_colours(grey, gentle("coffee")).reshape(-1, 3).astype(float)
    values = np.linalg.eigvalsh(np.cov(matched.T))
    assert values[:2].max() < 0.2  # what rounding to whole levels makes
    assert values[2] > 300


@settings(max_examples=150)
@given(PICTURES, PICTURES)
def test_matching_any_two_pictures_is_finite_and_keeps_the_mean_where_nothing_clips(style, picture):
    with np.errstate(all="raise", under="ignore"):
        matched = match_colours(style, picture)
    assert matched.shape == style.shape
    if matched.min() > 0 and matched.max() < 255:
        assert np.abs(matched.reshape(-1, 3).mean(0) - picture.reshape(-1, 3).mean(0)).max() <= 0.51
