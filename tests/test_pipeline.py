"""From picture files to work, and from a result to a picture file."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.images.errors import ImageError, TooManyPixels, UnreadableImage
from app.network.blend import ChannelStatistics, StyleCode
from app.options import Options
from app.pipeline import FieldError, Limits, Prepared, SizeError, StyleForgotten, StyleSource, finish, prepare
from app.queue.work import StylePicture
from app.styles.library import StyleLibrary, style_id
from tests.pictures import jpeg, photo, png

LIMITS = Limits(max_pixels=400_000, max_size=600, default_size=300)
CODE = StyleCode(ChannelStatistics(np.full(512, 2, np.float32), np.ones(512, np.float32)))
CAT, CUP = png(photo("chelsea", 64)), png(photo("coffee", 100))


@pytest.fixture
def library() -> StyleLibrary:
    return StyleLibrary(10_000_000)


def source(data: bytes = CUP, field: str = "style") -> StyleSource:
    file = io.BytesIO(data)
    return StyleSource(field, style_id(file), file)


def remembered(name: str) -> StyleSource:
    return StyleSource("style_id", name, None)


def prepared(
    library: StyleLibrary,
    content: bytes = CAT,
    styles: tuple[StyleSource, ...] | None = None,
    masks: tuple[bytes, ...] = (),
    limits: Limits = LIMITS,
    **options: Any,
) -> Prepared:
    files = [io.BytesIO(mask) for mask in masks]
    return prepare(io.BytesIO(content), styles or (source(),), files, Options(**options), library, limits)


def only_style(prepared: Prepared) -> StylePicture:
    (style,) = prepared.work.styles
    assert isinstance(style, StylePicture)
    return style


def grey(columns: list[int], height: int, width: int) -> bytes:
    """A picture of upright stripes of equal width."""
    return png(np.repeat(np.array([columns], np.uint8), height, 0).repeat(width // len(columns), 1))


def test_a_photo_and_a_style_become_work(library: StyleLibrary) -> None:
    got = prepared(library)
    assert np.array_equal(got.work.content, photo("chelsea", 64))
    assert np.array_equal(only_style(got).pixels, photo("coffee", 100))
    assert got.work.share.tolist() == [[1]]
    assert got.photo.format == "png"


@pytest.mark.parametrize(
    ("side", "size", "expected"),
    [(200, None, 200), (500, None, 300), (500, 0, 500), (500, 80, 80), (64, 128, 128), (600, 600, 600)],
)
def test_the_result_has_the_size_asked_for_else_the_photos_own_up_to_a_limit(
    library: StyleLibrary, side: int, size: int | None, expected: int
) -> None:
    got = prepared(library, jpeg(photo("rocket", side)[: side // 2]), size=size)
    assert got.work.content.shape == (expected // 2, expected, 3)


def test_a_photos_own_size_over_the_limit_is_refused_when_asked_for(library: StyleLibrary) -> None:
    with pytest.raises(SizeError, match=r"610 pixels, the most is 600: ask for a smaller size"):
        prepared(library, jpeg(np.zeros((40, 610, 3), np.uint8)), size=0)


def test_the_usual_size_keeps_to_the_largest(library: StyleLibrary) -> None:
    limits = Limits(max_pixels=400_000, max_size=200, default_size=300)
    assert prepared(library, jpeg(photo("rocket", 400)), limits=limits).work.content.shape == (200, 200, 3)


def test_a_style_is_reduced_to_its_size_and_never_enlarged(library: StyleLibrary) -> None:
    assert only_style(prepared(library, style_size=50)).pixels.shape == (50, 50, 3)
    assert only_style(prepared(library, style_size=500)).pixels.shape == (100, 100, 3)


def test_weights_and_strength_become_shares(library: StyleLibrary) -> None:
    styles = (source(), source(CAT))
    np.testing.assert_allclose(
        prepared(library, styles=styles, weight=(3, 1), strength=0.5).work.share, [[0.375], [0.125]]
    )
    np.testing.assert_allclose(prepared(library, styles=styles).work.share, [[0.5], [0.5]])


def test_a_style_of_weight_0_is_as_if_it_were_not_there(library: StyleLibrary) -> None:
    styles, masks = (source(CAT), source()), (grey([0, 255], 64, 64), grey([255, 0], 64, 64))
    alone = prepared(library, masks=masks[1:])
    got = prepared(library, styles=styles, masks=masks, weight=(0, 2))
    assert np.array_equal(only_style(got).pixels, only_style(alone).pixels)
    assert np.array_equal(got.work.share, alone.work.share)
    assert got.work.key == alone.work.key


def test_a_mask_is_read_at_the_features_size_each_position_the_mean_of_its_pixels(library: StyleLibrary) -> None:
    share = prepared(library, masks=(grey([255, 0, 51, 153], 64, 64),)).work.share.reshape(8, 8)
    np.testing.assert_allclose(share, np.tile([1, 1, 0, 0, 0.2, 0.2, 0.6, 0.6], (8, 1)), atol=1e-6)
    fine = prepared(library, masks=(grey([255, 0] * 32, 64, 64),)).work.share
    np.testing.assert_allclose(fine, 128 / 255, atol=1e-6)


def test_a_mask_of_another_size_and_a_photo_of_any_size_agree(library: StyleLibrary) -> None:
    content = png(photo("astronaut")[:45, :21])
    share = prepared(library, content, masks=(grey([255], 3, 200),)).work.share
    np.testing.assert_allclose(share, np.ones((1, 6 * 3)), atol=1e-6)


def cut_out(picture: NDArray[np.uint8], height: int, width: int, top: int, left: int) -> bytes:
    """A picture alone on a transparent canvas."""
    canvas = np.zeros((height, width, 4), np.uint8)
    canvas[top : top + picture.shape[0], left : left + picture.shape[1], :3] = picture
    canvas[top : top + picture.shape[0], left : left + picture.shape[1], 3] = 255
    return png(canvas)


def test_a_cut_out_is_work_like_the_picture_it_was_cut_from_and_comes_back_in_its_place(library: StyleLibrary) -> None:
    mask = np.zeros((80, 110), np.uint8)
    mask[9:73, 21:53] = 255
    twin = prepared(library, masks=(grey([255, 0], 64, 64),))
    got = prepared(library, cut_out(photo("chelsea", 64), 80, 110, 9, 21), masks=(png(mask),))
    assert got.work.key == twin.work.key
    assert got.work.alpha is None
    assert np.array_equal(got.work.content, twin.work.content)
    assert np.array_equal(got.work.share, twin.work.share)
    result = np.ascontiguousarray(photo("rocket", 64))
    file = pixels(finish(got, result, Options(), "png"))
    assert file.shape == (80, 110, 4)
    assert np.array_equal(file[9:73, 21:85, :3], result)
    assert np.array_equal(file[..., 3], pixels(cut_out(result, 80, 110, 9, 21))[..., 3])


def test_a_sticker_is_a_style_like_the_picture_on_it(library: StyleLibrary) -> None:
    sticker = cut_out(photo("coffee", 100), 700, 500, 300, 333)
    for options in ({}, {"style_size": 80}, {"preserve_color": "match"}):
        style, twin = (
            only_style(prepared(library, styles=(source(sticker),), **options)),
            only_style(prepared(library, **options)),
        )
        assert np.array_equal(style.pixels, twin.pixels)
        assert style.alpha is None


def test_colours_are_matched_to_what_can_be_seen(library: StyleLibrary) -> None:
    down, across = np.mgrid[-1:1:64j, -1:1:64j]
    seen = (np.hypot(down, across) < 0.9).astype(np.uint8) * 255
    content = png(np.dstack((photo("chelsea", 64), seen)))
    style = only_style(
        prepared(library, content, (source(png(np.dstack((photo("rocket", 64), seen)))),), preserve_color="match")
    )
    assert style.alpha is not None
    recoloured = style.pixels[style.alpha > 0].mean(axis=0)
    assert np.abs(recoloured - photo("chelsea", 64)[seen > 0].mean(axis=0)).max() < 5


def test_a_picture_with_nothing_to_see_is_told_with_its_field(library: StyleLibrary) -> None:
    nothing = png(np.zeros((20, 20, 4), np.uint8))
    for field, arguments in (("content", {"content": nothing}), ("style", {"styles": (source(nothing),)})):
        with pytest.raises(FieldError, match="transparent everywhere") as caught:
            prepared(library, **arguments)  # type: ignore[arg-type]
        assert caught.value.field == field
    assert not library.has_picture(source(nothing).name)


def test_a_known_style_is_neither_read_nor_encoded_again(library: StyleLibrary) -> None:
    library.keep_code(source().name, 512, CODE)
    broken = StyleSource("style", source().name, io.BytesIO(b"would not be read"))
    assert prepared(library, styles=(broken,)).work.styles == (CODE,)
    assert prepared(library, styles=(remembered(source().name),)).work.styles == (CODE,)


def test_a_known_style_at_another_size_is_read_from_the_picture_kept(library: StyleLibrary) -> None:
    name = source().name
    prepared(library)
    library.keep_code(name, 512, CODE)
    smaller = only_style(prepared(library, styles=(remembered(name),), style_size=32))
    assert (smaller.name, smaller.size, smaller.pixels.shape) == (name, 32, (32, 32, 3))


def test_a_style_whose_picture_was_not_kept_has_to_be_sent_again(library: StyleLibrary) -> None:
    library.keep_code("known", 512, CODE)
    for options in ({"style_size": 32}, {"preserve_color": "match"}):
        with pytest.raises(StyleForgotten, match="style known is remembered, but not for this use: upload its picture"):
            prepared(library, styles=(remembered("known"),), **options)


def test_a_style_recoloured_to_one_photo_is_kept_for_no_other(library: StyleLibrary) -> None:
    library.keep_code(source().name, 512, CODE)
    style = only_style(prepared(library, preserve_color="match"))
    assert style.name is None
    original, recoloured, wanted = (
        pixels.reshape(-1, 3).mean(axis=0) for pixels in (photo("coffee", 100), style.pixels, photo("chelsea", 64))
    )
    assert np.abs(original - wanted).max() > 15
    assert np.abs(recoloured - wanted).max() < 5


def test_the_fault_is_told_with_its_field(library: StyleLibrary) -> None:
    bad = b"no picture"
    cases: list[tuple[str, dict[str, Any]]] = [
        ("content", {"content": bad}),
        ("style[1]", {"styles": (source(field="style[0]"), source(bad, "style[1]"))}),
        ("mask[1]", {"styles": (source(), source()), "masks": (CAT, bad)}),
    ]
    for field, arguments in cases:
        with pytest.raises(FieldError) as caught:
            prepared(library, **arguments)
        assert caught.value.field == field
        assert isinstance(caught.value.cause, UnreadableImage)
        assert str(caught.value) == str(caught.value.cause)
    assert not library.has_picture(style_id(io.BytesIO(bad)))


def test_pictures_of_too_many_pixels_are_refused_wherever_they_are(library: StyleLibrary) -> None:
    large = png(np.zeros((500, 801), np.uint8))
    for field, arguments in (
        ("content", {"content": large}),
        ("style", {"styles": (source(large),)}),
        ("mask[0]", {"masks": (large,)}),
    ):
        with pytest.raises(FieldError) as caught:
            prepared(library, **arguments)  # type: ignore[arg-type]
        assert caught.value.field == field
        assert isinstance(caught.value.cause, TooManyPixels)


def test_work_has_an_equal_key_only_where_its_result_is_equal(library: StyleLibrary) -> None:
    left, right = grey([255, 0], 64, 64), grey([0, 255], 64, 64)
    turned = png(np.asarray(photo("astronaut", 64)[:32]))
    works = [
        prepared(library),
        prepared(library, CUP),
        prepared(library, png(np.dstack((photo("chelsea", 64), np.tri(64, dtype=np.uint8) * 255)))),
        prepared(library, png(np.dstack((photo("chelsea", 64), np.tri(64, dtype=np.uint8) * 254)))),
        prepared(library, turned),
        prepared(library, png(np.asarray(Image.open(io.BytesIO(turned))).reshape(64, 32, 3))),
        prepared(library, strength=0.5),
        prepared(library, style_size=64),
        prepared(library, preserve_color="match"),
        prepared(library, styles=(source(CAT),)),
        prepared(library, styles=(source(), source(CAT))),
        prepared(library, styles=(source(CAT), source())),
        prepared(library, styles=(source(), source(CAT)), weight=(1, 2)),
        prepared(library, masks=(left,)),
        prepared(library, masks=(right,)),
    ]
    keys = {work.work.key for work in works}
    assert None not in keys
    assert len(keys) == len(works)
    same = [
        prepared(library, format="webp", quality=3, preserve_color="luminance"),
        prepared(library, weight=(5,)),
        prepared(library, styles=(remembered(source().name),)),
    ]
    assert {work.work.key for work in same} == {works[0].work.key}


def pixels(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_a_result_becomes_a_file_of_the_format(library: StyleLibrary, format: str) -> None:
    result = np.ascontiguousarray(photo("rocket", 64))
    file = finish(prepared(library), result, Options(), format)
    assert (Image.open(io.BytesIO(file)).format or "").lower() == format
    assert np.abs(pixels(file).astype(int) - result).mean() < (0.5 if format == "png" else 6)


def test_quality_makes_a_file_larger(library: StyleLibrary) -> None:
    result = np.ascontiguousarray(photo("rocket", 64))
    small, large = (finish(prepared(library), result, Options(quality=quality), "jpeg") for quality in (20, 95))
    assert len(small) < len(large) / 2


def test_luminance_keeps_the_photos_colours_under_the_results_light(library: StyleLibrary) -> None:
    light = np.full((64, 64, 3), 128, np.uint8)
    got = pixels(finish(prepared(library), light, Options(preserve_color="luminance"), "png"))
    inside = ((got > 0) & (got < 255)).all(axis=2)
    change = got[inside].astype(int) - photo("chelsea", 64)[inside]
    assert inside.mean() > 0.9
    assert np.ptp(change, axis=1).max() <= 1
    assert np.abs(got[inside] @ [0.299, 0.587, 0.114] - 128).max() <= 1


def test_alpha_outlives_the_network_where_the_format_has_it(library: StyleLibrary) -> None:
    alpha = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    got = prepared(library, png(np.dstack((photo("chelsea", 64), alpha))))
    result = np.zeros((64, 64, 3), np.uint8)
    assert np.array_equal(pixels(finish(got, result, Options(), "png"))[:, :, 3], alpha)
    laid_on_white = pixels(finish(got, result, Options(quality=100), "jpeg"))
    assert np.abs(laid_on_white.astype(int) - (255 - alpha)[:, :, None]).max() <= 3


def test_a_format_that_cannot_hold_the_result_is_told_as_a_fault_of_that_field(library: StyleLibrary) -> None:
    limits = Limits(max_pixels=400_000, max_size=20_000, default_size=300)
    got = prepared(library, png(np.zeros((2, 17_000, 3), np.uint8)), size=0, limits=limits)
    with pytest.raises(FieldError, match="at most 16383 pixels a side") as caught:
        finish(got, got.work.content, Options(), "webp")
    assert caught.value.field == "format"
    assert isinstance(caught.value.cause, ImageError)
