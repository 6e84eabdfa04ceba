"""From a form to what is asked for, or every fault it has."""

import io

import numpy as np
import pytest

from app.styles.library import StyleLibrary, style_id
from app.http.fields import Asked, read_fields
from app.http.forms import File, Form
from app.http.problems import Problem
from app.network.blend import ChannelStatistics, StyleCode

KNOWN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def library() -> StyleLibrary:
    library = StyleLibrary(1_000_000)
    library.keep_code(KNOWN, 512, StyleCode(ChannelStatistics(np.zeros(512, np.float32), np.ones(512, np.float32))))
    return library


def form(files: dict[str, int] | None = None, **texts: list[str]) -> Form:
    """`files`: how many of each name; the bytes of each are its name and number."""
    files = {"content": 1, "style": 1} if files is None else files
    parts = {
        name: [File(io.BytesIO(f"{name} {number}".encode())) for number in range(count)]
        for name, count in files.items()
    }
    return Form(texts, parts)


def read(form: Form, library: StyleLibrary) -> Asked:
    return read_fields(form, library, max_size=2000, max_style_size=800)


def faults(form: Form, library: StyleLibrary) -> list[tuple[str, object]]:
    """Field and limit of every fault, in the order told."""
    with pytest.raises(Problem) as caught:
        read(form, library)
    problem = caught.value
    assert problem.kind.name == "invalid-request"
    errors = problem.members["errors"]
    assert all(error["detail"] for error in errors)
    for error in errors:
        assert error["field"] in problem.detail
    return [(error["field"], error.get("limit")) for error in errors]


def test_the_least_that_is_needed(library: StyleLibrary) -> None:
    asked = read(form(), library)
    assert asked.content.data.read() == b"content 0"
    (style,) = asked.styles
    assert style.file is not None
    assert (style.field, style.name) == ("style", style_id(io.BytesIO(b"style 0")))
    assert style.file.read() == b"style 0"
    assert asked.masks == ()
    assert asked.options.strength == 1


def test_everything_at_once_uploads_before_ids(library: StyleLibrary) -> None:
    asked = read(
        form(
            {"content": 1, "style": 2, "mask": 3},
            style_id=[KNOWN],
            weight=["1", "2", "0.5"],
            strength=["0.5"],
            size=["2000"],
            style_size=["800"],
            preserve_color=["match"],
            format=["webp"],
            quality=["70"],
        ),
        library,
    )
    assert [style.field for style in asked.styles] == ["style[0]", "style[1]", "style_id"]
    assert asked.styles[2].name == KNOWN
    assert asked.styles[2].file is None
    assert [mask.data.read() for mask in asked.masks] == [b"mask 0", b"mask 1", b"mask 2"]
    assert asked.options.weight == (1, 2, 0.5)
    assert asked.options.model_dump(exclude={"weight"}) == {
        "strength": 0.5,
        "size": 2000,
        "style_size": 800,
        "preserve_color": "match",
        "format": "webp",
        "quality": 70,
    }


@pytest.mark.parametrize("weights", [["1", "2"], ["1,2"], [" 1 , 2 "], ["1,", "2"]])
def test_lists_may_come_as_several_fields_or_one_with_commas(library: StyleLibrary, weights: list[str]) -> None:
    assert read(form({"content": 1, "style": 2}, weight=weights), library).options.weight == (1, 2)
    ids = read(form({"content": 1}, style_id=[f"{KNOWN},{KNOWN}"], weight=weights), library)
    assert [style.name for style in ids.styles] == [KNOWN, KNOWN]


def test_fields_left_empty_are_fields_left_out(library: StyleLibrary) -> None:
    empty = form(strength=[""], weight=[""], style_id=[""], size=[""], format=[""], style=[""], content=[""])
    assert read(empty, library).options == read(form(), library).options


def test_an_empty_form_is_told_both_files_it_needs(library: StyleLibrary) -> None:
    assert faults(form({}), library) == [("content", 1), ("style", 8)]


def test_every_fault_is_in_one_answer(library: StyleLibrary) -> None:
    found = faults(
        form(
            {"content": 2, "mask": 1},
            style_id=[KNOWN, "forgotten"],
            weight=["0", "0", "0"],
            strength=["nan"],
            size=["2001"],
            style_size=["801"],
            quality=["high"],
            format=["bmp"],
            sise=["3"],
        ),
        library,
    )
    assert {field for field, _ in found} == {
        "content", "mask", "style_id", "weight", "strength", "size", "style_size", "quality", "format", "sise",
    }  # fmt: skip
    assert ("size", 2000) in found
    assert ("style_size", 800) in found
    assert ("mask", 2) in found
    assert [limit for field, limit in found if field == "weight"].count(2) == 1
    assert len(found) == 11, "a wrong count of weights and their being all 0 are two faults"


@pytest.mark.parametrize(("uploads", "ids"), [(9, 0), (5, 4), (0, 9)])
def test_more_than_eight_styles_are_refused_however_they_come(library: StyleLibrary, uploads: int, ids: int) -> None:
    assert faults(form({"content": 1, "style": uploads}, style_id=[KNOWN] * ids), library) == [("style", 8)]


def test_eight_styles_are_not_too_many(library: StyleLibrary) -> None:
    assert len(read(form({"content": 1, "style": 3}, style_id=[KNOWN] * 5), library).styles) == 8


def test_an_option_given_twice_is_refused_rather_than_one_of_both_taken(library: StyleLibrary) -> None:
    assert faults(form(strength=["0.5", "0.6"]), library) == [("strength", 1)]


def test_the_weight_that_is_wrong_is_named(library: StyleLibrary) -> None:
    assert faults(form({"content": 1, "style": 3}, weight=["1", "-2", "x"]), library) == [
        ("weight[1]", 0),
        ("weight[2]", None),
    ]


@pytest.mark.parametrize("name", ["content", "style"])
def test_a_file_sent_as_text_is_told_once_how_to_send_it(library: StyleLibrary, name: str) -> None:
    others = {"content": 1, "style": 1}
    del others[name]
    with pytest.raises(Problem) as caught:
        read(form(others, **{name: ["photo.jpg"]}), library)
    (error,) = caught.value.members["errors"]
    assert error["field"] == name
    assert f"{name}=@FILE" in error["detail"]


def test_a_text_sent_as_a_file_is_refused(library: StyleLibrary) -> None:
    assert faults(form({"content": 1, "style": 1, "strength": 1}), library) == [("strength", None)]


def test_long_input_is_not_sent_back_whole(library: StyleLibrary) -> None:
    with pytest.raises(Problem) as caught:
        read(form({"content": 1}, strength=["9" * 1000], style_id=["f" * 1000]), library)
    assert all(len(error["detail"]) < 250 for error in caught.value.members["errors"])
