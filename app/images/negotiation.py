"""Which file format a caller gets."""

from app.images.encode import MEDIA_TYPES


def choose_format(asked: str | None, accept: str, photo_format: str) -> str:
    """jpeg, png or webp: what the field asked for, else what Accept names first, else the photo's own, else jpeg,
    but nothing that Accept refuses with q=0 while there is another.

    A wildcard in Accept names nothing: whoever takes any picture gets one of the photo's own kind.
    """
    if asked:
        return asked
    offered = {media_type: name for name, media_type in MEDIA_TYPES.items()} | {"image/jpg": "jpeg"}
    qualities: dict[str, float] = {}
    for entry in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        if media_type in offered:
            quality = next((_quality(p) for p in parameters if p.startswith("q=")), 1.0)
            qualities.setdefault(offered[media_type], quality)
    best = max(qualities, key=qualities.__getitem__, default="jpeg")
    if qualities.get(best):
        return best
    return next(
        (name for name in (photo_format, *MEDIA_TYPES) if name in MEDIA_TYPES and name not in qualities), "jpeg"
    )


def _quality(parameter: str) -> float:
    try:
        return float(parameter.removeprefix("q="))
    except ValueError:
        return 0.0
