"""The controls of a stylisation: what is let in, and what is told of what is not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.options import MAX_STYLES, Options


def faults(context: dict[str, int] | None = None, **values: Any) -> dict[str, str]:
    """Field to message of everything that is wrong."""
    with pytest.raises(ValidationError) as caught:
        Options.model_validate(values, context=context)
    return {str(error["loc"][0]): error["msg"] for error in caught.value.errors()}


def test_every_control_is_described_and_has_a_default_that_works() -> None:
    Options()
    for name, field in Options.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("strength", 0, 1), ("size", 0, 65_535), ("style_size", 16, 65_535), ("quality", 1, 100)],
)
def test_ranges_are_held_at_both_ends_and_numbers_may_come_as_text(name: str, least: int, most: int) -> None:
    for value in (least, most, str(least), f" {most} "):
        assert getattr(Options.model_validate({name: value}), name) == float(value)
    for value in (least - 1, most + 1, str(most + 1), "nan", "inf", "", "much", None if name != "size" else "none"):
        assert name in faults(**{name: value})


@given(st.one_of(st.floats(), st.integers(), st.text(max_size=8)))
def test_strength_is_a_number_from_0_to_1_whatever_comes(value: object) -> None:
    try:
        strength = Options.model_validate({"strength": value}).strength
    except ValidationError:
        return
    assert 0 <= strength <= 1


@given(st.lists(st.one_of(st.floats(), st.text(max_size=5)), max_size=MAX_STYLES + 2))
def test_weights_can_always_be_normalised(values: list[object]) -> None:
    try:
        weights = Options.model_validate({"weight": values}).weight
    except ValidationError:
        return
    assert len(weights) <= MAX_STYLES
    assert not weights or sum(weights) > 0
    assert all(0 <= weight <= 1e6 for weight in weights)


@pytest.mark.parametrize(
    ("name", "written", "meant"),
    [
        ("format", "jpg", "jpeg"),
        ("format", "JPEG", "jpeg"),
        ("format", " Png ", "png"),
        ("format", "image/webp", "webp"),
        ("format", "image/jpg", "jpeg"),
        ("preserve_color", "None", "none"),
        ("preserve_color", " Luminance", "luminance"),
    ],
)
def test_names_are_understood_in_any_spelling(name: str, written: str, meant: str) -> None:
    assert getattr(Options.model_validate({name: written}), name) == meant


def test_every_fault_is_told_at_once() -> None:
    found = faults(strength=2, weight=[0, 0], size=-1, style_size=1, preserve_color="sepia", format="bmp", quality=0)
    assert set(found) == {"strength", "weight", "size", "style_size", "preserve_color", "format", "quality"}
    assert found["weight"] == "At least one must be greater than 0"


def test_a_control_that_is_not_there_is_not_passed_over() -> None:
    assert "strenght" in faults(strenght=0.5)


def test_sizes_are_held_to_the_limits_of_a_service() -> None:
    limits = {"size": 100, "style_size": 200}
    options = Options.model_validate({"size": 100, "style_size": 200}, context=limits)
    assert (options.size, options.style_size) == (100, 200)
    found = faults(limits, size=101, style_size=201)
    assert found["size"].endswith("less than or equal to 100")
    assert found["style_size"].endswith("less than or equal to 200")


def test_the_style_size_nobody_asked_for_is_within_the_limit_too() -> None:
    assert Options.model_validate({}, context={"style_size": 200}).style_size == 200
    assert Options.model_validate({}, context={"style_size": 2000}).style_size == 512
