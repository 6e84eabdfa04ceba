"""Styles along time."""

import numpy as np
import pytest

from app.video.errors import BadKeyframes
from app.video.keyframes import Keyframes, read_keyframes

STYLES = (("wave.jpg", "wave"), ("night.jpg", "night"))


def read(text: str) -> Keyframes:
    return read_keyframes(text, STYLES, (), 0.8)


def test_a_walk_from_one_style_to_another() -> None:
    walk = read('[{"time": 1, "style": "wave"}, {"time": 3, "style": 1, "strength": 0.4}]')
    for time, weights, strength in (
        (0, (1, 0), 0.8),
        (1, (1, 0), 0.8),
        (2, (0.5, 0.5), 0.6),
        (3, (0, 1), 0.4),
        (9, (0, 1), 0.4),
    ):
        moment = walk.at(time)
        np.testing.assert_allclose(moment.weights, weights)
        assert moment.strength == pytest.approx(strength)


def test_two_at_one_time_are_a_jump() -> None:
    jump = read('[{"time": 0, "weights": [3, 1]}, {"time": 2}, {"time": 2, "style": "night.jpg"}]')
    np.testing.assert_allclose(jump.at(1.999).weights, (0.75, 0.25))
    np.testing.assert_allclose(jump.at(2).weights, (0, 1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("{}", "valid list"),
        ("[]", "0 keyframes"),
        ('[{"time": 2}, {"time": 1}]', "Keyframe 1 is at 1 s, before the one in front of it"),
        ('[{"time": -1}]', "Keyframe 0, time"),
        ('[{"time": NaN}]', "Keyframe 0, time"),
        ('[{"time": 0, "style": 2}]', "style 2, which is none"),
        ('[{"time": 0, "style": "sun"}]', "style 'sun', which is none"),
        ('[{"time": 0, "weights": [1]}]', "1 weights for 2 styles"),
        ('[{"time": 0, "weights": [0, 0]}]', "not all of them 0"),
        ('[{"time": 0, "style": 1, "weights": [1, 0]}]', "one of the two"),
        ('[{"time": 0, "strength": 2}]', "Keyframe 0, strength"),
        ('[{"time": 0, "styel": 0}]', "Keyframe 0, styel"),
    ],
)
def test_what_cannot_be_followed(text: str, said: str) -> None:
    with pytest.raises(BadKeyframes, match=said):
        read(text)


@pytest.mark.parametrize(
    "text", ['[{"time": 0, "style": "%s"}]', '[{"time": 0, "%s": 1}]', '[{"time": 0, "style": %s}]'], ids=repr
)
def test_what_is_said_of_a_long_one_is_short(text: str) -> None:
    with pytest.raises(BadKeyframes, match=r"^Keyframe 0") as caught:
        read(text % ("9" * 4000))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text", ["[" * 60_000, '[{"time": ' * 5000, '[{"time": 0, "style": %s}]' % ("9" * 5000)], ids=len
)
def test_what_is_deeper_or_longer_than_python_reads_is_no_json(text: str) -> None:
    with pytest.raises(BadKeyframes, match="no JSON"):
        read(text)


@pytest.mark.parametrize("text", [r'[{"\ud800": 1}]', r'[{"time": 0, "style": "\ud800"}]', r'[{"\u0000": 1}]'])
def test_characters_that_are_none_are_told_in_ones_that_are(text: str) -> None:
    with pytest.raises(BadKeyframes) as caught:
        read(text)
    assert str(caught.value).encode()
