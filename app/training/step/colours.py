"""Colours in training: flat ones that are to come back, and how those of a result are to be spread."""

from typing import Final

import torch
from torch import Generator, Tensor

from app.network.moments import channel_moments

PLAIN_COLOURS: Final = 16
# The least side that padding by reflection leaves room for at an eighth of the size: all of it is one colour anyhow.
PLAIN_SIDE: Final = 16
# Of the flat colours, how far beyond black and white they are drawn before they are cut off: pure ones are the hardest.
BEYOND: Final = 0.3
COLOUR_CHANNELS: Final = 6


def plain_colours(generator: Generator) -> Tensor:
    """Flat colours to learn, RGB (PLAIN_COLOURS, 3) in [0, 1], many of them on the sides of that cube."""
    colours = torch.rand(PLAIN_COLOURS, 3, generator=generator)
    return (colours * (1 + 2 * BEYOND) - BEYOND).clamp(0, 1)


def plain_pictures(colours: Tensor) -> Tensor:
    """(n, 3) -> RGB (n, 3, PLAIN_SIDE, PLAIN_SIDE), channels_last."""
    whole = colours[..., None, None].expand(-1, -1, PLAIN_SIDE, PLAIN_SIDE)
    return whole.contiguous(memory_format=torch.channels_last)


def colour_moments(pictures: Tensor) -> Tensor:
    """RGB (N, 3, H, W) -> float32 (N, 2, COLOUR_CHANNELS): means and deviations of R, G, B, R - G, G - B and B - R.

    The deviations of differences say what R, G and B have in common, and so which hues there are.
    """
    return channel_moments(torch.cat([pictures, pictures - pictures.roll(-1, 1)], 1))
