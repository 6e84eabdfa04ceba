"""Which format a caller gets."""

import pytest

from app.images.negotiation import choose_format


@pytest.mark.parametrize(
    ("asked", "accept", "photo", "expected"),
    [
        ("png", "image/webp", "jpeg", "png"),
        (None, "image/webp", "jpeg", "webp"),
        (None, "image/png;q=0.5, image/webp;q=0.9", "jpeg", "webp"),
        (None, "image/png, image/webp", "jpeg", "png"),
        (None, "IMAGE/PNG", "jpeg", "png"),
        (None, "image/jpg", "png", "jpeg"),
        (None, "image/jpg;q=0.2, image/webp;q=0.1", "png", "jpeg"),
        (None, "image/png;q=0", "webp", "webp"),
        (None, "image/png;q=0, */*", "png", "jpeg"),
        (None, "image/jpeg;q=0, image/png;q=0", "tiff", "webp"),
        (None, "image/jpeg;q=0, image/png;q=0, image/webp;q=0", "png", "jpeg"),
        (None, "image/png;q=much", "webp", "webp"),
        (None, "*/*", "webp", "webp"),
        (None, "image/*", "png", "png"),
        (None, "", "tiff", "jpeg"),
        (None, "application/json", "avif", "jpeg"),
        (None, ";;,,q=1;", "gif", "jpeg"),
    ],
)
def test_the_field_then_accept_then_the_photos_own_then_jpeg(
    asked: str | None, accept: str, photo: str, expected: str
) -> None:
    assert choose_format(asked, accept, photo) == expected
