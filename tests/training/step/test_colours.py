"""Flat colours to learn, and what is held against a result's colours."""

import numpy as np
import torch
from torch import Generator

from app.training.step.colours import PLAIN_COLOURS, PLAIN_SIDE, colour_moments, plain_colours, plain_pictures


def test_plain_pictures_are_of_one_colour_each_and_many_of_pure_ones() -> None:
    colours = torch.cat([plain_colours(Generator().manual_seed(seed)) for seed in range(100)])
    assert colours.shape == (100 * PLAIN_COLOURS, 3)
    assert 0 <= float(colours.min()) <= float(colours.max()) <= 1
    for end in (0, 1):
        assert 0.15 < float((colours == end).float().mean()) < 0.22
    pictures = plain_pictures(colours[:5])
    assert pictures.shape == (5, 3, PLAIN_SIDE, PLAIN_SIDE)
    assert (pictures == colours[:5, :, None, None]).all()


def test_colour_moments_tell_what_red_green_and_blue_have_in_common() -> None:
    picture = torch.rand(2, 3, 9, 7, generator=Generator().manual_seed(0))
    mean, deviation = colour_moments(picture).unbind(1)
    for n in range(2):
        rgb = picture[n].double().numpy().reshape(3, -1)
        covariance = np.cov(rgb, bias=True)
        for i, (one, other) in enumerate(((0, 1), (1, 2), (2, 0))):
            variance = covariance[one, one] + covariance[other, other] - 2 * covariance[one, other]
            np.testing.assert_allclose(deviation[n, 3 + i], np.sqrt(variance + 1e-5), rtol=1e-4)
            np.testing.assert_allclose(mean[n, 3 + i], rgb[one].mean() - rgb[other].mean(), atol=1e-5)
        np.testing.assert_allclose(deviation[n, :3], np.sqrt(np.diag(covariance) + 1e-5), rtol=1e-4)
        np.testing.assert_allclose(mean[n, :3], rgb.mean(1), rtol=1e-5)


def test_one_hue_from_dark_to_light_differs_from_another_of_the_same_lightness() -> None:
    """What only means and deviations of R, G and B would not tell: hues that vary with each other or against."""
    ramp = torch.linspace(0, 1, 64).view(1, 1, 8, 8)
    grey, opposed = ramp.expand(1, 3, 8, 8), torch.cat([ramp, ramp.flip(2, 3), ramp], 1)
    one, other = colour_moments(grey), colour_moments(opposed)
    torch.testing.assert_close(one[..., :3], other[..., :3])
    assert float((one - other)[:, 1, 3:].abs().max()) > 0.1
