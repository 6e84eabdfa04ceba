"""What can be seen of a picture, and what the network gets to see in place of the rest."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw

from app.images.decode import decode_trimmed
from app.images.errors import UnreadableImage
from app.images.visible import filled, visible
from tests.images.files import PIXELS, Bytes, photo, saved, small


def alpha_of(height: int, width: int, box: tuple[int, int, int, int], level: int = 255) -> Bytes:
    alpha = Image.new("L", (width, height))
    ImageDraw.Draw(alpha).ellipse(box, fill=level)
    return np.array(alpha)


def test_an_opaque_picture_is_seen_as_it_is():
    seen = visible(small(), None)
    assert seen.rgb is not None
    assert seen.alpha is None
    np.testing.assert_array_equal(seen.rgb, small())
    assert small()[seen.box].shape == small().shape


def test_transparent_margins_are_cut_off_and_a_whole_rectangle_is_opaque():
    alpha = np.zeros((48, 64), np.uint8)
    alpha[5:40, 20:63] = 255
    seen = visible(small(), alpha)
    assert seen.alpha is None
    assert seen.rgb.flags.c_contiguous
    assert seen.box == (slice(5, 40), slice(20, 63))
    np.testing.assert_array_equal(seen.rgb, small()[5:40, 20:63])


def test_beyond_its_edge_a_cut_out_goes_on_in_its_own_colours_whatever_was_there():
    rgb, alpha = photo("coffee").copy(), alpha_of(400, 600, (150, 60, 450, 340))
    seen = visible(rgb, alpha)
    assert seen.alpha is not None
    np.testing.assert_array_equal(seen.alpha, alpha[seen.box])
    solid = seen.alpha == 255
    np.testing.assert_array_equal(seen.rgb[solid], rgb[seen.box][solid])
    rgb[alpha == 0] = (255, 0, 255)
    np.testing.assert_array_equal(visible(rgb, alpha).rgb, seen.rgb)
    corner, lowest, highest = seen.rgb[:4, :4].reshape(-1, 3), *(f(rgb[alpha > 0], axis=0) for f in (np.min, np.max))
    assert (corner >= lowest).all()
    assert (corner <= highest).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (33, 18)])
def test_one_pixel_that_can_be_seen_fills_all(shape):
    rgb, alpha = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8)
    rgb[0, -1], alpha[0, -1] = (200, 30, 90), 1
    assert np.abs(filled(rgb, alpha).astype(int) - (200, 30, 90)).max() <= 2  # of eight bits, multiplied by alpha


def test_ink_of_one_colour_is_laid_on_white_paper_and_chalk_on_black():
    alpha = np.array(Image.fromarray(alpha_of(80, 80, (9, 9, 60, 70))).resize((40, 40)))
    for ink, paper in ((0, 255), (255, 0)):
        rgb = np.full((40, 40, 3), ink, np.uint8)
        seen = visible(rgb, alpha)
        assert seen.alpha is None
        part = alpha[seen.box][:, :, None] / 255
        np.testing.assert_allclose(
            seen.rgb, np.broadcast_to(ink * part + paper * (1 - part), seen.rgb.shape), atol=0.51
        )


def test_a_picture_that_is_transparent_everywhere_is_refused():
    with pytest.raises(UnreadableImage, match="transparent everywhere"):
        visible(small(), np.zeros((48, 64), np.uint8))


def test_a_sticker_is_read_as_what_is_on_it_at_its_own_size():
    rgba = np.zeros((300, 400, 4), np.uint8)
    rgba[:, :, :3] = 255
    rgba[100:148, 200:264] = np.dstack((small(), np.full((48, 64), 255, np.uint8)))
    for size, height, width in ((100, 48, 64), (32, 24, 32)):
        sticker = decode_trimmed(BytesIO(saved(rgba, "png")), max_pixels=PIXELS, size=size)
        twin = decode_trimmed(BytesIO(saved(small(), "png")), max_pixels=PIXELS, size=size)
        assert sticker.alpha is None
        assert sticker.rgb.shape == (height, width, 3)
        np.testing.assert_array_equal(sticker.rgb, twin.rgb)
