"""Which file format a caller gets."""

from app.images.encode import MEDIA_TYPES


def choose_format(asked: str | None, accept: str, photo_format: str) -> str:
    """jpeg, png or webp: what the field asked for, else what Accept names first, else the photo's own, else jpeg.

    A wildcard in Accept names nothing: whoever takes any picture gets one of the photo's own kind.
    """
    if asked:
        return asked
    offered = {media_type: name for name, media_type in MEDIA_TYPES.items()}
    best, best_quality = None, 0.0
    for entry in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = next((_quality(p) for p in parameters if p.startswith("q=")), 1.0)
        if media_type in offered and quality > best_quality:
            best, best_quality = offered[media_type], quality
    return best or (photo_format if photo_format in MEDIA_TYPES else "jpeg")


def _quality(parameter: str) -> float:
    try:
        return float(parameter.removeprefix("q="))
    except ValueError:
        return 0.0
