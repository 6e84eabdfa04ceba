"""Styles that change with time: what they are at some moments, and between two of them a walk from one to the next."""

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.options import Weight
from app.video.errors import BadKeyframes

MOST: Final = 10_000
MOST_CHARACTERS: Final = 1_000_000
MOST_SAID: Final = 100  # characters of what was found, in what is said of it
HOW: Final = 'write them as [{"time": 0, "style": 0}, {"time": 2.5, "weights": [1, 2], "strength": 0.5}]'


class _Given(BaseModel):
    """As a user writes it."""

    model_config = ConfigDict(extra="forbid")

    time: float = Field(ge=0, allow_inf_nan=False)
    style: int | str | None = None
    weights: tuple[Weight, ...] | None = None
    strength: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None


GIVEN: Final = TypeAdapter(list[_Given])


@dataclass(frozen=True)
class Moment:
    """What styles are at `time`, in seconds: `weights` (N,) of sum 1, and their strength."""

    time: float
    weights: NDArray[np.float64]
    strength: float


class Keyframes:
    """Moments in their order, one at least. Two at one time are a jump."""

    def __init__(self, moments: Sequence[Moment]) -> None:
        self._moments = moments
        self._times = [moment.time for moment in moments]

    def at(self, time: float) -> Moment:
        """What styles are at any time: what is before the first is as it, what is after the last as that."""
        after = bisect_right(self._times, time)
        if after == 0 or after == len(self._moments):
            return self._moments[max(0, after - 1)]
        first, second = self._moments[after - 1 : after + 1]
        part = (time - first.time) / (second.time - first.time)
        weights = (1 - part) * first.weights + part * second.weights
        return Moment(time, weights, (1 - part) * first.strength + part * second.strength)


def read_keyframes(
    text: str | bytes, styles: Sequence[Sequence[str]], weights: Sequence[float], strength: float
) -> Keyframes:
    """Keyframes as JSON. `styles`: the names each style may be called by, beside its number from 0.

    What a keyframe does not tell is as in the one before; `weights`, of equal styles where empty, and `strength` are
    what it is until one tells. Raises BadKeyframes.
    """
    if len(text) > MOST_CHARACTERS:
        raise BadKeyframes(f"Keyframes have at most {MOST_CHARACTERS:,} characters.")
    try:
        given = GIVEN.validate_python(json.loads(text))
    except ValidationError as invalid:
        error = invalid.errors()[0]
        raise BadKeyframes(f"{_place(error['loc'])}{error['msg']}: {HOW}.") from None
    except (ValueError, RecursionError):
        raise BadKeyframes(f"Keyframes are no JSON: {HOW}.") from None
    if not 0 < len(given) <= MOST:
        raise BadKeyframes(f"There are {len(given)} keyframes: send 1 to {MOST:,}.")
    moments: list[Moment] = []
    mixed = _normalised(weights or (1.0,) * len(styles))
    for number, keyframe in enumerate(given):
        if moments and keyframe.time < moments[-1].time:
            raise BadKeyframes(
                f"Keyframe {number} is at {keyframe.time:g} s, before the one in front of it: put them in their order."
            )
        mixed = _mixed(number, keyframe, styles, mixed)
        strength = strength if keyframe.strength is None else keyframe.strength
        moments.append(Moment(keyframe.time, mixed, strength))
    return Keyframes(moments)


def _mixed(
    number: int, keyframe: _Given, styles: Sequence[Sequence[str]], before: NDArray[np.float64]
) -> NDArray[np.float64]:
    if keyframe.style is not None and keyframe.weights is not None:
        raise BadKeyframes(f"Keyframe {number} has a style and weights: give one of the two.")
    if keyframe.style is not None:
        one = np.zeros(len(styles))
        one[_index(number, keyframe.style, styles)] = 1
        return one
    if keyframe.weights is None:
        return before
    if len(keyframe.weights) != len(styles) or not any(keyframe.weights):
        found = len(keyframe.weights)
        raise BadKeyframes(
            f"Keyframe {number} has {found} weights for {len(styles)} styles: give one for each, not all of them 0."
        )
    return _normalised(keyframe.weights)


def _index(number: int, style: int | str, styles: Sequence[Sequence[str]]) -> int:
    for index, names in enumerate(styles):
        if style == index or style in names:
            return index
    raise BadKeyframes(
        f"Keyframe {number} is of style {_short(repr(style))}, which is none: give its number, 0 to {len(styles) - 1}, "
        "or its name."
    )


def _normalised(weights: Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(weights, np.float64)
    return np.asarray(array / array.sum())


def _place(location: tuple[Any, ...]) -> str:
    if not location:
        return ""
    number, *field = location
    return f"Keyframe {number}, {_short('.'.join(map(str, field)))}: " if field else f"Keyframe {number}: "


def _short(found: str) -> str:
    return found if len(found) <= MOST_SAID else f"{found[:MOST_SAID]}…"
