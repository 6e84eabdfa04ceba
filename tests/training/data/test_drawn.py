"""Styles drawn by program."""

import numpy as np
import pytest
import torch

from app.training.data.drawn import DRAWN_AT, KINDS, SIDE, drawn


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_a_picture_of_its_own_seed(kind: str) -> None:
    one, same, other = (np.array(KINDS[kind](np.random.default_rng(seed))) for seed in (3, 3, 4))
    assert one.shape == (DRAWN_AT, DRAWN_AT, 3)
    assert one.dtype == np.uint8
    assert (one == same).all()
    assert (one != other).any()
    assert (len(np.unique(one.reshape(-1, 3), axis=0)) == 1) == (kind == "plain")


def test_pictures_are_functions_of_seed_and_number_and_of_the_size_asked_for() -> None:
    few, more, others = drawn(3, 7), drawn(5, 7), drawn(3, 8)
    assert few == more[:3]
    assert not set(few) & set(others)
    for source in few:
        whole, small = source.read(1000), source.read(50)
        assert whole.shape == (3, source.height, source.width) == (3, SIDE, SIDE)
        assert small.shape == (3, 50, 50)
        assert torch.equal(whole, source.read(1000))
        # Reduced, not cut: the same colours on average.
        means = [picture.float().mean((1, 2)) for picture in (whole, small)]
        torch.testing.assert_close(*means, rtol=0, atol=3)
