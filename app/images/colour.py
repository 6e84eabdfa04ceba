"""The two ways to keep a photo's colours, both from Gatys et al., "Preserving Color in Neural Artistic Style Transfer"
(2016): its luminance-only transfer, and its linear colour transfer in the form of the AdaIN authors' own option.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
# Below one level in 256 a channel is flat, and what little it varies is no colour to be stretched to a photo's.
FLAT: Final = 1.0
# The least eigenvalue of a style's colour correlation that is undone: a grey style has no other colours to amplify.
LEAST_EIGENVALUE: Final = 1e-3


def keep_colours(stylised: Bytes, photo: Bytes) -> Bytes:
    """The luma of `stylised` with the chroma of `photo`, both (H, W, 3) uint8 sRGB of one size, and so is the result.

    With chroma unchanged, R, G and B all move by as much as luma does.
    """
    change: NDArray[np.float32] = stylised @ LUMA - photo @ LUMA
    return rounded(change[:, :, None] + photo)


def match_colours(
    style: Bytes, photo: Bytes, style_alpha: Bytes | None = None, photo_alpha: Bytes | None = None
) -> Bytes:
    """`style` (h, w, 3) recoloured to the mean and covariance of the colours of `photo` (H, W, 3), uint8 sRGB.

    Of both what counts is what can be seen: alpha is (h, w) and (H, W), somewhere above 0, or None of an opaque one.

    As CORAL does (Sun et al., "Return of Frustratingly Easy Domain Adaptation", 2016): channels are normalised, the
    style's are whitened by the inverse symmetric square root of their correlation and given the photo's correlation,
    mean and standard deviation. A style with no variation in some direction of colour gets none in it.
    """
    mean, std, correlation = statistics(style, style_alpha)
    photo_mean, photo_std, photo_correlation = statistics(photo, photo_alpha)
    transfer = power(photo_correlation, 0.5) @ power(correlation, -0.5)
    matrix = (photo_std[:, None] * transfer / std).astype(np.float32)
    return rounded((style - mean.astype(np.float32)) @ matrix.T + photo_mean.astype(np.float32))


def statistics(rgb: Bytes, alpha: Bytes | None) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean (3,), standard deviation (3,), at least FLAT, and correlation (3, 3) of the channels, in levels 0 to 255."""
    colours = rgb.reshape(-1, 3).astype(np.float64)
    weights = None if alpha is None else alpha.reshape(-1)
    mean = np.average(colours, axis=0, weights=weights)
    covariance = np.cov(colours, rowvar=False, bias=True, aweights=weights)
    std = np.maximum(np.sqrt(np.diag(covariance)), FLAT)
    return mean, std, covariance / np.outer(std, std)


def power(correlation: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """A symmetric positive semi-definite matrix (3, 3) to a power, by its eigenvalues."""
    values, vectors = np.linalg.eigh(correlation)
    floor = LEAST_EIGENVALUE if exponent < 0 else 0.0
    result: NDArray[np.float64] = vectors * np.maximum(values, floor) ** exponent @ vectors.T
    return result


def rounded(levels: NDArray[np.float32]) -> Bytes:
    return np.rint(levels).clip(0, 255).astype(np.uint8)
