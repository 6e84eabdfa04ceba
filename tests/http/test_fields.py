"""From a form to what is asked for, or every fault it has."""

import io
from collections.abc import Callable

import numpy as np
import pytest

from app.http.fields import Asked, read_fields
from app.http.forms import File, Form
from app.http.problems import Problem
from app.network.blend import ChannelStatistics, StyleCode
from app.styles.library import StyleLibrary, style_id
from tests.pictures import jpeg, photo, png

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
    empty = form(strength=[""], weight=[""], style_id=[""], size=[""], format=[""])
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
        ("weight[2]", 1e6),
    ]


@pytest.mark.parametrize("name", ["content", "style", "mask"])
@pytest.mark.parametrize("text", ["photo.jpg", "/home/anna/фото.png\n", "data:image/png;base64," + "iVBORw0KGgo" * 500])
def test_a_text_where_a_file_belongs_is_told_once_how_to_send_it(library: StyleLibrary, name: str, text: str) -> None:
    sent = form()
    sent.files[name] = [File(io.BytesIO(text.encode()), named=False)]
    with pytest.raises(Problem) as caught:
        read(sent, library)
    (error,) = caught.value.members["errors"]
    assert error["field"] == name
    assert f"{name}=@FILE" in error["detail"]
    assert repr(text[:9])[:-1] in error["detail"]


@pytest.mark.parametrize("kind", [jpeg, png])
def test_a_picture_without_a_file_name_is_no_text(library: StyleLibrary, kind: Callable[..., bytes]) -> None:
    sent = form()
    picture = kind(photo("astronaut", 8))
    sent.files["content"] = [File(io.BytesIO(picture), named=False)]
    assert read(sent, library).content.data.read() == picture


def test_what_html_adds_to_a_form_is_passed_over(library: StyleLibrary) -> None:
    sent = form(submit=["Send"], _charset_=["utf-8"], **{"submit.x": ["3"], "submit.y": ["4"]})
    assert read(sent, library).options == read(form(), library).options


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("preserveColor", "preserve_color"),
        ("preserve-colour", "preserve_color"),
        ("styleId", "style_id"),
        ("Content", "content"),
        ("weights", "weight"),
        ("sterngth", "strength"),
    ],
)
def test_a_name_that_is_nearly_one_is_told_which(library: StyleLibrary, wrong: str, near: str) -> None:
    with pytest.raises(Problem) as caught:
        read(form(**{wrong: ["1"]}), library)
    (error,) = caught.value.members["errors"]
    assert error["field"] == wrong
    assert f"did you mean {near}?" in error["detail"]


def test_a_name_that_is_near_none_is_told_all_of_them(library: StyleLibrary) -> None:
    with pytest.raises(Problem) as caught:
        read(form(xyz=["1"]), library)
    (error,) = caught.value.members["errors"]
    assert "did you mean" not in error["detail"]
    assert "content, style, mask" in error["detail"]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "much", "undefined", "0,5"])
@pytest.mark.parametrize(("name", "limit"), [("strength", 1), ("size", 2000), ("style_size", 800), ("quality", 100)])
def test_what_is_no_number_is_told_the_limit_too(library: StyleLibrary, name: str, limit: int, value: str) -> None:
    assert faults(form(**{name: [value]}), library) == [(name, limit)]


def test_weights_that_are_no_numbers_or_all_0_are_told_their_limits(library: StyleLibrary) -> None:
    assert faults(form(weight=["nan"]), library) == [("weight[0]", 1e6)]
    assert faults(form(weight=["0"]), library) == [("weight", 0)]


def test_a_text_sent_as_a_file_is_refused(library: StyleLibrary) -> None:
    assert faults(form({"content": 1, "style": 1, "strength": 1}), library) == [("strength", None)]


def test_long_input_is_not_sent_back_whole(library: StyleLibrary) -> None:
    with pytest.raises(Problem) as caught:
        read(form({"content": 1}, strength=["9" * 1000], style_id=["f" * 1000]), library)
    assert all(len(error["detail"]) < 250 for error in caught.value.members["errors"])
