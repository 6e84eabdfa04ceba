"""Which files are videos, by their first bytes: their names and what a sender says of them do not count."""

from pathlib import Path
from typing import Final

HEAD: Final = 64
MATROSKA: Final = b"\x1a\x45\xdf\xa3"
PNG: Final = b"\x89PNG\r\n\x1a\n"
# The first box of an MP4 or QuickTime file, after its four bytes of length.
FIRST_BOXES: Final = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
# Photos in boxes of the same form.
STILL_BRANDS: Final = (b"mif1", b"msf1", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"avif", b"avis")
MOVIES: Final = ("mp4", "webm", "mkv")
ANIMATIONS: Final = ("gif", "webp", "png")


def kind_of(path: Path) -> str | None:
    """ "mp4" (QuickTime too), "webm", "mkv", or what may be an animation: "gif", "webp", "png"; None of all else."""
    with path.open("rb") as file:
        return kind_of_head(file.read(HEAD))


def kind_of_head(head: bytes) -> str | None:
    """The same, of the first bytes of a file, 64 at least where it has them."""
    if head[4:8] in FIRST_BOXES:
        return None if head[4:8] == b"ftyp" and head[8:12] in STILL_BRANDS else "mp4"
    if head.startswith(MATROSKA):
        return "webm" if b"webm" in head else "mkv"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith(PNG):
        return "png"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    return None
