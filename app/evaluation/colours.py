"""Colours as people see them: how far a result's are from its style's, and what is drawn in flat areas."""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

# Linear sRGB to CIE XYZ over the white of D65 (IEC 61966-2-1), and CIELAB's bend (CIE 15).
XYZ: Final = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
WHITE: Final = (0.95047, 1.0, 1.08883)
BEND: Final = 6 / 29
# Of photos, what varies less than this around a pixel is flat: skies, walls.
WINDOW: Final = 9
FLAT_DEVIATION: Final = 3 / 255


def lab(pictures: Tensor) -> Tensor:
    """sRGB (N, 3, H, W) in [0, 1] -> CIELAB under D65: L* in [0, 100], a* and b*."""
    linear = torch.where(pictures <= 0.04045, pictures / 12.92, ((pictures + 0.055) / 1.055) ** 2.4)
    white = linear.new_tensor(WHITE).view(1, 3, 1, 1)
    xyz = torch.einsum("kc,nchw->nkhw", linear.new_tensor(XYZ), linear) / white
    bent = torch.where(xyz > BEND**3, xyz.clamp_min(BEND**3) ** (1 / 3), xyz / (3 * BEND**2) + 4 / 29)
    x, y, z = bent.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def colour_statistics(pictures: Tensor) -> Tensor:
    """sRGB (N, 3, H, W) -> (N, 6): means of L*, a* and b* over the picture, then their standard deviations."""
    values = lab(pictures).flatten(2)
    return torch.cat([values.mean(2), values.std(2, correction=0)], 1)


def colour_distance(got: Tensor, wanted: Tensor) -> Tensor:
    """Euclidean distance of `colour_statistics` (N, 6) -> (N,), in units of CIELAB; of plain colours, Delta E 1976.

    It is the 2-Wasserstein distance of normal distributions with independent channels.
    """
    return (got - wanted).square().sum(1).sqrt()


def flat_texture(results: Tensor, contents: Tensor) -> Tensor:
    """What a result draws where its photo is flat, in levels of 255: (N, 3, H, W) twice -> (N,).

    The root mean square of the deviation in 9 x 9 pixels, over the pixels around which the photo hardly varies; NaN
    where there are none. For a style that is flat itself: any texture there is the decoder's own.
    """
    flat = _variance(contents).amax(1, keepdim=True) < FLAT_DEVIATION**2
    drawn = _variance(results).mean(1, keepdim=True)
    return 255 * ((drawn * flat).sum((1, 2, 3)) / flat.sum((1, 2, 3))).sqrt()


def _variance(pictures: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H - 8, W - 8): the variance around each pixel."""
    mean = F.avg_pool2d(pictures, WINDOW, 1)
    return (F.avg_pool2d(pictures.square(), WINDOW, 1) - mean.square()).clamp_min(0)
