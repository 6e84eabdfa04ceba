"""Colour scores against scikit-image's CIELAB, and what plain styles are judged by."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.color import deltaE_cie76, rgb2lab
from torch import Tensor

from app.evaluation.colours import colour_distance, colour_statistics, flat_texture, lab
from app.evaluation.encoders import load_encoder
from app.evaluation.judge import Style
from app.evaluation.pictures import read_squares
from app.evaluation.plain import COLOURS, judge_plain

SIDE = 32


def tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture / 255).float().permute(2, 0, 1)[None]


def test_lab_is_that_of_others() -> None:
    levels = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3), -1).reshape(18, -1, 3).astype(np.uint8)
    expected = torch.from_numpy(rgb2lab(levels)).permute(2, 0, 1)[None]
    torch.testing.assert_close(lab(tensor(levels)).double(), expected, atol=0.02, rtol=0)


def test_of_plain_colours_the_distance_is_delta_e() -> None:
    one, other = (np.full((8, 8, 3), colour, np.uint8) for colour in ((200, 30, 30), (128, 42, 138)))
    distance = colour_distance(colour_statistics(tensor(one)), colour_statistics(tensor(other)))
    assert float(distance) == pytest.approx(deltaE_cie76(rgb2lab(one), rgb2lab(other))[0, 0], abs=0.05)


def test_more_contrast_of_the_same_mean_is_a_distance_too() -> None:
    grey = torch.full((1, 3, 16, 16), 0.5)
    spread = grey + 0.2 * torch.tensor([1.0, -1.0]).repeat(8)
    assert float(colour_distance(colour_statistics(grey), colour_statistics(spread))) > 15


def test_texture_counts_where_the_photo_is_flat_only() -> None:
    content = torch.full((1, 3, 40, 80), 0.5)
    content[..., 40:] = torch.rand(content[..., 40:].shape, generator=torch.Generator().manual_seed(0))
    stripes = 0.5 + 10 / 255 * torch.tensor([1.0, -1.0]).repeat(40).expand(1, 3, 40, 80)
    assert float(flat_texture(stripes, content)) == pytest.approx(10, rel=0.02)
    drawn_elsewhere = torch.where(torch.arange(80) < 40, content, stripes)
    assert float(flat_texture(drawn_elsewhere, content)) == pytest.approx(0, abs=0.1)
    assert flat_texture(content[..., 40:], content[..., 40:]).isnan()


class Painted:
    """Gives each photo in the style's own colour, or as it is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._styles = iter(COLOURS)

    def results(self, contents: Sequence[Path], features: Tensor, style: Style) -> Tensor:
        if self.name == "itself":
            return read_squares(contents, SIDE)
        return torch.tensor(next(self._styles)).view(1, 3, 1, 1).expand(len(contents), 3, SIDE, SIDE)

    def reconstructions(self, contents: Sequence[Path], features: Tensor) -> Tensor | None:
        return None


def test_plain_styles_want_their_colour_and_nothing_drawn(contents: Path) -> None:
    encoder = load_encoder("vgg16", None)
    one = sorted(contents.iterdir())[:1]
    right = judge_plain(encoder, Painted("right"), one, SIDE, torch.device("cpu"))
    assert right.colour_distance == pytest.approx(0, abs=1e-3)
    assert right.worst_colour_distance == pytest.approx(0, abs=1e-3)
    wrong = judge_plain(encoder, Painted("itself"), one, SIDE, torch.device("cpu"))
    mean = rgb2lab(read_squares(one, SIDE)[0].permute(1, 2, 0).numpy()).mean((0, 1))
    plain = np.array(COLOURS).reshape(-1, 1, 3)
    away = deltaE_cie76(rgb2lab(plain)[:, 0], mean)
    assert wrong.colour_distance == pytest.approx(away.mean(), rel=1e-3)
    assert wrong.worst_colour_distance == pytest.approx(away.max(), rel=1e-3)
